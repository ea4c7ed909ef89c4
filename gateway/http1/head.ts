/**
 * What request and response heads share: the field lines (RFC 9112 §5), scanned once over the octets and kept as
 * positions in one latin1 string of the whole head. A head object is reused; nothing is allocated a field.
 */
import { CR, LF, SP, TAB, COLON, TOKEN, VALUE, DIGIT, classAt, classOf, trimOws } from "./bytes.ts"
import type { Fault } from "./fault.ts"
import { fieldKind } from "./field.ts"

export interface HeadLimits {
  /** Octets of a head, start line and final empty line included. ≤ 65,535. */
  readonly headBytes: number
  readonly fields: number
  /** Octets of a request-target. */
  readonly targetBytes: number
}

/** What parse() and scanning return besides a position (which is > 0). */
export const INCOMPLETE = 0
export const REFUSED = -1

/** What follows a head. */
export const NO_BODY = 0
export const LENGTH = 1
export const CHUNKED = 2
/** A response's only: until the connection ends. */
export const UNTIL_CLOSE = 3

export abstract class Head {
  /** The whole head, latin1: one character an octet. */
  text = ""
  /** Fields. */
  count = 0
  /** Per field four positions in `text`: name, end of name, value, end of value. */
  positions = new Uint16Array(4 * 24)
  /** Per field its number in field.ts. */
  kinds = new Uint8Array(24)
  /** Bit 1 << number for each known field that occurs. */
  seen = 0
  /** Where the first field line starts in `text`. */
  fieldsStart = 0
  fault: Fault | null = null
  /** Minor version: 0 or 1. */
  minor = 1
  body = NO_BODY
  /** Octets of the body when `body` is LENGTH. */
  length = 0
  /**
   * No whitespace follows the value that `body` was read from. Some parsers do not take HTAB for whitespace there, and
   * would see another framing: it is written anew for them.
   */
  isFramingPlain = true
  /** The connection may be used again after this message, as far as its head says. */
  isPersistent = true
  /** Connection options that are names of fields, lower case (RFC 9110 §7.6.1); null: none. */
  options: string[] | null = null

  refuse(fault: Fault): typeof REFUSED {
    this.fault = fault
    return REFUSED
  }

  /**
   * Field lines from `at` to the empty line; positions are relative to `base`. Returns the position after the empty
   * line, INCOMPLETE or REFUSED.
   */
  protected scanFields(buffer: Uint8Array, base: number, at: number, end: number, maximum: number): number {
    let count = 0
    let seen = 0
    for (;;) {
      if (at >= end) return INCOMPLETE
      const nameAt = at
      while (at < end && (classAt(buffer, at) & TOKEN) !== 0) at++
      if (at >= end) return INCOMPLETE
      if (at === nameAt) {
        const c = buffer[at]
        if (c === CR) {
          if (at + 1 >= end) return INCOMPLETE
          if (buffer[at + 1] !== LF) return this.refuse("line-end")
          this.count = count
          this.seen = seen
          return at + 2
        }
        return this.refuse(c === LF ? "line-end" : c === SP || c === TAB ? "obs-fold" : "field-name")
      }
      if (buffer[at] !== COLON) return this.refuse("field-name")
      const nameEnd = at++
      let c = buffer[at]
      while (at < end && (c === SP || c === TAB)) c = buffer[++at]
      const valueAt = at
      while (at < end && (classAt(buffer, at) & VALUE) !== 0) at++
      if (at >= end) return INCOMPLETE
      c = buffer[at]
      if (c !== CR) return this.refuse(c === LF ? "line-end" : "field-value")
      if (at + 1 >= end) return INCOMPLETE
      if (buffer[at + 1] !== LF) return this.refuse("line-end")
      let valueEnd = at
      while (valueEnd > valueAt && (buffer[valueEnd - 1] === SP || buffer[valueEnd - 1] === TAB)) valueEnd--
      at += 2
      if (count >= maximum) return this.refuse("too-many-fields")
      if (count >= this.kinds.length) this.#grow()
      const kinds = this.kinds
      const positions = this.positions
      const i = count * 4
      positions[i] = nameAt - base
      positions[i + 1] = nameEnd - base
      positions[i + 2] = valueAt - base
      positions[i + 3] = valueEnd - base
      const kind = fieldKind(buffer, nameAt, nameEnd - nameAt)
      kinds[count++] = kind
      seen |= 1 << kind
    }
  }

