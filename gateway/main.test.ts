import http from "node:http"
import net from "node:net"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { canonical } from "../bus/canonical.ts"
import { memoryStore, type MemoryStore } from "../bus/memory.ts"
import { appliedSubject, configSubject } from "../bus/subject.ts"
import { openUnit } from "../bus/unit/writer.ts"
import type { StagedChange, UnitWriter } from "../bus/unit/unit.ts"
import { freePorts } from "../test/fixtures/ports.ts"
import { parseFlags } from "./flags.ts"
import { startGateway, type Gateway } from "./main.ts"
import { listener, match, route, rule } from "./table/fixture.ts"

const entry = (section: string, id: string, value: unknown): StagedChange => ({ subject: configSubject("default", section, id), body: canonical(value), causes: [] })

const listening = async (server: net.Server): Promise<number> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return address === null || typeof address === "string" ? 0 : address.port
}

let folder = ""
let port = 0
let store: MemoryStore
let routes: UnitWriter
let endpoints: UnitWriter
const backends: http.Server[] = []
const gateways: Gateway[] = []

const backend = async (name: string): Promise<StagedChange> => {
  const server = http.createServer((asked, response) => response.end(`${name} ${asked.url ?? ""}`))
  backends.push(server)
  const at = await listening(server)
  return entry("cluster", name, { schema: 1, source: { kind: "Service", namespace: "default", name }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: at }] })
}
const web = (cluster: string): StagedChange => entry("route", "httproute/default/web", route("web", [rule([match("/")], cluster)], { on: "gw/http" }))

const start = async (flags: readonly string[] = []): Promise<Gateway> => {
  const parsed = parseFlags(["--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--data", folder, "--access-log", "off", ...flags], {})
  if (parsed === "help") throw new TypeError("help")
  const gateway = await startGateway(parsed, () => {})
  gateways.push(gateway)
  return gateway
}
/** Resolves with the ack of a revision. */
const acked = (fn: string, rev: number): Promise<void> =>
  new Promise((resolve) => {
    const following = store.bus().follow({
      stream: "APPLIED", filter: appliedSubject("default", "p"), from: { after: 0 },
      onMessage: ({ data }) => {
        if (JSON.parse(new TextDecoder().decode(data)).units[fn]?.rev !== rev) return
        void following.stop()
        resolve()
      },
    })
  })
const attached = async (flags: readonly string[] = []): Promise<Gateway> => {
  const gateway = await start(flags)
  const ready = new Promise<void>((resolve) => {
    const following = store.bus().follow({
      stream: "APPLIED", filter: appliedSubject("default", "p"), from: { after: 0 },
      onMessage: ({ data }) => {
        if (JSON.parse(new TextDecoder().decode(data)).ready !== true) return
        void following.stop()
        resolve()
      },
    })
  })
  gateway.attach(store.bus())
  await ready
  return gateway
}
const get = async (path: string, at = port): Promise<readonly [number, string]> => {
  const answer = await fetch(`http://127.0.0.1:${at}${path}`)
  return [answer.status, await answer.text()]
}
const admin = (gateway: Gateway, path: string, method = "GET"): Promise<Response> => fetch(`http://127.0.0.1:${gateway.adminPort}${path}`, { method })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-gateway-"))
  ;[port = 0] = await freePorts(1)
  store = memoryStore()
  const bus = store.bus()
  const open = (fn: string) => openUnit(bus, { unit: { plane: "default", fn }, epoch: 1, writer: "test", version: "1", onSteppedDown: () => {} })
  ;[routes, endpoints] = await Promise.all([open("routes"), open("endpoints")])
  endpoints.stage([await backend("a"), await backend("b")])
  routes.stage([entry("plan", "plan", { schema: 1, functions: ["endpoints", "routes"] }), entry("listener", "gw/http", listener("http", { port })), web("a")])
  await Promise.all([routes.settled(), endpoints.settled()])
})
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop()
  for (const server of backends.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
  await rm(folder, { recursive: true, force: true })
})

