/**
 * `npm run fuzz -- [--cases N] [--seed S] [--from N] [--target NAME …]`: so many cases of a seed (printed; another each time
 * where none is given) for each target, or for those named. Exit status: that of the worst.
 */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { parseArgs } from "node:util"

/** Name of the target and what is fuzzed. */
const targets: ReadonlyMap<string, string> = new Map([
  ["llhttp", "HTTP/1.1, requests and responses, before llhttp"],
  ["http2", "frames of HTTP/2, in both roles, whatever they mean"],
  ["http2-node", "what clients of HTTP/2 say, before node:http2"],
  ["hpack-node", "fields through HPACK, ours and node:http2's"],
  ["gateway", "connections of both versions through a gateway, before node:http"],
])

const root = join(import.meta.dirname, "../..")
const { values } = parseArgs({
  options: { cases: { type: "string", default: "1000000" }, seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000_000)) }, from: { type: "string", default: "0" }, target: { type: "string", multiple: true, default: [...targets.keys()] } },
})

const fuzz = (target: string): Promise<number> => {
  const env = { ...process.env, HEADGATE_FUZZ_SEED: values.seed, HEADGATE_FUZZ_CASES: values.cases, HEADGATE_FUZZ_FROM: values.from }
  const child = spawn(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), "run", "--project", "unit", `test/fuzz/${target}.test.ts`], { cwd: root, stdio: "inherit", env })
  return new Promise((resolve) => child.once("exit", (code) => resolve(code ?? 1)))
}

let worst = 0
for (const target of values.target) {
  const what = targets.get(target)
  if (what === undefined) throw new TypeError(`${target} is none of ${[...targets.keys()].join(", ")}`)
  console.log(`${target}: ${values.cases} cases of seed ${values.seed}: ${what}`)
  worst = Math.max(worst, await fuzz(target))
}
process.exitCode = worst
