import http from "node:http"
import net from "node:net"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import type { Cluster, Route } from "../../bus/kinds/config.ts"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey } from "../../bus/seal.ts"
import { Authority, certificateEntry, type Issued } from "../../test/fixtures/authority.ts"
import { freePorts } from "../../test/fixtures/ports.ts"
import { handshake } from "../../test/proxy/secure.ts"
import type { Batch } from "../table/compile.ts"
import { backend as share, listener, match, route, rule } from "../table/fixture.ts"
import { runInWorkers, startThreads, type Started } from "./fixture.ts"

let port = 0
const backends: http.Server[] = []
const all: Started[] = []

beforeEach(async () => {
  ;[port = 0] = await freePorts(1)
})
afterEach(async () => {
  for (const { threads } of all.splice(0)) {
    await threads.drain(0)
    await threads.stop()
  }
  for (const server of backends.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

const backend = async (name: string): Promise<readonly [string, Cluster]> => {
  const server = http.createServer((_, response) => response.end(name))
  backends.push(server)
  await once(server.listen(0, "127.0.0.1"), "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("no port")
  return [name, { schema: 1, source: { kind: "Service", namespace: "default", name }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: address.port }] }]
}
const start = (count: number, flags: readonly string[] = [], options: { readonly askEvery?: number } = {}): Started => {
  const started = startThreads(count, flags, options)
  all.push(started)
  return started
}
const until = async (what: string, holds: () => boolean | Promise<boolean>, timeout = 8000): Promise<void> => {
  await expect.poll(holds, { timeout, interval: 10, message: what }).toBe(true)
}
const bound = ({ threads }: Started): Promise<void> => until("bound", () => threads.isSettled)
const web = (to: Route["rules"][number]["backends"] | string): Batch => ({ routes: new Map([["web", route("web", [rule([match("/")], to)])]]) })
const serving = async (count: number, flags: readonly string[] = [], options: { readonly askEvery?: number } = {}): Promise<Started> => {
  const started = start(count, flags, options)
  await started.threads.apply({ clusters: new Map([await backend("a"), await backend("b")]), listeners: new Map([["l", listener("l", { port })]]), ...web("a") })
  await bound(started)
  return started
}

/** One request on a connection of its own: status and body, or what became of the connection. `refused`: there was no listener. */
const ask = (path = "/", at = port): Promise<string> =>
  new Promise((resolve) => {
    let answer = ""
    let isConnected = false
    const socket = net.connect({ port: at, host: "127.0.0.1" }, () => {
      isConnected = true
      socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
    })
    socket.setEncoding("latin1")
    socket.on("data", (text: string) => (answer += text))
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(isConnected ? `lost ${error.code ?? ""} ${answer.slice(0, 12)}` : error.code === "ECONNREFUSED" ? "refused" : `lost ${error.code ?? ""}`))
    socket.on("close", () => resolve(answer === "" ? "lost without a word" : `${answer.slice(9, 12)} ${answer.slice(answer.indexOf("\r\n\r\n") + 4)}`))
  })
/** Each answer, and how often. */
const tally = async (times: number, one: () => Promise<string>, atOnce = 16): Promise<ReadonlyMap<string, number>> => {
  const answers = new Map<string, number>()
  let left = times
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (left-- > 0) {
      const answer = await one()
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }))
  return answers
}
/** Asks without pause until the returned function is called. */
const traffic = (one: () => Promise<string> = ask): (() => Promise<ReadonlyMap<string, number>>) => {
  let isOver = false
  const answers = new Map<string, number>()
  const running = Promise.all(Array.from({ length: 8 }, async () => {
    while (!isOver) {
      const answer = await one()
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }))
  return async () => {
    isOver = true
    await running
    return answers
  }
}
const bodyOf = (text: string): string => text.replace(/^2\d\d [0-9a-f]+\r\n([^\r]*)[^]*$/, "$1").replace(/^2\d\d /, "")
const sample = (text: string, name: string): number => Number(new RegExp(`^headgate_${name.replace(/[{}+]/g, "\\$&")} (.*)$`, "m").exec(text)?.[1])

describe("workers", () => {
  it("serve a batch as one: once it is applied, no connection meets what was before", async () => {
    const { threads } = await serving(2)
    for (let i = 0; i < 20; i++) {
      const to = i % 2 === 0 ? "b" : "a"
      await threads.apply(web(to))
      expect([...(await tally(16, ask)).keys()].map(bodyOf)).toEqual([to])
    }
  })

  it("are counted together, and each one's connections", async () => {
    const started = await serving(3, ["--access-log", "on"])
    const { threads } = started
    await tally(60, ask)
    const text = await threads.metrics()
    expect(sample(text, `http_requests_total{port="${port}",code="2xx"}`)).toBe(60)
    expect(sample(text, `http_request_duration_seconds_bucket{port="${port}",le="+Inf"}`)).toBe(60)
    expect(sample(text, "upstream_endpoints")).toBe(1 + 1)
    expect(sample(text, "workers")).toBe(3)
    expect(text.match(/^# TYPE headgate_http_requests_total/gm)).toHaveLength(1)
    const open = Array.from({ length: 24 }, () => net.connect({ port, host: "127.0.0.1" }))
    await Promise.all(open.map((socket) => once(socket, "connect")))
    await until("24 connections by worker", async () => {
      const now = await threads.metrics()
      return [0, 1, 2].reduce((sum, worker) => sum + sample(now, `worker_connections{worker="${worker}"}`), 0) === 24
    })
    for (const socket of open) socket.destroy()
    await until("60 lines", () => started.lines().length === 60)
    for (const line of started.lines()) expect(JSON.parse(line)).toMatchObject({ type: "access", status: 200 })
    expect(new Set(started.lines().map((line) => JSON.parse(line).id)).size).toBe(60)
  })

  it("keep to shares, all together to within as many requests as there are workers", async () => {
    const { threads } = await serving(2)
    await threads.apply(web([share("a", 3), share("b", 1)]))
    const answers = await tally(400, ask)
    const b = [...answers].reduce((sum, [answer, count]) => sum + (bodyOf(answer) === "b" ? count : 0), 0)
    expect(Math.abs(b - 100)).toBeLessThanOrEqual(2)
  })

  it("divide the limit of connections between them", async () => {
    const { threads } = await serving(2, ["--max-connections", "8"])
    const open = Array.from({ length: 40 }, () => net.connect({ port, host: "127.0.0.1" }).on("error", () => {}))
    await until("32 turned away", async () => sample(await threads.metrics(), `http_connections_turned_away_total{port="${port}"}`) >= 32)
    expect(sample(await threads.metrics(), `http_connections{port="${port}"}`)).toBe(8)
    for (const socket of open) socket.destroy()
  })
})

describe("health", () => {
  it("is each worker's own: an endpoint that is down costs each three tries, no request fails, and it is told of as one", async () => {
    const { threads } = await serving(2, ["--eject-base", "20000"])
    const [down = 0] = await freePorts(1)
    const [, up] = await backend("up")
    await threads.apply({ clusters: new Map([["a", { ...up, endpoints: [{ address: "127.0.0.1", port: down }, ...up.endpoints] }]]) })
    expect([...(await tally(60, ask, 1)).keys()].map(bodyOf)).toEqual(["up"])
    const text = await threads.metrics()
    expect(sample(text, `upstream_requests_total{outcome="refused"}`)).toBe(2 * 3)
    expect(sample(text, "upstream_endpoints_ejected")).toBe(1)
  })
})

describe("TLS of workers", () => {
  const ID = "secret/default/a"
  let authority: Authority
  beforeAll(() => {
    authority = new Authority()
  })
  afterAll(() => authority.end())

  it("resumes a session whichever of them has it now, until the key of all changes, and presents a new certificate at once", async () => {
    const secret = randomBytes(32)
    const file = join(authority.folder, "plane.key")
    writeFileSync(file, secret.toString("hex"), { mode: 0o600 })
    const key = planeKey(new Redacted(secret))
    const present = (issued: Issued): Batch => ({ certificates: new Map([[ID, certificateEntry("a", issued, key)]]) })
    const started = start(3, ["--plane-key", file])
    const { threads } = started
    await threads.apply({ ...present(authority.issue(["a.test"])), clusters: new Map([await backend("a")]), listeners: new Map([["l", listener("l", { protocol: "HTTPS", port, tls: { certificates: [ID] } })]]), ...web("a") })
    await bound(started)
    const client = { servername: "a.test", ca: authority.certificate, rejectUnauthorized: true, maxVersion: "TLSv1.2" as const }
    const begun = await handshake(port, client)
    const session = begun.getSession()
    const { fingerprint256: before } = begun.getPeerCertificate()
    begun.destroy()
    const resumed = async (): Promise<readonly boolean[]> =>
      Promise.all(Array.from({ length: 16 }, async () => {
        const socket = await handshake(port, { ...client, ...(session === undefined ? {} : { session }) })
        const isReused = socket.isSessionReused()
        socket.destroy()
        return isReused
      }))
    expect(new Set(await resumed())).toEqual(new Set([true]))
    await threads.apply(present(authority.issue(["a.test"])))
    const presented = await Promise.all(Array.from({ length: 16 }, async () => {
      const socket = await handshake(port, client)
      const { fingerprint256 } = socket.getPeerCertificate()
      socket.destroy()
      return fingerprint256
    }))
    expect(new Set(presented).size).toBe(1)
    expect(presented[0]).not.toBe(before)
    expect(new Set(await resumed())).toEqual(new Set([true]))
    threads.rotateTickets()
    // Each worker has its message before it has the next batch.
    await threads.apply({})
    expect(new Set(await resumed())).toEqual(new Set([false]))
    runInWorkers("process.exit(3)", () => true)
    await until("all restarted", async () => sample(await threads.metrics(), "worker_restarts_total") === 3 && sample(await threads.metrics(), "workers") === 3)
    await bound(started)
    const again = await handshake(port, client)
    const anew = again.getSession()
    again.destroy()
    const reused = await Promise.all(Array.from({ length: 16 }, async () => {
      const socket = await handshake(port, { ...client, ...(anew === undefined ? {} : { session: anew }) })
      const isReused = socket.isSessionReused()
      socket.destroy()
      return isReused
    }))
    expect(new Set(reused)).toEqual(new Set([true]))
  })
})

describe("a worker that ends", () => {
  it("by an error nobody caught finishes what it has, and another takes its place with what is served", async () => {
    const started = await serving(2)
    const { threads, notes } = started
    const stop = traffic()
    runInWorkers(`throw new Error("a bug")`, (index) => index === 0)
    await until("a restart", async () => sample(await threads.metrics(), "worker_restarts_total") === 1)
    expect(notes.list()).toMatchObject([{ reason: "WorkerEnded", severity: "error" }])
    expect(notes.list()[0]?.message).toContain("a bug")
    await bound(started)
    await until("two workers", async () => sample(await threads.metrics(), "workers") === 2)
    const answers = await stop()
    const served = [...answers].filter(([answer]) => bodyOf(answer) === "a").reduce((sum, [, count]) => sum + count, 0)
    const others = [...answers].filter(([answer]) => bodyOf(answer) !== "a")
    // Who came in the moment between the last look at its queue and the close (close-emptied.ts): nearly always nobody.
    expect(others.filter(([answer]) => !answer.startsWith("lost ECONNRESET"))).toEqual([])
    expect(others.reduce((sum, [, count]) => sum + count, 0)).toBeLessThanOrEqual(2)
    expect(sample(await threads.metrics(), `http_requests_total{port="${port}",code="2xx"}`)).toBe(served)
  })

  it("at once takes its own connections with it and no others, and batches meanwhile are not lost on the next", async () => {
    const started = await serving(2)
    const { threads } = started
    runInWorkers("process.exit(3)", (index) => index === 1)
    await until("a restart", async () => sample(await threads.metrics(), "worker_restarts_total") === 1)
    await threads.apply(web("b"))
    expect([...(await tally(32, ask)).keys()].map(bodyOf)).toEqual(["b"])
    await until("two workers", async () => sample(await threads.metrics(), "workers") === 2)
    await bound(started)
    expect([...(await tally(32, ask)).keys()].map(bodyOf)).toEqual(["b"])
  })

  it("has its last good routes again, where what came after them was refused", async () => {
    const started = await serving(1 + 1)
    const { threads } = started
    const bad = route("web", [rule([match("(", { type: "regex" })], "b")])
    await threads.apply({ routes: new Map([["web", bad]]) })
    expect([...threads.notes.keys()]).toContain("route/web")
    runInWorkers("process.exit(3)", () => true)
    await until("both restarted", async () => sample(await threads.metrics(), "worker_restarts_total") === 2 && sample(await threads.metrics(), "workers") === 2)
    await bound(started)
    expect([...(await tally(16, ask)).keys()].map(bodyOf)).toEqual(["a"])
    expect([...threads.notes.keys()]).toContain("route/web")
  })

  it("or does not answer is noted, then ended and started again", async () => {
    const started = await serving(2, [], { askEvery: 40 })
    const { threads, notes } = started
    runInWorkers("for (;;);", (index) => index === 0)
    await until("it is noted", () => notes.get("worker/0/silent")?.reason === "WorkerSilent" || notes.get("worker/1/silent")?.reason === "WorkerSilent")
    // On a busy machine the other one may be too late as well.
    await until("it is started again", async () => sample(await threads.metrics(), "worker_restarts_total") >= 1)
    await until("it answers", () => notes.get("worker/0/silent") === undefined && notes.get("worker/1/silent") === undefined)
    await bound(started)
    expect([...(await tally(32, ask)).keys()].map(bodyOf)).toEqual(["a"])
  })

  it("is not one that is busy for a moment while many ask for metrics", async () => {
    const { threads, notes } = await serving(2, [], { askEvery: 100 })
    runInWorkers("const over = performance.now() + 1500; while (performance.now() < over);", () => true)
    await until("they are busy", () => notes.get("worker/0/silent") !== undefined && notes.get("worker/1/silent") !== undefined)
    await Promise.all(Array.from({ length: 100 }, () => threads.metrics()))
    await until("they answer", () => notes.get("worker/0/silent") === undefined && notes.get("worker/1/silent") === undefined)
    expect(sample(await threads.metrics(), "worker_restarts_total")).toBe(0)
  })

  it("that has failed and never comes to its end is ended too", async () => {
    const started = await serving(2, [], { askEvery: 150 })
    const { threads } = started
    runInWorkers(`setImmediate(() => { for (;;); }); throw new Error("a bug")`, (index) => index === 0)
    await until("a restart", async () => sample(await threads.metrics(), "worker_restarts_total") >= 1)
    await bound(started)
    // Waits for it.
    await threads.drain(0)
  })
})

describe("sockets that workers share", () => {
  // What is left is the moment between a look at the queue and its close (close-emptied.ts): 0 to 7 of 40 here. Closed at once it is 15 to 33.
  it("come and go, and what was accepted is answered; hardly a connection is lost in their queues", async () => {
    const { threads } = await serving(2)
    const [other = 0] = await freePorts(1)
    const stopOther = traffic(() => ask("/", other))
    const stop = traffic()
    for (let i = 0; i < 40; i++) {
      await threads.apply({ listeners: new Map([["other", i % 2 === 0 ? listener("other", { port: other }) : null]]), routes: new Map([["other", i % 2 === 0 ? route("other", [rule([match("/")], "b")], { on: "other" }) : null]]) })
      await until("settled", () => threads.isSettled)
    }
    expect([...(await stop()).keys()].map(bodyOf)).toEqual(["a"])
    const others = await stopOther()
    expect(others.get("lost without a word")).toBeUndefined()
    expect([...others].reduce((sum, [answer, count]) => sum + (answer.startsWith("lost") ? count : 0), 0)).toBeLessThanOrEqual(12)
  })

  it("drain together: what was asked is answered, who comes later is refused", async () => {
    const { threads } = await serving(2)
    const held: http.ServerResponse[] = []
    const slow = http.createServer((_, response) => held.push(response))
    backends.push(slow)
    await once(slow.listen(0, "127.0.0.1"), "listening")
    const address = slow.address()
    if (address === null || typeof address === "string") throw new TypeError("no port")
    await threads.apply({ clusters: new Map([["a", { schema: 1, source: { kind: "Service", namespace: "default", name: "a" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: address.port }] }]]) })
    const answers = Array.from({ length: 12 }, () => ask())
    await until("asked", () => held.length === 12)
    const drained = threads.drain(5000)
    await until("refused", () => new Promise((resolve) => {
      const socket = net.connect({ port, host: "127.0.0.1" }, () => socket.destroy()).on("error", () => resolve(true)).on("close", () => resolve(false))
    }))
    for (const response of held) response.end("late")
    expect(new Set((await Promise.all(answers)).map(bodyOf))).toEqual(new Set(["late"]))
    expect(await drained).toBe(0)
  })
})
