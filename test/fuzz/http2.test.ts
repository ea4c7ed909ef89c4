/**
 * Octets that are nearly HTTP/2, against one connection each, in both roles. HEADGATE_FUZZ_SEED, HEADGATE_FUZZ_CASES and
 * HEADGATE_FUZZ_FROM choose the cases, as for HTTP/1.1.
 */
import { setImmediate } from "node:timers/promises"
import { expect, test } from "vitest"
import { Connection } from "../../gateway/http2/connection.ts"
import { Blocks, Recorder, fieldList, frame, framesIn, hello, post, request, settingsFrame, u32, type Fields } from "../../gateway/http2/fixture.ts"
import { ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { defaults } from "../../gateway/http2/settings.ts"
import { runs } from "../fixtures/runs.ts"
import { Random } from "./random.ts"

const setting = (name: string, otherwise: number): number => {
  const value = process.env[name]
  if (value === undefined || value === "") return otherwise
  if (!/^\d{1,9}$/.test(value)) throw new TypeError(`${name}: ${value} is not a number`)
  return Number(value)
}

const seed = setting("HEADGATE_FUZZ_SEED", 1)
const cases = setting("HEADGATE_FUZZ_CASES", runs(6_000))
const from = setting("HEADGATE_FUZZ_FROM", 0)
const isWhole = cases >= 6_000

const fieldsOf = (random: Random, isServer: boolean): Fields => {
  const base: Fields = isServer ? random.pick([request(`/${random.below(9)}`), post(), post(["content-length", `${random.below(30)}`])]) : [[":status", random.pick(["200", "204", "103", "101", "x"])]]
  const others = Array.from({ length: random.below(4) }, (): [string, string] => [random.pick(["x-a", "te", "cookie", "Upper", "connection", ":path", "x-b"]), random.pick(["1", "trailers", "v".repeat(200), "\r\n", ""])])
  return random.once(8) ? others : [...base, ...(random.once(4) ? others : [])]
}

/** A frame that is seldom right by chance. */
const wildFrame = (random: Random, stream: number, octets: Buffer): Buffer => {
  switch (random.below(7)) {
    case 0:
      return frame(HEADERS, PADDED | PRIORITIZED | END_HEADERS, stream, octets)
    case 1:
      return frame(WINDOW_UPDATE, 0, random.once(2) ? 0 : stream, u32(random.pick([0, 0x7fff_ffff])))
    case 2:
      return settingsFrame([random.below(8), random.pick([0, 1, 16_384, 0x7fff_ffff, 0xffff_ffff])])
    case 3:
      return frame(GOAWAY, 0, 0, Buffer.alloc(8))
    case 4:
      return frame(DATA, PADDED, stream, octets)
    case 5:
      return frame(random.pick([PUSH_PROMISE, CONTINUATION, PRIORITY]), random.below(256), stream, octets)
    default:
      return frame(random.below(12), random.below(256), random.pick([0, stream, 2, 0x7fff_ffff]), octets)
  }
}

/** A frame that might be right: mostly on a stream that might be open. */
const oneFrame = (random: Random, blocks: Blocks, next: { id: number }, isServer: boolean): readonly Buffer[] => {
  const latest = Math.max(1, next.id - 2)
  const stream = isServer ? random.mostly(4, [latest], [Math.max(1, latest - 2), Math.max(1, latest - 4)]) : 1 + 2 * random.below(5)
  const octets = (most: number): Buffer => Buffer.from(random.octets(random.below(most)), "latin1")
  if (random.once(40)) return [wildFrame(random, random.once(4) ? next.id : stream, octets(40))]
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2: {
      const id = isServer ? next.id : stream
      if (isServer) next.id += 2
      const block = blocks.block(fieldsOf(random, isServer))
      const end = random.once(2) ? END_STREAM : 0
      if (!random.once(3)) return [frame(HEADERS, end | END_HEADERS, id, block)]
      const cut = random.below(block.length + 1)
      return [frame(HEADERS, end, id, block.subarray(0, cut)), frame(CONTINUATION, random.once(40) ? 0 : END_HEADERS, id, block.subarray(cut))]
    }
    case 3:
      return [frame(HEADERS, END_HEADERS | END_STREAM, stream, blocks.block([["x-trailer", `${random.below(3)}`]]))]
    case 4:
    case 5:
      return [frame(DATA, random.once(3) ? END_STREAM : 0, stream, octets(random.once(9) ? 16_384 : 40))]
    case 6: {
      const padding = random.below(12)
      return [frame(DATA, PADDED, stream, Buffer.concat([Buffer.from([padding]), octets(20), Buffer.alloc(padding)]))]
    }
    case 7:
      return [frame(WINDOW_UPDATE, 0, random.once(2) ? 0 : stream, u32(random.pick([1, 1_000, 65_535])))]
    case 8:
      return [settingsFrame([random.pick([1, 3, 4, 6, 99]), random.pick([0, 1, 100, 4_096, 65_535])])]
    case 9:
      return [frame(PING, random.pick([0, ACK]), 0, Buffer.alloc(8))]
    case 10:
      return [frame(RST_STREAM, 0, stream, u32(random.below(16)))]
    default:
      return [random.once(2) ? frame(SETTINGS, ACK, 0) : frame(PRIORITY, 0, stream, [0, 0, 0, 99, 1])]
  }
}

