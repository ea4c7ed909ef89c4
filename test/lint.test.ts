/**
 * Every rule of .oxlintrc.json bites: each snippet below is wrong in one way, lies where such a file would lie, and
 * must be reported with the reason; each of `allowed` looks alike and must not be.
 */
import { execFile } from "node:child_process"
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"

const root = join(import.meta.dirname, "..")

/** file → [source, rule, words of the reason] */
const wrong: Record<string, readonly [source: string, rule: string, reason: string]> = {
  "bus/unit/a.ts": [`import { connect } from "@nats-io/transport-node"; export const a = connect`, "no-restricted-imports", "NATS is known to bus/jetstream"],
  "infra/cli/a.ts": [`import { jetstream } from "@nats-io/jetstream"; export const a = jetstream`, "no-restricted-imports", "NATS is known to bus/jetstream"],
  "functions/engine/a.ts": [`import { jetstream } from "@nats-io/jetstream"; export const a = jetstream`, "no-restricted-imports", "NATS is known to bus/jetstream"],
  "bus/a.ts": [`import { Effect } from "effect"; export const a = Effect`, "no-restricted-imports", "bus/ outside kinds/ runs in the gateway process"],
  "bus/jetstream-a.ts": [`import { Effect } from "effect"; export const a = Effect`, "no-restricted-imports", "bus/ outside kinds/ runs in the gateway process"],
  "bus/b.ts": [`import { kinds } from "./kinds/config.ts"; export const a = kinds`, "no-restricted-imports", "import type only"],
  "bus/c.ts": [`import { b } from "../functions/b.ts"; export const a = b`, "no-restricted-imports", "it depends on nobody"],
  "bus/kinds/a.ts": [`import { b } from "../../functions/b.ts"; export const a = b`, "no-restricted-imports", "it depends on nobody"],
  "gateway/a.ts": [`import { Effect } from "effect"; export const a = Effect`, "no-restricted-imports", "No Effect in the gateway process"],
  "gateway/b.ts": [`import type { Effect } from "effect/Effect"; export type A = Effect<void>`, "no-restricted-imports", "No Effect in the gateway process"],
  "gateway/filters/a.ts": [`import { trace } from "@opentelemetry/api"; export const a = trace`, "no-restricted-imports", "No OpenTelemetry SDK in the gateway process"],
  "gateway/table/a.ts": [`import { kinds } from "../../bus/kinds/config.ts"; export const a = kinds`, "no-restricted-imports", "import type only"],
  "gateway/http1/a.ts": [`import { b } from "../../functions/reconcile.ts"; export const a = b`, "no-restricted-imports", "The gateway knows the bus only"],
  "gateway/c.ts": [`import { connect } from "@nats-io/transport-node"; export const a = connect`, "no-restricted-imports", "NATS is known to bus/jetstream"],
  "functions/routes/a.ts": [`import { Effect } from "effect"; export const a = Effect`, "no-restricted-imports", "No Effect in derivations"],
  "functions/gateway-api/a.ts": [`import { Schema } from "effect"; export const a = Schema`, "no-restricted-imports", "No Effect in derivations"],
  "functions/routes/b.ts": [`import { b } from "../endpoints/b.ts"; export const a = b`, "no-restricted-imports", "does not import another function"],
  "functions/routes/c.ts": [`import { b } from "../../gateway/table/b.ts"; export const a = b`, "no-restricted-imports", "Functions know the bus only"],
  "functions/c.ts": [`import { b } from "../gateway/main.ts"; export const a = b`, "no-restricted-imports", "Functions know the bus only"],
  "functions/routes/d.ts": [`import { readFileSync } from "node:fs"; export const a = readFileSync`, "no-restricted-imports", "A derivation does no I/O"],
  "functions/routes/e.ts": [`import { KubeConfig } from "@kubernetes/client-node"; export const a = KubeConfig`, "no-restricted-imports", "A derivation does no I/O"],
  "functions/certs/a.ts": [`import { randomBytes } from "node:crypto"; export const a = randomBytes`, "no-restricted-imports", "only hash, X509Certificate"],
  "functions/routes/f.ts": [`export const a = Date.now()`, "no-restricted-properties", "No clock in derivations"],
  "functions/endpoints/g.ts": [`export const a = Math.random()`, "no-restricted-properties", "No randomness in derivations"],
  "functions/routes/h.ts": [`export const a = process.env`, "no-restricted-properties", "No environment in derivations"],
  "functions/routes/i.ts": [`export const a = fetch`, "no-restricted-globals", "No I/O in derivations"],
  "gateway/table/f.ts": [`export const a = Date.now()`, "no-restricted-properties", "No clock in derivations and table"],
  "gateway/table/g.ts": [`export const a = Math.random()`, "no-restricted-properties", "No randomness in derivations"],
  "gateway/table/h.ts": [`export const a = process.env`, "no-restricted-properties", "No environment in derivations"],
  "gateway/table/i.ts": [`export const a = fetch("http://127.0.0.1/").then(() => 1, () => 2)`, "no-restricted-globals", "No I/O in derivations"],
  "infra/b.ts": [`export const a = async () => 1; a()`, "no-floating-promises", "Promises must be awaited"],
  "infra/c.ts": [`export const a: any = 1`, "no-explicit-any", "any"],
  "infra/d.ts": [`export const a = (b: unknown): string => b as string`, "consistent-type-assertions", "assertion"],
  "infra/e.ts": [`export const a = (b: string | undefined): string => b!`, "no-non-null-assertion", "non-null"],
  "infra/f.ts": [`// @ts-ignore\nexport const a: number = ""`, "ban-ts-comment", "@ts-ignore"],
  "infra/g.ts": [`export const a = (b: number) => {\n${Array.from({ length: 21 }, (_, i) => `if (b === ${i}) return ${i}`).join("\n")}\nreturn 0 }`, "complexity", "complexity"],
  "infra/h.test.ts": [`import { test } from "vitest"; test.only("a", () => {})`, "no-focused-tests", "focused"],
  "infra/i.test.ts": [`import { test } from "vitest"; test.skip("a", () => {})`, "no-disabled-tests", "disabled"],
  "infra/j.ts": [`export const a = (b: "x" | "y") => { switch (b) { case "x": return 1 } return 2 }`, "switch-exhaustiveness-check", "not exhaustive"],
}

