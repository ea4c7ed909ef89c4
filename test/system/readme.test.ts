/**
 * README.md, run as it stands, in a copy of the project and in its order. `yaml` and `ts` blocks are saved as the file
 * that the line before them names; `sh` blocks have to succeed; of `console` blocks also the output has to come, a
 * line that is `…` standing for any number of them, `…` in a line for any text, figures, times and identifiers for others.
 * HEADGATE_README=write puts the output that came into README.md: read the difference before committing it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { root } from "./headgate.ts"
import { until } from "./until.ts"

interface Block {
  readonly language: string
  readonly text: string
  /** The file a `yaml` or `ts` block is saved as. */
  readonly file: string | undefined
  /** Nearest heading. */
  readonly title: string
  readonly line: number
}

const blocksOf = (markdown: string): readonly Block[] => {
  const lines = markdown.split("\n")
  const blocks: Block[] = []
  let title = ""
  for (let i = 0; i < lines.length; i++) {
    title = /^#+ (.*)/.exec(lines[i] ?? "")?.[1] ?? title
    const language = /^```(\w+)$/.exec(lines[i] ?? "")?.[1]
    if (language === undefined) continue
    const start = i
    while (lines[++i] !== "```") if (i > lines.length) throw new Error(`the block at line ${start + 1} does not end`)
    const before = lines.slice(0, start).findLast((line) => line !== "") ?? ""
    blocks.push({ language, text: lines.slice(start + 1, i).join("\n"), file: [...before.matchAll(/`([\w./-]+\.(?:yaml|ts))`/g)].at(-1)?.[1], title, line: start + 1 })
  }
  return blocks
}

interface Command {
  readonly line: string
  /** Of a `console` block. */
  readonly output: readonly string[] | undefined
}

const commandsOf = ({ language, text }: Block): readonly Command[] => {
  if (language === "sh") return [{ line: text, output: undefined }]
  const commands: { line: string; output: string[] }[] = []
  for (const line of text.split("\n")) {
    if (line.startsWith("$ ")) commands.push({ line: line.slice(2), output: [] })
    else commands.at(-1)?.output.push(line)
  }
  return commands
}

/** The suite this test belongs to is not run once more inside itself. */
const isThisSuite = ({ text }: Block): boolean => text === "npm ci && npm test"
const readme = join(root, "README.md")
const blocks = blocksOf(readFileSync(readme, "utf8")).filter((block) => ["sh", "console", "yaml", "ts"].includes(block.language) && !isThisSuite(block))

