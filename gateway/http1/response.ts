/** Response heads (RFC 9112 §4): as strict as requests, because a backend must not be able to split responses either. */
import { CR, LF, SP, VALUE, DIGIT, classAt } from "./bytes.ts"
import type { FieldList } from "../http2/field-list.ts"
import { KIND, METHOD } from "../http2/field-kind.ts"
import { CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE } from "./field.ts"
import { reasonPhrase } from "./status.ts"
import { CHUNKED, Head, INCOMPLETE, LENGTH, NO_BODY, UNTIL_CLOSE, type HeadLimits } from "./head.ts"
import { namesWebSocket } from "./request.ts"

export class ResponseHead extends Head {
  status = 0

  /**
   * Parses a head that starts at `start`; `method` is the request's. Returns where it ends, INCOMPLETE, or REFUSED
   * with `fault` set. A status of 1xx is an interim response: another head follows.
   */
  parse(buffer: Buffer, start: number, end: number, limits: HeadLimits, method: string): number {
    const after = this.#parse(buffer, start, end, limits, method)
    if (after === INCOMPLETE) return end - start > limits.headBytes ? this.refuse("head-too-large") : INCOMPLETE
    return after
  }

  #parse(buffer: Buffer, base: number, end: number, limits: HeadLimits, method: string): number {
    const expected = "HTTP/1."
    for (let i = 0; i < expected.length; i++) {
      if (base + i >= end) return INCOMPLETE
      if (buffer[base + i] !== expected.charCodeAt(i)) return this.refuse(i === 5 ? "version" : "status-line")
    }
    if (base + 13 >= end) return INCOMPLETE
    const minor = (buffer[base + 7] ?? 0) - 48
    if (minor !== 0 && minor !== 1) return this.refuse("version")
    if (buffer[base + 8] !== SP) return this.refuse("status-line")
    let status = 0
    for (let at = base + 9; at < base + 12; at++) {
      if ((classAt(buffer, at) & DIGIT) === 0) return this.refuse("status-line")
      status = status * 10 + ((buffer[at] ?? 0) - 48)
    }
    if (status < 100 || status > 599) return this.refuse("status-line")
    let at = base + 12
    if (buffer[at] === SP) {
      while (at < end && (classAt(buffer, at) & VALUE) !== 0) at++
      if (at + 1 >= end) return INCOMPLETE
    }
    if (buffer[at] !== CR || buffer[at + 1] !== LF) return this.refuse(buffer[at] === LF || buffer[at] === CR ? "line-end" : "status-line")
    const fieldsAt = at + 2
    const after = this.scanFields(buffer, base, fieldsAt, end, limits.fields)
    if (after <= 0) return after
    if (after - base > limits.headBytes) return this.refuse("head-too-large")
    this.text = buffer.toString("latin1", base, after)
    this.fieldsStart = fieldsAt - base
    this.status = status
    this.restart(minor)
    return this.#fields(method) ? after : this.refuse(this.fault ?? "status-line")
  }

  #fields(method: string): boolean {
    for (let field = 0; field < this.count; field++) {
      switch (this.kinds[field]) {
        case CONNECTION:
          this.readConnection(field)
          break
        case CONTENT_LENGTH:
          this.fault = this.readLength(field)
          break
        case TRANSFER_ENCODING:
          this.fault = this.readTransferEncoding(field)
          break
        default:
          break
      }
      if (this.fault !== null) return false
    }
    const { status } = this
    if (status < 200 || status === 204 || status === 304 || method === "HEAD") this.body = NO_BODY
    else if (this.body === NO_BODY) {
      this.body = UNTIL_CLOSE
      this.isPersistent = false
    }
    return true
  }

  /**
   * The head of an answer of HTTP/2, as HTTP/1.1 has it, from fields that are right (http2/message.ts): written down with
   * its positions, so that nothing is parsed. Content whose length is not said ends by itself: UNTIL_CLOSE.
   */
  fill(status: number, fields: FieldList, contentLength: number, isEnd: boolean, method: string): void {
    let text = `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n`
    this.fieldsStart = text.length
    this.count = this.seen = 0
    for (let field = 0; field < fields.count; field++) {
      const kind = fields.kind(field) & KIND
      if (kind >= METHOD) continue
      const name = fields.name(field)
      const value = fields.value(field)
      this.place(kind, text.length, name.length, value.length)
      text += `${name}: ${value}\r\n`
    }
    const isBare = status < 200 || status === 204 || status === 304 || method === "HEAD"
    if (!isBare && isEnd && contentLength < 0) {
      this.place(CONTENT_LENGTH, text.length, "content-length".length, 1)
      text += "content-length: 0\r\n"
    }
    this.text = `${text}\r\n`
    this.status = status
    this.restart(1)
    this.body = isBare ? NO_BODY : contentLength < 0 && !isEnd ? UNTIL_CLOSE : LENGTH
    this.length = Math.max(0, contentLength)
  }

  /** It switches to WebSocket and says so as RFC 9110 §7.8 wants it; asked of a 101. */
  get isWebSocket(): boolean {
    return this.minor === 1 && (this.options?.includes("upgrade") ?? false) && namesWebSocket(this.known(UPGRADE) ?? "")
  }

  get hasBody(): boolean {
    return this.body === CHUNKED || this.body === UNTIL_CLOSE || (this.body === LENGTH && this.length > 0)
  }
}