describe("a gateway", () => {
  it("serves what functions have committed, and tells of it on the bus and on the admin port", async () => {
    const gateway = await attached()
    expect(await get("/x?y=1")).toEqual([200, "a /x?y=1"])
    expect((await admin(gateway, "/readyz")).status).toBe(200)
    const config: unknown = await (await admin(gateway, "/config")).json()
    expect(config).toMatchObject({
      ready: true, plane: "default", pod: "p", units: { routes: { rev: 1, epoch: 1 }, endpoints: { rev: 1 } },
      listeners: [{ id: "gw/http", protocol: "HTTP", address: "127.0.0.1", port, specPort: port }],
      entries: { listener: { "gw/http": { port } }, route: { "httproute/default/web": { schema: 1 } }, cluster: { a: {}, b: {} } },
    })
    expect(await (await admin(gateway, "/config?section=cluster&id=a")).json()).not.toHaveProperty("entries.cluster.b")
    expect(await (await admin(gateway, "/metrics")).text()).toMatch(/headgate_ready 1\n[^]*headgate_unit_revision\{function="routes"\} 1/)
    expect((await admin(gateway, "/reload")).status).toBe(405)
    expect(await (await admin(gateway, "/reload", "POST")).json()).toMatchObject({ reloaded: true })
    expect((await admin(gateway, "/nothing")).status).toBe(404)
    expect((await admin(gateway, "/restart")).status).toBe(405)
    const refused = await admin(gateway, "/restart", "POST")
    expect([refused.status, await refused.text()]).toEqual([503, expect.stringContaining("Without --pid-file")])
  })

  it("binds where it is told to, and speaks of the port that was asked for", async () => {
    const [bindPort = 0] = await freePorts(1)
    routes.stage([entry("listener", "gw/http", listener("http", { port: 80, bindPort })), entry("route", "httproute/default/web", route("web", [{ ...rule([match("/")], "a"), filters: [{ type: "redirect", hostname: "b.test", status: 302 }] }], { on: "gw/http" }))])
    await routes.settled()
    const gateway = await attached()
    const answer = await fetch(`http://127.0.0.1:${bindPort}/x`, { redirect: "manual" })
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "http://b.test/x"])
    expect(gateway.applied().listeners).toMatchObject([{ id: "gw/http", port: bindPort, specPort: 80 }])
  })

  it("tells probes from elsewhere whether it is ready, and nothing of what it serves", async () => {
    const [probes = 0] = await freePorts(1)
    const gateway = await start(["--probes", `127.0.0.1:${probes}`])
    const probe = async (path: string, method = "GET") => (await fetch(`http://127.0.0.1:${probes}${path}`, { method })).status
    expect([await probe("/healthz"), await probe("/readyz")]).toEqual([200, 503])
    gateway.attach(store.bus())
    await expect.poll(() => probe("/readyz")).toBe(200)
    expect([await probe("/metrics"), await probe("/config"), await probe("/reload"), await probe("/reload", "POST")]).toEqual([200, 404, 404, 405])
  })

  it("serves who still comes while it lingers, not ready, each connection for one answer, and then stops", async () => {
    const gateway = await attached()
    const [probes = 0] = await freePorts(1)
    const lingering = await start(["--pod", "q", "--linger", "400", "--probes", `127.0.0.1:${probes}`])
    await gateway.stop()
    lingering.attach(store.bus())
    const ready = async () => (await fetch(`http://127.0.0.1:${probes}/readyz`)).status
    await expect.poll(ready).toBe(200)
    const stopping = lingering.stop()
    expect(await ready()).toBe(503)
    const answer = await fetch(`http://127.0.0.1:${port}/late`)
    expect([answer.status, answer.headers.get("connection")]).toEqual([200, "close"])
    await stopping
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow("fetch failed")
  })

  it("answers every request while routes and endpoints change under it", async () => {
    await attached()
    let isOver = false
    const statuses = new Map<number, number>()
    const traffic = Promise.all(Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const [status] = await get("/")
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }))
    const c = await backend("c")
    for (let i = 0; i < 150; i++) {
      // c comes and goes with the route that names it; endpoints are told after routes.
      routes.stage([web(i % 2 === 0 ? "c" : "a")])
      endpoints.stage([i % 2 === 0 ? c : { ...c, body: null }])
      await Promise.all([routes.settled(), endpoints.settled()])
      if (i % 10 === 0) await get("/")
    }
    isOver = true
    await traffic
    expect([...statuses.keys()]).toEqual([200])
    expect(await get("/")).toEqual([200, "a /"])
  })

  it("starts without a bus from what it served last", async () => {
    const first = await attached()
    await first.stop()
    await expect(get("/")).rejects.toThrow("fetch failed")
    const second = await start()
    expect(second.applied()).toMatchObject({ units: { routes: { rev: 1 } } })
    expect(await get("/again")).toEqual([200, "a /again"])
    expect((await admin(second, "/readyz")).status).toBe(200)
  })

  it("is not ready before, and says why", async () => {
    const gateway = await start()
    const answer = await admin(gateway, "/readyz")
    expect([answer.status, await answer.text()]).toEqual([503, "The bus has not been reached yet.\n"])
    expect((await admin(gateway, "/healthz")).status).toBe(200)
  })

  it("lets a request finish when it is stopped, and takes no new ones", async () => {
    const asked = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const slow = http.createServer((_, response) => {
      asked.resolve()
      void finish.promise.then(() => response.end("slow"))
    })
    backends.push(slow)
    const at = await listening(slow)
    endpoints.stage([entry("cluster", "a", { schema: 1, source: { kind: "Service", namespace: "default", name: "a" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: at }] })])
    await endpoints.settled()
    const gateway = await attached()
    const answer = get("/")
    await asked.promise
    const stopped = gateway.stop()
    await expect(get("/")).rejects.toThrow("fetch failed")
    finish.resolve()
    expect(await answer).toEqual([200, "slow"])
    await stopped
  })

  it("says what to do when its admin port is taken", async () => {
    const gateway = await start()
    await expect(start(["--admin", `127.0.0.1:${gateway.adminPort}`])).rejects.toThrow(/another process has it; choose another one with --admin/)
  })

  it("takes another admin port where it may, and says which", async () => {
    const first = await start()
    const second = await start(["--admin", `127.0.0.1:${first.adminPort}`, "--admin-or-another"])
    expect(second.adminPort).not.toBe(first.adminPort)
    expect(second.applied().admin).toBe(`http://127.0.0.1:${second.adminPort}`)
    expect((await fetch(`${second.applied().admin}/healthz`)).status).toBe(200)
  })

  it("moves a listener to another port and drops the old one, and stays ready", async () => {
    await attached()
    expect(await get("/")).toEqual([200, "a /"])
    const [other = 0] = await freePorts(1)
    const said: unknown[] = []
    const moved = new Promise<void>((resolve) => {
      store.bus().follow({ stream: "APPLIED", filter: appliedSubject("default", "p"), from: "state", onMessage: ({ data }) => {
        const { ready, listeners } = JSON.parse(new TextDecoder().decode(data))
        said.push(ready)
        if (listeners[0]?.port === other) resolve()
      } })
    })
    routes.stage([entry("listener", "gw/http", listener("http", { port: other }))])
    await routes.settled()
    await moved
    expect(said).not.toContain(false)
    expect(await get("/", other)).toEqual([200, "a /"])
    await expect(get("/")).rejects.toThrow("fetch failed")
  })
})

