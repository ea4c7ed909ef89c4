/**
 * Where frames begin and end (RFC 6455 §5.2), read off their headers alone: a payload is counted, not looked at. One
 * reader a direction. What is no WebSocket after all gives some answer and harms nothing.
 */
import { randomBytes } from "node:crypto"

// The next octet is …
const FIRST = 0 // … FIN and opcode
const SECOND = 1 // … mask bit and length
const LENGTH = 2 // … of a length of 16 or 64 bits

const CLOSE = 8
const MASK_BYTES = 4

export class FrameReader {
  /** A Close frame has begun: no frame may follow it (§5.5.1). */
  hasClosed = false
  #state = FIRST
  /** Octets of the masking key and payload that are still to come. */
  #left = 0
  #lengthBytes = 0
  #length = 0
  #maskBytes = 0

  /** Between two frames. A control frame may stand here, also inside a fragmented message (§5.4). */
  get isBetween(): boolean {
    return this.#state === FIRST && this.#left === 0
  }

  /** The next `length` octets of this direction. */
  read(buffer: Uint8Array, length: number): void {
    let at = 0
    while (at < length) {
      if (this.#left > 0) {
        const here = Math.min(this.#left, length - at)
        this.#left -= here
        at += here
        continue
      }
      const octet = buffer[at++] ?? 0
      switch (this.#state) {
        case FIRST:
          if ((octet & 15) === CLOSE) this.hasClosed = true
          this.#state = SECOND
          break
        case SECOND:
          this.#maskBytes = octet < 128 ? 0 : MASK_BYTES
          this.#second(octet & 127)
          break
        default:
          // Beyond 2^53 it is not exact, and never over.
          this.#length = this.#length * 256 + octet
          if (--this.#lengthBytes === 0) this.#payload(this.#length)
      }
    }
  }

  #second(length: number): void {
    if (length < 126) return this.#payload(length)
    this.#lengthBytes = length === 126 ? 2 : 8
    this.#length = 0
    this.#state = LENGTH
  }

  #payload(length: number): void {
    this.#left = this.#maskBytes + length
    this.#state = FIRST
  }
}

/** Close, status 1001 "going away" (§7.4.1), as a server sends it. */
const FROM_SERVER = Buffer.from([0x88, 2, 0x03, 0xe9])

/** Close with status 1001, to the client or (masked with a fresh key, §5.3) to the backend. */
export const goingAway = (to: "client" | "backend"): Buffer => {
  if (to === "client") return FROM_SERVER
  const key = randomBytes(MASK_BYTES)
  return Buffer.from([0x88, 0x82, ...key, 0x03 ^ (key[0] ?? 0), 0xe9 ^ (key[1] ?? 0)])
}
