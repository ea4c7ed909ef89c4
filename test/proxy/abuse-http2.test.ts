/** What a client of HTTP/2 can do to a gateway without working for it, done to its process: ended soon, at a small price, and others are served. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Blocks, frame, hello, post, request, settingsFrame, u32 } from "../../gateway/http2/fixture.ts"
import { ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { INITIAL_WINDOW_SIZE } from "../../gateway/http2/settings.ts"
import { attack, flood, times } from "./attack.ts"
import { startGatewayProcess, type GatewayProcess } from "./gateway-process.ts"
import { OK, answering, eventually, startBackend, type Backend } from "./scripted.ts"

const MB = 1_048_576
/** Type, flags and the first octets of the stream of a HEADERS frame. */
const HEAD = "\x01\x04\x00\x00"
const LARGE = `HTTP/1.1 200 OK\r\nContent-Length: ${MB}\r\n\r\n${"x".repeat(MB)}`

let backend: Backend
let gateway: GatewayProcess
beforeAll(async () => {
  backend = await startBackend(answering(({ head }) => (head.startsWith("GET /large") ? LARGE : head.startsWith("GET /never") ? "" : OK)))
  // What is late here is the machine.
  gateway = await startGatewayProcess(backend.port, ["--overload-delay", "0", "--write-timeout", "1500"])
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await backend.stop()
})

const calm = (): Promise<number> => gateway.metric(`http2_connections_failed_total{port="${gateway.port}",code="ENHANCE_YOUR_CALM"}`)
const inFlight = (): Promise<number> => gateway.metric(`http_requests_in_flight{port="${gateway.port}"}`)
const idle = async (): Promise<void> => {
  for (let turn = 0; (await inFlight()) > 0; turn++) {
    if (turn > 500) throw new Error("requests of an attack are still under way")
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

interface Flood {
  readonly name: string
  /** What is said first. */
  readonly start?: (blocks: Blocks) => Buffer
  readonly piece: (turn: number, blocks: Blocks) => Buffer
  /** Octets with which a connection is ended at the latest. */
  readonly most: number
  /** Of CPU, for all that one connection can do. Several times what was measured: machines differ, and this one is shared. */
  readonly milliseconds: number
}

const many = (count: number, one: (index: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, index) => one(index)))
const open = (blocks: Blocks): Buffer => blocks.headers(1, post(), 0)

const floods: readonly Flood[] = [
  {
    name: "rapid reset", most: 200_000, milliseconds: 400,
    piece: (turn, blocks) => many(50, (i) => {
      const stream = 1 + 2 * (50 * turn + i)
      return Buffer.concat([blocks.headers(stream, request("/never"), END_STREAM), frame(RST_STREAM, 0, stream, u32(8))])
    }),
  },
  {
    name: "resets that the client makes us send", most: 200_000, milliseconds: 400,
    piece: (turn, blocks) => many(50, (i) => {
      const stream = 1 + 2 * (50 * turn + i)
      return Buffer.concat([blocks.headers(stream, request("/never"), END_STREAM), frame(WINDOW_UPDATE, 0, stream, u32(0))])
    }),
  },
  { name: "CONTINUATION flood", most: 300_000, milliseconds: 40, start: () => frame(HEADERS, 0, 1, [0x82]), piece: () => frame(CONTINUATION, 0, 1, Buffer.alloc(16_384, 0x86)) },
  { name: "CONTINUATION flood of empty frames", most: 100_000, milliseconds: 40, start: () => frame(HEADERS, 0, 1, [0x82]), piece: () => many(100, () => frame(CONTINUATION, 0, 1)) },
  { name: "SETTINGS flood", most: 200_000, milliseconds: 40, piece: () => many(200, () => frame(SETTINGS, 0, 0)) },
  { name: "flood of SETTINGS that move every window", most: 300_000, milliseconds: 40, start: open, piece: () => many(100, (i) => settingsFrame([INITIAL_WINDOW_SIZE, i % 2])) },
  { name: "PING flood", most: 400_000, milliseconds: 40, piece: () => many(200, () => frame(PING, 0, 0, Buffer.alloc(8))) },
  { name: "empty DATA flood", most: 300_000, milliseconds: 40, start: open, piece: () => many(200, () => frame(DATA, 0, 1)) },
  { name: "flood of DATA that is padding", most: 4_000_000, milliseconds: 40, start: open, piece: () => many(50, () => frame(DATA, PADDED, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)]))) },
  { name: "PRIORITY flood", most: 300_000, milliseconds: 40, piece: (turn) => many(200, (i) => frame(PRIORITY, 0, 1 + 2 * (200 * turn + i), Buffer.alloc(5))) },
  { name: "WINDOW_UPDATE flood", most: 300_000, milliseconds: 40, piece: () => many(200, () => frame(WINDOW_UPDATE, 0, 0, u32(1))) },
]

