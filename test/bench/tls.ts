/**
 * CPU of TLS beside nginx and haproxy, with the same certificate (P-256), table and duties: of one request on a
 * connection that is kept, and of a new connection with its full handshake and one request. Rounds as in proxy.ts.
 * The gateway is the program as `up` starts it; it serves from a snapshot on disk, without a bus.
 */
import { execFile, type ChildProcess } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"
import { canonical } from "../../bus/canonical.ts"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey, type PlaneKey } from "../../bus/seal.ts"
import { configSubject } from "../../bus/subject.ts"
import { Digest } from "../../bus/unit/digest.ts"
import { SnapshotWriter } from "../../gateway/snapshot.ts"
import { listener, match, route, rule } from "../../gateway/table/fixture.ts"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../infra/cli/part.ts"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { root } from "../system/headgate.ts"
import { until } from "../system/until.ts"
import { columns, ended, figures, hasTools, interleaved, LOAD_CORE, PROXY_CORE, starter, total, unsaturated, version, type Candidate, type Start } from "./candidates.ts"
import { load, writeMix, type Load } from "./load.ts"
import { haproxy, hostOf, nginx, nginxBackend, prefixOf, type Command, type Grid, type Place } from "./peers.ts"
import { option, report } from "./report.ts"

const PREFIXES = 10
const PLANE = "default"
const tools = ["nginx", "haproxy", "wrk", "taskset", "openssl"] as const