/** These stay until they are interrupted: done once they say this. */
const stays: readonly (readonly [command: RegExp, said: RegExp])[] = [
  [/npm start/, /Headgate is ready\./],
  [/headgate events -f/, /\S/],
  [/headgate functions \.\//, /"message"|publish|waiting|deriv|\S/],
]

/** What differs from run to run: times, durations, sequences, hashes, paths; and how much space columns take. */
const alike = (line: string): string =>
  line
    .replaceAll(/\x1b\[[0-9;]*m/g, "")
    .replaceAll(/\b[0-9a-f]{8,}\b/g, "#")
    .replaceAll(/\d+(?:[.,:-]\d+)*(?:T[\d:.]+Z)?/g, "#")
    .replaceAll(/[█▏▎▍▌▋▊▉▇▆▅▄▃▂▁░▒▓─╴╶┄]+/g, "=")
    .replaceAll(/\s+/g, " ")
    .trim()

const isLike = (expected: string, actual: string | undefined): boolean => {
  if (actual === undefined) return false
  const [first = "", ...rest] = expected.split("…")
  if (rest.length === 0) return actual === first
  let at = first.length
  for (const part of rest.slice(0, -1)) {
    const found = actual.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  const last = rest.at(-1) ?? ""
  return actual.startsWith(first) && actual.endsWith(last) && actual.length >= at + last.length
}

/** Every line expected comes, in this order; between two that touch nothing else does. */
const missing = (expected: readonly string[], actual: readonly string[]): string | undefined => {
  const have = actual.map(alike).filter((line) => line !== "")
  let at = 0
  let maySkip = false
  for (const line of expected.map(alike).filter((each) => each !== "")) {
    if (line === "…") {
      maySkip = true
      continue
    }
    const found = maySkip ? have.findIndex((each, i) => i >= at && isLike(line, each)) : isLike(line, have[at]) ? at : -1
    if (found < 0) return line
    at = found + 1
    maySkip = false
  }
  return undefined
}

/** Lines the README leaves out stay left out. */
const rewrite = (line: string, expected: readonly string[], actual: readonly string[]): void => {
  const text = readFileSync(readme, "utf8")
  const before = ["", `$ ${line}`, ...expected].join("\n")
  if (!text.includes(before)) throw new Error(`README.md no longer has ${before}`)
  if (missing(expected, actual) !== undefined || expected.length === 0) writeFileSync(readme, text.replace(before, () => ["", `$ ${line}`, ...actual].join("\n").trimEnd()))
}

const isTaken = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

/** The README's example speaks to a program of the reader's on this port. */
const BACKEND = 3000
const taken = (await Promise.all([8080, 8443, BACKEND].map(async (port) => ((await isTaken(port)) ? [port] : [])))).flat()

describe.skipIf(taken.length > 0)(`README.md${taken.length > 0 ? ` (port ${taken.join(", ")} is taken on this machine)` : ""}`, () => {
  const home = mkdtempSync(join(tmpdir(), "headgate readme "))
  const folder = join(home, "headgate")
  const running: { readonly line: string; readonly child: ChildProcess }[] = []
  const backend = createServer((_request, response) => response.end("hello from port 3000\n"))

  beforeAll(async () => {
    const left = new Set(["node_modules", ".git", ".headgate", "dist"])
    cpSync(root, folder, { recursive: true, filter: (path) => !left.has(basename(path)) || dirname(path) !== root })
    await new Promise<void>((resolve) => backend.listen(BACKEND, "127.0.0.1", resolve))
  })

  const interrupt = async ({ child }: { readonly child: ChildProcess }): Promise<void> => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    process.kill(-child.pid, "SIGINT")
    await until("an interrupted command has ended", () => child.exitCode !== null || child.signalCode !== null, 30_000)
  }

  afterAll(async () => {
    await Promise.all(running.map(interrupt))
    backend.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })

  const environment = (): NodeJS.ProcessEnv => {
    const { HEADGATE_NATS_URL: _url, HEADGATE_DATA: _data, NODE_OPTIONS: _options, ...env } = process.env
    // What was installed a moment ago is in npm's cache. What only tests are made with, no command needs that is run here.
    return { ...env, npm_config_prefer_offline: "true", npm_config_omit: "dev", COLUMNS: "120" }
  }

  const run = async (line: string): Promise<readonly string[]> => {
    const stay = stays.find(([command]) => command.test(line))
    // As Ctrl-C does: one serves at a time.
    if (stay !== undefined && /npm start/.test(line)) for (const each of running.splice(0)) await interrupt(each)
    const child = spawn("bash", ["-euo", "pipefail", "-c", line], { cwd: folder, env: environment(), stdio: ["ignore", "pipe", "pipe"], detached: true })
    let stdout = ""
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      output += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve))
    if (stay === undefined) {
      const code = await ended
      expect(code, `${line}\n${output}`).toBe(0)
    } else {
      running.push({ line, child })
      await until(`${line} says ${stay[1]}`, () => stay[1].test(output) || child.exitCode !== null, 120_000)
      expect(child.exitCode, `${line}\n${output}`).toBe(null)
    }
    return stdout.split("\n")
  }

  for (const block of blocks) {
    const name = block.file ?? block.text.split("\n")[0]
    test(`${block.title}: ${name} (line ${block.line})`, { timeout: 180_000 }, async () => {
      if (block.language === "yaml" || block.language === "ts") {
        const file = block.file
        if (file === undefined) throw new Error("the line before the block names no file to save it as")
        mkdirSync(dirname(join(folder, file)), { recursive: true })
        writeFileSync(join(folder, file), `${block.text}\n`)
        return
      }
      for (const { line, output } of commandsOf(block)) {
        const actual = await run(line)
        if (output !== undefined && process.env["HEADGATE_README"] === "write") rewrite(line, output, actual)
        else if (output !== undefined) expect(missing(output, actual), `a line of the output of ${line}, which is\n${actual.join("\n")}`).toBeUndefined()
      }
    })
  }
})
