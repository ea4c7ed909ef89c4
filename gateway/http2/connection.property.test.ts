import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { CANCEL } from "./error-code.ts"
import { Blocks, Scene, fieldList, frame, hello, post, request, settingsFrame, u32 } from "./fixture.ts"
import { CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITIZED, PRIORITY, RST_STREAM, WINDOW_UPDATE } from "./frame.ts"
import { INITIAL_WINDOW_SIZE } from "./settings.ts"

const text = (content: string): Buffer => Buffer.from(content, "latin1")

/** Every kind of frame, several streams at once, and what is not for us. */
const conversation = (): Buffer => {
  const blocks = new Blocks()
  const first = blocks.block(post(["x-long", "v".repeat(300)], ["te", "trailers"]))
  return Buffer.concat([
    hello,
    frame(HEADERS, 0, 1, first.subarray(0, 10)),
    frame(CONTINUATION, 0, 1, first.subarray(10, 30)),
    frame(CONTINUATION, END_HEADERS, 1, first.subarray(30)),
    frame(PING, 0, 0, text("12345678")),
    frame(DATA, 0, 1, text("hello")),
    frame(77, 3, 5, text("unknown")),
    frame(HEADERS, PADDED | PRIORITIZED | END_HEADERS | END_STREAM, 3, Buffer.concat([Buffer.from([3]), u32(1), Buffer.from([9]), blocks.block(request("/three")), Buffer.alloc(3)])),
    frame(DATA, PADDED, 1, Buffer.concat([Buffer.from([4]), text("padded"), Buffer.alloc(4)])),
    frame(DATA, PADDED, 1, [2, 0, 0]),
    frame(DATA, PADDED, 1, [0]),
    frame(WINDOW_UPDATE, 0, 0, u32(1_000)),
    settingsFrame([INITIAL_WINDOW_SIZE, 10], [3, 9]),
    frame(PRIORITY, 0, 9, Buffer.alloc(5)),
    blocks.headers(1, [["x-sum", "1"]], END_STREAM),
    blocks.headers(5, post(["content-length", "3"]), 0),
    frame(DATA, END_STREAM, 5, text("abc")),
    blocks.headers(7, post(), 0),
    frame(DATA, END_STREAM | PADDED, 7, [1, 0]),
    blocks.headers(9, post(), 0),
    frame(RST_STREAM, 0, 9, u32(CANCEL)),
    blocks.headers(11, [[":method", "GET"]], END_STREAM),
    blocks.headers(13, post(["content-length", "1"]), 0),
    frame(DATA, END_STREAM, 13, text("too much")),
  ])
}

const play = (octets: Buffer, cuts: readonly number[]): readonly unknown[] => {
  const scene = new Scene()
  let from = 0
  for (const to of [...cuts, octets.length]) {
    // As from a socket whose reads all go to one place: what was read before is gone.
    const piece = Buffer.from(octets.subarray(from, to))
    scene.receive(piece)
    piece.fill(0x55)
    from = to
  }
  return [scene.owner.log, scene.sent(), scene.connection.heldOctets]
}

describe("the same octets are the same events and the same answers", () => {
  const octets = conversation()
  const whole = play(octets, [])

  test("which are these", () => {
    expect(whole[0]).toEqual([
      `request 1 :method=POST :scheme=http :authority=a :path=/ x-long=${"v".repeat(300)} te=trailers`,
      "data 1 hello",
      "request 3 :method=GET :scheme=http :authority=a :path=/three end",
      "data 1 padded",
      "trailers 1 x-sum=1",
      "request 5 :method=POST :scheme=http :authority=a :path=/ content-length=3",
      "data 5 abc",
      "end 5",
      "request 7 :method=POST :scheme=http :authority=a :path=/",
      "data 7 ",
      "end 7",
      "request 9 :method=POST :scheme=http :authority=a :path=/",
      "reset 9 CANCEL by peer",
      "refused pseudo-missing",
      "request 13 :method=POST :scheme=http :authority=a :path=/ content-length=1",
      "reset 13 PROTOCOL_ERROR",
    ])
    expect(whole.slice(1)).toEqual([["SETTINGS", "WINDOW_UPDATE 0 983041", "SETTINGS ack", "PING ack", "SETTINGS ack", "RST_STREAM 11 PROTOCOL_ERROR", "RST_STREAM 13 PROTOCOL_ERROR"], 0])
  })

  test("cut anywhere in two", () => {
    for (let cut = 1; cut < octets.length; cut++) expect(play(octets, [cut]), `cut at ${cut}`).toEqual(whole)
  })

  test("octet by octet", () => {
    expect(play(octets, Array.from({ length: octets.length - 1 }, (_, i) => i + 1))).toEqual(whole)
  })

  test("cut anywhere, often", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: octets.length - 1 }), { maxLength: 40 }), (cuts) => {
        expect(play(octets, cuts.toSorted((a, b) => a - b))).toEqual(whole)
      }),
      { numRuns: runs(100) },
    )
  })
})

