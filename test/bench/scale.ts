/** 20,000 routes: how long each start takes, what an edit costs, how much memory is held (at 5,000). */
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { isReady } from "../system/configuration.ts"
import { root } from "../system/headgate.ts"
import type { Running } from "../system/headgate.ts"
import { drop, route, setHeader, yaml } from "../system/manifests.ts"
import { usage } from "../system/processes.ts"
import type { Part } from "../system/processes.ts"
import { freePorts, until } from "../system/until.ts"
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
    env: { ...process.env, HEADGATE_NATS_URL: running.ready.nats },
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

/** Answered: the ready line alone could be early. */
const live = async ({ port }: Stage, host: string, started: number) => {
  const prober = await Prober.connect(port)
  try {
    return await timeUntil(prober, host, started, (head) => head.startsWith("HTTP/1.1 200"))
  } finally {
    prober.close()
  }
}

const starts = async (routes: number, rounds: number) => {
  const times: Record<"empty" | "restart" | "gateway", number[]> = { empty: [], restart: [], gateway: [] }
  const scene = await stage("scale", routes, 20)
  const host = `r${routes - 1}.example`
  try {
    for (let round = 0; round < rounds; round++) {
      rmSync(scene.world.data, { recursive: true, force: true })
      let started = performance.now()
      let running = await scene.world.up({ within: 120_000 })
      times.empty.push(await live(scene, host, started))
      await running.stop()
      started = performance.now()
      running = await scene.world.up({ within: 120_000 })
      times.restart.push(await live(scene, host, started))
      times.gateway.push(await gatewayFromTheLog(running, scene.world.folder))
      await running.stop()
    }
  } finally {
    await scene.end()
  }
  return times
}

const cpuNow = (running: Running) => parts.map((part) => usage(running.pid(part)).cpu)

/** CPU of every process an edit, what they use while nothing happens taken off. The probes' share stays in. */
const cpuOfEdits = async (routes: number, edits: number) => {
  const scene = await stage("scale", routes, 20)
  try {
    const running = await scene.world.up({ within: 120_000 })
    const seconds = 10
    const settled = cpuNow(running)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const idle = cpuNow(running).map((cpu, index) => (cpu - (settled[index] ?? 0)) / (seconds * 1000))
    const prober = await Prober.connect(scene.port)
    const started = performance.now()
    const before = cpuNow(running)
    for (let index = 0; index < edits; index++) {
      const at = drop(scene.world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(index))] })))
      await timeUntil(prober, "web.example", at, (head) => head.toLowerCase().includes(`\r\nx-version: ${index}`))
    }
    const elapsed = performance.now() - started
    const after = cpuNow(running)
    prober.close()
    return { idle, edit: after.map((cpu, index) => (cpu - (before[index] ?? 0) - (idle[index] ?? 0) * elapsed) / edits) }
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
  report(`Scale: starts at ${routes} routes, ms until the last route answers`, ["start", `median (min–max) of ${rounds}`, "budget"], [
    ["gateway process, from the log alone", middle(times.gateway), "1,500"],
    ["every process, store and files as they were", middle(times.restart), "3,000"],
    ["every process, from files and an empty store", middle(times.empty), "5,000"],
  ])
  const costs = await cpuOfEdits(routes, option(argv, "edits", 200))
  const total = costs.edit.reduce((sum, cpu) => sum + cpu, 0)
  report(`Scale: CPU of one edit at ${routes} routes, ms`, [...parts, "all", "budget"], [[...costs.edit.map((cpu) => cpu.toFixed(2)), total.toFixed(2), "6"]], [
    `Idle use taken off: ${parts.map((part, index) => `${part} ${((costs.idle[index] ?? 0) * 1000).toFixed(1)}`).join(", ")} ms/s. The probes' requests are in the gateway's figure.`,
  ])
  const held = await memory(5000)
  report("Scale: RSS at 5,000 routes, MiB", ["", ...parts], [
    ["after a start from files", ...held.fresh.map((mib) => mib.toFixed(0))],
    ["after a restart", ...held.restarted.map((mib) => mib.toFixed(0))],
    ["budget", "", "", "", "120"],
  ])
}
