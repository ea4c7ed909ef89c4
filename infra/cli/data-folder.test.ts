import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { holdDataFolder } from "./data-folder.ts"

let base: string
let data: string
let children: ChildProcess[]
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "headgate-data-"))
  data = join(base, "data")
  children = []
})
afterEach(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(base, { recursive: true, force: true })
})

/** A process that looks like `headgate up`; resolves with what it says first. */
const upLike = (script: string): Promise<string> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", `${script}; setInterval(() => {}, 1000)`, "headgate", "up"], { stdio: ["ignore", "pipe", "inherit"] })
    children.push(child)
    child.stdout.once("data", (said: Buffer) => resolve(said.toString().trim()))
  })

test("a folder is held by one process that is alive, and is nobody else's to read", async () => {
  const pid = await upLike("console.log(process.pid)")
  const { release } = holdDataFolder(data)
  expect(statSync(data).mode & 0o077).toBe(0)
  release()
  symlinkSync(pid, join(data, "lock"))
  expect(() => holdDataFolder(data)).toThrow(`another headgate up (pid ${pid}) runs on ${data}`)
})

test("a lock whose pid is nobody's, or another program's by now, is taken over", () => {
  holdDataFolder(data).release()
  for (const pid of ["999999999", String(process.ppid), "nonsense"]) {
    symlinkSync(pid, join(data, "lock"))
    holdDataFolder(data).release()
  }
})

test("of several that find the lock of a dead one at once, one gets it", async () => {
  holdDataFolder(data).release()
  symlinkSync("999999999", join(data, "lock"))
  const script = `import { holdDataFolder } from ${JSON.stringify(import.meta.resolve("./data-folder.ts"))}
    try { holdDataFolder(${JSON.stringify(data)}); console.log("held") } catch (error) { console.log(error.message.slice(0, 19)) }`
  const said = await Promise.all(Array.from({ length: 4 }, () => upLike(script)))
  expect(said.sort()).toEqual([...Array.from({ length: 3 }, () => "another headgate up"), "held"])
})