describe("a gateway of two workers", () => {
  // Threads start while others use the processors.
  const slowly = { timeout: 10_000 }

  it("acks what both serve, tells of both as one, and starts again with it", async () => {
    const gateway = await attached(["--workers", "2"])
    expect(await get("/x")).toEqual([200, "a /x"])
    for (let rev = 2; rev < 12; rev++) {
      const to = rev % 2 === 0 ? "b" : "a"
      const told = acked("routes", rev)
      routes.stage([web(to)])
      await told
      const answers = await Promise.all(Array.from({ length: 8 }, () => once(http.get({ host: "127.0.0.1", port, agent: false }), "response")))
      const bodies = await Promise.all(answers.map(([answer]) => text(answer)))
      expect(bodies).toEqual(Array.from({ length: 8 }, () => `${to} /`))
    }
    const metrics = await (await admin(gateway, "/metrics")).text()
    expect(metrics).toMatch(/^headgate_workers 2$/m)
    expect(metrics).toMatch(/^headgate_unit_revision\{function="routes"\} 11$/m)
    expect(metrics).toContain(`headgate_http_requests_total{port="${port}",code="2xx"} 81\n`)
    expect(await (await admin(gateway, "/reload", "POST")).json()).toMatchObject({ reloaded: true, units: { routes: { rev: 11 } } })
    expect(gateway.applied().listeners).toMatchObject([{ id: "gw/http", address: "127.0.0.1", port }])
    await gateway.stop()
    await expect(get("/")).rejects.toThrow("fetch failed")
    const again = await start(["--workers", "2"])
    await expect.poll(() => again.applied().ready, slowly).toBe(true)
    expect(await get("/again")).toEqual([200, "a /again"])
  })

  it("serves who still comes while it lingers, whichever has it, each connection for one answer", async () => {
    const gateway = await attached(["--workers", "2", "--linger", "1000"])
    const stopping = gateway.stop()
    expect(gateway.applied().ready).toBe(false)
    await expect.poll(async () => (await fetch(`http://127.0.0.1:${port}/late`)).headers.get("connection"), slowly).toBe("close")
    const answers = await Promise.all(Array.from({ length: 8 }, () => once(http.get({ host: "127.0.0.1", port, agent: false }), "response")))
    for (const [answer] of answers) {
      answer.resume()
      expect(answer.statusCode).toBe(200)
    }
    await stopping
    await expect(get("/")).rejects.toThrow("fetch failed")
  })

  it("notes a port that neither can have", async () => {
    const taken = net.createServer()
    const at = await listening(taken)
    routes.stage([entry("listener", "gw/http", listener("http", { port: at }))])
    await routes.settled()
    const gateway = await attached(["--workers", "2"])
    expect(gateway.applied().listeners).toMatchObject([{ port: 0, error: `port ${at} is in use by another process` }])
    expect(gateway.applied().notes.filter(({ reason }) => reason === "PortUnavailable")).toHaveLength(1)
    taken.close()
    await expect.poll(() => gateway.applied().listeners[0]?.port, slowly).toBe(at)
    expect(gateway.applied().notes).toEqual([])
  })
})

