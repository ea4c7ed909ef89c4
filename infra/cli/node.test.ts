/** The launcher on an older Node, which is this one made to say it is older. */
import { execFile, spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"

const launcher = join(import.meta.dirname, "node.mjs")
let folder = ""
let program = ""

/** `withExecve`: Node 22.15 and newer can replace the process; 20 cannot. */
const pretending = (version: string, options: { readonly execve: boolean; readonly platform?: string }) =>
  `data:text/javascript,${encodeURIComponent(
    `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });` +
      (options.execve ? "" : `process.execve = undefined;`) +
      (options.platform === undefined ? "" : `Object.defineProperty(process, "platform", { value: "${options.platform}" });`),
  )}`

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const run = (preload: string | undefined, args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [...(preload === undefined ? [] : ["--import", preload]), launcher, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr })
    })
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate node "))
  program = join(folder, "a program.ts")
  await writeFile(
    program,
    `const args: string[] = process.argv.slice(2)
if (args[0] === "fail") process.exitCode = 7
if (args[0] === "wait") {
  let count = 0
  process.on("SIGINT", () => console.log("SIGINT", ++count))
  process.on("SIGTERM", () => process.exit(8))
  setInterval(() => {}, 1000)
}
console.log(JSON.stringify({ major: process.versions.node.split(".")[0], args, pid: process.pid }))`,
  )
})

afterAll(() => rm(folder, { recursive: true, force: true }))

for (const [what, preload] of [
  ["a Node that is new enough, in the same process", undefined],
  ["Node 22.15, by replacing the process", pretending("22.15.0", { execve: true })],
  ["Node 20, by a child", pretending("20.11.0", { execve: false })],
] as const) {
  test(`runs TypeScript with its arguments and exit status from ${what}`, async () => {
    const ok = await run(preload, [program, "a b", "--flag"])
    expect(ok.stderr).toBe("")
    expect(JSON.parse(ok.stdout)).toMatchObject({ major: expect.stringMatching(/^2[46]$/), args: ["a b", "--flag"] })
    expect((await run(preload, [program, "fail"])).code).toBe(7)
  })
}

test("from Node 20, a signal reaches the program once, and its status comes back", async () => {
  const child = spawn(process.execPath, ["--import", pretending("20.11.0", { execve: false }), launcher, program, "wait"], { stdio: ["ignore", "pipe", "inherit"] })
  let output = ""
  const lines = (wanted: string) =>
    new Promise<void>((resolve) => {
      const look = (text = "") => {
        output += text
        if (!output.includes(wanted)) return
        child.stdout.off("data", look)
        resolve()
      }
      child.stdout.setEncoding("utf8").on("data", look)
      look()
    })
  await lines("pid")
  child.kill("SIGINT")
  await lines("SIGINT 1")
  const ended = new Promise((resolve) => child.once("exit", (code) => resolve(code)))
  child.kill("SIGTERM")
  expect(await ended).toBe(8)
  expect(output).not.toContain("SIGINT 2")
})

test("without a packaged Node for the platform, an older Node says what to do", async () => {
  const ended = await run(pretending("20.11.0", { execve: false, platform: "sunos" }), [program])
  expect(ended.code).toBe(1)
  expect(ended.stderr).toMatch(/needs Node 24 or newer; this is Node 20\.11\.0 on sunos/)
  expect(ended.stderr).toMatch(/install Node 24 or newer/)
})
