/** The gateway to compare: the program as `up` starts it, serving from a snapshot on disk, without a bus. */
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { canonical } from "../../bus/canonical.ts"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey } from "../../bus/seal.ts"
import { configSubject } from "../../bus/subject.ts"
import { Digest } from "../../bus/unit/digest.ts"
import { SnapshotWriter } from "../../gateway/snapshot.ts"
import { listener, match, route, rule } from "../../gateway/table/fixture.ts"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../../infra/cli/part.ts"
import { certificateEntry, type Issued } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { isReady } from "../system/configuration.ts"
import { root } from "../system/headgate.ts"
import { until } from "../system/until.ts"
import { PROXY_CORE, type Candidate, type Start } from "./candidates.ts"
import { hostOf, prefixOf, type Place } from "./peers.ts"

const PLANE = "default"

export interface GatewayOptions {
  readonly name?: string
  /** Of the listener, where the place has TLS. */
  readonly issued?: Issued
  /** A CPU profile goes there. */
  readonly profile?: string | undefined
  readonly args?: readonly string[]
  /** Of Node. */
  readonly flags?: readonly string[]
}

/** What functions would have committed for these routes, and the certificate. */
const entriesOf = ({ port, backend, grid, grpc }: Place, certificate: unknown): ReadonlyMap<string, string> => {
  const entries = new Map<string, string>()
  const put = (section: string, id: string, value: unknown) => entries.set(configSubject(PLANE, section, id), canonical(value))
  put("plan", "plan", { schema: 1, functions: ["bench"] })
  put("listener", "l", certificate === undefined ? listener("l", { port }) : listener("l", { protocol: "HTTPS", port, tls: { certificates: ["secret/default/a"] } }))
  if (certificate !== undefined) put("certificate", "secret/default/a", certificate)
  put("cluster", "c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: grpc === true ? "h2c" : "http", endpoints: [{ address: "127.0.0.1", port: backend }] })
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

/** In place of a bus, who takes connections and says nothing: one that refused them would be asked twenty times a second, which counts. */
const silent = (port: number) => createServer((socket) => socket.unref().on("error", () => socket.destroy())).listen(port, "127.0.0.1").unref()

/** Resolves when it is ready. */
export const startGateway = async (place: Place, start: Start, { name = "headgate", issued, profile, args = [], flags: ofNode = [] }: GatewayOptions = {}): Promise<Candidate> => {
  const data = join(place.folder, "gateway")
  const secret = randomBytes(32)
  const keyFile = join(place.folder, "plane.key")
  writeFileSync(keyFile, secret, { mode: 0o600 })
  await writeSnapshot(data, entriesOf(place, issued === undefined ? undefined : certificateEntry("a", issued, planeKey(new Redacted(secret)))))
  const [admin = 0, bus = 0] = await freePorts(2)
  silent(bus)
  const flags = ["--plane", PLANE, "--pod", "bench", "--bind", place.address, "--admin", `127.0.0.1:${admin}`, "--data", data, "--plane-key", keyFile, "--nats", `nats://127.0.0.1:${bus}`, ...args]
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`]
  const child = start(name, [process.execPath, ...NODE_FLAGS, ...ofNode, ...profiling, join(root, "infra/cli/headgate.mjs"), "gateway", ...flags], PROXY_CORE, NODE_ENVIRONMENT)
  await until("the gateway is ready", () => isReady(`http://127.0.0.1:${admin}`), 60_000)
  return { name, url: `${issued === undefined ? "http" : "https"}://${place.address}:${place.port}`, pid: child.pid ?? 0 }
}

/** `--profile FOLDER`. */
export const profileFolder = (argv: readonly string[]): string | undefined => {
  const at = argv.indexOf("--profile")
  return at < 0 ? undefined : argv[at + 1] ?? "."
}