describe("flags", () => {
  it("come before the environment, and that before the defaults", () => {
    const parsed = parseFlags(["--pod", "p", "--admin", "[::1]:1", "--head-timeout", "5"], { HEADGATE_HEAD_TIMEOUT: "7", HEADGATE_KEEP_ALIVE_TIMEOUT: "8", HEADGATE_DATA: "/d", HEADGATE_NATS_URL: "nats://n:1" })
    expect(parsed).toMatchObject({ plane: "default", pod: "p", bind: "::", admin: { host: "::1", port: 1 }, data: "/d/gateway", portOffset: 8000, natsUrl: "nats://n:1", settings: { headTimeout: 5, keepAliveTimeout: 8 } })
    expect(parseFlags([], {})).toMatchObject({ workers: 1 })
    expect(parseFlags(["--workers", "auto"], { HEADGATE_WORKERS: "3" })).toMatchObject({ workers: availableParallelism() })
    expect(parseFlags([], { HEADGATE_WORKERS: "3" })).toMatchObject({ workers: 3 })
    expect(parseFlags(["--help"], {})).toBe("help")
  })

  it.each([[["--admin", "here"]], [["--drain", "soon"]], [["--balance", "worst"]], [["--nonsense"]], [["--workers", "0"]], [["--workers", "many"]], [["stray"]]])("refuse %j", (argv) => {
    expect(() => parseFlags(argv, {})).toThrow(TypeError)
  })
})
