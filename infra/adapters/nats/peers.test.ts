/** Three real nats-servers that keep the streams together, as three pods do, by mutual TLS: one may be away, and a data plane comes on all of them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { connectBus } from "../../../bus/jetstream.ts"
import type { Bus, StreamName } from "../../../bus/bus.ts"
import { credentialsOf, findNatsServer, gatewayRole, roleNames } from "../../../bus/server.ts"
import { encodeToken } from "../../../bus/subject.ts"
import { NatsTls } from "../../../test/fixtures/nats-tls.ts"
import { freePorts } from "../../../test/fixtures/ports.ts"
import { until } from "../../../test/system/until.ts"
import { Accounts } from "./accounts.ts"
import { renderServer, type Settings, type TlsFiles } from "./configuration.ts"
import { type ServerProcess, startServer } from "./process.ts"

const PLANE = "shop.web"
const passwords = { roles: new Map(roleNames([]).map((role) => [role, `password of ${role}`])), routes: "among/servers" }
const planes = new Map([[PLANE, `password of ${gatewayRole(PLANE)}`]])

interface Server {
  readonly settings: Settings
  readonly process: ServerProcess
  readonly files: TlsFiles
}
let folder: string
let tls: NatsTls
let servers: readonly Server[]
const troubles: unknown[] = []
const lines: string[] = []

const start = async (settings: Settings): Promise<Server> => {
  const files = tls.server()
  return { settings, files, process: startServer({ binary: await findNatsServer(), file: join(folder, `${settings.name}.conf`), configuration: renderServer(settings, { ...passwords, planes }, files), log: (line) => void lines.push(line) }) }
}
/** `on`: of which server. */
const as = (role: string, on: number, streams: "ensure" | readonly StreamName[] = "ensure"): Promise<Bus> => {
  const url = `nats://127.0.0.1:${servers[on]?.settings.ports.clients}`
  return connectBus({ url, name: role, streams, replicas: 3, timeout: 20_000, access: { url, ...credentialsOf(role, `password of ${role}`), tls: tls.client(role) } })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-peers-"))
  tls = new NatsTls(join(folder, "tls"))
  const ports = await freePorts(9)
  const at = (index: number): number => ports[index] ?? 0
  const peers = [0, 1, 2].map((n) => `127.0.0.1:${at(3 * n + 1)}`)
  servers = await Promise.all([0, 1, 2].map((n) => start({ name: `n${n}`, store: join(folder, `store${n}`), address: "127.0.0.1", peers, ports: { clients: at(3 * n), routes: at(3 * n + 1), monitor: at(3 * n + 2) } })))
})

afterAll(async () => {
  for (const { process } of servers) process.signal("SIGKILL")
  await Promise.all(servers.map(({ process }) => process.ended))
  await rm(folder, { recursive: true, force: true })
})

test("streams are kept by all three; messages that expect the same sequence of one subject are taken at once; with one server away nothing is lost and no store is taken for another", async () => {
  const functions = await until("the servers have found one another", () => as("functions", 0).catch(() => undefined), 30_000)
  const gateway = await as(gatewayRole(PLANE), 1, ["CONFIG", "APPLIED"])
  const seen: string[] = []
  const lost: string[] = []
  gateway.follow({ stream: "CONFIG", filter: `config.${encodeToken(PLANE)}.>`, from: "state", onMessage: ({ data }) => void seen.push(new TextDecoder().decode(data)), onLost: (reason) => void lost.push(reason) })
  const commit = `config.${encodeToken(PLANE)}.commit.routes`
  const entry = (n: number): string => `config.${encodeToken(PLANE)}.route.r${n}`
  const { seq } = await functions.publish({ subject: commit, data: "commit", expect: { seq: 0 } })
  // As a commit's entries are: all fenced by it, none waits for another.
  const began = performance.now()
  await Promise.all(Array.from({ length: 200 }, (_, n) => functions.publish({ subject: entry(n), data: `entry ${n}`, expect: { seq, subject: commit } })))
  console.log(`200 fenced entries in ${Math.round(performance.now() - began)} ms`)
  await expect(functions.publish({ subject: entry(0), data: "stale", expect: { seq: seq - 1, subject: commit } })).rejects.toMatchObject({ reason: "conflict" })

  servers[2]?.process.signal("SIGKILL")
  await servers[2]?.process.ended
  const later = async (n: number): Promise<unknown> => functions.publish({ subject: entry(n), data: `later ${n}`, msgId: `later ${n}` }).catch(() => undefined)
  for (let n = 0; n < 20; n++) await until("the two that are left take it", () => later(n), 20_000)
  await until("all has arrived", () => new Set(seen).size === 221, 20_000)
  expect(lost).toEqual([])
  expect(seen).not.toContain("stale")
  const [gone] = servers.slice(2)
  if (gone !== undefined) servers = [...servers.slice(0, 2), await start(gone.settings)]
  await until("the third is back", async () => (await as("functions", 2).catch(() => undefined))?.close().then(() => true), 30_000)
  await Promise.all([functions.close(), gateway.close()])
}, 120_000)

test("a data plane that comes is let in by each of them", async () => {
  const name = "team.new"
  const wider = new Map([...planes, [name, `password of ${gatewayRole(name)}`]])
  const accounts = servers.map(({ settings, process, files }) => new Accounts({ settings, passwords, planes, tls: files, server: process, onReloaded: () => undefined, onTrouble: (error) => void troubles.push(error) }))
  for (const one of accounts) one.set(wider)
  await Promise.all(accounts.map((one) => one.settled()))
  for (const on of [0, 1, 2]) {
    const bus = await as(gatewayRole(name), on, ["CONFIG", "APPLIED"])
    expect((await bus.publish({ subject: `applied.${encodeToken(name)}.pod${on}`, data: "{}" })).seq).toBeGreaterThan(0)
    await bus.close()
  }
  expect(troubles).toEqual([])
}, 60_000)

test("who has the password among servers, and a certificate of another authority, is no peer", async () => {
  const [first] = servers
  if (first === undefined) throw new Error("no server")
  const [clients = 0, routes = 0, monitor = 0] = await freePorts(3)
  const settings: Settings = { ...first.settings, name: "stranger", store: join(folder, "stranger"), peers: [`127.0.0.1:${first.settings.ports.routes}`], ports: { clients, routes, monitor } }
  const refused: string[] = []
  const stranger = startServer({
    binary: await findNatsServer(), file: join(folder, "stranger.conf"), log: (line) => void refused.push(line),
    configuration: renderServer(settings, { ...passwords, planes }, new NatsTls(join(folder, "stranger-tls")).server()),
  })
  await until("it is refused", () => refused.some((line) => line.includes("TLS route handshake error") && line.includes("unknown authority")))
  expect(lines.filter((line) => line.includes("stranger"))).toEqual([])
  stranger.signal("SIGKILL")
  await stranger.ended
}, 60_000)
