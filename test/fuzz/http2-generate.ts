/** Octets of one side of an HTTP/2 connection that are mostly right, and wrong in frames, fields, order or single octets. */
import { Blocks, frame, hello, post, request, settingsFrame, u32, type Fields } from "../../gateway/http2/fixture.ts"
import { ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import type { Random } from "./random.ts"

const fieldsOf = (random: Random, isServer: boolean): Fields => {
  const base: Fields = isServer ? random.pick([request(`/${random.below(9)}`), post(), post(["content-length", `${random.below(30)}`])]) : [[":status", random.pick(["200", "204", "103", "101", "x"])]]
  const others = Array.from({ length: random.below(4) }, (): [string, string] => [random.pick(["x-a", "te", "cookie", "Upper", "connection", ":path", "x-b"]), random.pick(["1", "trailers", "v".repeat(200), "\r\n", ""])])
  return random.once(8) ? others : [...base, ...(random.once(4) ? others : [])]
}

/** A frame that is seldom right by chance. */
export const wildFrame = (random: Random, stream: number, octets: Buffer): Buffer => {
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

/** What one side of a connection says: preface (a client's), SETTINGS, frames; half of it damaged. */
export const streamOf = (random: Random, isServer: boolean): Buffer => {
  const blocks = new Blocks()
  const next = { id: 1 }
  const frames = Array.from({ length: 1 + random.below(30) }, () => oneFrame(random, blocks, next, isServer)).flat()
  const greeting = isServer ? hello : hello.subarray(PREFACE.length)
  // Half are left as they are, so that the states behind are reached too.
  return random.once(2) ? Buffer.concat([greeting, ...frames]) : random.once(20) ? mutated(random, Buffer.concat([greeting, ...frames])) : Buffer.concat([greeting, mutated(random, Buffer.concat(frames))])
}
