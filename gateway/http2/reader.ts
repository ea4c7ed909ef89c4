/**
 * Frames out of what arrives, in whatever pieces. The content of DATA is handed on as it comes; a frame of another type
 * as a whole, out of the piece it lies in or, when it came in several, out of a copy. What is not known is skipped.
 */
import { CONTINUATION, DATA, FRAME_HEAD_OCTETS, PADDED } from "./frame.ts"

export interface FrameSink {
  /** Nothing more is wanted: the connection has failed. */
  readonly isFailed: boolean
  /** A frame begins. */
  onFrameHead(type: number, flags: number, stream: number, length: number): void
  /** The payload of a frame other than DATA. The octets are the reader's or the caller's, and good for this call. */
  onFrame(type: number, flags: number, stream: number, octets: Buffer, start: number, end: number): void
  /** Content of the DATA frame that began; the last time with `isLast`, and with no octets when there are none. */
  onData(octets: Buffer, start: number, end: number, isLast: boolean): void
  /** RFC 9113 §6.1: padding as long as the payload, or longer. */
  onPaddingFault(): void
}

// What comes next:
const HEAD = 0
const PAD_LENGTH = 1
const CONTENT = 2
const PADDING = 3
const PAYLOAD = 4
const SKIPPED = 5

const EMPTY = Buffer.alloc(0)

export class FrameReader {
  readonly #sink: FrameSink
  readonly #head = Buffer.alloc(FRAME_HEAD_OCTETS)
  #headOctets = 0
  #state = HEAD
  #type = 0
  #flags = 0
  #stream = 0
  /** Octets to come of what #state says. */
  #left = 0
  #padding = 0
  /** A payload that comes in pieces. */
  #payload = EMPTY
  #payloadOctets = 0

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Octets kept of a frame that is not complete. */
  get held(): number {
    return this.#payload.length
  }

  /** Octets of content to come of the DATA frame that is being read. */
  get contentLeft(): number {
    return this.#state === CONTENT ? this.#left : 0
  }

  read(octets: Buffer, start: number, end: number): void {
    let at = start
    while (at < end && !this.#sink.isFailed) at = this.#state === HEAD ? this.#readHead(octets, at, end) : this.#readPayload(octets, at, end)
  }

  #readHead(octets: Buffer, at: number, end: number): number {
    if (this.#headOctets === 0 && end - at >= FRAME_HEAD_OCTETS) {
      this.#begin(octets, at)
      return at + FRAME_HEAD_OCTETS
    }
    const taken = Math.min(FRAME_HEAD_OCTETS - this.#headOctets, end - at)
    octets.copy(this.#head, this.#headOctets, at, at + taken)
    this.#headOctets += taken
    if (this.#headOctets === FRAME_HEAD_OCTETS) {
      this.#headOctets = 0
      this.#begin(this.#head, 0)
    }
    return at + taken
  }

  #begin(head: Buffer, at: number): void {
    const length = ((head[at] ?? 0) << 16) | ((head[at + 1] ?? 0) << 8) | (head[at + 2] ?? 0)
    const type = (this.#type = head[at + 3] ?? 0)
    const flags = (this.#flags = head[at + 4] ?? 0)
    this.#stream = (((head[at + 5] ?? 0) & 0x7f) << 24) | ((head[at + 6] ?? 0) << 16) | ((head[at + 7] ?? 0) << 8) | (head[at + 8] ?? 0)
    this.#left = length
    this.#padding = 0
    this.#sink.onFrameHead(type, flags, this.#stream, length)
    if (this.#sink.isFailed) return
    if (type === DATA) this.#state = (flags & PADDED) === 0 ? CONTENT : PAD_LENGTH
    else this.#state = type > CONTINUATION ? SKIPPED : PAYLOAD
    if (length > 0) return
    this.#state = HEAD
    if (type === DATA) this.#sink.onData(EMPTY, 0, 0, true)
    else if (type <= CONTINUATION) this.#sink.onFrame(type, flags, this.#stream, EMPTY, 0, 0)
  }

  #readPayload(octets: Buffer, at: number, end: number): number {
    if (this.#state === PAD_LENGTH) {
      this.#readPadLength(octets[at] ?? 0)
      return at + 1
    }
    const taken = Math.min(this.#left, end - at)
    const next = at + taken
    this.#left -= taken
    switch (this.#state) {
      case CONTENT: {
        const isLast = this.#left === 0 && this.#padding === 0
        if (this.#left === 0) this.#endContent()
        this.#sink.onData(octets, at, next, isLast)
        return next
      }
      case PADDING:
        if (this.#left === 0) this.#endData()
        return next
      case PAYLOAD:
        this.#take(octets, at, next)
        return next
      default:
        if (this.#left === 0) this.#state = HEAD
        return next
    }
  }

  #readPadLength(padding: number): void {
    this.#left--
    if (padding > this.#left) return this.#sink.onPaddingFault()
    this.#padding = padding
    this.#left -= padding
    if (this.#left > 0) this.#state = CONTENT
    else if (padding > 0) this.#endContent()
    else this.#endData()
  }

  #endContent(): void {
    this.#state = this.#padding === 0 ? HEAD : PADDING
    this.#left = this.#padding
  }

  #endData(): void {
    this.#state = HEAD
    this.#sink.onData(EMPTY, 0, 0, true)
  }

  #take(octets: Buffer, start: number, end: number): void {
    if (this.#payloadOctets === 0 && this.#left === 0) {
      this.#state = HEAD
      this.#sink.onFrame(this.#type, this.#flags, this.#stream, octets, start, end)
      return
    }
    if (this.#payloadOctets === 0) this.#payload = Buffer.allocUnsafeSlow(end - start + this.#left)
    octets.copy(this.#payload, this.#payloadOctets, start, end)
    this.#payloadOctets += end - start
    if (this.#left > 0) return
    const whole = this.#payload
    this.#payload = EMPTY
    this.#payloadOctets = 0
    this.#state = HEAD
    this.#sink.onFrame(this.#type, this.#flags, this.#stream, whole, 0, whole.length)
  }
}
