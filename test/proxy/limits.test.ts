/** Edge limits: connections of all and of one client, and clients that are slower than the rate; in HTTP/1.1 and HTTP/2. */
import { once } from "node:events"
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { ClientConnections } from "../../gateway/downstream/client-connections.ts"
import { frame, post, request, settingsFrame, u32, type Fields } from "../../gateway/http2/fixture.ts"
import { ACK, DATA, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { INITIAL_WINDOW_SIZE } from "../../gateway/http2/settings.ts"
import { Notes } from "../../gateway/notes.ts"
import { Overload } from "../../gateway/overload.ts"
import { HttpServer, socketOptions } from "../../gateway/server.ts"
import { defaults } from "../../gateway/settings.ts"
import { limits } from "../../gateway/telemetry/limit-metrics.ts"
import { Hand } from "./hand.ts"
import { ask, session } from "./http2.ts"
import { GET, OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend
let gateway: Gateway
let folder = ""
let file = ""
const begin = async (onPeer?: (peer: Peer) => void, { settings, ...options }: GatewayOptions = {}): Promise<void> => {
  folder = mkdtempSync(join(tmpdir(), "headgate-limits-"))
  file = join(folder, "access.log")
  backend = await startBackend(onPeer)
  gateway = await startGateway([backend.port], { ...options, settings: { accessLog: true, ...settings }, logTo: openSync(file, "a") })
}
afterEach(async () => {
  await gateway.stop()
  await backend.stop()
  rmSync(folder, { recursive: true, force: true })
})
const line = async (): Promise<unknown> => {
  await eventually("a line is written", () => readFileSync(file, "utf8").endsWith("\n"))
  return JSON.parse(readFileSync(file, "utf8").split("\n", 1)[0] ?? "")
}
const reached = (): Readonly<Record<string, number>> => Object.fromEntries(limits.map((limit) => [limit, gateway.metrics.limits.count(limit)] as const).filter(([, count]) => count > 0))
const from = async (localAddress: string, port = gateway.port): Promise<net.Socket> => {
  const socket = net.connect({ port, host: "127.0.0.1", localAddress })
  socket.on("error", () => undefined)
  await once(socket, "connect")
  return socket
}
const every = (milliseconds: number, what: () => void): Disposable => {
  const timer = setInterval(what, milliseconds)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

describe("connections", () => {
  test("of one client are limited, another's are taken, and a place is free again when one ends", async () => {
    await begin(answering(() => OK), { settings: { connectionsPerClient: 2 } })
    const mine = [await from("127.0.0.2"), await from("127.0.0.2")]
    await eventually("both are there", () => gateway.http.connections === 2)
    const third = await from("127.0.0.2")
    await once(third, "close")
    const other = await from("127.0.0.3")
    other.write(GET)
    expect(String(await once(other, "data"))).toContain("200 OK")
    mine[0]?.end()
    await eventually("one is over", () => gateway.http.connections === 2)
    const again = await from("127.0.0.2")
    again.write(GET)
    expect(String(await once(again, "data"))).toContain("200 OK")
    expect([reached(), gateway.http.metrics.turnedAway]).toEqual([{ "connections-of-client": 1 }, 1])
    for (const socket of [...mine, other, again]) socket.destroy()
  })

  test("through trusted proxies are not held against these", async () => {
    await begin(answering(() => OK), { settings: { connectionsPerClient: 1, trustedHops: 1 } })
    const sockets = await Promise.all([1, 2, 3].map(() => from("127.0.0.2")))
    await eventually("all are there", () => gateway.http.connections === 3)
    expect(reached()).toEqual({})
    for (const socket of sockets) socket.destroy()
  })

  test("are limited over all ports of the process", async () => {
    await begin()
    const clients = new ClientConnections({ ...defaults, maxConnections: 2 })
    const table = { port: 80, protocol: "HTTP", find: () => null, presenter: () => null, isMisdirected: () => false } as const
    const servers = await Promise.all([80, 81].map(async (port) => {
      const server = net.createServer(socketOptions)
      const http = new HttpServer({ net: server, port, table: () => table, settings: defaults, metrics: gateway.metrics, accessLog: null, clients })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return { http, port: typeof address === "object" && address !== null ? address.port : 0 }
    }))
    const sockets = await Promise.all(servers.map(({ port }) => from("127.0.0.1", port)))
    await eventually("each has one", () => servers.every(({ http }) => http.connections === 1))
    await once(await from("127.0.0.1", servers[1]?.port), "close")
    expect([reached(), clients.open]).toEqual([{ connections: 1 }, 2])
    for (const socket of sockets) socket.destroy()
    await Promise.all(servers.map(({ http }) => http.drain(0)))
    expect(clients.open).toBe(0)
  })
})

describe("a request's body, HTTP/1.1", () => {
  const POST = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"

  test("slower than the rate: 408, although it never stops", async () => {
    await begin(undefined, { settings: { requestBodyIdle: 200, requestBodyRate: 1_000 } })
    const client = await gateway.connect()
    client.say(POST)
    using _ = every(10, () => client.say("x"))
    expect((await client.message()).status).toBe(408)
    expect(await line()).toMatchObject({ status: 408, reason: "body-rate" })
    expect(reached()).toEqual({ "body-rate": 1 })
  })

  test("that stops is told apart", async () => {
    await begin(undefined, { settings: { requestBodyIdle: 150, requestBodyRate: 1_000 } })
    const client = await gateway.connect()
    client.say(`${POST}${"x".repeat(5_000)}`)
    expect((await client.message()).status).toBe(408)
    expect([await line(), reached()]).toMatchObject([{ reason: "body-timeout" }, { "body-timeout": 1 }])
  })

  test("whose answer has begun is a conversation: it may take its time", async () => {
    await begin(undefined, { settings: { requestBodyIdle: 400, requestBodyRate: 1_000_000 } })
    const client = await gateway.connect()
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n")
    const peer = await backend.accept()
    await peer.hear("\r\n\r\n")
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.hear("\r\n\r\n")
    using _ = every(20, () => client.say("x"))
    await peer.hearOctets(60)
    peer.say("0\r\n\r\n")
    await client.hear("0\r\n\r\n")
    expect(reached()).toEqual({})
  })
})

describe("a request's body, HTTP/2", () => {
  const trickled = async (fields: Fields): Promise<Hand> => {
    const hand = await Hand.greeted(gateway)
    return hand.request(1, fields, 0)
  }

  test("slower than the rate: 408 on its stream alone", async () => {
    await begin(answering(() => OK), { settings: { requestBodyIdle: 200, requestBodyRate: 1_000 } })
    const hand = await trickled(post())
    using _ = every(10, () => hand.say(frame(DATA, 0, 1, [120])))
    await hand.frame(HEADERS)
    expect([await line(), reached()]).toMatchObject([{ status: 408, reason: "body-rate", protocol: "HTTP/2" }, { "body-rate": 1 }])
    hand.request(3, request())
    await eventually("the other is answered", () => hand.frames.some(({ type, stream }) => type === HEADERS && stream === 3))
  })

  test("of a gRPC call is sent when there is something to say", async () => {
    await begin(undefined, { settings: { requestBodyIdle: 400, requestBodyRate: 1_000_000 } })
    const hand = await trickled(post(["content-type", "application/grpc+proto"], ["te", "trailers"]))
    const peer = await backend.accept()
    using _ = every(20, () => hand.say(frame(DATA, 0, 1, [120])))
    await peer.hear("x\r\n1\r\nx".repeat(1))
    await eventually("much more than its time has gone by", () => peer.heard.length > 60 * 6)
    expect(reached()).toEqual({})
  })
})

describe("an answer", () => {
  const large = `HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n${"x".repeat(30_000_000)}`

  test("taken more slowly than the rate is cut off, HTTP/1.1", async () => {
    await begin(answering(() => large), { settings: { writeTimeout: 300, responseRate: 1_000_000_000 } })
    const client = await gateway.connect()
    client.socket.pause()
    client.socket.on("data", () => void client.socket.pause())
    using _ = every(2, () => client.socket.resume())
    client.say(GET)
    await eventually("it is cut", () => gateway.http.connections === 0)
    expect([await line(), reached()]).toMatchObject([{ reason: "write-rate" }, { "write-rate": 1 }])
  })

  test("of which nothing is taken is told apart", async () => {
    await begin(answering(() => large), { settings: { writeTimeout: 300 } })
    const client = await gateway.connect()
    client.socket.pause()
    client.say(GET)
    await eventually("it is cut", () => gateway.http.connections === 0)
    expect([await line(), reached()]).toMatchObject([{ reason: "write-timeout" }, { "write-timeout": 1 }])
  })

  test("whose window opens more slowly than the rate is reset, HTTP/2", async () => {
    await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${"x".repeat(200_000)}`), { settings: { writeTimeout: 200, responseRate: 1_000 } })
    const hand = new Hand(await gateway.connect()).say(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 10]), frame(SETTINGS, ACK, 0))
    hand.request(1, request())
    await hand.frame(DATA)
    using _ = every(20, () => hand.say(frame(WINDOW_UPDATE, 0, 1, u32(1))))
    await hand.frame(RST_STREAM)
    expect([await line(), reached(), gateway.http.inFlight]).toMatchObject([{ reason: "write-rate" }, { "write-rate": 1 }, 0])
  })
})

describe("overload", () => {
  let overload: Overload
  /** Late for so long that nearly everything is shed; real checks say meanwhile that it is not, which takes a while to tell. */
  const overloaded = async (delay: number): Promise<void> => {
    await begin(answering(() => OK), {
      overload: ({ limits }) => (overload = new Overload({ settings: { overloadDelay: 100, overloadMemory: 0 }, notes: new Notes(), metrics: limits, underWay: () => 1_000, memory: () => ({ used: 0, limit: 0 }) })),
    })
    for (let turn = 0; turn < 50; turn++) overload.sample(delay, turn * 100)
  }

  test("a request too many is answered 503 with Retry-After, and its connection goes on, HTTP/1.1", async () => {
    await overloaded(100)
    const client = await gateway.connect()
    const statuses: number[] = []
    for (let turn = 0; turn < 4; turn++) {
      client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
      const answer = await client.message()
      statuses.push(answer.status)
      expect(answer.field("retry-after")).toBe(answer.status === 503 ? "1" : undefined)
    }
    // The first of two is let in at least: shares add up.
    expect([...new Set(statuses)].sort()).toEqual([200, 503])
    expect([await line(), reached()["overload"]]).toMatchObject([{ status: 200 }, statuses.filter((status) => status === 503).length])
    expect(readFileSync(file, "utf8")).toContain('"reason":"overload"')
  })

  test("so in HTTP/2, on its stream alone", async () => {
    await overloaded(100)
    const client = await session(gateway.port)
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(client)))
    client.destroy()
    const shed = answers.filter(({ status }) => status === 503)
    expect([shed.length, ...new Set(shed.map(({ headers }) => headers["retry-after"]))]).toEqual([reached()["overload"], "1"])
    expect(answers.some(({ status }) => status === 200)).toBe(true)
  })

  test("that is much worse closes new connections, and those there are go on", async () => {
    await overloaded(99)
    const client = await gateway.connect()
    client.say(GET)
    expect((await client.message()).status).toBe(200)
    for (let turn = 0; turn < 4; turn++) overload.sample(400, performance.now() + 1_000 + turn * 100)
    await once(await from("127.0.0.2"), "close")
    expect([reached()["overload-connections"], gateway.http.metrics.turnedAway]).toEqual([1, 1])
    client.say(GET)
    expect([200, 503]).toContain((await client.message()).status)
  })
})
