/**
 * Where a body ends, and which of its octets go on (RFC 9112 §6, §7.1). One reader a message, reused.
 *
 * read() walks over what has arrived and names the octets to forward as spans of the same buffer: nothing is copied.
 * A chunked body goes on in the chunks it came in, checked octet for octet, without extensions (a recipient may ignore
 * them, §7.1.1) and with the trailer section parsed and rewritten; or decoded, when the recipient speaks HTTP/1.0.
 */
import { CR, HEX, LF, QUOTED, TOKEN, VALUE, classAt } from "./bytes.ts"
import type { Fault } from "./fault.ts"
import { CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE } from "./head.ts"
import { MAX_TRAILER_BYTES, readTrailers } from "./trailers.ts"

/** Octets of extensions in one body: an extension is overhead nobody uses, so much of it is an attack. */
const MAX_EXTENSION_BYTES = 4096

// States of a chunked body. Below EXTENSION an octet goes on, from there it does not.
const SIZE = 0 // first digit of a chunk size
const DIGITS = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER = 6 // start of the trailer section or of the empty line
const LAST_LF = 7
const EXTENSION = 8 // after its semicolon
const EXTENSION_NAME = 9
const EXTENSION_VALUE = 10
const EXTENSION_TOKEN = 11
const EXTENSION_QUOTED = 12
const EXTENSION_ESCAPED = 13
const EXTENSION_AFTER_QUOTED = 14
const TRAILER_FIELDS = 15

export class BodyReader {
  kind = NO_BODY
  isDone = true
  fault: Fault | null = null
  /** Pairs [start, end) of octets to forward; valid until the next read. */
  readonly spans: number[] = []
  /**
   * Null: the body ended without trailer section, its last CRLF is in the spans. Else the field lines that may go on,
   * each with CRLF; these and an empty line are to be written after the spans.
   */
  trailers: string | null = null
  /** Octets of content seen. */
  received = 0
  isDecoding = false

  #remaining = 0
  #state = SIZE
  #digits = 0
  #size = 0
  #extensionBytes = 0
  #trailerParts: Buffer[] = []
  #options: readonly string[] | null = null

  /** `options`: connection options of the head; trailer fields of these names end here too (RFC 9110 §7.6.1). */
  start(kind: number, length: number, isDecoding: boolean, options: readonly string[] | null = null): void {
    this.kind = kind
    this.isDone = kind === NO_BODY || (kind === LENGTH && length === 0)
    this.fault = null
    this.trailers = null
    this.received = 0
    this.isDecoding = isDecoding
    this.#remaining = length
    if (kind !== CHUNKED) return
    this.#state = SIZE
    this.#digits = this.#size = this.#extensionBytes = 0
    this.#trailerParts = []
    this.#options = options
  }

  /** Octets still to come, as far as known. */
  get remaining(): number {
    return this.kind === LENGTH ? this.#remaining : this.isDone ? 0 : Infinity
  }

  /**
   * Reads from `at`. Returns the position after the last octet that belongs to the body: `end` unless it is done.
   * On a fault returns where it is; what is in `spans` was sound.
   */
  read(buffer: Buffer, at: number, end: number): number {
    if (this.isDone || at >= end) {
      this.spans.length = 0
      return at
    }
    if (this.kind === LENGTH) {
      const to = Math.min(end, at + this.#remaining)
      this.#one(at, to)
      this.received += to - at
      this.#remaining -= to - at
      this.isDone = this.#remaining === 0
      return to
    }
    if (this.kind === UNTIL_CLOSE) {
      this.#one(at, end)
      this.received += end - at
      return end
    }
    this.spans.length = 0
    return this.#chunks(buffer, at, end)
  }

  /** Mostly there was one before: an array that is emptied gives its memory back, and takes new for the next. */
  #one(from: number, to: number): void {
    const { spans } = this
    if (spans.length !== 2) spans.length = 0
    spans[0] = from
    spans[1] = to
  }

  /** The connection ended: the end of an UNTIL_CLOSE body, a fault in others. */
  finish(): void {
    if (this.isDone) return
    if (this.kind === UNTIL_CLOSE) this.isDone = true
    else this.fault = "truncated"
  }