test("windows: what goes out never exceeds them, whatever the peer does to them, and all of it goes out once they allow", () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant("offer" as const), stream: fc.integer({ min: 0, max: 2 }), octets: fc.integer({ min: 1, max: 40_000 }) }),
    fc.record({ kind: fc.constant("stream" as const), stream: fc.integer({ min: 0, max: 2 }), octets: fc.integer({ min: 1, max: 50_000 }) }),
    fc.record({ kind: fc.constant("connection" as const), stream: fc.constant(0), octets: fc.integer({ min: 1, max: 50_000 }) }),
    fc.record({ kind: fc.constant("initial" as const), stream: fc.constant(0), octets: fc.integer({ min: 0, max: 60_000 }) }),
    fc.record({ kind: fc.constant("take" as const), stream: fc.constant(0), octets: fc.constant(0) }),
  )
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), fc.integer({ min: 1_000, max: 200_000 }), (actions, outputOctets) => {
      const scene = Scene.greeted(true, { outputOctets })
      for (const id of [1, 3, 5]) scene.request(id, request(), END_STREAM)
      const streams = [...scene.owner.streams.values()]
      for (const stream of streams) scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
      const offered = [0, 0, 0]
      const sent = [0, 0, 0]
      const body = Buffer.alloc(3_000_000)
      const send = (i: number): void => {
        const stream = streams[i]
        if (stream !== undefined) sent[i] = scene.connection.sendData(stream, body, sent[i] ?? 0, offered[i] ?? 0, false)
      }
      scene.owner.onWritable = ({ id }) => send((id - 1) / 2)
      // The peer's own account of its windows, and what it has seen of ours.
      let initial = 65_535
      let connection = 65_535
      const windows = [65_535, 65_535, 65_535]
      const seen = [0, 0, 0]
      const take = (): void => {
        for (const { type, stream, payload } of scene.take()) {
          if (type !== DATA) continue
          const i = (stream - 1) / 2
          connection -= payload.length
          windows[i] = (windows[i] ?? 0) - payload.length
          seen[i] = (seen[i] ?? 0) + payload.length
          expect(payload.length).toBeLessThanOrEqual(16_384)
        }
        expect(connection).toBeGreaterThanOrEqual(0)
        expect([connection, windows]).toEqual([scene.connection.sendWindow, streams.map((stream) => stream.sendWindow)])
        scene.connection.onFlushed()
      }
      for (const { kind, stream, octets } of actions) {
        if (kind === "offer") {
          offered[stream] = (offered[stream] ?? 0) + octets
          send(stream)
        } else if (kind === "stream") {
          windows[stream] = (windows[stream] ?? 0) + octets
          scene.receive(frame(WINDOW_UPDATE, 0, 1 + 2 * stream, u32(octets)))
        } else if (kind === "connection") {
          connection += octets
          scene.receive(frame(WINDOW_UPDATE, 0, 0, u32(octets)))
        } else if (kind === "initial") {
          // What is under way was sent before the peer's change came.
          take()
          for (let i = 0; i < 3; i++) windows[i] = (windows[i] ?? 0) + octets - initial
          initial = octets
          scene.receive(settingsFrame([INITIAL_WINDOW_SIZE, octets]))
        } else take()
        expect(scene.connection.pendingOctets).toBeLessThanOrEqual(Math.max(outputOctets, 200) + 200)
      }
      // Open everything: all that was offered arrives.
      take()
      connection += 10_000_000
      for (let i = 0; i < 3; i++) windows[i] = (windows[i] ?? 0) + 10_000_000
      scene.receive(frame(WINDOW_UPDATE, 0, 0, u32(10_000_000)))
      for (const id of [1, 3, 5]) scene.receive(frame(WINDOW_UPDATE, 0, id, u32(10_000_000)))
      for (let rounds = 0; scene.connection.pendingOctets > 0; rounds++) {
        take()
        expect(rounds).toBeLessThan(100_000)
      }
      expect(seen).toEqual(offered)
      expect([scene.connection.isFailed, scene.connection.waitingStreams]).toEqual([false, 0])
    }),
    { numRuns: runs(100) },
  )
})

