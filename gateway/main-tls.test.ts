import http from "node:http"
import net from "node:net"
import { once } from "node:events"
import { randomBytes } from "node:crypto"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest"
import { canonical } from "../bus/canonical.ts"
import { memoryStore, type MemoryStore } from "../bus/memory.ts"
import { Redacted } from "../bus/redacted.ts"
import { planeKey } from "../bus/seal.ts"
import { configSubject } from "../bus/subject.ts"
import { openUnit } from "../bus/unit/writer.ts"
import type { StagedChange, UnitWriter } from "../bus/unit/unit.ts"
import { Authority, certificateEntry, type Issued } from "../test/fixtures/authority.ts"
import { freePorts } from "../test/fixtures/ports.ts"
import { handshake } from "../test/proxy/secure.ts"
import { parseFlags } from "./flags.ts"
import { startGateway, type Gateway } from "./main.ts"
import { listener, match, route, rule } from "./table/fixture.ts"

const SECRET = "secret/default/a"
const entry = (section: string, id: string, value: unknown): StagedChange => ({ subject: configSubject("default", section, id), body: canonical(value), causes: [] })

let authority: Authority
let first: Issued
let renewed: Issued
beforeAll(() => {
  authority = new Authority()
  first = authority.issue(["a.test"])
  renewed = authority.issue(["a.test"])
})
afterAll(() => authority.end())

const secret = randomBytes(32)
const key = planeKey(new Redacted(secret))
let folder = ""
let port = 0
let store: MemoryStore
let routes: UnitWriter
let certs: UnitWriter
let backend: http.Server
const gateways: Gateway[] = []
const logged: string[] = []

const listening = async (server: net.Server): Promise<number> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return address === null || typeof address === "string" ? 0 : address.port
}
const start = async (): Promise<Gateway> => {
  const parsed = parseFlags(["--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--data", join(folder, "data"), "--access-log", "off"], { HEADGATE_PLANE_KEY_FILE: join(folder, "plane.key") })
  if (parsed === "help") throw new TypeError("help")
  const gateway = await startGateway(parsed, (...line) => void logged.push(JSON.stringify(line)))
  gateways.push(gateway)
  return gateway
}
const https = (certificates: readonly string[], generation: number): StagedChange =>
  entry("listener", "gw/https", listener("https", { protocol: "HTTPS", port, generation, tls: { certificates } }))
const certificate = (issued: Issued): StagedChange => entry("certificate", SECRET, certificateEntry("a", issued, key))
const presented = async (): Promise<string | undefined> => {
  const socket = await handshake(port, { servername: "a.test", ca: authority.certificate, rejectUnauthorized: true })
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}
const until = async (what: string, holds: () => boolean | Promise<boolean>): Promise<void> => {
  await expect.poll(holds, { timeout: 5000, interval: 5, message: what }).toBe(true)
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-gateway-tls-"))
  await writeFile(join(folder, "plane.key"), `${secret.toString("hex")}\n`, { mode: 0o600 })
  ;[port = 0] = await freePorts(1)
  backend = http.createServer((asked, response) => response.end(`${String(asked.headers["x-forwarded-proto"])} ${String(asked.headers["x-forwarded-port"])}`))
  const at = await listening(backend)
  store = memoryStore()
  const bus = store.bus()
  const open = (fn: string) => openUnit(bus, { unit: { plane: "default", fn }, epoch: 1, writer: "test", version: "1", onSteppedDown: () => {} })
  ;[routes, certs] = await Promise.all([open("routes"), open("certs")])
  certs.stage([certificate(first)])
  routes.stage([
    entry("plan", "plan", { schema: 1, functions: ["certs", "routes"] }), https([SECRET], 1),
    entry("cluster", "c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: at }] }),
    entry("route", "httproute/default/web", route("web", [rule([match("/")])], { on: "gw/https" })),
  ])
  await Promise.all([routes.settled(), certs.settled()])
})
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop()
  backend.close()
  backend.closeAllConnections()
  await rm(folder, { recursive: true, force: true })
})

