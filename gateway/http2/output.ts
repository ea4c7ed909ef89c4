/** Frames on their way out, gathered until the owner writes them: all of a tick in one write. */
import { FRAME_HEAD_OCTETS, GOAWAY, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "./frame.ts"

const FIRST_OCTETS = 1_024
const KEPT_OCTETS = 16_384
const EMPTY = Buffer.alloc(0)

export class Output {
  #octets = EMPTY
  /** Gathered and not taken. */
  length = 0
  /** Of these, frames that answer the peer's or that it provoked. */
  controls = 0
  #lent = EMPTY

  /** What was gathered; good until recycle() or forever. */
  take(): Buffer {
    const taken = this.#octets.subarray(0, this.length)
    this.#lent = this.#octets
    this.#octets = EMPTY
    this.length = this.controls = 0
    return taken
  }

  /** What was taken has been written: its memory may serve again. */
  recycle(): void {
    if (this.length === 0) this.#octets = this.#lent
    this.#lent = EMPTY
  }

  /** Who has nothing to say now keeps no large buffer for it. */
  trim(): void {
    if (this.length === 0 && this.#octets.length > KEPT_OCTETS) this.#octets = EMPTY
  }

  /** The head of a frame; its payload of `length` octets must follow. */
  frame(length: number, type: number, flags: number, stream: number): void {
    this.#room(FRAME_HEAD_OCTETS + length)
    const octets = this.#octets
    const at = this.length
    octets[at] = length >>> 16
    octets[at + 1] = length >>> 8
    octets[at + 2] = length
    octets[at + 3] = type
    octets[at + 4] = flags
    octets[at + 5] = stream >>> 24
    octets[at + 6] = stream >>> 16
    octets[at + 7] = stream >>> 8
    octets[at + 8] = stream
    this.length = at + FRAME_HEAD_OCTETS
  }

  add(from: Buffer, start: number, end: number): void {
    this.#room(end - start)
    from.copy(this.#octets, this.length, start, end)
    this.length += end - start
  }

  number16(value: number): void {
    this.#room(2)
    this.#octets[this.length++] = value >>> 8
    this.#octets[this.length++] = value
  }

  number32(value: number): void {
    this.#room(4)
    this.#octets.writeUInt32BE(value >>> 0, this.length)
    this.length += 4
  }

  settings(pairs: readonly (readonly [number, number])[]): void {
    this.frame(6 * pairs.length, SETTINGS, 0, 0)
    for (const [identifier, value] of pairs) {
      this.number16(identifier)
      this.number32(value)
    }
  }

  ping(payload: Buffer, flags: number): void {
    this.frame(8, PING, flags, 0)
    this.add(payload, 0, 8)
  }

  goaway(last: number, code: number): void {
    this.frame(8, GOAWAY, 0, 0)
    this.number32(last)
    this.number32(code)
  }

  reset(stream: number, code: number): void {
    this.frame(4, RST_STREAM, 0, stream)
    this.number32(code)
    this.controls++
  }

  windowUpdate(stream: number, octets: number): void {
    this.frame(4, WINDOW_UPDATE, 0, stream)
    this.number32(octets)
  }

  #room(octets: number): void {
    const needed = this.length + octets
    if (needed <= this.#octets.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_OCTETS, 2 ** Math.ceil(Math.log2(needed))))
    this.#octets.copy(larger, 0, 0, this.length)
    this.#octets = larger
  }
}