/** A few octets changed, left out, put in twice. */
const mutated = (random: Random, octets: Buffer): Buffer => {
  const copy = Buffer.from(octets)
  for (let i = random.below(4); i > 0 && copy.length > 0; i--) copy[random.below(copy.length)] = random.below(256)
  if (!random.once(3)) return copy
  const [a, b] = [random.below(copy.length + 1), random.below(copy.length + 1)]
  return random.once(2) ? Buffer.concat([copy.subarray(0, Math.min(a, b)), copy.subarray(Math.max(a, b))]) : Buffer.concat([copy.subarray(0, a), copy.subarray(b)])
}

const streamOf = (random: Random, isServer: boolean): Buffer => {
  const blocks = new Blocks()
  const next = { id: 1 }
  const frames = Array.from({ length: 1 + random.below(30) }, () => oneFrame(random, blocks, next, isServer)).flat()
  const greeting = isServer ? hello : hello.subarray(PREFACE.length)
  // Half are left as they are, so that the states behind are reached too.
  return random.once(2) ? Buffer.concat([greeting, ...frames]) : random.once(20) ? mutated(random, Buffer.concat([greeting, ...frames])) : Buffer.concat([greeting, mutated(random, Buffer.concat(frames))])
}

/** An owner that answers, gives up, and calls back in, as the case says. */
const ownerOf = (random: Random, isServer: boolean): Recorder => {
  const owner = new Recorder()
  const { onRequest, onData, onWritable } = owner
  const body = Buffer.alloc(30_000)
  const act = (stream: Parameters<Recorder["onRequest"]>[0]): void => {
    const { connection } = owner
    switch (random.below(9)) {
      case 0:
        return connection?.reset(stream, random.below(14))
      case 1:
        return connection?.sendHeaders(stream, fieldList([[":status", "200"]]), true)
      case 2:
        if (isServer) connection?.sendHeaders(stream, fieldList([[":status", "200"]]), false)
        connection?.sendData(stream, body, 0, random.below(body.length), random.once(2))
        return
      case 3:
        return connection?.consumed(stream, random.below(100_000))
      case 4:
        if (random.once(30)) connection?.drain()
        return
      default:
    }
  }
  owner.isConsuming = random.once(2)
  owner.onRequest = (stream, fields, head, isEnd) => {
    onRequest.call(owner, stream, fields, head, isEnd)
    act(stream)
  }
  owner.onData = (stream, octets, start, end, isEnd) => {
    onData.call(owner, stream, octets, start, end, isEnd)
    act(stream)
  }
  owner.onWritable = (stream) => {
    onWritable.call(owner, stream)
    act(stream)
  }
  return owner
}

const listener = (): Recorder => {
  const owner = new Recorder()
  owner.isConsuming = false
  return owner
}

interface Played {
  readonly log: readonly string[]
  readonly output: Buffer
  readonly connection: Connection<string>
}

