/**
 * One route of 5,000 changes: what that costs the process that serves, and what the traffic beside it feels. The gateway
 * gets it by way of files, adapter, bus and functions, on the other core; Envoy by a file of routes that it watches, nginx
 * by a new configuration and a reload.
 */
import { execFileSync } from "node:child_process"
import { descendants } from "../system/processes.ts"
import { newWorld } from "../system/headgate.ts"
import { drop, route, setHeader, yaml } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { LOAD_CORE, total, type Candidate } from "./candidates.ts"
import { MANY } from "./edge-rows.ts"
import { backendOf, peer, places, remarksOf, type Scene } from "./edge-scene.ts"
import { envoy, writeRoutes } from "./envoy.ts"
import { atRate } from "./load.ts"
import { hostOf, nginx, prefixOf } from "./peers.ts"
import { startHeadgate } from "./proxy.ts"
import { middle, report } from "./report.ts"
import { Prober } from "./stage.ts"

/** Of the traffic beside. */
const RATE = 2000
/** A change has at least so long. */
const ASKED_EVERY_MS = 20

interface Changed extends Candidate {
  readonly how: string
  /** Made at once, one after the other, for their CPU; and how far apart beside traffic, ms. */
  readonly edits: number
  readonly apart: number
  /** Where `x-version` tells which version is served. */
  readonly host: string
  readonly path: string
  readonly edit: (version: number) => void
}

interface Figures {
  readonly cpu: number[]
  readonly without: number[]
  readonly beside: number[]
  failed: number
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const cpuOf = (candidate: Candidate) => {
  const { cpu, reaped } = total(candidate)
  return cpu + reaped
}

/** A connection of its own each time: a reload ends those there are. */
const isLive = async ({ url, host, path }: Changed, version: number): Promise<boolean> => {
  const { hostname, port } = new URL(url)
  const prober = await Prober.connect(Number(port), hostname)
  try {
    return `${(await prober.ask(host, path)).toLowerCase()}\r`.includes(`\r\nx-version: ${version}\r`)
  } finally {
    prober.close()
  }
}

const applied = async (candidate: Changed, version: number) => {
  candidate.edit(version)
  do await pause(ASKED_EVERY_MS)
  while (!(await isLive(candidate, version)))
}

/** ms a change, without other traffic, what is used anyway taken off. */
const cpuOfChange = async (candidate: Changed, from: number): Promise<number> => {
  let [began, before] = [performance.now(), cpuOf(candidate)]
  await pause(2000)
  const idle = (cpuOf(candidate) - before) / (performance.now() - began)
  ;[began, before] = [performance.now(), cpuOf(candidate)]
  for (let version = from; version < from + candidate.edits; version++) await applied(candidate, version)
  // What ends after a reload ends a moment later.
  await pause(500)
  return (cpuOf(candidate) - before - idle * (performance.now() - began)) / candidate.edits
}

/** p99 of traffic without and with changes. */
const besideTraffic = async (candidate: Changed, seconds: number, from: number) => {
  const without = await atRate(candidate.url, seconds, LOAD_CORE, RATE)
  const load = atRate(candidate.url, seconds, LOAD_CORE, RATE)
  let isOver = false
  const edits = (async () => {
    for (let version = from; !isOver; version++) {
      candidate.edit(version)
      await pause(candidate.apart)
    }
  })()
  const beside = await load.finally(() => (isOver = true))
  await edits
  return { without, beside }
}

export const change = async (scene: Scene): Promise<void> => {
  const next = await places(scene, await backendOf("nginx", scene), false, {})
  const world = newWorld("change")
  try {
    const place = next(MANY)
    const web = (version: number) => void drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(version))] })))
    web(0)
    const [running, headgate] = await startHeadgate(world, place.port, place, scene.profile, scene.start)
    for (const pid of [running.supervisor, ...descendants(running.supervisor).map((process) => process.pid)]) execFileSync("taskset", ["-a", "-c", "-p", String(LOAD_CORE), String(pid)])
    const candidates: Changed[] = [{ ...headgate, how: "an HTTPRoute, by file", edits: 50, apart: 250, host: "web.example", path: "/", edit: web }]
    const first = { host: hostOf(0), path: `${prefixOf(0)}/item` }
    if (scene.envoy !== undefined) {
      const own = next(MANY)
      writeRoutes(own.folder, MANY, 0)
      candidates.push({ ...peer(scene, "envoy", own, envoy(scene.envoy, own, true)), ...first, how: "all routes, by file (RDS)", edits: 20, apart: 250, edit: (version) => writeRoutes(own.folder, MANY, version) })
    }
    const own = next(MANY)
    const started = peer(scene, "nginx", own, nginx(own, "same", 0))
    candidates.push({
      ...started, ...first, how: "its configuration, and a reload", edits: 3, apart: 1500,
      edit: (version) => {
        nginx(own, "same", version)
        process.kill(started.pid, "SIGHUP")
      },
    })
    for (const candidate of candidates) await until(`${candidate.name} serves`, () => isLive(candidate, 0).catch(() => false), 15_000)
    const figures = candidates.map((): Figures => ({ cpu: [], without: [], beside: [], failed: 0 }))
    let version = 1
    for (let round = -1; round < scene.rounds; round++) {
      for (let turn = 0; turn < candidates.length; turn++) {
        const index = (round + 1 + turn) % candidates.length
        const [candidate, figure] = [candidates[index], figures[index]]
        if (candidate === undefined || figure === undefined) continue
        const cpu = await cpuOfChange(candidate, version)
        const { without, beside } = await besideTraffic(candidate, scene.seconds, version + 100)
        version += 1000
        // The first round warms up.
        if (round < 0) continue
        figure.cpu.push(cpu)
        figure.without.push(without.p99)
        figure.beside.push(beside.p99)
        figure.failed += beside.failed ?? 0
      }
    }
    report("Edge: one route of 5,000 changes", ["proxy", "what changes", "CPU ms a change", "p99 ms of other traffic", "beside changes", "requests lost"],
      candidates.map(({ name, how }, index) => {
        const { cpu = [], without = [], beside = [], failed = 0 } = figures[index] ?? {}
        return [name, how, middle(cpu), middle(without), middle(beside), String(failed)]
      }),
      remarksOf(scene, true, `Budget: 2 ms in the gateway, p99 unchanged within noise. CPU of the process that serves, without traffic but for the requests that ask whether a change is live (${ASKED_EVERY_MS} ms apart); traffic: ${RATE} requests a second on 32 connections, changes ${candidates.map(({ name, apart }) => `${apart} ms (${name})`).join(", ")} apart.`))
    await running.stop()
  } finally {
    await world.end()
  }
}