const allowed: Record<string, string> = {
  "bus/jetstream-connect.ts": `import { connect } from "@nats-io/transport-node"; export const a = connect`,
  "bus/kinds/b.ts": `import { Schema } from "effect"; export const a = Schema`,
  "bus/d.ts": `import type { Note } from "./kinds/config.ts"; export type A = Note`,
  "gateway/d.ts": `import type { Route } from "../bus/kinds/config.ts"; export type A = Route; export const now = Date.now`,
  "functions/routes/j.ts": `import { b } from "../gateway-api/b.ts"; import { c } from "../reconcile.ts"; import { d } from "./d.ts"; import { kinds } from "../../bus/kinds/config.ts"; export const a = [b, c, d, kinds]`,
  "functions/engine/b.ts": `import { Effect } from "effect"; export const a = [Effect, Date.now()]`,
  "functions/routes/k.test.ts": `import { readFileSync } from "node:fs"; import { b } from "../endpoints/b.ts"; export const a = [readFileSync, b, Date.now()]`,
  "infra/adapters/files/a.ts": `import { Effect } from "effect"; import { find } from "../../../gateway/table/find.ts"; export const a = [Effect, find, process.env, Date.now(), Math.random()]`,
}

interface Finding {
  readonly message: string
  readonly code?: string
  /** Where oxlint puts the reason of a restricted import or property. */
  readonly help?: string
  readonly filename: string
}

let folder = ""
let findings: readonly Finding[] = []

const isReport = (value: unknown): value is { diagnostics: readonly Finding[] } => typeof value === "object" && value !== null && "diagnostics" in value && Array.isArray(value.diagnostics)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-lint-"))
  await cp(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"))
  await cp(join(root, "tsconfig.json"), join(folder, "tsconfig.json"))
  await writeFile(join(folder, "package.json"), `{ "type": "module" }`)
  await symlink(join(root, "node_modules"), join(folder, "node_modules"))
  const sources = [...Object.entries(wrong).map(([file, [source]]) => [file, source] as const), ...Object.entries(allowed)]
  for (const [file, source] of sources) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), `${source}\n`)
  }
  const stdout = await new Promise<string>((resolve) => {
    execFile(join(root, "node_modules/.bin/oxlint"), ["--type-aware", "--format=json", "."], { cwd: folder, maxBuffer: 1 << 24 }, (_failed, out) => resolve(out))
  })
  const report: unknown = JSON.parse(stdout)
  if (!isReport(report)) throw new Error(`not a report of oxlint: ${stdout.slice(0, 500)}`)
  findings = report.diagnostics
})

afterAll(() => rm(folder, { recursive: true, force: true }))

const of = (file: string) => findings.filter((finding) => finding.filename === file).map((finding) => `${finding.code ?? ""}: ${finding.message} ${finding.help ?? ""}`)

describe("what lint must report", () => {
  for (const [file, [source, rule, reason]] of Object.entries(wrong)) {
    test(`${file}: ${source.split("\n")[0] ?? ""} → ${rule}`, () => {
      expect(of(file).some((line) => line.includes(`(${rule})`) && line.toLowerCase().includes(reason.toLowerCase())), of(file).join("\n") || "nothing was reported").toBe(true)
    })
  }
})

describe("what lint must leave alone", () => {
  for (const file of Object.keys(allowed)) {
    test(file, () => {
      expect(of(file).filter((line) => line.includes("restricted"))).toEqual([])
    })
  }
})
