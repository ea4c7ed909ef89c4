/** 20,000 routes: how long each start takes, what an edit costs, how much memory is held (at 5,000). */
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { root } from "../system/headgate.ts"
import type { Running } from "../system/headgate.ts"
import { drop, route, setHeader, yaml } from "../system/manifests.ts"
import { usage } from "../system/processes.ts"
import type { Part } from "../system/processes.ts"
import { until } from "../system/until.ts"
import { middle, option, report } from "./report.ts"
import { Prober, stage, timeUntil } from "./stage.ts"
import type { Stage } from "./stage.ts"

const parts: readonly Part[] = ["nats", "adapter", "functions", "gateway"]

/** From the start of a gateway process with nothing on disk to its Ready, ms. */
const gatewayFromTheLog = async (running: Running, folder: string): Promise<number> => {
  const [admin = 0] = await freePorts(1)
  const data = join(folder, "second")
  const started = performance.now()
  const child = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), "gateway", "--pod", "second", "--bind", "127.0.0.2", "--admin", `127.0.0.1:${admin}`, "--data", data], {
    env: { ...process.env, HEADGATE_DATA: join(folder, "data") },
    stdio: "ignore",
  })
  try {
    await until("the second gateway is ready", () => isReady(`http://127.0.0.1:${admin}`), 30_000)
    return performance.now() - started
  } finally {
    const ended = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGKILL")
    await ended
    rmSync(data, { recursive: true, force: true })
  }
}

/** When the last route answers first. A process that is not there yet, or not yet with its table, is asked again. */
const live = (port: number, host: string, started: number): Promise<number> =>
  until("the last route answers", async () => {
    const prober = await Prober.connect(port)
    try {
      return await timeUntil(prober, host, started, (head) => head.startsWith("HTTP/1.1 200"), 120_000)
    } finally {
      prober.close()
    }
  }, 120_000)

interface Start {
  readonly live: number
  /** `up` has said that all the files hold is served, and their status is told. */
  readonly ready: number
  readonly running: Running
}

const start = async ({ world, port }: Stage, host: string): Promise<Start> => {
  const started = performance.now()
  const [answered, [running, ready]] = await Promise.all([live(port, host, started), world.up({ within: 120_000 }).then((up) => [up, performance.now() - started] as const)])
  return { live: answered, ready, running }
}

const starts = async (routes: number, rounds: number) => {
  const times: Record<"empty" | "emptyReady" | "restart" | "restartReady" | "gateway", number[]> = { empty: [], emptyReady: [], restart: [], restartReady: [], gateway: [] }
  const scene = await stage("scale", routes, 20)
  const host = `r${routes - 1}.example`
  try {
    for (let round = 0; round < rounds; round++) {
      rmSync(scene.world.data, { recursive: true, force: true })
      const empty = await start(scene, host)
      times.empty.push(empty.live)
      times.emptyReady.push(empty.ready)
      await empty.running.stop()
      const { live: answered, ready, running } = await start(scene, host)
      times.restart.push(answered)
      times.restartReady.push(ready)
      await quiet(running)
      times.gateway.push(await gatewayFromTheLog(running, scene.world.folder))
      await running.stop()
    }
  } finally {
    await scene.end()
  }
  return times
}

const cpuNow = (running: Running) => parts.map((part) => usage(running.pid(part)).cpu)
const less = (after: readonly number[], before: readonly number[]) => after.map((cpu, index) => cpu - (before[index] ?? 0))

/** Resolves when no part has used more than a tenth of a core for a second: what a start leaves to be done is done. */
const quiet = async (running: Running) => {
  for (let before = cpuNow(running); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const now = cpuNow(running)
    if (less(now, before).every((cpu) => cpu < 100)) return
    before = now
  }
}

/** Edits of the first requests find code that is not compiled yet. */
const WARM_UP = 100

