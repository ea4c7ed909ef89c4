/** Proxies to compare: each a program on the same core, under the same load from another, in interleaved rounds. */
import { spawn, type ChildProcess } from "node:child_process"
import { accessSync, constants, openSync } from "node:fs"
import { delimiter, join } from "node:path"
import { descendants, usage } from "../system/processes.ts"
import { until } from "../system/until.ts"
import type { Load } from "./load.ts"
import type { Command } from "./peers.ts"
import { middle, quantile } from "./report.ts"

export const PROXY_CORE = 0
export const LOAD_CORE = 1

export interface Candidate {
  readonly name: string
  readonly url: string
  readonly pid: number
}

export interface Round extends Load {
  /** Of the proxy, microseconds a request. */
  readonly cpu: number
  /** Share of its core. */
  readonly used: number
}

/** System daemons live where an ordinary PATH does not look. */
const searched = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/sbin"]

export const isInstalled = (program: string) =>
  searched.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** Says what is missing, with exit code 2. */
export const hasTools = (tools: readonly string[]): boolean => {
  const missing = tools.filter((tool) => !isInstalled(tool))
  if (missing.length === 0) return true
  console.error(`missing: ${missing.join(", ")}. Debian and Ubuntu: apt-get install nginx-light haproxy wrk nghttp2-client curl util-linux openssl`)
  process.exitCode = 2
  return false
}

export const version = (program: string, flag: string) =>
  new Promise<string>((resolve) => {
    const child = spawn(program, [flag], { env: { ...process.env, PATH: searched.join(delimiter) } })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more))
    child.on("close", () => resolve(/\d+\.\d+\.\d+/.exec(text)?.[0] ?? "?"))
  })

export type Start = (name: string, command: Command, core: number, environment?: Readonly<Record<string, string>>) => ChildProcess

/** Pinned, in the foreground, stdout in a file. */
export const starter = (folder: string, started: ChildProcess[]): Start => (name, command, core, environment = {}) => {
  const output = openSync(join(folder, `${name}.stdout`), "w")
  const errors = openSync(join(folder, `${name}.stderr`), "w")
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", output, errors], env: { ...process.env, PATH: searched.join(delimiter), ...environment } })
  started.push(child)
  return child
}

export const ended = async (children: readonly ChildProcess[]) => {
  for (const child of children) child.kill("SIGTERM")
  await until("every process has ended", () => children.every((child) => child.exitCode !== null || child.signalCode !== null), 15_000).catch(() => {
    for (const child of children) child.kill("SIGKILL")
  })
}

/** With its children. */
export const total = ({ pid }: Candidate) => [pid, ...descendants(pid).map((child) => child.pid)].map(usage).reduce((sum, one) => ({ cpu: sum.cpu + one.cpu, reaped: sum.reaped + one.reaped, rss: sum.rss + one.rss }))

/** By candidate. Each round begins with another one, so that what else the machine does falls on all alike. */
export const interleaved = async <C extends Candidate>(candidates: readonly C[], rounds: number, load: (candidate: C) => Promise<Load>): Promise<readonly (readonly Round[])[]> => {
  const all = candidates.map((): Round[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < candidates.length; turn++) {
      const index = (round + turn) % candidates.length
      const candidate = candidates[index]
      if (candidate === undefined) continue
      const before = total(candidate)
      const done = await load(candidate)
      const cpu = total(candidate).cpu - before.cpu
      all[index]?.push({ ...done, cpu: (cpu * 1000) / done.requests, used: cpu / 1000 / done.seconds })
    }
  }
  return all
}

/** Of `columns`. `reference`: rounds of the candidate all are compared with. */
export const figures = (own: readonly Round[], reference: readonly Round[]): readonly string[] => [
  middle(own.map((round) => round.cpu)),
  middle(own.map((round, index) => round.cpu / (reference[index]?.cpu ?? Number.NaN))),
  quantile(own.map((round) => round.requests / round.seconds), 0.5).toFixed(0),
  middle(own.map((round) => round.p50)),
  middle(own.map((round) => round.p99)),
  middle(own.map((round) => round.used)),
]
export const columnsBeside = (reference: string) => ["CPU µs/request", `× ${reference}`, "req/s", "p50 ms", "p99 ms", "share of its core"]
export const columns = columnsBeside("nginx")

/** For the remarks under a table. */
export const unsaturated = "A proxy far below 1 of its core was not what limited: its CPU a request is higher than it would be saturated, and the ratio to it flatters."
