/** What READMEs show and point at is there. */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, test } from "vitest"

const root = join(import.meta.dirname, "..")
const readmes = ["README.md", ...["bus", "functions", "gateway", "infra", "test"].map((folder) => `${folder}/README.md`)]
const text = (path: string): string => readFileSync(join(root, path), "utf8")

test.each([["README.md", "maintenance.ts"], ["functions/README.md", "maintenance.ts"], ["functions/README.md", "maintenance.test.ts"]])("%s shows %s as it is", (readme, file) => {
  expect(text(readme)).toContain(`\`\`\`ts\n${text(`test/fixtures/outside/${file}`)}\`\`\``)
})

describe.each(readmes)("%s", (readme) => {
  test("links to files that exist", () => {
    const links = [...text(readme).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].flatMap(([, link]) => link ?? [])
    expect(links.filter((link) => !existsSync(join(root, dirname(readme), link)))).toEqual([])
  })
})
