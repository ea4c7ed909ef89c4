/**
 * CPU of one proxied request, HTTP/1.1 kept alive, 1 KB, beside nginx and haproxy with the same table and duties.
 * The proxy has one core, load and backend the other. Rounds are interleaved and each begins with another candidate;
 * CPU time, not throughput, is compared, so that what else the machine does falls on all alike.
 */
import type { ChildProcess } from "node:child_process"
import { mkdirSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../infra/cli/part.ts"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { newWorld, root, type Running, type World } from "../system/headgate.ts"
import { drop, gateway, gatewayClass, service, yaml, type Manifest } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { columns, ended, figures, hasTools, interleaved, LOAD_CORE, PROXY_CORE, starter, total, unsaturated, version, type Candidate, type Start } from "./candidates.ts"
import { profileFolder } from "./gateway.ts"
import { load, requestFields, writeMix } from "./load.ts"
import { haproxy, hostOf, nginx, nginxBackend, prefixOf, type Command, type Grid, type Place } from "./peers.ts"
import { option, report } from "./report.ts"

const PREFIXES = 10
const tools = ["nginx", "haproxy", "wrk", "taskset"] as const

const routeManifest = (host: number, prefix: number): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name: `r${host}-${prefix}`, namespace: "default" },
  spec: { parentRefs: [{ name: "edge" }], hostnames: [hostOf(host)], rules: [{ matches: [{ path: { type: "PathPrefix", value: prefixOf(prefix) } }], backendRefs: [{ name: "a", port: 80 }] }] },
})

/** The same program and path a user's edit takes: files, adapter, bus, functions; then a gateway process of its own, as `up` starts one. */
export const startHeadgate = async (world: World, port: number, place: Place, profile: string | undefined, start: Start): Promise<readonly [Running, Candidate]> => {
  const { grid, folder } = place
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: place.backend }])))
  for (let first = 0; first < grid.hosts; first += 50) {
    const some = Array.from({ length: Math.min(50, grid.hosts - first) * grid.prefixes }, (_, index) => routeManifest(first + Math.floor(index / grid.prefixes), index % grid.prefixes))
    drop(world.manifests, `routes-${first}.yaml`, yaml(...some))
  }
  const running = await world.up({ within: 120_000 })
  const [admin = 0] = await freePorts(1)
  const flags = ["--pod", "bench", "--bind", place.address, "--admin", `127.0.0.1:${admin}`, "--data", join(folder, "gateway")]
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`]
  const child = start("headgate", [process.execPath, ...NODE_FLAGS, ...profiling, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], PROXY_CORE, { ...NODE_ENVIRONMENT, HEADGATE_DATA: world.data })
  await until("the gateway is ready", () => isReady(`http://127.0.0.1:${admin}`), 60_000)
  return [running, { name: "headgate", url: `http://${place.address}:${port}`, pid: child.pid ?? 0 }]
}

/** Every one routes: a prefix of the last host answers 1 KB, a host nobody has 404. */
const check = async ({ name, url }: Candidate, { hosts, prefixes }: Grid) => {
  const ask = async (host: string) => {
    const { request } = await import("undici")
    const { statusCode, body } = await request(`${url}${prefixOf(prefixes - 1)}/item`, { headers: { host, ...requestFields } })
    return { statusCode, length: (await body.arrayBuffer()).byteLength }
  }
  await until(`${name} answers`, async () => (await ask(hostOf(hosts - 1))).statusCode === 200, 10_000)
  const found = await ask(hostOf(hosts - 1))
  const foreign = await ask("nobody.example")
  if (found.length !== 1024 || foreign.statusCode !== 404) throw new Error(`${name} does not route as the others: ${JSON.stringify({ found, foreign })}`)
}

/** `--rounds 5 --seconds 5 --routes 5000`; `--profile FOLDER` writes a CPU profile of the gateway there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  if (!hasTools(tools)) return
  const rounds = option(argv, "rounds", 5)
  const seconds = option(argv, "seconds", 5)
  const routes = option(argv, "routes", 5000)
  const grid: Grid = { hosts: Math.ceil(routes / PREFIXES), prefixes: PREFIXES }
  const world = newWorld("proxy")
  const started: ChildProcess[] = []
  let running: Running | undefined
  try {
    const folder = join(world.folder, "bench")
    mkdirSync(folder)
    const start = starter(folder, started)
    const [backend = 0, ...ports] = await freePorts(5)
    const place = (address: string, index: number): Place => ({ folder, address, port: ports[index] ?? 0, backend, grid })
    start("backend", nginxBackend(place("127.0.0.1", 0)), LOAD_CORE)
    const peer = (name: string, at: Place, command: Command): Candidate => ({ name, url: `http://${at.address}:${at.port}`, pid: start(name, command, PROXY_CORE).pid ?? 0 })
    const [up, headgate] = await startHeadgate(world, ports[0] ?? 0, place("127.0.0.2", 0), profileFolder(argv), start)
    running = up
    const candidates: readonly Candidate[] = [
      headgate,
      peer("nginx", place("127.0.0.3", 1), nginx(place("127.0.0.3", 1), "same")),
      peer("haproxy", place("127.0.0.4", 2), haproxy(place("127.0.0.4", 2))),
      peer("nginx-bare", place("127.0.0.5", 3), nginx(place("127.0.0.5", 3), "bare")),
    ]
    for (const candidate of candidates) await check(candidate, grid)
    const mix = writeMix(folder, grid)
    const idle = candidates.map((candidate) => total(candidate).rss)
    for (const candidate of candidates) await load(candidate.url, mix, 2, LOAD_CORE)
    const all = await interleaved(candidates, rounds, ({ url }) => load(url, mix, seconds, LOAD_CORE))
    const versions = `nginx ${await version("nginx", "-v")}, haproxy ${await version("haproxy", "-v")}, wrk ${await version("wrk", "-v")}`
    report("Proxy: CPU of one request beside nginx and haproxy",
      ["proxy", ...columns, "RSS MiB, fresh", "after load"],
      candidates.map((candidate, index) => {
        const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
        return [candidate.name, ...figures(all[index] ?? [], all[1] ?? []), mib(idle[index] ?? 0), mib(total(candidate).rss)]
      }), [
        `Kernel ${release()}; ${versions}. Budget: 1.25 × nginx, RSS 120 MiB.`,
        `${grid.hosts * grid.prefixes} routes, ${rounds} interleaved rounds of ${seconds} s: median (min–max).`,
        `GET with Host, ${Object.keys(requestFields).join(" and ")}, 1 KB back, 64 connections, kept alive on both sides; all ${grid.hosts} hosts × ${grid.prefixes} prefixes in scattered order; one core for the proxy, the other for wrk and an nginx as backend.`,
        unsaturated,
        "× nginx is of the same round. nginx: X-Forwarded-*, X-Request-Id and a buffered JSON access log as ours; nginx-bare: neither. haproxy writes its log a line at a time.",
      ])
  } finally {
    await running?.stop().catch(() => null)
    await ended(started)
    await world.end()
  }
}