test("windows: what came in may come in again once it was consumed or let go of, however its stream ended", () => {
  const connectionWindow = 100_000
  const action = fc.record({
    kind: fc.constantFrom("open", "data", "data", "data", "last", "answer", "consume", "let go", "peer resets"),
    pick: fc.nat(),
    octets: fc.integer({ min: 0, max: 16_000 }),
    padding: fc.constantFrom(0, 0, 1, 256),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
      const scene = Scene.greeted(true, { streamWindow: 70_000, connectionWindow })
      scene.owner.isConsuming = false
      // The peer's own account: what it may send, and of which streams it has not said the end.
      let connection = connectionWindow
      const windows = new Map<number, number>()
      const speaking = new Set<number>()
      let next = 1
      const take = (): void => {
        for (const { type, stream, payload } of scene.take()) {
          if (type === RST_STREAM) speaking.delete(stream)
          if (type !== WINDOW_UPDATE) continue
          if (stream === 0) connection += payload.readUInt32BE()
          else windows.set(stream, (windows.get(stream) ?? 0) + payload.readUInt32BE())
        }
        expect(connection).toBeLessThanOrEqual(connectionWindow)
      }
      const say = (id: number, octets: number, padding: number, isLast: boolean): void => {
        const size = Math.min(octets + padding, connection, windows.get(id) ?? 0)
        if (!speaking.has(id) || size <= padding) return
        const payload = padding === 0 ? Buffer.alloc(size) : Buffer.concat([Buffer.from([padding - 1]), Buffer.alloc(size - 1)])
        connection -= size
        windows.set(id, (windows.get(id) ?? 0) - size)
        if (isLast) speaking.delete(id)
        scene.receive(frame(DATA, (padding === 0 ? 0 : PADDED) | (isLast ? END_STREAM : 0), id, payload))
      }
      for (const { kind, pick, octets, padding } of actions) {
        const ids = [...scene.owner.streams.keys()]
        const stream = scene.owner.streams.get(ids[pick % Math.max(1, ids.length)] ?? 0)
        if (kind === "open") {
          windows.set(next, 70_000)
          speaking.add(next)
          scene.request(next, post(), 0)
          next += 2
        } else if (stream === undefined) continue
        else if (kind === "data" || kind === "last") say(stream.id, octets, padding, kind === "last")
        else if (kind === "answer") scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), true)
        else if (kind === "consume") scene.connection.consumed(stream, octets)
        else if (kind === "let go") scene.connection.reset(stream, CANCEL)
        else if (!stream.isClosed) {
          speaking.delete(stream.id)
          scene.receive(frame(RST_STREAM, 0, stream.id, u32(CANCEL)))
        }
        take()
      }
      for (const stream of scene.owner.streams.values()) scene.connection.reset(stream, CANCEL)
      take()
      // What was given back is announced with the half of the window: then all of it must be open again.
      scene.request(next, post(), 0)
      const stream = scene.owner.streams.get(next)
      if (stream === undefined) throw new Error("no stream")
      for (let before = connection; connection <= before; take()) {
        before = connection -= Math.min(10_000, connection)
        scene.receive(frame(DATA, 0, next, Buffer.alloc(10_000)))
        expect(scene.connection.isFailed).toBe(false)
        scene.connection.consumed(stream, 10_000)
      }
      expect(connection).toBe(connectionWindow)
    }),
    { numRuns: runs(200) },
  )
})