  #grow(): void {
    const size = this.kinds.length * 2
    const positions = new Uint16Array(size * 4)
    positions.set(this.positions)
    this.positions = positions
    const kinds = new Uint8Array(size)
    kinds.set(this.kinds)
    this.kinds = kinds
  }

  /** A field whose name begins at `at`, and its value after a colon and a space. */
  protected place(kind: number, at: number, name: number, value: number): void {
    if (this.count >= this.kinds.length) this.#grow()
    const i = this.count * 4
    this.positions[i] = at
    this.positions[i + 1] = at + name
    this.positions[i + 2] = at + name + 2
    this.positions[i + 3] = at + name + 2 + value
    this.kinds[this.count++] = kind
    this.seen |= 1 << kind
  }

  kind(field: number): number {
    return this.kinds[field] ?? 0
  }

  /** Where the line of a field starts; for `field` = count, where the empty line starts. */
  lineStart(field: number): number {
    return field < this.count ? (this.positions[field * 4] ?? 0) : this.text.length - 2
  }

  name(field: number): string {
    return this.text.slice(this.positions[field * 4], this.positions[field * 4 + 1])
  }

  value(field: number): string {
    return this.text.slice(this.positions[field * 4 + 2], this.positions[field * 4 + 3])
  }

  /** `name` is lower case. */
  isNamed(field: number, name: string): boolean {
    const start = this.positions[field * 4] ?? 0
    if ((this.positions[field * 4 + 1] ?? 0) - start !== name.length) return false
    const text = this.text
    for (let i = 0; i < name.length; i++) {
      const c = text.charCodeAt(start + i)
      if ((c >= 65 && c <= 90 ? c | 32 : c) !== name.charCodeAt(i)) return false
    }
    return true
  }

  /** Combined value ("a, b" if repeated, RFC 9110 §5.2) or undefined. `name` is lower case. */
  header(name: string): string | undefined {
    let value: string | undefined
    for (let field = 0; field < this.count; field++) {
      if (this.isNamed(field, name)) value = value === undefined ? this.value(field) : `${value}, ${this.value(field)}`
    }
    return value
  }

  /** A field known by its number occurs. */
  has(kind: number): boolean {
    return (this.seen & (1 << kind)) !== 0
  }

  /** Combined value of a field known by its number. */
  known(kind: number): string | undefined {
    let value: string | undefined
    for (let field = 0; field < this.count; field++) {
      if (this.kinds[field] === kind) value = value === undefined ? this.value(field) : `${value}, ${this.value(field)}`
    }
    return value
  }

  /** RFC 9112 §6.3, stricter: one field line, digits only, no list even of equal values. */
  protected readLength(field: number): Fault | null {
    if (this.body === CHUNKED) return "length-and-chunked"
    if (this.body === LENGTH) return "content-length"
    const from = this.positions[field * 4 + 2] ?? 0
    const to = this.positions[field * 4 + 3] ?? 0
    // 15 digits stay below 2^53
    if (from === to || to - from > 15) return "content-length"
    let length = 0
    for (let at = from; at < to; at++) {
      const c = this.text.charCodeAt(at)
      if ((classOf(c) & DIGIT) === 0) return "content-length"
      length = length * 10 + (c - 48)
    }
    this.body = LENGTH
    this.length = length
    this.isFramingPlain = this.text.charCodeAt(to) === CR
    return null
  }

  /** RFC 9112 §6.1: `chunked` alone is understood. */
  protected readTransferEncoding(field: number): Fault | null {
    if (this.body === LENGTH) return "length-and-chunked"
    if (this.body === CHUNKED || this.minor === 0) return "transfer-encoding"
    const codings = this.value(field).toLowerCase().split(",").map(trimOws)
    const last = codings.pop()
    if (last !== "chunked" || codings.includes("chunked") || codings.includes("")) return "transfer-encoding"
    if (codings.length > 0) return "transfer-coding"
    this.body = CHUNKED
    this.isFramingPlain = this.text.charCodeAt(this.positions[field * 4 + 3] ?? 0) === CR
    return null
  }

  /** RFC 9112 §9.3: close wins; 1.0 stays open only when it says so. */
  protected readConnection(field: number): void {
    const value = this.value(field)
    if (value === "keep-alive") {
      if (this.minor === 0 && !this.#saysClose) this.isPersistent = true
      return
    }
    if (value === "close") {
      this.#saysClose = true
      this.isPersistent = false
      return
    }
    for (const option of value.toLowerCase().split(",")) {
      const token = trimOws(option)
      if (token === "close") {
        this.#saysClose = true
        this.isPersistent = false
      } else if (token === "keep-alive") {
        if (this.minor === 0 && !this.#saysClose) this.isPersistent = true
      } else if (token !== "") {
        if (this.options === null) this.options = [token]
        else this.options.push(token)
      }
    }
  }

  #saysClose = false

  /** Before the fields are read: as if nothing had been said. */
  protected restart(minor: number): void {
    this.minor = minor
    this.isPersistent = minor === 1
    this.#saysClose = false
    this.body = NO_BODY
    this.length = 0
    this.isFramingPlain = true
    this.options = null
    this.fault = null
  }
}
