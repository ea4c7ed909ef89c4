/** Requests whose field blocks (RFC 7541) use every representation an encoder may choose, and some that none would; some are damaged. */
import { frame, hello } from "../../gateway/http2/fixture.ts"
import { END_HEADERS, END_STREAM, HEADERS } from "../../gateway/http2/frame.ts"
import { DynamicTable } from "../../gateway/http2/hpack/dynamic-table.ts"
import { huffmanEncode, huffmanLength } from "../../gateway/http2/hpack/huffman.ts"
import { staticNames } from "../../gateway/http2/hpack/static-table.ts"
import type { Random } from "./random.ts"

/** The form of a literal, and the mask of its prefix: with indexing, without, never (§6.2). */
const forms: readonly [readonly [number, number], ...(readonly [number, number])[]] = [[0x40, 0x3f], [0x00, 0x0f], [0x10, 0x0f]]

/** §5.1. Once in a while with zeros that add nothing. */
const integer = (random: Random, form: number, mask: number, value: number): Buffer => {
  const octets: number[] = []
  if (value < mask) return Buffer.from([form | value])
  octets.push(form | mask)
  let rest = value - mask
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) octets.push((rest & 0x7f) | 0x80)
  if (random.once(12)) octets.push(rest | 0x80, ...Array<number>(random.below(3)).fill(0x80), 0)
  else octets.push(rest)
  return Buffer.from(octets)
}

/** §5.2 */
const string = (random: Random, text: string): Buffer => {
  if (random.once(2)) return Buffer.concat([integer(random, 0, 0x7f, text.length), Buffer.from(text, "latin1")])
  const octets = Buffer.alloc(huffmanLength(text) + 8)
  const length = huffmanEncode(text, octets, 0)
  // A padding that is no prefix of EOS, or too long, once in a while (§5.2).
  if (random.once(400) && length > 0) octets[length - 1] = (octets[length - 1] ?? 0) ^ 1
  const more = random.once(400) ? 1 : 0
  if (more === 1) octets[length] = 0xff
  return Buffer.concat([integer(random, 0x80, 0x7f, length + more), octets.subarray(0, length + more)])
}

const wordOf = (random: Random): string => random.pick(["a", "b", "x-long-name-of-a-field", "accept", "1", "", "v".repeat(random.below(200)), "\xe9\xff", "0123456789", "!#$%&'*+-.^_`|~", "text/html; q=0.5", "Huffman's EOS"])

const STATIC = 61
/** Fields whose value may be anything. */
const free: readonly [number, ...number[]] = [15, 16, 19, 24, 31, 33, 50, 51, 58, 60]

class Encoder {
  readonly #random: Random
  /** What the peer's table holds, as far as nothing was damaged. */
  readonly #table = new DynamicTable(4_096)

  constructor(random: Random) {
    this.#random = random
  }

  block(): Buffer {
    const random = this.#random
    const parts: Buffer[] = []
    for (let n = random.once(6) ? 1 + random.below(3) : 0; n > 0; n--) {
      const octets = random.mostly(30, [0, 64, 100, 200, 4_096, 4_096, 4_096], [4_097, 65_536, 0x7fff_ffff])
      this.#table.resize(octets)
      parts.push(integer(random, 0x20, 0x1f, octets))
    }
    parts.push(this.#pseudo(2, ":method", "GET"), this.#pseudo(6, ":scheme", "http"), this.#pseudo(4, ":path", "/"), this.#literal(random.once(2) ? 1 : 0, ":authority", "a"))
    for (let n = random.below(8); n > 0; n--) parts.push(this.#field())
    return Buffer.concat(parts)
  }

  #field(): Buffer {
    const random = this.#random
    if (random.once(100)) return integer(random, 0x80, 0x7f, random.pick([0, STATIC + this.#table.count + 1, 200, 0xfff_ffff, 0xffff_ffff, 2 ** 40]))
    const known = random.below(this.#table.count + 1)
    const name = known === 0 ? "" : this.#table.name(this.#table.newest - known + 1)
    if (name !== "" && !name.startsWith(":")) return random.once(2) ? integer(random, 0x80, 0x7f, STATIC + known) : this.#literal(STATIC + known, name, wordOf(random))
    if (random.once(3)) {
      const index = random.pick(free)
      return this.#literal(index, staticNames[index] ?? "", wordOf(random))
    }
    return this.#literal(0, random.mostly(60, ["x-a", "x-b", "x-long-name-of-a-field", "cookie", "accept"], ["x", "Upper", "", "a b"]), wordOf(random))
  }

  #literal(index: number, name: string, value: string): Buffer {
    const random = this.#random
    const [form, mask] = random.pick(forms)
    if (form === 0x40) this.#table.insert(name, value, 0)
    return Buffer.concat([integer(random, form, mask, index), ...(index === 0 ? [string(random, name)] : []), string(random, value)])
  }

  /** A pseudo-header field: by its index, its name's index, or spelt out. */
  #pseudo(index: number, name: string, value: string): Buffer {
    return this.#random.once(2) ? integer(this.#random, 0x80, 0x7f, index) : this.#literal(this.#random.once(3) ? 0 : index, name, value)
  }
}

const damaged = (random: Random, octets: Buffer): Buffer => {
  const copy = Buffer.from(octets)
  switch (random.below(3)) {
    case 0:
      copy[random.below(copy.length)] = random.below(256)
      return copy
    case 1:
      return copy.subarray(0, random.below(copy.length))
    default: {
      const at = random.below(copy.length)
      return Buffer.concat([copy.subarray(0, at), Buffer.from([random.below(256)]), copy.subarray(at)])
    }
  }
}

/** Preface, SETTINGS, and requests one after another. */
export const fieldBlocksOf = (random: Random): Buffer => {
  const count = 1 + random.below(5)
  const broken = random.once(3) ? random.below(count) : -1
  const encoder = new Encoder(random)
  return Buffer.concat([hello, ...Array.from({ length: count }, (_, i) => {
    const octets = encoder.block()
    return frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, i === broken ? damaged(random, octets) : octets)
  })])
}
