/**
 * What traces cost: the CPU of an edit at 10 edits a second with tracing off and on, all processes together, and of a
 * proxied request that is not sampled, and sampled at 1 %.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../infra/cli/part.ts"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { root, type Running } from "../system/headgate.ts"
import { drop, route, setHeader, yaml } from "../system/manifests.ts"
import type { Part } from "../system/processes.ts"
import { until } from "../system/until.ts"
import { load } from "./load.ts"
import { middle, option, quantile, report } from "./report.ts"
import { stage, type Stage } from "./stage.ts"

const parts: readonly Part[] = ["nats", "adapter", "functions", "gateway"]
const EVERY_MS = 100
const WARM_UP = 200

/** CPU time of a process so far, ms: of its threads, as exactly as the scheduler knows. Linux. */
const cpuOf = (pid: number): number => {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks).reduce((sum, task) => {
    try {
      return sum + Number(readFileSync(join(tasks, task, "schedstat"), "utf8").split(" ")[0]) / 1e6
    } catch {
      return sum // ended meanwhile
    }
  }, 0)
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

interface Side {
  readonly name: string
  readonly scene: Stage
  readonly running: Running
  version: number
}

const cpuNow = ({ running }: Side) => parts.map((part) => cpuOf(running.pid(part)))
const less = (after: readonly number[], before: readonly number[]) => after.map((cpu, index) => cpu - (before[index] ?? 0))

const editOnce = (side: Side) => {
  side.version++
  drop(side.scene.world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(side.version))] })))
}

/**
 * CPU of each side's processes over `edits` edits, one every 100 ms, and two quiet seconds after them, ms an edit; idle
 * use taken off. Half a period apart from each other, at the same time: what else the machine does falls on both.
 */
const round = async (sides: readonly Side[], edits: number, idle: (side: Side) => readonly number[]): Promise<readonly (readonly number[])[]> => {
  const before = sides.map(cpuNow)
  const started = performance.now()
  for (let index = 0; index < edits * sides.length; index++) {
    const side = sides[index % sides.length]
    if (side !== undefined) editOnce(side)
    await pause(Math.max(0, started + ((index + 1) * EVERY_MS) / sides.length - performance.now()))
  }
  // What is gathered is sent within a second.
  await pause(2000)
  const elapsed = performance.now() - started
  return sides.map((side, at) => less(cpuNow(side), before[at] ?? []).map((cpu, index) => (cpu - (idle(side)[index] ?? 0) * elapsed) / edits))
}