describe("ended for it, at a small price", () => {
  test.each(floods)("$name", async ({ start, piece, most, milliseconds }) => {
    const connections = 10
    const before = await calm()
    const cost = await attack(gateway, times(connections, async () => {
      const blocks = new Blocks()
      const peer = await gateway.connect()
      peer.socket.write(Buffer.concat([hello, start?.(blocks) ?? Buffer.alloc(0)]))
      return flood(peer, 10 * most, (turn) => piece(turn, blocks))
    }))
    expect((await calm()) - before).toBe(connections)
    // What the kernel has taken before the attacker hears of its end is said, but not read.
    expect(cost.octets).toBeLessThan(connections * (most + 4 * MB))
    expect(cost.milliseconds / connections).toBeLessThan(milliseconds)
    expect(cost.megabytes).toBeLessThan(128)
    await idle()
  })
})

test("HPACK bomb: one octet that stands for 4,000 is decoded up to the limit and no further", async () => {
  const connections = 10
  const before = await gateway.metric('limits_reached_total{limit="head-too-large"}')
  const each = 40
  const cost = await attack(gateway, times(connections, async () => {
    const peer = await gateway.connect()
    const blocks = new Blocks()
    // Put into the table once …
    peer.socket.write(Buffer.concat([hello, blocks.headers(1, request("/", ["x-bomb", "b".repeat(3_900)]), END_STREAM)]))
    let said = 0
    for (let turn = 0; turn < each; turn++) {
      // … and named 16,000 times: 64 MB of fields.
      const block = Buffer.concat([Buffer.from([0x82, 0x86, 0x84]), Buffer.alloc(16_000, 0xbe)])
      const octets = frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * turn, block)
      said += octets.length
      peer.socket.write(octets)
    }
    await eventually("all are answered", () => peer.isClosed || peer.heard.length > each * 10)
    await peer.hear("\x00\x00")
    peer.say("")
    peer.socket.write(frame(PING, 0, 0, Buffer.from("finished", "latin1")))
    await peer.hear("finished")
    peer.socket.destroy()
    return said
  }))
  expect((await gateway.metric('limits_reached_total{limit="head-too-large"}')) - before).toBe(connections * each)
  expect(cost.nanoseconds).toBeLessThan(1_000)
  expect(cost.megabytes).toBeLessThan(64)
})

test("window stalls: large answers asked for on every stream and not taken hold a read each, and only for a while", async () => {
  const connections = 4
  const streams = 128
  const before = await gateway.metric('limits_reached_total{limit="write-timeout"}')
  const cost = await attack(gateway, times(connections, async () => {
    const peer = await gateway.connect()
    const blocks = new Blocks()
    const octets = Buffer.concat([PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 0]), frame(SETTINGS, ACK, 0), many(streams, (i) => blocks.headers(1 + 2 * i, request("/large"), END_STREAM))])
    peer.socket.write(octets)
    // All of their heads, then nothing.
    await eventually("every stream is answered", () => peer.heard.split(HEAD).length > streams, 20_000)
    return octets.length
  }))
  // A read of a backend is 64 KiB.
  expect(cost.megabytes).toBeLessThan((2 * connections * streams * 65_536) / MB + 32)
  await idle()
  expect((await gateway.metric('limits_reached_total{limit="write-timeout"}')) - before).toBe(connections * streams)
})

test("the connection's window kept shut: streams of one client wait, those of others do not", async () => {
  const cost = await attack(gateway, times(4, async () => {
    const peer = await gateway.connect()
    const blocks = new Blocks()
    const octets = Buffer.concat([PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, MB]), frame(SETTINGS, ACK, 0), many(64, (i) => blocks.headers(1 + 2 * i, request("/large"), END_STREAM))])
    peer.socket.write(octets)
    await eventually("the window is used up", () => peer.heard.length > 65_535, 20_000)
    return octets.length
  }))
  expect(cost.served).toBeGreaterThanOrEqual(10)
  expect(cost.megabytes).toBeLessThan(96)
  await idle()
})
