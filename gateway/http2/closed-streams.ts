/**
 * How streams ended, for as long as frames of them may still be under way (RFC 9113 §5.1). Remembers the latest ones:
 * stream numbers of one side follow each other, so that each takes the place of the one so many streams ago.
 */
const SLOTS = 256

/** Ended long ago, or was passed over. */
export const UNKNOWN = 0
/** Both sides had said all. */
export const ENDED = 1
/** The peer reset it. */
export const RESET_BY_PEER = 2
/** We did, or never took it: the peer may not know yet, so what it sends is ignored. */
export const RESET_BY_US = 3

export class ClosedStreams {
  readonly #slots = new Uint32Array(SLOTS)

  note(stream: number, end: number): void {
    const half = stream >>> 1
    this.#slots[half % SLOTS] = ((half << 2) | end) >>> 0
  }

  endOf(stream: number): number {
    const half = stream >>> 1
    const slot = this.#slots[half % SLOTS] ?? 0
    return slot >>> 2 === half ? slot & 3 : UNKNOWN
  }
}