const play = (isServer: boolean, octets: Buffer, cuts: readonly number[], owner: Recorder): Played => {
  const connection = (owner.connection = new Connection<string>(isServer, { ...defaults, concurrentStreams: 8, continuations: 4 }, owner))
  const outputs: Buffer[] = [connection.takeOutput()]
  if (!isServer) for (let i = 0; i < 5; i++) connection.open(fieldList(i % 2 === 0 ? request() : post()), i % 2 === 0, "")
  let start = 0
  for (const to of [...cuts, octets.length]) {
    connection.receive(octets, start, to, 0)
    expect(connection.pendingOctets).toBeLessThan(1_000_000)
    expect(connection.heldOctets).toBeLessThan(200_000)
    expect(connection.streamCount).toBeLessThanOrEqual(8)
    outputs.push(Buffer.from(connection.takeOutput()))
    connection.onFlushed()
    start = to
  }
  outputs.push(Buffer.from(connection.takeOutput()))
  return { log: owner.log, output: Buffer.concat(outputs), connection }
}

/** What a peer may hold against our output: frames that are none, and streams said two ends of. */
const wrongIn = (output: Buffer): readonly string[] => {
  const wrong: string[] = []
  const ended = new Map<number, string>()
  let at = output.subarray(0, PREFACE.length).equals(PREFACE) ? PREFACE.length : 0
  while (at < output.length) {
    if (at + 9 > output.length || at + 9 + output.readUIntBE(at, 3) > output.length) return [...wrong, "half a frame"]
    at += 9 + output.readUIntBE(at, 3)
  }
  for (const { type, flags, stream, payload } of framesIn(output)) {
    if (payload.length > 16_384) wrong.push("a frame too long")
    if (type !== HEADERS && type !== DATA && type !== RST_STREAM) continue
    const before = ended.get(stream)
    if (before === "reset" || (before === "end" && type !== RST_STREAM)) {
      // A frame for a stream we do not know any more may be answered by a reset again.
      if (type !== RST_STREAM) wrong.push(`${type} on stream ${stream} after its ${before}`)
    }
    if (type === RST_STREAM) ended.set(stream, "reset")
    else if ((flags & END_STREAM) !== 0) ended.set(stream, "end")
  }
  return wrong
}

test(
  `${cases} streams of frames, right and mutated (seed ${seed}), crash, hang and bloat nothing, in both roles and in whatever pieces`,
  async () => {
    let whole = 0
    let events = 0
    const began = process.memoryUsage().heapUsed
    for (let index = from; index < from + cases; index++) {
      if (index % 1_000 === 0) await setImmediate()
      const random = new Random(seed, index)
      const isServer = !random.once(3)
      const octets = streamOf(random, isServer)
      const cuts = Array.from({ length: random.below(6) }, () => random.below(octets.length)).toSorted((a, b) => a - b)
      const name = `HEADGATE_FUZZ_SEED=${seed} HEADGATE_FUZZ_FROM=${index} HEADGATE_FUZZ_CASES=1`
      try {
        const { log, output, connection } = play(isServer, octets, cuts, ownerOf(random, isServer))
        expect(wrongIn(output)).toEqual([])
        // Cut or not, an owner that only listens hears the same, and the peer is answered the same.
        const [inPieces, atOnce] = [cuts, []].map((at) => play(isServer, octets, at, listener()))
        expect(inPieces?.log).toEqual(atOnce?.log)
        expect(inPieces?.output.equals(atOnce?.output ?? Buffer.alloc(0))).toBe(true)
        events += log.length
        if (!connection.isFailed) whole++
        // After its end nothing is left.
        connection.close()
        expect([connection.streamCount, connection.waitingStreams]).toEqual([0, 0])
      } catch (error) {
        throw new Error(`${name}\n${octets.toString("hex")}\n${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
    }
    if (!isWhole) return
    expect(process.memoryUsage().heapUsed - began).toBeLessThan(200_000_000)
    expect(whole / cases).toBeGreaterThan(0.03)
    expect(events / cases).toBeGreaterThan(2)
    console.log(`${cases} cases of seed ${seed}: ${((whole / cases) * 100).toFixed(1)} % without a connection error, ${(events / cases).toFixed(1)} events each`)
  },
  60_000 + 10 * cases,
)
