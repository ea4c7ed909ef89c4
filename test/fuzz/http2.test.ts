/**
 * Octets that are nearly HTTP/2, against one connection each, in both roles: what holds whatever they mean. chosen.ts says
 * which cases.
 */
import { setImmediate } from "node:timers/promises"
import { expect, test } from "vitest"
import { Connection } from "../../gateway/http2/connection.ts"
import { Recorder, fieldList, framesIn, post, request } from "../../gateway/http2/fixture.ts"
import { DATA, END_STREAM, HEADERS, PREFACE, RST_STREAM } from "../../gateway/http2/frame.ts"
import { defaults } from "../../gateway/http2/settings.ts"
import { chosen } from "./chosen.ts"
import { streamOf } from "./http2-generate.ts"
import { Random } from "./random.ts"

const { seed, cases, from, isWhole, replay } = chosen(4_000)

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
        throw new Error(`${replay(index)}\n${octets.toString("hex")}\n${error instanceof Error ? error.message : String(error)}`, { cause: error })
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