const idleOf = async (sides: readonly Side[]): Promise<ReadonlyMap<Side, readonly number[]>> => {
  const before = sides.map(cpuNow)
  const started = performance.now()
  await pause(10_000)
  const elapsed = performance.now() - started
  return new Map(sides.map((side, at) => [side, less(cpuNow(side), before[at] ?? []).map((cpu) => cpu / elapsed)]))
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

const edits = async (routes: number, count: number, rounds: number) => {
  const sides: Side[] = []
  const scenes: Stage[] = []
  try {
    for (const [name, args] of [["off", []], ["on", ["--trace"]]] as const) {
      const scene = await stage(`traces ${name}`, routes, 20)
      scenes.push(scene)
      sides.push({ name, scene, running: await scene.world.up({ within: 120_000, args }), version: 0 })
    }
    await round(sides, WARM_UP, () => [])
    const idle = await idleOf(sides)
    const figures = new Map<Side, (readonly number[])[]>(sides.map((side) => [side, []]))
    for (let turn = 0; turn < rounds; turn++) {
      const order = turn % 2 === 0 ? sides : sides.toReversed()
      const found = await round(order, count, (side) => idle.get(side) ?? [])
      for (const [at, side] of order.entries()) figures.get(side)?.push(found[at] ?? [])
    }
    const [off = [], on = []] = sides.map((side) => figures.get(side) ?? [])
    const shares = on.map((own, index) => (sum(own) / sum(off[index] ?? []) - 1) * 100)
    report(`Traces: CPU of one edit at ${routes} routes and 10 edits a second, ms`, ["tracing", ...parts, "all", "more, %"], sides.map((side) => {
      const all = figures.get(side) ?? []
      return [side.name, ...parts.map((_, index) => middle(all.map((each) => each[index] ?? Number.NaN))), middle(all.map(sum)), side.name === "off" ? "" : middle(shares)]
    }), [
      `${rounds} rounds of ${count} edits each, both at the same time, after ${WARM_UP} to warm up: median (min–max). What is used when idle is taken off: ${sides.map((side) => `${side.name} ${(sum(idle.get(side) ?? []) * 1000).toFixed(1)} ms/s`).join(", ")}.`,
      `More: of the same round. Budget: 3 %.`,
    ])
  } finally {
    for (const scene of scenes) await scene.end()
  }
}

interface Candidate {
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  readonly header?: string
}

const candidates: readonly Candidate[] = [
  { name: "off", env: {} },
  { name: "on, none sampled", env: { HEADGATE_TRACES: "on", HEADGATE_TRACE_REQUESTS: "0" } },
  { name: "on, each with a context that is not sampled", env: { HEADGATE_TRACES: "on", HEADGATE_TRACE_REQUESTS: "0" }, header: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" },
  { name: "on, 1 % sampled", env: { HEADGATE_TRACES: "on", HEADGATE_TRACE_REQUESTS: "0.01" } },
]

const script = (folder: string, name: string, header: string | undefined): string => {
  const path = join(folder, `${name}.lua`)
  writeFileSync(path, `wrk.headers["Host"] = "r0.example"\n${header === undefined ? "" : `wrk.headers["traceparent"] = "${header}"\n`}`)
  return path
}

const requests = async (seconds: number, rounds: number) => {
  const scene = await stage("traces requests", 20, 1)
  const gateways: ChildProcess[] = []
  const cpu = candidates.map((): number[] => [])
  const rate = candidates.map((): number[] => [])
  try {
    const running = await scene.world.up()
    const started = await Promise.all(candidates.map(async ({ name, env, header }, index) => {
      const [admin = 0] = await freePorts(1)
      const address = `127.0.0.${index + 2}`
      const flags = ["--pod", `bench-${index}`, "--bind", address, "--admin", `127.0.0.1:${admin}`, "--data", join(scene.world.folder, `gateway-${index}`)]
      const child = spawn("taskset", ["-c", "0", process.execPath, ...NODE_FLAGS, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], {
        stdio: ["ignore", "ignore", "inherit"],
        env: { ...NODE_ENVIRONMENT, ...process.env, HEADGATE_NATS_URL: running.ready.nats, HEADGATE_NATS_CREDENTIALS: join(scene.world.data, "credentials", "gateway.default"), ...env },
      })
      gateways.push(child)
      await until(`gateway ${name} is ready`, () => isReady(`http://127.0.0.1:${admin}`), 60_000)
      return { name, pid: child.pid ?? 0, url: `http://${address}:${scene.port}/`, mix: script(scene.world.folder, `mix-${index}`, header) }
    }))
    for (const { url, mix } of started) await load(url, mix, 2, 1)
    for (let turn = 0; turn < rounds; turn++) {
      for (let place = 0; place < started.length; place++) {
        const index = (turn + place) % started.length
        const candidate = started[index]
        if (candidate === undefined) continue
        const before = cpuOf(candidate.pid)
        const done = await load(candidate.url, candidate.mix, seconds, 1)
        cpu[index]?.push(((cpuOf(candidate.pid) - before) * 1000) / done.requests)
        rate[index]?.push(done.requests / done.seconds)
      }
    }
    const off = cpu[0] ?? []
    report("Traces: CPU of one proxied request, µs", ["tracing", "CPU µs/request", "× off", "req/s"], started.map(({ name }, index) => [
      name, middle(cpu[index] ?? []), middle((cpu[index] ?? []).map((own, turn) => own / (off[turn] ?? Number.NaN))), quantile(rate[index] ?? [], 0.5).toFixed(0),
    ]), [`${rounds} interleaved rounds of ${seconds} s: median (min–max); kept alive, one route, a backend in Node. × off is of the same round.`])
  } finally {
    for (const child of gateways) child.kill("SIGTERM")
    await until("every gateway has ended", () => gateways.every((child) => child.exitCode !== null || child.signalCode !== null), 15_000)
    await scene.end()
  }
}

/** `--routes 1000 --edits 300 --rounds 5 --seconds 4`. */
export const run = async (argv: readonly string[]): Promise<void> => {
  const rounds = option(argv, "rounds", 5)
  await edits(option(argv, "routes", 1000), option(argv, "edits", 300), rounds)
  await requests(option(argv, "seconds", 4), rounds)
}