/** CPU of every process an edit, ms; what they use while nothing happens, and what asking costs, taken off. */
const cpuOfEdits = async (routes: number, edits: number) => {
  const scene = await stage("scale", routes, 20)
  try {
    const running = await scene.world.up({ within: 120_000 })
    await quiet(running)
    const seconds = 10
    const settled = cpuNow(running)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const idle = less(cpuNow(running), settled).map((cpu) => cpu / (seconds * 1000))
    const prober = await Prober.connect(scene.port)
    let asked = 0
    const edit = async (version: number) => {
      const at = drop(scene.world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(version))] })))
      await timeUntil(prober, "web.example", at, (head) => (asked++, head.toLowerCase().includes(`\r\nx-version: ${version}`)))
    }
    for (let index = 0; index < WARM_UP; index++) await edit(index)
    asked = 0
    let started = performance.now()
    let before = cpuNow(running)
    for (let index = 0; index < edits; index++) await edit(WARM_UP + index)
    let elapsed = performance.now() - started
    const ofEdits = less(cpuNow(running), before).map((cpu, index) => cpu - (idle[index] ?? 0) * elapsed)
    const asks = asked
    started = performance.now()
    before = cpuNow(running)
    for (asked = 0; asked < asks; ) await timeUntil(prober, "web.example", 0, () => (asked++, asked % 4 === 0 || asked >= asks), Infinity)
    elapsed = performance.now() - started
    const ofAsking = less(cpuNow(running), before).map((cpu, index) => cpu - (idle[index] ?? 0) * elapsed)
    prober.close()
    return { idle, asks: asks / edits, asking: ofAsking.reduce((sum, cpu) => sum + cpu, 0) / edits, edit: less(ofEdits, ofAsking).map((cpu) => cpu / edits) }
  } finally {
    await scene.end()
  }
}

const memory = async (routes: number) => {
  const scene = await stage("scale", routes, 20)
  try {
    let running = await scene.world.up({ within: 120_000 })
    const fresh = parts.map((part) => usage(running.pid(part)).rss / 2 ** 20)
    await running.stop()
    running = await scene.world.up({ within: 120_000 })
    return { fresh, restarted: parts.map((part) => usage(running.pid(part)).rss / 2 ** 20) }
  } finally {
    await scene.end()
  }
}

export const run = async (argv: readonly string[]) => {
  const routes = option(argv, "routes", 20_000)
  const rounds = option(argv, "rounds", 5)
  const times = await starts(routes, rounds)
  report(`Scale: starts at ${routes} routes, ms until the last route answers`, ["start", `median (min–max) of ${rounds}`, "budget", "until `up` says Ready"], [
    ["gateway process, from the log alone", middle(times.gateway), "1,500", ""],
    ["every process, store and files as they were", middle(times.restart), "3,000", middle(times.restartReady)],
    ["every process, from files and an empty store", middle(times.empty), "5,000", middle(times.emptyReady)],
  ], ["Ready: what the files hold is served by every pod, and every function, `status` too, has answered it. A restarted gateway answers from its snapshot before that."])
  const costs = await cpuOfEdits(routes, option(argv, "edits", 500))
  const total = costs.edit.reduce((sum, cpu) => sum + cpu, 0)
  report(`Scale: CPU of one edit at ${routes} routes, ms`, [...parts, "all", "budget"], [[...costs.edit.map((cpu) => cpu.toFixed(2)), total.toFixed(2), "6"]], [
    `${WARM_UP} edits to warm up. Taken off: what is used when idle (${parts.map((part, index) => `${part} ${((costs.idle[index] ?? 0) * 1000).toFixed(1)}`).join(", ")} ms/s), and the ${costs.asks.toFixed(1)} requests an edit that ask for it (${costs.asking.toFixed(2)} ms).`,
  ])
  const held = await memory(5000)
  report("Scale: RSS at 5,000 routes, MiB", ["", ...parts], [
    ["after a start from files", ...held.fresh.map((mib) => mib.toFixed(0))],
    ["after a restart", ...held.restarted.map((mib) => mib.toFixed(0))],
    ["budget", "", "", "", "120"],
  ])
}
