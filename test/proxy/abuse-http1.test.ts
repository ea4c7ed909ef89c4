/** What a client of HTTP/1.1 can do to a gateway by being slow, large or many, done to its process: bounded, and others are served. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { attack, flood, times } from "./attack.ts"
import { startGatewayProcess, type GatewayProcess } from "./gateway-process.ts"
import { OK, answering, eventually, startBackend, type Backend, type Peer } from "./scripted.ts"

const MB = 1_048_576
const LARGE = `HTTP/1.1 200 OK\r\nContent-Length: ${8 * MB}\r\n\r\n${"x".repeat(8 * MB)}`
const MANY = 300
const OF_ONE = 400

let backend: Backend
let gateway: GatewayProcess
beforeAll(async () => {
  backend = await startBackend(answering(({ head }) => (head.startsWith("GET /large") ? LARGE : OK)))
  // What is late here is the machine. Times are short, so that a test does not wait for them.
  gateway = await startGatewayProcess(backend.port, [
    "--overload-delay", "0", "--head-timeout", "1500", "--request-body-idle", "1000", "--request-body-rate", "1000", "--write-timeout", "1500", "--connections-per-client", String(OF_ONE),
  ])
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await backend.stop()
})

const limit = (name: string): Promise<number> => gateway.metric(`limits_reached_total{limit="${name}"}`)
const port = (name: string): Promise<number> => gateway.metric(`${name}{port="${gateway.port}"}`)
/** As soon as the counter has grown by so much. */
const grown = async (name: string, before: number, by: number): Promise<void> => {
  for (let turn = 0; (await limit(name)) < before + by; turn++) {
    if (turn > 500) throw new Error(`${name}: ${(await limit(name)) - before} of ${by}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** An octet now and then, until the gateway ends the connection. Each test has a client's address of its own: connections count until they are closed. */
const trickle = async (from: string, start: string, octet: string): Promise<{ readonly octets: number; readonly peer: Peer }> => {
  const peer = await gateway.connect(from)
  peer.say(start)
  let octets = start.length
  const timer = setInterval(() => {
    peer.say(octet)
    octets += octet.length
  }, 50)
  await peer.end()
  clearInterval(timer)
  return { octets, peer }
}

test("slowloris: heads that come an octet at a time are answered 408 after the time of a head", async () => {
  const before = await limit("head-timeout")
  const cost = await attack(gateway, times(MANY, async () => {
    const { octets, peer } = await trickle("127.0.0.2", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "x")
    expect(peer.heard).toMatch(/^HTTP\/1.1 408 /)
    return octets
  }))
  await grown("head-timeout", before, MANY)
  expect(cost.megabytes).toBeLessThan(64)
  expect(cost.milliseconds / MANY).toBeLessThan(20)
})

test("slowloris: bodies that come an octet at a time are answered 408, and their backends are let go", async () => {
  const before = await limit("body-rate")
  const cost = await attack(gateway, times(MANY, async () => {
    const { octets, peer } = await trickle("127.0.0.7", "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "x")
    expect(peer.heard).toMatch(/^HTTP\/1.1 408 /)
    return octets
  }))
  await grown("body-rate", before, MANY)
  expect(await port("http_requests_in_flight")).toBe(0)
  expect(cost.megabytes).toBeLessThan(64)
  expect(cost.milliseconds / MANY).toBeLessThan(20)
})

test("slow read: large answers that are not taken hold what one connection may, and are cut", async () => {
  const readers = 100
  const before = (await limit("write-timeout")) + (await limit("write-rate"))
  const cost = await attack(gateway, times(readers, async () => {
    const peer = await gateway.connect("127.0.0.3")
    peer.socket.pause()
    peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    return 40
  }))
  for (let turn = 0; (await limit("write-timeout")) + (await limit("write-rate")) < before + readers; turn++) {
    if (turn > 1_000) throw new Error("not all are cut")
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  // 8 MB each would be 800: what is kept is one read of a backend, and what may be written.
  expect(cost.megabytes).toBeLessThan(readers * 0.3 + 48)
  expect(await port("http_requests_in_flight")).toBe(0)
}, 60_000)

test.each([
  ["many field lines", (turn: number) => Buffer.from(`X-${turn}: y\r\n`.repeat(20)), "too-many-fields"],
  ["one field that has no end", () => Buffer.alloc(4_096, 0x78), "head-too-large"],
  ["a name that has no end", () => Buffer.alloc(4_096, 0x61), "head-too-large"],
] as const)("header flood: %s", async (_, piece, reason) => {
  const before = await limit(reason)
  const count = 50
  const cost = await attack(gateway, times(count, async () => {
    const peer = await gateway.connect("127.0.0.4")
    peer.say("GET / HTTP/1.1\r\nHost: a\r\nX: ")
    return flood(peer, 16 * MB, piece)
  }))
  expect((await limit(reason)) - before).toBe(count)
  expect(cost.milliseconds / count).toBeLessThan(60)
  expect(cost.megabytes).toBeLessThan(96)
})

test("a request target that has no end", async () => {
  const before = (await limit("target-too-long")) + (await limit("head-too-large"))
  const cost = await attack(gateway, times(50, async () => {
    const peer = await gateway.connect("127.0.0.4")
    peer.say("GET /")
    return flood(peer, 16 * MB, () => Buffer.alloc(4_096, 0x61))
  }))
  expect((await limit("target-too-long")) + (await limit("head-too-large")) - before).toBe(50)
  expect(cost.milliseconds / 50).toBeLessThan(60)
})

test("many connections of one client: those over its number are closed, others' are taken", async () => {
  const before = await limit("connections-of-client")
  const over = 200
  const peers: Peer[] = []
  const cost = await attack(gateway, times(OF_ONE + over, async () => {
    peers.push(await gateway.connect("127.0.0.5"))
    return 1
  }))
  await grown("connections-of-client", before, over)
  expect(await limit("connections-of-client")).toBe(before + over)
  await eventually("they hear of it", () => peers.filter(({ hasEnded, isClosed }) => hasEnded || isClosed).length === over)
  expect(cost.megabytes).toBeLessThan(64)
  for (const { socket } of peers) socket.destroy()
})
