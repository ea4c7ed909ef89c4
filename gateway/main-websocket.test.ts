/** WebSockets through a whole gateway, while what it serves changes and when it stops. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { WebSocket } from "undici"
import { afterEach, beforeEach, expect, it } from "vitest"
import { canonical } from "../bus/canonical.ts"
import { memoryStore } from "../bus/memory.ts"
import { configSubject } from "../bus/subject.ts"
import type { StagedChange, UnitWriter } from "../bus/unit/unit.ts"
import { openUnit } from "../bus/unit/writer.ts"
import { freePorts } from "../test/fixtures/ports.ts"
import { eventually } from "../test/proxy/scripted.ts"
import { startEchoServer, type EchoServer } from "../test/proxy/websocket-server.ts"
import { parseFlags } from "./flags.ts"
import { startGateway, type Gateway } from "./main.ts"
import { listener, match, route, rule } from "./table/fixture.ts"

const entry = (section: string, id: string, value: unknown): StagedChange => ({ subject: configSubject("default", section, id), body: canonical(value), causes: [] })
const cluster = (id: string, ...ports: readonly number[]): StagedChange =>
  entry("cluster", id, { schema: 1, source: { kind: "Service", namespace: "default", name: id }, protocol: "http", endpoints: ports.map((port) => ({ address: "127.0.0.1", port })), ...(ports.length === 0 ? { empty: "NoReadyEndpoints" } : {}) })
const ROUTE = "httproute/default/web"
const web = (to: string): StagedChange => entry("route", ROUTE, route("web", [rule([match("/")], to, { timeouts: { request: 300 } })], { on: "gw/http" }))

let folder = ""
let port = 0
let routes: UnitWriter
let endpoints: UnitWriter
let servers: readonly EchoServer[]
let gateway: Gateway

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-websocket-"))
  ;[port = 0] = await freePorts(1)
  servers = await Promise.all([startEchoServer(), startEchoServer()])
  const store = memoryStore()
  const open = (fn: string) => openUnit(store.bus(), { unit: { plane: "default", fn }, epoch: 1, writer: "test", version: "1", onSteppedDown: () => {} })
  ;[routes, endpoints] = await Promise.all([open("routes"), open("endpoints")])
  endpoints.stage([cluster("a", ...servers.map((server) => server.port)), cluster("b", ...servers.map((server) => server.port))])
  routes.stage([entry("plan", "plan", { schema: 1, functions: ["endpoints", "routes"] }), entry("listener", "gw/http", listener("http", { port })), web("a")])
  await Promise.all([routes.settled(), endpoints.settled()])
  const flags = parseFlags(["--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--data", folder, "--access-log", "off", "--drain", "300"], {})
  if (flags === "help") throw new TypeError("help")
  gateway = await startGateway(flags, () => {})
  gateway.attach(store.bus())
  await eventually("it is ready", () => gateway.applied().ready)
})
afterEach(async () => {
  await gateway.stop()
  await Promise.all(servers.map((server) => server.stop()))
  await rm(folder, { recursive: true, force: true })
})

interface Client {
  echo(text: string): Promise<string>
  /** Status of the close. */
  readonly closed: Promise<number>
}

const connect = async (): Promise<Client> => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  const closing = Promise.withResolvers<number>()
  let take: (text: string) => void = () => {}
  socket.addEventListener("message", ({ data }) => take(String(data)))
  socket.addEventListener("close", ({ code }) => {
    closing.resolve(code)
    take(`closed with ${code}`)
  })
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve())
    socket.addEventListener("error", () => reject(new Error("not opened")))
  })
  return {
    closed: closing.promise,
    echo: (text) => new Promise((resolve) => {
      take = resolve
      socket.send(text)
    }),
  }
}

const status = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } })).status
const metric = async (name: string): Promise<number> => Number(new RegExp(`^headgate_${name} (.*)$`, "m").exec(await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text())?.[1])

it("stay open while their route moves and goes, their endpoints go, and a hundred swaps pass; new ones follow the table", async () => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => connect()))
  const all = async (text: string): Promise<void> => {
    expect(await Promise.all(clients.map((client) => client.echo(text)))).toEqual(clients.map(() => text))
  }
  await all("as opened")
  for (let i = 0; i < 100; i++) {
    routes.stage([web(i % 2 === 0 ? "b" : "a")])
    endpoints.stage([cluster("a", servers[i % 2]?.port ?? 0)])
    await Promise.all([routes.settled(), endpoints.settled()])
    if (i % 10 === 0) await all(`swap ${i}`)
  }
  endpoints.stage([cluster("a"), cluster("b")])
  await endpoints.settled()
  await expect.poll(status).toBe(503)
  await all("without endpoints")
  routes.stage([{ subject: configSubject("default", "route", ROUTE), body: null, causes: [] }])
  await routes.settled()
  await expect.poll(status).toBe(404)
  await expect(connect()).rejects.toThrow("not opened")
  await all("without a route")
  // Beyond the rule's own time, too, which ended with each handshake.
  expect(await metric(`tunnels{port="${port}"}`)).toBe(6)
  expect(await metric(`tunnels_opened_total{port="${port}"}`)).toBe(6)
})

it("live until the drain's limit when the process stops, and both sides hear 1001 then", async () => {
  const clients = await Promise.all(Array.from({ length: 4 }, () => connect()))
  for (const client of clients) expect(await client.echo("hello")).toBe("hello")
  const since = performance.now()
  const stopped = gateway.stop()
  for (const client of clients) expect(await client.echo("still")).toBe("still")
  expect(await Promise.all(clients.map(({ closed }) => closed))).toEqual([1001, 1001, 1001, 1001])
  expect(performance.now() - since).toBeGreaterThan(290)
  await stopped
  await expect.poll(() => servers.flatMap(({ sessions }) => sessions.map(({ closedWith }) => closedWith))).toEqual([1001, 1001, 1001, 1001])
})

it("on a listener that is removed drain likewise", async () => {
  const client = await connect()
  expect(await client.echo("hello")).toBe("hello")
  routes.stage([{ subject: configSubject("default", "listener", "gw/http"), body: null, causes: [] }])
  await routes.settled()
  expect(await client.echo("still")).toBe("still")
  expect(await client.closed).toBe(1001)
})
