/** Integers of field blocks (RFC 7541 §5.1) that take more octets than we read: four after the prefix. */
import { NO_ERROR } from "../../gateway/http2/error-code.ts"
import { FieldBlock } from "../../gateway/http2/field-block.ts"
import { CONTINUATION, FRAME_HEAD_OCTETS, HEADERS, PREFACE } from "../../gateway/http2/frame.ts"
import { defaults } from "../../gateway/http2/settings.ts"

const MOST_CONTINUED = 4

/** Is there one in the field blocks of these frames? */
export const hasLongInteger = (octets: Buffer): boolean => {
  const block = new FieldBlock(defaults)
  for (let at = PREFACE.length; at + FRAME_HEAD_OCTETS <= octets.length; ) {
    const type = octets[at + 3] ?? 0
    const flags = octets[at + 4] ?? 0
    const start = at + FRAME_HEAD_OCTETS
    const end = Math.min(octets.length, start + octets.readUIntBE(at, 3))
    at = start + octets.readUIntBE(at, 3)
    if (type !== HEADERS && type !== CONTINUATION) continue
    const code = type === HEADERS ? block.begin(flags, 1, octets, start, end) : block.go(flags, octets, start, end)
    if (code !== NO_ERROR) return false
    if (!block.isOpen && isLongIn(block.octets.subarray(block.start, block.end))) return true
  }
  return false
}

/** Walks over the representations (§6); where one is cut short it ends. */
const isLongIn = (block: Buffer): boolean => {
  let at = 0
  let isLong = false
  const integer = (mask: number): number => {
    let value = (block[at++] ?? 0) & mask
    if (value < mask) return value
    let continued = 0
    for (let factor = 1; at < block.length; factor *= 128) {
      const octet = block[at++] ?? 0
      if (++continued > MOST_CONTINUED) isLong = true
      value += (octet & 0x7f) * factor
      if (octet < 0x80) break
    }
    return value
  }
  while (at < block.length && !isLong) {
    const first = block[at] ?? 0
    if (first >= 0x80) integer(0x7f)
    else if ((first & 0xe0) === 0x20) integer(0x1f)
    else {
      const strings = integer((first & 0x40) === 0 ? 0x0f : 0x3f) === 0 ? 2 : 1
      for (let i = 0; i < strings; i++) {
        const length = integer(0x7f)
        at += length
      }
    }
  }
  return isLong
}
