/** WebSocket, octet for octet: the handshake at each hop, and what the tunnel does when either side ends, fails, or waits. */
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { backend, begin, gateway } from "./scene.ts"
import { digest, pattern } from "./octets.ts"
import { GET, OK, eventually, type Heard, type Peer } from "./scripted.ts"
import type { GatewayOptions } from "./scripted.ts"

const HANDSHAKE = "GET /chat?room=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
/** Whole frames: text "hi" unmasked and masked, Close 1001 as a server sends it. */
const HI = "\x81\x02hi"
const HI_MASKED = "\x81\x82\x00\x00\x00\x00hi"
const CLOSE_1001 = "\x88\x02\x03\xe9"

interface Open {
  readonly client: Peer
  readonly peer: Peer
  readonly request: Heard
}

const open = async (options?: GatewayOptions): Promise<Open> => {
  const client = await begin(options)
  client.say(HANDSHAKE)
  const peer = await backend.accept()
  const request = await peer.message()
  peer.say(SWITCH)
  await client.hear("\r\n\r\n")
  return { client, peer, request }
}

const metrics = () => gateway.http.metrics
const connections = (): number => [...gateway.endpoints.all()].reduce((sum, endpoint) => sum + endpoint.connections, 0)

test("the handshake goes on with an Upgrade of this hop, filters and X-Forwarded-*; the 101 comes back the same way", async () => {
  const client = await begin({ rule: { requestHeaders: (headers) => headers.set("X-Set", "1"), responseHeaders: (headers) => headers.set("X-Back", "2"), rewrite: () => ({ host: undefined, path: "/inner" }) } })
  client.say(HANDSHAKE.replace("websocket", "h2c, WebSocket"))
  const peer = await backend.accept()
  const request = await peer.message()
  expect(request.head.split("\r\n")[0]).toBe("GET /inner HTTP/1.1")
  expect([request.field("connection"), request.field("upgrade"), request.field("sec-websocket-key"), request.field("x-set"), request.field("x-forwarded-for")]).toEqual(["Upgrade", "websocket", "dGhlIHNhbXBsZSBub25jZQ==", "1", "127.0.0.1"])
  peer.say(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${SWITCH.replace("Sec-", "Content-Length: 5\r\nX-Back: 1\r\nSec-")}`)
  expect((await client.message()).status).toBe(103)
  const switched = await client.message()
  expect(switched.head.split("\r\n")).toEqual(["HTTP/1.1 101 Switching Protocols", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Connection: Upgrade", "Upgrade: websocket", "X-Back: 2"])
  client.say(HI_MASKED)
  expect(await peer.hear(HI_MASKED)).toBe(HI_MASKED)
  peer.say(HI)
  expect(await client.hear(HI)).toBe(HI)
})

test("after ordinary requests on the same connections, of both sides", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  await client.message()
  client.say(HANDSHAKE)
  await peer.message()
  peer.say(SWITCH)
  expect((await client.message()).status).toBe(101)
  peer.say(HI)
  await client.hear(HI)
  expect(backend.peers.length).toBe(1)
})

test("octets that come with either head are not lost, byte by byte neither", async () => {
  const client = await begin()
  client.say(`${HANDSHAKE}${HI_MASKED}`)
  const peer = await backend.accept()
  await peer.message()
  expect(peer.heard).toBe("")
  peer.say(`${SWITCH}${HI}`)
  expect((await client.message()).status).toBe(101)
  expect(await client.hear(HI)).toBe(HI)
  expect(await peer.hear(HI_MASKED)).toBe(HI_MASKED)
  const other = await gateway.connect()
  const sending = other.sayByByte(`${HANDSHAKE}abc`)
  const second = await backend.accept()
  await second.message()
  await sending
  await second.sayByByte(`${SWITCH}defg`)
  await other.message()
  expect([await other.hearOctets(4), await second.hearOctets(3)]).toEqual(["defg", "abc"])
})

test("more than is kept for a connection may come before the 101: it waits in the client", async () => {
  const client = await begin({ settings: { pendingBytes: 4_096 } })
  const early = pattern(3, 16_000_000)
  client.say(HANDSHAKE)
  client.socket.write(early)
  const peer = await backend.accept()
  await peer.message()
  expect(client.socket.writableLength).toBeGreaterThan(0)
  peer.say(SWITCH)
  await client.message()
  expect(digest(Buffer.from(await peer.hearOctets(early.length), "latin1"))).toBe(digest(early))
})

test.each([
  ["an answer", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno", 426, "no"],
  ["200", OK, 200, "ok"],
])("a refused upgrade is an ordinary answer, and both connections go on: %s", async (_what, answer, status, body) => {
  const client = await begin()
  client.say(HANDSHAKE)
  const peer = await backend.accept()
  await peer.message()
  peer.say(answer)
  const response = await client.message()
  expect([response.status, response.body, response.field("upgrade")]).toEqual([status, body, undefined])
  client.say(GET)
  await peer.message()
  peer.say(OK)
  expect((await client.message()).body).toBe("ok")
  expect(metrics().tunnelsOpened).toBe(0)
})

test.each([
  ["to another protocol", SWITCH.replace("WebSocket", "h2c")],
  ["to none", SWITCH.replace("Upgrade: WebSocket\r\n", "")],
  ["without Connection", SWITCH.replace("Connection: upgrade\r\n", "")],
  ["in HTTP/1.0", SWITCH.replace("HTTP/1.1", "HTTP/1.0")],
])("a backend that switches %s is 502", async (_what, answer) => {
  const client = await begin()
  client.say(HANDSHAKE)
  const peer = await backend.accept()
  await peer.message()
  peer.say(answer)
  expect((await client.message()).status).toBe(502)
  await peer.end()
})

test("a backend that switches though nobody asked is 502", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(SWITCH)
  expect((await client.message()).status).toBe(502)
})

test.each([
  ["HTTP/1.0 (RFC 9110 §7.8)", HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0")],
  ["without the connection option", HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive")],
  ["of a version there is not", HANDSHAKE.replace("websocket", "websocket/13")],
])("an upgrade that is none is ignored: %s", async (_what, head) => {
  const client = await begin()
  client.say(head)
  const peer = await backend.accept()
  const request = await peer.message()
  expect([request.field("upgrade"), request.field("connection")]).toEqual([undefined, undefined])
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test.each([
  ["with a length", HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc")],
  ["in chunks", HANDSHAKE.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
  ["as POST", HANDSHAKE.replace("GET", "POST")],
])("a handshake with content or another method is refused, and the connection closed: %s", async (_what, head) => {
  const client = await begin()
  client.say(head)
  const response = await client.message()
  expect([response.status, response.field("connection")]).toEqual([400, "close"])
  await client.end()
  expect(backend.peers.length).toBe(0)
})

test("the end of each direction is handed on by itself; the endpoint is in use until the last", async () => {
  const { client, peer } = await open()
  expect([metrics().tunnels, metrics().inFlight, connections(), [...gateway.endpoints.all()][0]?.inFlight]).toEqual([1, 0, 1, 1])
  client.say("last words")
  client.socket.end()
  await peer.end()
  expect(peer.heard).toBe("last words")
  peer.say("answer")
  expect(await client.hear("answer")).toBe("answer")
  peer.socket.end("end")
  await client.close()
  expect(client.heard).toBe("end")
  await eventually("all of it is over", () => metrics().tunnels === 0 && gateway.http.connections === 0)
  expect([connections(), [...gateway.endpoints.all()][0]?.inFlight, metrics().tunnelsEnded("closed"), gateway.metrics.upstream.count("ok")]).toEqual([0, 0, 1, 1])
  expect([metrics().tunnelReceived, metrics().tunnelSent]).toEqual([10, 9])
})

test("a backend that ends first still hears the client", async () => {
  const { client, peer } = await open()
  peer.socket.end("bye")
  await client.end()
  expect(client.heard).toBe("bye")
  client.say("still here")
  await peer.hear("still here")
  client.socket.end()
  await peer.close()
  await eventually("all of it is over", () => metrics().tunnels === 0 && gateway.http.connections === 0)
  expect(metrics().tunnelsEnded("closed")).toBe(1)
})

test("a backend that ends while a slow client still takes: everything arrives before the end", async () => {
  const { client, peer } = await open()
  client.socket.pause()
  const body = pattern(5, 5_000_000)
  peer.socket.end(body)
  await eventually("what fits is on its way", () => metrics().tunnelSent > 100_000)
  client.socket.resume()
  await client.end()
  expect(digest(Buffer.from(client.heard, "latin1"))).toBe(digest(body))
  client.socket.end()
  await peer.close()
})

test("a client that resets ends the backend's connection, and the other way round", async () => {
  const { client, peer } = await open()
  client.socket.resetAndDestroy()
  await peer.end()
  await eventually("it is over", () => metrics().tunnels === 0 && gateway.http.connections === 0 && connections() === 0)
  expect([metrics().tunnelsEnded("client-gone"), gateway.metrics.upstream.count("cancelled")]).toEqual([1, 1])
  const other = await gateway.connect()
  other.say(HANDSHAKE)
  const second = await backend.accept()
  await second.message()
  second.say(SWITCH)
  await other.message()
  second.socket.resetAndDestroy()
  await other.close()
  await eventually("it is over", () => metrics().tunnels === 0 && gateway.http.connections === 0 && connections() === 0)
  expect([metrics().tunnelsEnded("backend-gone"), gateway.metrics.upstream.count("reset")]).toEqual([1, 1])
  expect([...gateway.endpoints.all()][0]?.health.isEjected).toBe(false)
})

test("the rule's times end with the 101", async () => {
  const { client, peer } = await open({ rule: { requestTimeout: 150, backendTimeout: 100 }, settings: { requestTimeout: 150, responseBodyIdle: 100, keepAliveTimeout: 100, headTimeout: 100 } })
  const since = performance.now()
  await eventually("all those times are over", () => performance.now() - since > 500)
  peer.say(HI)
  await client.hear(HI)
  client.say(HI_MASKED)
  await peer.hear(HI_MASKED)
})

test("they hold until then: a backend that does not switch in time is 504", async () => {
  const client = await begin({ rule: { requestTimeout: 100 } })
  client.say(HANDSHAKE)
  await (await backend.accept()).message()
  expect((await client.message()).status).toBe(504)
})

test("a tunnel on which nothing goes either way is told so and ended; one on which something goes is not", async () => {
  const { client, peer } = await open({ settings: { tunnelIdle: 200 } })
  const since = performance.now()
  const timer = setInterval(() => client.say(HI_MASKED), 40)
  await eventually("the time is over twice", () => performance.now() - since > 500)
  clearInterval(timer)
  expect(client.hasEnded).toBe(false)
  await client.end()
  expect(client.heard).toBe(CLOSE_1001)
  await peer.end()
  expect(unmasked(peer.heard.slice(-8))).toBe(CLOSE_1001)
  client.socket.end()
  peer.socket.end()
  await eventually("it is over", () => metrics().tunnels === 0 && gateway.http.connections === 0)
  expect(metrics().tunnelsEnded("idle")).toBe(1)
})

/** The frame as a server would send it: eight octets with a mask that is not zero. */
const unmasked = (frame: string): string => {
  const octet = (i: number): number => frame.charCodeAt(i)
  expect([octet(0), octet(1)]).toEqual([0x88, 0x82])
  return String.fromCharCode(octet(0), octet(1) & 127, octet(6) ^ octet(2), octet(7) ^ octet(3))
}

test("draining: a tunnel lives until the limit, then both sides hear Close 1001 and the end", async () => {
  const { client, peer } = await open()
  const drained = gateway.http.drain(400)
  const since = performance.now()
  client.say(HI_MASKED)
  await peer.hear(HI_MASKED)
  peer.say(HI)
  await client.hear(HI)
  await Promise.all([client.end(), peer.end()])
  expect(performance.now() - since).toBeGreaterThan(390)
  expect([client.heard, unmasked(peer.heard)]).toEqual([CLOSE_1001, CLOSE_1001])
  client.say("\x88\x82\x00\x00\x00\x00\x03\xe9")
  client.socket.end()
  peer.socket.end()
  expect(await drained).toBe(0)
  expect([metrics().tunnelsEnded("drained"), client.wasReset]).toEqual([1, false])
})

test("draining: inside a frame, and after a Close of its own, a side gets no frame but the end", async () => {
  const { client, peer } = await open()
  peer.say(`${HI}\x81\x7e\x01\x00abc`)
  await client.hear("abc")
  client.say("\x88\x80\x00\x00\x00\x00")
  await peer.hear("\x88\x80\x00\x00\x00\x00")
  const drained = gateway.http.drain(0)
  await Promise.all([client.end(), peer.end()])
  expect([client.heard, peer.heard]).toEqual(["", ""])
  client.socket.end()
  peer.socket.end()
  await drained
})

test("draining: sides that do not take the news are cut off after a moment", async () => {
  const { client, peer } = await open()
  const since = performance.now()
  expect(await gateway.http.drain(0)).toBe(0)
  expect(performance.now() - since).toBeGreaterThan(900)
  await Promise.all([client.close(), peer.close()])
  expect([metrics().tunnels, metrics().tunnelsEnded("drained")]).toEqual([0, 1])
})

test("a swap that takes the route and the endpoint away leaves open tunnels alone", async () => {
  let isGone = false
  const { client, peer } = await open({ find: (_request, rule) => (isGone ? null : rule) })
  isGone = true
  gateway.cluster.endpoints = []
  gateway.endpoints.keep(new Set())
  gateway.endpoints.sweep()
  const late = await gateway.connect()
  late.say(HANDSHAKE)
  expect((await late.message()).status).toBe(404)
  for (let i = 0; i < 3; i++) {
    client.say(HI_MASKED)
    await peer.hear(HI_MASKED)
    peer.say(HI)
    await client.hear(HI)
  }
  client.socket.end()
  peer.socket.end()
  await client.close()
  await eventually("the endpoint is forgotten", () => {
    gateway.endpoints.sweep()
    return [...gateway.endpoints.all()].length === 0
  })
})

test("its line is written at its end, with 101, octets both ways and why", async () => {
  const folder = mkdtempSync(join(tmpdir(), "websocket-log-"))
  const file = join(folder, "log")
  const logTo = openSync(file, "w")
  try {
    const { client, peer } = await open({ logTo })
    client.say("four")
    peer.say("seven..")
    await Promise.all([peer.hear("four"), client.hear("seven..")])
    await gateway.http.accessLog?.flushed()
    expect(readFileSync(file, "utf8")).toBe("")
    client.socket.resetAndDestroy()
    await eventually("it is over", () => metrics().tunnels === 0)
    await gateway.http.accessLog?.flushed()
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ method: "GET", path: "/chat", status: 101, bytes: 7, received: 4, route: "httproute/test/it#0", upstream: `127.0.0.1:${backend.port}`, attempts: 1, reason: "client-gone" })
  } finally {
    closeSync(logTo)
    rmSync(folder, { recursive: true })
  }
})

test("what a request counts, it counts at the 101; tunnels have series of their own", async () => {
  await open()
  expect(metrics().codes().find(([code]) => code === "1xx")).toEqual(["1xx", 1])
  const text = gateway.metrics.text(gateway.endpoints.all())
  for (const line of ['headgate_tunnels{port="80"} 1', 'headgate_tunnels_opened_total{port="80"} 1', 'headgate_http_requests_in_flight{port="80"} 0', 'headgate_http_request_duration_seconds_count{port="80"} 1', 'headgate_tunnel_bytes_total{port="80",from="client"} 0', 'headgate_tunnels_ended_total{port="80",end="drained"} 0']) expect(text).toContain(`${line}\n`)
})

test("a client that has ended before the 101 gets it, and the backend the end", async () => {
  const client = await begin()
  client.say(HANDSHAKE)
  client.socket.end()
  const peer = await backend.accept()
  await peer.message()
  peer.say(`${SWITCH}${HI}`)
  await client.hear(HI)
  await peer.end()
  peer.socket.end()
  await client.close()
})

test("a client that takes nothing of a backend's last words is cut off in the end", async () => {
  const { client, peer } = await open({ settings: { writeBytes: 1_000_000_000, writeTimeout: 300, drainTimeout: 100 } })
  client.socket.end()
  await peer.end()
  client.socket.pause()
  const words = "x".repeat(16_000)
  // More than the kernels keep, in reads that are not held back.
  for (let said = 1; said <= 700; said++) {
    peer.say(words)
    await eventually("they are read", () => metrics().tunnelSent === said * words.length)
  }
  peer.socket.end()
  await eventually("the tunnel is over", () => metrics().tunnels === 0)
  expect(gateway.http.connections).toBe(1)
  await eventually("so is the connection", () => gateway.http.connections === 0)
})
