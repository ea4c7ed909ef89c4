import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"

test("headgate --help names each command on one line of a terminal", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, "main.ts"), "--help"])
  const lines = stdout.slice(stdout.indexOf("SUBCOMMANDS\n")).trimEnd().split("\n").slice(1)
  expect(lines.length).toBeGreaterThan(5)
  for (const line of lines) expect(line).toMatch(/^ {2}[a-z]+ {2,}\S.{0,86}$/)
})
