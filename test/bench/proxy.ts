/**
 * CPU of one proxied request, HTTP/1.1 kept alive, 1 KB, beside nginx and haproxy with the same table and duties.
 * The proxy has one core, load and backend the other. Rounds are interleaved and each begins with another candidate;
 * CPU time, not throughput, is compared, so that what else the machine does falls on all alike.
 */
import { spawn, type ChildProcess } from "node:child_process"
import { accessSync, constants, mkdirSync, openSync } from "node:fs"
import { release } from "node:os"
import { delimiter, join } from "node:path"
import { NODE_FLAGS } from "../../infra/cli/part.ts"
import { isReady } from "../system/configuration.ts"
import { newWorld, root, type Running, type World } from "../system/headgate.ts"
import { drop, gateway, gatewayClass, service, yaml, type Manifest } from "../system/manifests.ts"
import { descendants, usage } from "../system/processes.ts"
import { freePorts, until } from "../system/until.ts"
import { load, requestFields, writeMix, type Load } from "./load.ts"
import { haproxy, hostOf, nginx, nginxBackend, prefixOf, type Command, type Grid, type Place } from "./peers.ts"
import { middle, option, quantile, report } from "./report.ts"

const PROXY_CORE = 0
const LOAD_CORE = 1
const PREFIXES = 10
const tools = ["nginx", "haproxy", "wrk", "taskset"] as const

/** System daemons live where an ordinary PATH does not look. */
const searched = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/sbin"]

const isInstalled = (program: string) =>
  searched.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

interface Candidate {
  readonly name: string
  readonly url: string
  readonly pid: number
}

interface Round extends Load {
  /** Of the proxy, microseconds a request. */
  readonly cpu: number
  /** Share of its core. */
  readonly used: number
}

const routeManifest = (host: number, prefix: number): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name: `r${host}-${prefix}`, namespace: "default" },
  spec: { parentRefs: [{ name: "edge" }], hostnames: [hostOf(host)], rules: [{ matches: [{ path: { type: "PathPrefix", value: prefixOf(prefix) } }], backendRefs: [{ name: "a", port: 80 }] }] },
})

/** The same program and path a user's edit takes: files, adapter, bus, functions; then a gateway process of its own, as `up` starts one. */
const startHeadgate = async (world: World, port: number, place: Place, profile: string | undefined, start: Start): Promise<readonly [Running, Candidate]> => {
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
  const child = start("headgate", [process.execPath, ...NODE_FLAGS, ...profiling, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], PROXY_CORE, { HEADGATE_DATA: world.data })
  await until("the gateway is ready", () => isReady(`http://127.0.0.1:${admin}`), 60_000)
  return [running, { name: "headgate", url: `http://${place.address}:${port}`, pid: child.pid ?? 0 }]
}

type Start = (name: string, command: Command, core: number, environment?: Readonly<Record<string, string>>) => ChildProcess

/** Pinned, in the foreground, stdout in a file. */
const starter = (folder: string, started: ChildProcess[]): Start => (name, command, core, environment = {}) => {
  const output = openSync(join(folder, `${name}.stdout`), "w")
  const errors = openSync(join(folder, `${name}.stderr`), "w")
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", output, errors], env: { ...process.env, PATH: searched.join(delimiter), ...environment } })
  started.push(child)
  return child
}

const ended = async (children: readonly ChildProcess[]) => {
  for (const child of children) child.kill("SIGTERM")
  await until("every process has ended", () => children.every((child) => child.exitCode !== null || child.signalCode !== null), 15_000).catch(() => {
    for (const child of children) child.kill("SIGKILL")
  })
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

const total = ({ pid }: Candidate) => [pid, ...descendants(pid).map((child) => child.pid)].map(usage).reduce((sum, one) => ({ cpu: sum.cpu + one.cpu, rss: sum.rss + one.rss }))

const measure = async (candidate: Candidate, mix: string, seconds: number): Promise<Round> => {
  const before = total(candidate)
  const done = await load(candidate.url, mix, seconds, LOAD_CORE)
  const cpu = total(candidate).cpu - before.cpu
  return { ...done, cpu: (cpu * 1000) / done.requests, used: cpu / 1000 / done.seconds }
}

const profileFolder = (argv: readonly string[]): string | undefined => {
  const at = argv.indexOf("--profile")
  return at < 0 ? undefined : argv[at + 1]
}

const version = (program: string, flag: string) =>
  new Promise<string>((resolve) => {
    const child = spawn(program, [flag], { env: { ...process.env, PATH: searched.join(delimiter) } })
    let text = ""
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more))
    child.on("close", () => resolve(/\d+\.\d+\.\d+/.exec(text)?.[0] ?? "?"))
  })

/** `--rounds 5 --seconds 5 --routes 5000`; `--profile FOLDER` writes a CPU profile of the gateway there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  const missing = tools.filter((tool) => !isInstalled(tool))
  if (missing.length > 0) {
    console.error(`missing: ${missing.join(", ")}. Debian and Ubuntu: apt-get install nginx-light haproxy wrk util-linux`)
    process.exitCode = 2
    return
  }
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
    const all = candidates.map((): Round[] => [])
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < candidates.length; turn++) {
        const index = (round + turn) % candidates.length
        const candidate = candidates[index]
        if (candidate !== undefined) all[index]?.push(await measure(candidate, mix, seconds))
      }
    }
    const reference = all[1] ?? []
    const ratio = (own: readonly Round[]) => own.map((round, index) => round.cpu / (reference[index]?.cpu ?? Number.NaN))
    const versions = `nginx ${await version("nginx", "-v")}, haproxy ${await version("haproxy", "-v")}, wrk ${await version("wrk", "-v")}`
    report("Proxy: CPU of one request beside nginx and haproxy",
      ["proxy", "CPU µs/request", "× nginx", "req/s", "p50 ms", "p99 ms", "share of its core", "RSS MiB, fresh", "after load"],
      candidates.map((candidate, index) => {
        const own = all[index] ?? []
        const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
        return [
          candidate.name, middle(own.map((round) => round.cpu)), middle(ratio(own)), quantile(own.map((round) => round.requests / round.seconds), 0.5).toFixed(0),
          middle(own.map((round) => round.p50)), middle(own.map((round) => round.p99)), middle(own.map((round) => round.used)), mib(idle[index] ?? 0), mib(total(candidate).rss),
        ]
      }), [
        `Kernel ${release()}; ${versions}. Budget: 1.25 × nginx, RSS 120 MiB.`,
        `${grid.hosts * grid.prefixes} routes, ${rounds} interleaved rounds of ${seconds} s: median (min–max).`,
        `GET with Host, ${Object.keys(requestFields).join(" and ")}, 1 KB back, 64 connections, kept alive on both sides; all ${grid.hosts} hosts × ${grid.prefixes} prefixes in scattered order; one core for the proxy, the other for wrk and an nginx as backend.`,
        "A proxy far below 1 of its core was not what limited: its CPU a request is higher than it would be saturated, and the ratio to it flatters.",
        "× nginx is of the same round. nginx: X-Forwarded-*, X-Request-Id and a buffered JSON access log as ours; nginx-bare: neither. haproxy writes its log a line at a time.",
      ])
  } finally {
    await running?.stop().catch(() => null)
    await ended(started)
    await world.end()
  }
}
