/**
 * What workers cost: CPU of one proxied request with one and with two, under the same load in all and the same load a
 * worker, and what a worker takes of memory. All threads share one core, so what is seen is the price, not the gain.
 */
import type { ChildProcess } from "node:child_process"
import { mkdirSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../infra/cli/part.ts"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { newWorld, root, type Running } from "../system/headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { ended, hasTools, interleaved, LOAD_CORE, PROXY_CORE, starter, total, type Candidate, type Round } from "./candidates.ts"
import { load, writeMix } from "./load.ts"
import { nginxBackend, type Grid } from "./peers.ts"
import { middle, option, quantile, report } from "./report.ts"

const grid: Grid = { hosts: 1, prefixes: 10 }
/** A worker has so many connections. */
const CONNECTIONS = 64

interface Setting extends Candidate {
  readonly connections: number
}

const profileFolder = (argv: readonly string[]): string | undefined => {
  const at = argv.indexOf("--profile")
  return at < 0 ? undefined : argv[at + 1]
}

/** `--rounds 5 --seconds 5 --workers 2`; `--profile FOLDER` writes a CPU profile of each thread there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  if (!hasTools(["nginx", "wrk", "taskset"])) return
  const rounds = option(argv, "rounds", 5)
  const seconds = option(argv, "seconds", 5)
  const many = option(argv, "workers", 2)
  const profile = profileFolder(argv)
  const world = newWorld("workers")
  const started: ChildProcess[] = []
  let running: Running | undefined
  try {
    const folder = join(world.folder, "bench")
    mkdirSync(folder)
    const start = starter(folder, started)
    const [backend = 0, port = 0] = await freePorts(2)
    start("backend", nginxBackend({ folder, address: "127.0.0.1", port: 0, backend, grid }), LOAD_CORE)
    drop(world.manifests, "all.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...service("a", 80, [{ port: backend }]), route("web", { gateway: "edge", backend: "a" })))
    running = await world.up()
    const { nats, credentials } = running.ready
    const gatewayOf = async (workers: number, address: string): Promise<Candidate> => {
      const name = `${workers} workers`
      const [admin = 0] = await freePorts(1)
      const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${join(profile, name)}`]
      const flags = ["--pod", `bench-${workers}`, "--bind", address, "--admin", `127.0.0.1:${admin}`, "--data", join(folder, name), "--workers", String(workers)]
      const child = start(name, [process.execPath, ...NODE_FLAGS, ...profiling, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], PROXY_CORE, { ...NODE_ENVIRONMENT, HEADGATE_DATA: world.data, HEADGATE_NATS_URL: nats, HEADGATE_NATS_CREDENTIALS: credentials })
      await until(`${name} are ready`, () => isReady(`http://127.0.0.1:${admin}`), 60_000)
      return { name, url: `http://${address}:${port}`, pid: child.pid ?? 0 }
    }
    const one = await gatewayOf(1, "127.0.0.2")
    const several = await gatewayOf(many, "127.0.0.3")
    const fresh = [one, several].map((candidate) => total(candidate).rss)
    const settings: readonly Setting[] = [
      { ...one, name: "1 worker", connections: CONNECTIONS },
      { ...several, name: `${many} workers`, connections: CONNECTIONS * many },
      { ...several, name: `${many} workers`, connections: CONNECTIONS },
      { ...one, name: "1 worker", connections: CONNECTIONS * many },
    ]
    const mix = writeMix(folder, grid)
    const ask = ({ url, connections }: Setting) => load(url, mix, seconds, LOAD_CORE, connections)
    for (const setting of settings) await load(setting.url, mix, 2, LOAD_CORE, setting.connections)
    const all = await interleaved(settings, rounds, ask)
    const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
    const loaded = [one, several].map((candidate) => total(candidate).rss)
    report("Workers: CPU of one request with one and with several",
      ["gateway", "connections", "CPU µs/request", "× 1 worker, as many connections", `× 1 worker, ${CONNECTIONS}`, "req/s", "p50 ms", "p99 ms", "share of its core"],
      settings.map(({ name, connections }, index) => {
        const own = all[index] ?? []
        const to = (reference: readonly Round[] = []) => middle(own.map(({ cpu }, round) => cpu / (reference[round]?.cpu ?? Number.NaN)))
        return [
          name, String(connections), middle(own.map(({ cpu }) => cpu)), to(all[settings.findIndex((setting) => setting.pid === one.pid && setting.connections === connections)]), to(all[0]),
          quantile(own.map((round) => round.requests / round.seconds), 0.5).toFixed(0), middle(own.map(({ p50 }) => p50)), middle(own.map(({ p99 }) => p99)), middle(own.map(({ used }) => used)),
        ]
      }), [
        `Kernel ${release()}. Budget: ${many} workers ≤ 1.05 × one under the same load. More connections cost more, whoever has them: the second ratio has both in it.`,
        `${rounds} interleaved rounds of ${seconds} s: median (min–max); GET, 1 KB back, kept alive on both sides, access log on. All threads of a gateway on one core, load and backend on the other. How connections lie among workers is the kernel's hash.`,
        `Resident, fresh and after load: 1 worker ${mib(fresh[0] ?? 0)} and ${mib(loaded[0] ?? 0)} MiB, ${many} workers ${mib(fresh[1] ?? 0)} and ${mib(loaded[1] ?? 0)} MiB: ${mib(((loaded[1] ?? 0) - (loaded[0] ?? 0)) / many)} MiB for each of ${many} beyond what one process without workers has.`,
      ])
  } finally {
    await running?.stop().catch(() => null)
    await ended(started)
    await world.end()
  }
}
