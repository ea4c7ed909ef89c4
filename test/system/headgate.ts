/** `headgate up` as a user starts it: a process of its own, on a manifests folder and a data folder of its own. */
import { execFile, spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { alive, descendants, pidOf } from "./processes.ts"
import type { Part } from "./processes.ts"
import { until } from "./until.ts"

export const root = join(import.meta.dirname, "../..")
const command = join(root, "infra/cli/headgate.mjs")

interface Listener {
  readonly name: string
  readonly protocol: string
  readonly address: string
  readonly port: number
  readonly specPort: number
}

/** The one line of `up --json`. */
export interface Ready {
  readonly ready: true
  readonly nats: string
  /** File of those of people's commands. */
  readonly credentials: string
  readonly admin: string
  readonly gateways: readonly { readonly namespace: string; readonly name: string; readonly listeners: readonly Listener[] }[]
}

const isReady = (value: unknown): value is Ready => typeof value === "object" && value !== null && "ready" in value && value.ready === true && "nats" in value && "gateways" in value

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface World {
  /** A fresh folder; removed by `end`. */
  readonly folder: string
  readonly manifests: string
  readonly data: string
  /** Starts `headgate up` and waits until it says ready. `demo`: on its own demo instead of `manifests`. */
  up(options?: { readonly within?: number; readonly args?: readonly string[]; readonly demo?: boolean; readonly env?: Readonly<Record<string, string>> }): Promise<Running>
  /** What the last `up` said. */
  ready(): Ready
  /** Another subcommand against the running one's bus. */
  cli(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Outcome>
  /** Ends whatever still runs and removes the folder. */
  end(): Promise<void>
}

export interface Running {
  readonly ready: Ready
  readonly supervisor: number
  /** From the start of the process to its ready line, milliseconds. */
  readonly took: number
  /** What it has written so far, both streams. */
  output(): string
  pid(part: Part): number
  /** Ends one part with `signal` and waits until its successor runs; gives both pids, and performance.now() of the signal and of when the process was gone. */
  kill(part: Part, signal?: NodeJS.Signals): Promise<{ readonly before: number; readonly after: number; readonly at: number; readonly gone: number }>
  /** SIGTERM to the supervisor; waits until it and all its children are gone. Gives the exit status. */
  stop(): Promise<number | null>
}

export const newWorld = (name: string): World => {
  // With a space: paths with one must work.
  const folder = mkdtempSync(join(tmpdir(), `headgate ${name} `))
  const manifests = join(folder, "manifests")
  const data = join(folder, "data")
  mkdirSync(manifests)
  const running: ChildProcess[] = []
  let last: Ready | undefined
  const environment = (more: Readonly<Record<string, string>> = {}) => {
    const { HEADGATE_NATS_URL: _, ...rest } = process.env
    return { ...rest, HEADGATE_DATA: data, ...more }
  }

  const up: World["up"] = async ({ within = 60_000, args = [], demo = false, env = {} } = {}) => {
    const started = performance.now()
    const child = spawn(process.execPath, [command, "up", "--json", ...(demo ? [] : ["--manifests", manifests]), ...args], { cwd: folder, env: environment(env), stdio: ["ignore", "pipe", "pipe"] })
    running.push(child)
    const { pid } = child
    if (pid === undefined) throw new Error("headgate did not start")
    let output = ""
    let line = ""
    let ready: Ready | undefined
    let took = 0
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      line += text
      for (let end = line.indexOf("\n"); end >= 0; end = line.indexOf("\n")) {
        ready ??= parseReady(line.slice(0, end))
        line = line.slice(end + 1)
      }
      if (ready !== undefined && took === 0) took = performance.now() - started
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    await until(`headgate up is ready\n${output}`, () => ready !== undefined || child.exitCode !== null, within).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${output}`)
    })
    if (ready === undefined) throw new Error(`headgate up ended with ${child.exitCode}:\n${output}`)
    last = ready
    const seen: Ready = ready
    const one: Running = {
      ready: seen,
      supervisor: pid,
      took,
      output: () => output,
      pid: (part) => {
        const found = pidOf(pid, part)
        if (found === undefined) throw new Error(`${part} is not running`)
        return found
      },
      kill: async (part, signal = "SIGKILL") => {
        const before = one.pid(part)
        process.kill(before, signal)
        const at = performance.now()
        const gone = await until(`${part} is gone`, () => !alive(before) && performance.now())
        const after = await until(`${part} runs again`, () => {
          const now = pidOf(pid, part)
          return now !== before && now
        })
        return { before, after, at, gone }
      },
      stop: async () => {
        const children = descendants(pid)
        child.kill("SIGTERM")
        await until(`headgate up has ended\n${output.slice(-2000)}`, () => child.exitCode !== null || child.signalCode !== null, 20_000)
        await until("its children have ended", () => children.every((process) => !alive(process.pid)), 5_000)
        return child.exitCode
      },
    }
    return one
  }

  const ready: World["ready"] = () => {
    if (last === undefined) throw new Error("nothing has been started")
    return last
  }

  const cli: World["cli"] = (args, env = {}) =>
    new Promise((resolve) => {
      execFile(process.execPath, [command, ...args], { cwd: folder, env: environment({ ...(last === undefined ? {} : { HEADGATE_NATS_URL: last.nats, HEADGATE_NATS_CREDENTIALS: last.credentials }), ...env }), maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr })
      })
    })

  const end = async () => {
    for (const child of running) {
      if (child.pid === undefined) continue
      const below = descendants(child.pid)
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
      for (const process of below) if (alive(process.pid)) globalThis.process.kill(process.pid, "SIGKILL")
    }
    await until("every process has ended", () => running.every((child) => child.exitCode !== null || child.signalCode !== null))
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }

  return { folder, manifests, data, up, ready, cli, end }
}

const parseReady = (line: string): Ready | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isReady(value) ? value : undefined
  } catch {
    return undefined
  }
}
