/** A field block out of HEADERS and its CONTINUATION frames (RFC 9113 §4.3, §6.2, §6.10). */
import { ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR } from "./error-code.ts"
import { END_HEADERS, END_STREAM, PADDED, PRIORITIZED } from "./frame.ts"
import type { ConnectionSettings } from "./settings.ts"

const EMPTY = Buffer.alloc(0)

export class FieldBlock {
  readonly #settings: ConnectionSettings
  /** CONTINUATION must follow, and nothing else may. */
  isOpen = false
  stream = 0
  /** END_STREAM */
  isEnd = false
  /** RFC 7540 §5.3.1, which RFC 9113 §5.3 leaves in place for those who still send priorities. */
  dependsOnItself = false
  /** The block, once it is not open: in the frame it came in, or in a copy. */
  octets: Buffer = EMPTY
  start = 0
  end = 0
  #continuations = 0

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
  }

  /** HEADERS. Returns NO_ERROR or the code the connection ends with. */
  begin(flags: number, stream: number, octets: Buffer, start: number, end: number): number {
    this.stream = stream
    this.isEnd = (flags & END_STREAM) !== 0
    this.dependsOnItself = false
    let to = end
    let at = start
    if ((flags & PADDED) !== 0) to -= octets[at++] ?? 0
    if ((flags & PRIORITIZED) !== 0) {
      this.dependsOnItself = dependency(octets, at) === stream
      at += 5
    }
    if (to < at) return PROTOCOL_ERROR
    this.isOpen = (flags & END_HEADERS) === 0
    this.#continuations = 0
    if (this.isOpen) {
      this.octets = Buffer.allocUnsafeSlow(Math.max(1_024, 2 * (to - at)))
      this.start = this.end = 0
      return this.#append(octets, at, to)
    }
    this.octets = octets
    this.start = at
    this.end = to
    return NO_ERROR
  }

  /** CONTINUATION of the open block. Returns as begin() does. */
  go(flags: number, octets: Buffer, start: number, end: number): number {
    this.isOpen = (flags & END_HEADERS) === 0
    if (++this.#continuations > this.#settings.continuations) return ENHANCE_YOUR_CALM
    return this.#append(octets, start, end)
  }

  /** It has been read. */
  drop(): void {
    this.octets = EMPTY
    this.start = this.end = 0
  }

  #append(octets: Buffer, start: number, end: number): number {
    const length = this.end + end - start
    if (length > this.#settings.blockOctets) return ENHANCE_YOUR_CALM
    if (length > this.octets.length) {
      const larger = Buffer.allocUnsafeSlow(2 * length)
      this.octets.copy(larger, 0, 0, this.end)
      this.octets = larger
    }
    octets.copy(this.octets, this.end, start, end)
    this.end = length
    return NO_ERROR
  }
}

/** The stream a priority names, which begins at `at`. */
export const dependency = (octets: Uint8Array, at: number): number => (((octets[at] ?? 0) & 0x7f) << 24) | ((octets[at + 1] ?? 0) << 16) | ((octets[at + 2] ?? 0) << 8) | (octets[at + 3] ?? 0)