  /** States keep `run`, the start of the octets that go on as they are (not when decoding), or -1. */
  #chunks(buffer: Buffer, start: number, end: number): number {
    let at = start
    let run = this.#isForwarding() ? at : -1
    while (at < end) {
      const state = this.#state
      if (state === DATA) {
        const to = Math.min(end, at + this.#size)
        if (this.isDecoding) this.spans.push(at, to)
        this.received += to - at
        this.#size -= to - at
        at = to
        if (this.#size === 0) this.#state = DATA_CR
        continue
      }
      if (state === TRAILER && buffer[at] !== CR) {
        this.#flush(run, at)
        run = -1
        this.#state = TRAILER_FIELDS
        continue
      }
      if (state === TRAILER_FIELDS) return this.#trailerFields(buffer, at, end)
      const wasForwarding = this.#isForwarding()
      const fault = this.#octet(buffer, at)
      if (fault) {
        this.#flush(run, at)
        this.fault = "chunk"
        return at
      }
      const isForwarding = this.#isForwarding()
      // The `;` that begins extensions stays behind, the CR that ends them goes on.
      if (wasForwarding && !isForwarding) {
        this.#flush(run, at)
        run = -1
      } else if (!wasForwarding && isForwarding && !this.isDecoding) run = at
      at++
      if (this.isDone) break
    }
    this.#flush(run, at)
    return at
  }

  #isForwarding(): boolean {
    return !this.isDecoding && this.#state < EXTENSION
  }

  #flush(run: number, at: number): void {
    if (run >= 0 && at > run) this.spans.push(run, at)
  }

  /** One octet of framing. True: not allowed here. */
  #octet(buffer: Buffer, at: number): boolean {
    const c = buffer[at]
    const classes = classAt(buffer, at)
    switch (this.#state) {
      case SIZE:
        this.#size = this.#digits = 0
        return !this.#digit(classes, c ?? 0)
      case DIGITS:
        if ((classes & HEX) !== 0) return !this.#digit(classes, c ?? 0)
        return !this.#afterSize(c)
      case EXTENSION:
        if ((classes & TOKEN) === 0) return true
        this.#state = EXTENSION_NAME
        return this.#isExtensionTooLong()
      case EXTENSION_NAME:
        if ((classes & TOKEN) !== 0) return this.#isExtensionTooLong()
        if (c === 61) this.#state = EXTENSION_VALUE
        else return !this.#afterSize(c)
        return this.#isExtensionTooLong()
      case EXTENSION_VALUE:
        if (c === 34) this.#state = EXTENSION_QUOTED
        else if ((classes & TOKEN) !== 0) this.#state = EXTENSION_TOKEN
        else return true
        return this.#isExtensionTooLong()
      case EXTENSION_TOKEN:
        if ((classes & TOKEN) !== 0) return this.#isExtensionTooLong()
        return !this.#afterSize(c)
      case EXTENSION_QUOTED:
        if (c === 34) this.#state = EXTENSION_AFTER_QUOTED
        else if (c === 92) this.#state = EXTENSION_ESCAPED
        else if ((classes & QUOTED) === 0) return true
        return this.#isExtensionTooLong()
      case EXTENSION_ESCAPED:
        if ((classes & VALUE) === 0) return true
        this.#state = EXTENSION_QUOTED
        return this.#isExtensionTooLong()
      case EXTENSION_AFTER_QUOTED:
        return !this.#afterSize(c)
      case SIZE_LF:
        this.#state = this.#size === 0 ? TRAILER : DATA
        return c !== LF
      case DATA_CR:
        this.#state = DATA_LF
        return c !== CR
      case DATA_LF:
        this.#state = SIZE
        return c !== LF
      case TRAILER:
        this.#state = LAST_LF
        return c !== CR
      case LAST_LF:
        this.isDone = c === LF
        return c !== LF
      default:
        return true
    }
  }

  #digit(classes: number, c: number): boolean {
    if ((classes & HEX) === 0) return false
    this.#state = DIGITS
    const size = this.#size * 16 + (c <= 57 ? c - 48 : (c | 32) - 87)
    // Sixteen digits with leading zeros, a value below 2^53: no other recipient may read another number.
    if (++this.#digits > 16 || size > Number.MAX_SAFE_INTEGER) return false
    this.#size = size
    return true
  }

  #afterSize(c: number | undefined): boolean {
    if (c === CR) this.#state = SIZE_LF
    else if (c === 59) {
      this.#state = EXTENSION
      return !this.#isExtensionTooLong()
    } else return false
    return true
  }

  #isExtensionTooLong(): boolean {
    return ++this.#extensionBytes > MAX_EXTENSION_BYTES
  }

  #trailerFields(buffer: Buffer, at: number, end: number): number {
    const before = this.#trailerParts.reduce((sum, part) => sum + part.length, 0)
    // Copied: the buffer may be overwritten by the next read.
    this.#trailerParts.push(Buffer.from(buffer.subarray(at, end)))
    const section = Buffer.concat(this.#trailerParts)
    const result = readTrailers(section, this.#options)
    if (typeof result === "string") {
      this.#trailerParts = []
      this.fault = result
      return at
    }
    if (result === null) {
      this.#trailerParts = [section]
      if (section.length > MAX_TRAILER_BYTES) this.fault = "trailer-too-large"
      return end
    }
    this.#trailerParts = []
    this.trailers = result.kept
    this.isDone = true
    return at + result.length - before
  }
}
