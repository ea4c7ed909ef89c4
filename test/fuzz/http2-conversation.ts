/** What a client of HTTP/2 says that keeps to the rules, with a fault or two put in: so that readers get far enough to part. */
import { Blocks, frame, hello, post, request, settingsFrame, u32, type Fields } from "../../gateway/http2/fixture.ts"
import { ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITIZED, PRIORITY, RST_STREAM, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { wildFrame } from "./http2-generate.ts"
import type { Random } from "./random.ts"

/** An open stream: what of its content is still to come; -1: nobody said. */
interface Open {
  readonly id: number
  left: number
}

class Client {
  readonly #random: Random
  readonly #blocks = new Blocks()
  readonly #open: Open[] = []
  #next = 1

  constructor(random: Random) {
    this.#random = random
  }

  get next(): number {
    return this.#next
  }

  octets(most: number): Buffer {
    return Buffer.from(this.#random.octets(this.#random.below(most)), "latin1")
  }

  frames(): readonly Buffer[] {
    const random = this.#random
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#request()
      case 4:
      case 5:
        return this.#data()
      case 6:
        return this.#trailers()
      case 7:
        return [frame(WINDOW_UPDATE, 0, this.#some()?.id ?? 0, u32(1 + random.below(1_000)))]
      case 8:
        return [settingsFrame(...Array.from({ length: random.below(3) }, () => random.pick<readonly [number, number]>([[1, random.below(5_000)], [3, random.below(200)], [4, random.below(100_000)], [5, 16_384 + random.below(100)], [6, 5_000], [2, 0], [random.pick([7, 10, 99, 0xffff]), random.below(9)]])))]
      case 9:
        return [frame(PING, 0, 0, Buffer.alloc(8, random.below(256)))]
      case 10:
        return this.#reset()
      default:
        return [random.once(2) ? frame(11 + random.below(240), random.below(256), random.pick([0, 1, 2, this.#next + 100]), this.octets(30)) : frame(PRIORITY, 0, this.#next + 2 * random.below(9), [0, 0, 0, 0, random.below(256)])]
    }
  }

  #some(): Open | undefined {
    return this.#open[this.#random.below(this.#open.length)]
  }

  #close({ id }: Open): void {
    this.#open.splice(this.#open.findIndex((open) => open.id === id), 1)
  }

  /** HEADERS and what continues them, in one of the forms they may have. */
  head(id: number, fields: Fields, flags: number): readonly Buffer[] {
    const random = this.#random
    let block = this.#blocks.block(fields)
    let more = 0
    if (random.once(5)) {
      more |= PRIORITIZED
      block = Buffer.concat([Buffer.from([0, 0, 0, 0, random.below(256)]), block])
    }
    if (random.once(3)) {
      const at = (more & PRIORITIZED) === 0 ? random.below(block.length + 1) : 5 + random.below(block.length - 4)
      const pieces = random.once(2) ? [block.subarray(at)] : [block.subarray(at, at), block.subarray(at)]
      return [this.#padded(HEADERS, flags | more, id, block.subarray(0, at)), ...pieces.map((piece, i) => frame(CONTINUATION, i + 1 === pieces.length ? END_HEADERS : 0, id, piece))]
    }
    return [this.#padded(HEADERS, flags | more | END_HEADERS, id, block)]
  }

  #padded(type: number, flags: number, id: number, payload: Buffer): Buffer {
    if (!this.#random.once(4)) return frame(type, flags, id, payload)
    const padding = this.#random.below(20)
    return frame(type, flags | PADDED, id, Buffer.concat([Buffer.from([padding]), payload, Buffer.alloc(padding)]))
  }

  #request(): readonly Buffer[] {
    const random = this.#random
    const id = this.#next
    this.#next += 2
    const others = Array.from({ length: random.below(4) }, () => random.pick<Fields[number]>([["x-a", `${random.below(5)}`], ["x-b", random.octets(random.below(30)).replaceAll(/[\0-\x08\x0a-\x1f\x7f]|^[ \t]+|[ \t]+$/g, "x")], ["te", "trailers"], ["cookie", `a=${random.below(9)}`], ["cookie", "b=".padEnd(30, "c")], ["accept", "*/*"], ["authorization", "x"], ["user-agent", "y".repeat(random.below(300))]]))
    if (random.once(2)) return this.head(id, random.once(9) ? [[":method", random.pick(["HEAD", "DELETE", "PROPFIND"])], [":path", random.pick(["/a?b", "/%41", "/;x"])], [":scheme", "http"], [":authority", random.pick(["a", "a.test:80", "[::1]:8080"])], ...others] : request(`/${random.below(9)}`, ...others), END_STREAM)
    const left = random.once(2) ? random.below(40) : -1
    this.#open.push({ id, left })
    return this.head(id, post(...others, ...(left < 0 ? [] : [["content-length", String(left)] as const])), 0)
  }

  #data(): readonly Buffer[] {
    const open = this.#some()
    if (open === undefined) return this.#request()
    const random = this.#random
    const content = this.octets(random.once(20) ? 3_000 : 30).subarray(0, open.left < 0 ? undefined : open.left)
    if (open.left >= 0) open.left -= content.length
    const isEnd = open.left <= 0 && random.once(2)
    if (isEnd) this.#close(open)
    return [this.#padded(DATA, isEnd ? END_STREAM : 0, open.id, content)]
  }

  #trailers(): readonly Buffer[] {
    const open = this.#some()
    if (open === undefined || open.left > 0) return this.#data()
    this.#close(open)
    return this.head(open.id, this.#random.once(2) ? [["x-more", "y"]] : [["x-sum", `${this.#random.below(9)}`], ["x-more", "y"]], END_STREAM)
  }

  #reset(): readonly Buffer[] {
    const open = this.#some()
    if (open === undefined) return this.#request()
    this.#close(open)
    return [frame(RST_STREAM, 0, open.id, u32(this.#random.pick([0, 8, 5, 99])))]
  }
}

type Fault = (random: Random, client: Client, frames: readonly Buffer[]) => readonly Buffer[]

const strangeFields: readonly [Fields[number], ...Fields[number][]] = [
  ["connection", "close"], ["transfer-encoding", "chunked"], ["upgrade", "h2c"], ["keep-alive", "1"], ["proxy-connection", "x"], ["te", "gzip"], ["te", "Trailers"], ["Upper", "x"], ["", "x"], ["a b", "x"], ["x\r\ny", "x"], ["x", "a\r\nb"], ["x", "a\nb"], ["x", "a\0b"], ["x", " a"], ["x", "a\t"], ["x", "a\x01b"], ["x", "a\x7fb"],
  ["x\xe9", "x"], ["content-length", "5"], ["content-length", "0"], ["content-length", "-1"], ["content-length", "1, 1"], ["content-length", ""], ["host", "a"], ["host", "b"], ["host", "A"], [":path", "/other"], [":status", "200"], [":unknown", "x"], [":protocol", "websocket"], [":", "x"], ["x:y", "z"], ["content-length", "99999999999999999999"], ["content-length", "9999999999999999"], ["content-length", "005"],
]
const strangeStarts: readonly [Fields, ...Fields[]] = [
  [[":method", "GET"], [":path", "/"]], [[":method", "GET"], [":scheme", "http"], [":path", "/"]], [[":scheme", "http"], [":authority", "a"], [":path", "/"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", ""]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "x"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "*"]],
  [[":method", "OPTIONS"], [":scheme", "http"], [":authority", "a"], [":path", "*"]], [[":method", ""], [":scheme", "http"], [":authority", "a"], [":path", "/"]], [[":method", "G T"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], [[":method", "GET"], [":scheme", "ftp"], [":authority", "a"], [":path", "/"]], [[":method", "GET"], [":scheme", ""], [":authority", "a"], [":path", "/"]], [[":method", "GET"], [":scheme", "http"], [":authority", ""], [":path", "/"]],
  [[":method", "GET"], [":scheme", "http"], [":authority", "u@a"], [":path", "/"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a/b"], [":path", "/"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/a b"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/\xe9"]], [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/#x"]],
  [[":method", "CONNECT"], [":authority", "a:1"]], [[":method", "CONNECT"], [":scheme", "http"], [":authority", "a:1"], [":path", "/"]], [[":method", "GET"], ["x", "y"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], [[":method", "GET"], [":scheme", "HTTPS"], [":authority", "a"], [":path", "/"]], [[":method", `${"M".repeat(40)}`], [":scheme", "http"], [":authority", "a"], [":path", "/"]],
]

const inserted = (frames: readonly Buffer[], at: number, ...more: readonly Buffer[]): readonly Buffer[] => [...frames.slice(0, at), ...more, ...frames.slice(at)]

/** A request at the end: its fields come out of the table as it is there. */
const faults: readonly [Fault, ...Fault[]] = [
  (random, client, frames) => [...frames, ...client.head(client.next, [...(random.once(2) ? request() : post()), random.pick(strangeFields)], random.once(2) ? END_STREAM : 0)],
  (random, client, frames) => [...frames, ...client.head(client.next, random.pick(strangeStarts), END_STREAM)],
  (random, client, frames) => [...frames, ...client.head(client.next, post(), 0), ...client.head(client.next, [["x", "y"], random.pick(strangeFields)], random.once(9) ? 0 : END_STREAM)],
  (random, client, frames) => {
    const said = random.below(9)
    return [...frames, ...client.head(client.next, post(["content-length", String(said)]), 0), frame(DATA, END_STREAM, client.next, client.octets(9))]
  },
  (random, client, frames) => inserted(frames, random.below(frames.length + 1), wildFrame(random, random.pick([client.next, Math.max(1, client.next - 2), 1]), client.octets(40))),
  (random, client, frames) => inserted(frames, random.below(frames.length + 1), frame(random.pick([DATA, HEADERS, WINDOW_UPDATE, RST_STREAM]), random.pick([0, END_STREAM, END_HEADERS]), 1 + 2 * random.below(client.next), u32(random.below(3)))),
  (random, _client, frames) => frames.filter((_, i) => i !== random.below(frames.length)),
  (random, _client, frames) => inserted(frames, random.below(frames.length + 1), frames[random.below(frames.length)] ?? Buffer.alloc(0)),
  (random, _client, frames) => {
    const chosen = random.below(frames.length)
    return frames.map((octets, i) => {
      if (i !== chosen) return octets
      const copy = Buffer.from(octets)
      copy[random.once(3) ? random.below(9) : random.below(copy.length)] = random.below(256)
      return copy
    })
  },
  (random, _client, frames) => {
    const [a, b] = [random.below(frames.length), random.below(frames.length)]
    return frames.map((octets, i) => frames[i === a ? b : i === b ? a : i] ?? octets)
  },
  (random, client, frames) => [...frames, frame(HEADERS, END_HEADERS | END_STREAM, client.next, random.once(2) ? client.octets(40) : Buffer.concat([Buffer.from([0x82, 0x86, 0x84, 0x41, 1, 97]), client.octets(6)]))],
  (random, _client, frames) => [...frames, frame(PING, ACK, 0, Buffer.alloc(8)), settingsFrame([random.below(8), random.pick([0, 1, 2, 16_383, 16_384, 0xff_ffff, 0x100_0000, 0x7fff_ffff, 0x8000_0000])])],
]

/** Preface, SETTINGS, their acknowledgement, frames. A quarter has no fault, most have one. */
export const conversationOf = (random: Random): Buffer => {
  const client = new Client(random)
  let frames: readonly Buffer[] = Array.from({ length: 1 + random.below(12) }, () => client.frames()).flat()
  for (let n = random.once(4) ? 0 : random.once(5) ? 2 : 1; n > 0; n--) frames = random.pick(faults)(random, client, frames)
  return Buffer.concat([hello, ...frames])
}