/** What functions would have committed for these routes, and the certificate. */
const entriesOf = ({ port, backend, grid }: Place, issued: Issued, key: PlaneKey): ReadonlyMap<string, string> => {
  const entries = new Map<string, string>()
  const put = (section: string, id: string, value: unknown) => entries.set(configSubject(PLANE, section, id), canonical(value))
  put("plan", "plan", { schema: 1, functions: ["bench"] })
  put("listener", "l", listener("l", { protocol: "HTTPS", port, tls: { certificates: ["secret/default/a"] } }))
  put("certificate", "secret/default/a", certificateEntry("a", issued, key))
  put("cluster", "c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: backend }] })
  for (let host = 0; host < grid.hosts; host++) {
    for (let prefix = 0; prefix < grid.prefixes; prefix++) put("route", `httproute/default/r${host}-${prefix}`, route(`r${host}-${prefix}`, [rule([match(prefixOf(prefix))])], { hosts: [hostOf(host)] }))
  }
  return entries
}

const writeSnapshot = async (folder: string, entries: ReadonlyMap<string, string>) => {
  const digest = new Digest()
  for (const [subject, body] of entries) digest.change(subject, undefined, body)
  const head = { rev: 1, epoch: 1, seq: 1, digest: digest.hex(), count: entries.size }
  const failures: unknown[] = []
  const writer = new SnapshotWriter({ path: join(folder, `${PLANE}.snapshot`), plane: PLANE, current: () => ({ incarnation: "bench", units: new Map([["bench", { head, entries }]]) }), onError: (error) => failures.push(error) }, true)
  await writer.flush()
  if (failures.length > 0) throw new Error(`no snapshot: ${String(failures[0])}`)
}

const startHeadgate = async (place: Place, issued: Issued, profile: readonly string[], start: Start): Promise<Candidate> => {
  const data = join(place.folder, "gateway")
  const secret = randomBytes(32)
  const keyFile = join(place.folder, "plane.key")
  writeFileSync(keyFile, secret, { mode: 0o600 })
  await writeSnapshot(data, entriesOf(place, issued, planeKey(new Redacted(secret))))
  const [admin = 0, nowhere = 0] = await freePorts(2)
  const flags = ["--plane", PLANE, "--pod", "bench", "--bind", place.address, "--admin", `127.0.0.1:${admin}`, "--data", data, "--plane-key", keyFile, "--nats", `nats://127.0.0.1:${nowhere}`]
  const child = start("headgate", [process.execPath, ...NODE_FLAGS, ...profile, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], PROXY_CORE, NODE_ENVIRONMENT)
  await until("the gateway is ready", () => isReady(`http://127.0.0.1:${admin}`), 60_000)
  return { name: "headgate", url: `https://${place.address}:${place.port}`, pid: child.pid ?? 0 }
}

const curl = (url: string, host: string) =>
  new Promise<string>((resolve) => {
    execFile("curl", ["-sk", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-H", `Host: ${host}`, url], (_, stdout) => resolve(stdout))
  })

/** Every one routes: a prefix of the last host answers 1 KB, a host nobody has 404. */
const check = async ({ name, url }: Candidate, { hosts, prefixes }: Grid) => {
  const path = `${url}${prefixOf(prefixes - 1)}/item`
  await until(`${name} answers`, async () => (await curl(path, hostOf(hosts - 1))) === "200 1024", 10_000)
  const foreign = await curl(path, "nobody.example")
  if (!foreign.startsWith("404")) throw new Error(`${name} does not route as the others: ${foreign}`)
}

/** handshakes.ts on the core of the load. */
const handshakes = ({ url }: Candidate, seconds: number): Promise<Load> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const args = ["-c", String(LOAD_CORE), process.execPath, join(import.meta.dirname, "handshakes.ts"), hostname, port, hostOf(0), `${prefixOf(0)}/item`, String(seconds)]
    execFile("taskset", args, (error, stdout, stderr) => {
      if (error !== null) return reject(new Error(`handshakes at ${url}: ${error.message}\n${stderr}`))
      const { requests, seconds: took, p50, p99 }: Load = JSON.parse(stdout)
      resolve({ requests, seconds: took, p50, p99 })
    })
  })

/** `--rounds 5 --seconds 5 --routes 5000`; `--profile FOLDER` writes a CPU profile of the gateway there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  if (!hasTools(tools)) return
  const rounds = option(argv, "rounds", 5)
  const seconds = option(argv, "seconds", 5)
  const grid: Grid = { hosts: Math.ceil(option(argv, "routes", 5000) / PREFIXES), prefixes: PREFIXES }
  const profiled = argv.indexOf("--profile")
  const profile = profiled < 0 ? [] : ["--cpu-prof", `--cpu-prof-dir=${argv[profiled + 1] ?? "."}`]
  const authority = new Authority()
  const started: ChildProcess[] = []
  try {
    const folder = join(authority.folder, "bench")
    mkdirSync(folder)
    const issued = authority.issue([hostOf(0), "bench.example"])
    const bundle = join(folder, "bundle.pem")
    writeFileSync(bundle, issued.chain + readFileSync(issued.keyFile, "utf8"), { mode: 0o600 })
    const start = starter(folder, started)
    const [backend = 0, ...ports] = await freePorts(4)
    const place = (address: string, index: number): Place => ({ folder, address, port: ports[index] ?? 0, backend, grid, tls: { certificate: issued.certificateFile, key: issued.keyFile, bundle } })
    start("backend", nginxBackend(place("127.0.0.1", 0)), LOAD_CORE)
    const peer = (name: string, at: Place, command: Command): Candidate => ({ name, url: `https://${at.address}:${at.port}`, pid: start(name, command, PROXY_CORE).pid ?? 0 })
    const candidates: readonly Candidate[] = [
      await startHeadgate(place("127.0.0.2", 0), issued, profile, start),
      peer("nginx", place("127.0.0.3", 1), nginx(place("127.0.0.3", 1), "same")),
      peer("haproxy", place("127.0.0.4", 2), haproxy(place("127.0.0.4", 2))),
    ]
    for (const candidate of candidates) await check(candidate, grid)
    const mix = writeMix(folder, grid)
    const shapes: readonly (readonly [name: string, load: (candidate: Candidate, seconds: number) => Promise<Load>])[] = [
      ["kept alive", ({ url }, within) => load(url, mix, within, LOAD_CORE)],
      ["full handshake each", handshakes],
    ]
    const rows: (readonly string[])[] = []
    for (const [shape, put] of shapes) {
      for (const candidate of candidates) await put(candidate, Math.max(3, seconds))
      const all = await interleaved(candidates, rounds, (candidate) => put(candidate, seconds))
      candidates.forEach((candidate, index) => rows.push([shape, candidate.name, ...figures(all[index] ?? [], all[1] ?? []), (total(candidate).rss / 2 ** 20).toFixed(0)]))
    }
    const versions = `nginx ${await version("nginx", "-v")}, haproxy ${await version("haproxy", "-v")}, wrk ${await version("wrk", "-v")}`
    report("TLS: CPU of one request, and of one handshake, beside nginx and haproxy", ["shape", "proxy", ...columns, "RSS MiB, then"], rows, [
      `Kernel ${release()}; ${versions}; OpenSSL ${process.versions.openssl} in the gateway, the system's (${await version("openssl", "version")}) in the others. Budget: 1.35 × nginx kept alive, 1.3 × nginx with a handshake.`,
      `${grid.hosts * grid.prefixes} routes, ${rounds} interleaved rounds of ${seconds} s: median (min–max). One certificate, ECDSA P-256, TLS 1.3, X25519 for all.`,
      "Kept alive: 1 KB back, 64 connections of wrk, duties and logs as in the bench `proxy`. Handshake: 16 connections at a time of a client in Node that resumes no session and asks for `Connection: close`; session tickets are on in every proxy.",
      unsaturated,
    ])
  } finally {
    await ended(started)
    authority.end()
  }
}