it("serves https from commits, swaps certificates with them, and keeps private keys sealed wherever it writes", async () => {
  const gateway = await start()
  gateway.attach(store.bus())
  await until("it is ready", () => gateway.applied().ready)
  expect(gateway.applied().listeners).toEqual([{ id: "gw/https", protocol: "HTTPS", address: "127.0.0.1", port, specPort: port, generation: 1 }])
  const socket = await handshake(port, { servername: "a.test" })
  socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
  const [answer]: unknown[] = await once(socket, "data")
  expect(String(answer)).toMatch(new RegExp(`\r\n\r\n[^]*https ${port}`))
  expect(await presented()).toBe(first.fingerprint256)
  certs.stage([certificate(renewed)])
  await certs.settled()
  await until("the new one is presented", async () => (await presented()) === renewed.fingerprint256)
  socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
  expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1\.1 200/)
  socket.destroy()

  const config = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/config`)).text()
  const metrics = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text()
  expect(JSON.parse(config)).toMatchObject({ entries: { certificate: { [SECRET]: { names: ["a.test"], key: expect.stringMatching(/^v1\./) } } } })
  expect(metrics).toMatch(/headgate_tls_handshakes_total\{[^}]*version="TLSv1\.3"/)
  await gateway.stop()
  gateways.length = 0
  const [file = ""] = await readdir(join(folder, "data"))
  const snapshot = await readFile(join(folder, "data", file), "utf8")
  expect(snapshot).toContain(SECRET.split("/")[2] ?? "")
  const written = snapshot + config + metrics + JSON.stringify(gateway.applied()) + logged.join("\n")
  for (const issued of [first, renewed]) {
    for (const form of ["hex", "base64", "base64url", "latin1"] as const) {
      // The private scalar of a P-256 key in PKCS#8.
      expect(written.includes(issued.key.subarray(36, 68).toString(form).slice(0, 40).replace(/=+$/, ""))).toBe(false)
    }
  }
})

it("starts with https from its snapshot on disk, without the bus", async () => {
  const gateway = await start()
  gateway.attach(store.bus())
  await until("it is ready", () => gateway.applied().ready)
  await gateway.stop()
  gateways.length = 0
  await start()
  await until("it serves", async () => (await presented().catch(() => "")) === first.fingerprint256)
})

it("holds a listener back until its certificate is there, 2 s at most, and says what it lacks", async () => {
  const gateway = await start()
  gateway.attach(store.bus())
  await until("it is ready", () => gateway.applied().ready)
  routes.stage([https([SECRET, "secret/default/b"], 2)])
  await routes.settled()
  certs.stage([entry("certificate", "secret/default/b", { schema: 1, source: { kind: "Secret", namespace: "default", name: "b" }, names: [], empty: "NoSuchSecret" })])
  await certs.settled()
  await until("generation 2 is served", () => gateway.applied().listeners[0]?.generation === 2)
  expect(gateway.applied().notes).toEqual([])
  routes.stage([https(["secret/default/c"], 3)])
  await routes.settled()
  expect(gateway.applied().listeners[0]?.generation).toBe(2)
  await until("generation 3 is served", () => gateway.applied().listeners[0]?.generation === 3)
  expect(gateway.applied().notes.map(({ reason }) => reason).sort()).toEqual(["CertificateMissing", "NoCertificate"])
  await expect(presented()).rejects.toThrow(/handshake failure/)
})

it("without its plane's key refuses handshakes, says why, and serves once the key is there", async () => {
  await rm(join(folder, "plane.key"))
  const gateway = await start()
  gateway.attach(store.bus())
  await until("it is ready", () => gateway.applied().ready)
  expect(gateway.applied().notes.map(({ reason }) => reason).sort()).toEqual(["CertificateParked", "NoCertificate"])
  expect(gateway.applied().notes.find(({ reason }) => reason === "CertificateParked")?.message).toMatch(/the data plane's key cannot be read/)
  await expect(presented()).rejects.toThrow(/handshake failure/)
  await writeFile(join(folder, "plane.key"), secret, { mode: 0o600 })
  await until("it serves", async () => (await presented().catch(() => "")) === first.fingerprint256)
  expect(gateway.applied().notes).toEqual([])
})
