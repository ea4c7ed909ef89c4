/** Request heads (RFC 9112 §3): parsed strictly, shown to matching as a RequestView. */
import type { RequestView } from "../table/table.ts"
import { CR, LF, SP, TARGET, TOKEN, PATH_SUSPECT, classAt } from "./bytes.ts"
import type { Fault } from "./fault.ts"
import { CONNECTION, CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, OTHER, TE, TRANSFER_ENCODING, UPGRADE } from "./field.ts"
import { CHUNKED, Head, INCOMPLETE, LENGTH, type HeadLimits } from "./head.ts"
import { normalHost } from "./host.ts"
import { isPathRefused, mergeSlashes, plainEscapes } from "./path.ts"

/** RFC 9112 §3.2 */
export type TargetForm = "origin" | "absolute" | "authority" | "asterisk"

/** Longest method taken for one; the registry's longest has 17. */
const METHOD_BYTES = 32

export class RequestHead extends Head implements RequestView {
  method = ""
  host = ""
  path = "/"
  query = ""
  form: TargetForm = "origin"
  /** The Host field (or the authority of an absolute target) as sent; "" when there is none (HTTP/1.0). */
  authority = ""
  /** Of an absolute target, lower case; else "". */
  scheme = ""
  /** The target as it goes upstream when nothing rewrites it: always origin-form. */
  target = "/"
  expectsContinue = false
  /** An Expect other than 100-continue. */
  expectsOther = false
  /** Protocols of the Upgrade field, when Connection names it; else "". */
  upgrade = ""
  /** … and `websocket` is among them, of whatever else. */
  isWebSocket = false
  /** TE has `trailers`. */
  takesTrailers = false
  /** For OPTIONS and TRACE; -1: none. */
  maxForwards = -1

  #lastAuthority = ""
  #lastHost = ""

  /** Parses a head that starts at `start`. Returns where it ends, INCOMPLETE, or REFUSED with `fault` set, and `method` where that was right. */
  parse(buffer: Buffer, start: number, end: number, limits: HeadLimits): number {
    let at = start
    this.method = ""
    // RFC 9112 §2.2: empty lines before a request are ignored.
    while (at < end && buffer[at] === CR) {
      if (at + 1 >= end) return end - start > limits.headBytes ? this.refuse("head-too-large") : INCOMPLETE
      if (buffer[at + 1] !== LF) return this.refuse("request-line")
      at += 2
    }
    const after = this.#parse(buffer, at, end, limits)
    if (after === INCOMPLETE) return end - start > limits.headBytes ? this.refuse("head-too-large") : INCOMPLETE
    return after > 0 && after - start > limits.headBytes ? this.refuse("head-too-large") : after
  }

  #parse(buffer: Buffer, base: number, end: number, limits: HeadLimits): number {
    let at = base
    while (at < end && (classAt(buffer, at) & TOKEN) !== 0) at++
    if (at - base > METHOD_BYTES) return this.refuse("request-line")
    if (at >= end) return INCOMPLETE
    if (at === base || buffer[at] !== SP) return this.refuse("request-line")
    const targetAt = ++at
    let classes = 0
    while (at < end) {
      const own = classAt(buffer, at)
      if ((own & TARGET) === 0) break
      classes |= own
      at++
    }
    if (at - targetAt > limits.targetBytes) return this.refuse("target-too-long")
    if (at >= end) return INCOMPLETE
    if (at === targetAt) return this.refuse("request-line")
    const targetEnd = at
    if (buffer[at] !== SP) return this.refuse(buffer[at] === CR || buffer[at] === LF ? "request-line" : "target")
    at++
    const lineEnd = this.#version(buffer, at, end)
    if (lineEnd <= 0) return lineEnd
    const after = this.scanFields(buffer, base, lineEnd, end, limits.fields)
    if (after <= 0) return after
    // A head that ends beyond 65,535 octets does not fit its positions.
    if (after - base > limits.headBytes) return this.refuse("head-too-large")
    const text = buffer.toString("latin1", base, after)
    this.text = text
    this.fieldsStart = lineEnd - base
    this.method = methodOf(buffer, base, text, targetAt - 1 - base)
    this.authority = ""
    return this.#target(text, targetAt - base, targetEnd - base, (classes & PATH_SUSPECT) !== 0) && this.#fields() ? after : this.refuse(this.fault ?? "target")
  }

  /** `HTTP/1.1 CRLF` at `at`. Returns the position after it. */
  #version(buffer: Buffer, at: number, end: number): number {
    const expected = "HTTP/1."
    for (let i = 0; i < expected.length; i++) {
      if (at + i >= end) return INCOMPLETE
      if (buffer[at + i] === expected.charCodeAt(i)) continue
      // `HTTP/` and then another major version is a version, anything else is no request line.
      return this.refuse(i === 5 && (classAt(buffer, at + i) & TOKEN) !== 0 ? "version" : "request-line")
    }
    if (at + 9 >= end) return INCOMPLETE
    const minor = (buffer[at + 7] ?? 0) - 48
    if (minor !== 0 && minor !== 1) return this.refuse(minor >= 2 && minor <= 9 ? "version" : "request-line")
    if (buffer[at + 8] !== CR || buffer[at + 9] !== LF) return this.refuse(buffer[at + 8] === LF || buffer[at + 8] === CR ? "line-end" : "request-line")
    this.restart(minor)
    return at + 10
  }

  /** RFC 9112 §3.2. False: refused. */
  #target(text: string, from: number, to: number, isSuspect: boolean): boolean {
    if (text.charCodeAt(from) === 47 && this.method !== "CONNECT") {
      this.form = "origin"
      this.scheme = ""
      return this.#origin(text.slice(from, to), isSuspect)
    }
    const target = text.slice(from, to)
    if (this.method === "CONNECT") {
      this.form = "authority"
      this.path = this.target = target
      this.query = ""
      this.authority = target
      return /:\d{1,5}$/.test(target)
    }
    if (target === "*") {
      this.form = "asterisk"
      this.path = this.target = "*"
      this.query = ""
      return this.method === "OPTIONS"
    }
    const absolute = /^(https?):\/\/([^/?]+)([/?].*)?$/i.exec(target)
    if (absolute === null) return false
    this.form = "absolute"
    this.scheme = (absolute[1] ?? "").toLowerCase()
    this.authority = absolute[2] ?? ""
    const rest = absolute[3] ?? ""
    if (rest === "" && this.method === "OPTIONS") {
      // RFC 9112 §3.2.4: what the last proxy sends as `OPTIONS *`.
      this.form = "asterisk"
      this.path = this.target = "*"
      this.query = ""
      return true
    }
    return this.#origin(rest.startsWith("/") ? rest : `/${rest}`, isSuspect)
  }

  #origin(target: string, isSuspect: boolean): boolean {
    this.target = target
    const question = target.indexOf("?")
    const path = question < 0 ? target : target.slice(0, question)
    this.query = question < 0 ? "" : target.slice(question + 1)
    if (isSuspect && isPathRefused(path)) {
      this.fault = "path"
      return false
    }
    const plain = isSuspect ? plainEscapes(path) : path
    this.path = plain.includes("//") ? mergeSlashes(plain) : plain
    return true
  }

  #fields(): boolean {
    this.expectsContinue = this.expectsOther = this.takesTrailers = this.isWebSocket = false
    this.upgrade = ""
    this.maxForwards = -1
    let hosts = 0
    let authority = this.authority
    for (let field = 0; field < this.count; field++) {
      switch (this.kinds[field]) {
        case OTHER:
          continue
        case HOST:
          if (hosts++ > 0) return this.#refused("host")
          // RFC 9112 §3.2.2: an absolute target's authority replaces Host.
          if (authority === "") authority = this.value(field)
          else if (normalHost(this.value(field)) === null) return this.#refused("host")
          break
        case CONNECTION:
          this.readConnection(field)
          break
        case CONTENT_LENGTH:
          this.fault = this.readLength(field)
          break
        case TRANSFER_ENCODING:
          this.fault = this.readTransferEncoding(field)
          break
        case EXPECT:
          if (this.value(field).toLowerCase() === "100-continue") this.expectsContinue = true
          else this.expectsOther = true
          break
        case TE:
          this.takesTrailers ||= /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(this.value(field))
          break
        case UPGRADE:
          this.upgrade = this.upgrade === "" ? this.value(field) : `${this.upgrade}, ${this.value(field)}`
          break
        case MAX_FORWARDS:
          if (/^\d{1,9}$/.test(this.value(field))) this.maxForwards = Number(this.value(field))
          break
        default:
          break
      }
      if (this.fault !== null) return false
    }
    if (this.minor === 0) this.expectsContinue = this.expectsOther = false
    if (this.upgrade !== "" && (this.minor === 0 || this.options === null || !this.options.includes("upgrade"))) this.upgrade = ""
    if (this.upgrade !== "") this.isWebSocket = namesWebSocket(this.upgrade)
    return this.#host(authority, hosts)
  }

  #host(authority: string, hosts: number): boolean {
    if (hosts === 0 && this.minor === 1) return this.#refused("host")
    if (authority === "") {
      if (hosts > 0) return this.#refused("host")
      this.authority = this.host = ""
      return true
    }
    this.authority = authority
    if (authority !== this.#lastAuthority) {
      const host = normalHost(authority)
      if (host === null) return this.#refused("host")
      this.#lastAuthority = authority
      this.#lastHost = host
    }
    this.host = this.#lastHost
    return true
  }

  #refused(fault: Fault): boolean {
    this.fault = fault
    return false
  }

  /** As if nothing had been read. */
  clear(): void {
    this.restart(1)
    this.text = this.method = this.host = this.path = this.query = this.authority = this.scheme = this.upgrade = ""
    this.count = this.seen = 0
    this.form = "origin"
    this.target = "/"
    this.expectsContinue = this.expectsOther = this.takesTrailers = this.isWebSocket = false
    this.maxForwards = -1
  }

  /** Content follows (RFC 9112 §6.3): a length of 0 is none. */
  get hasBody(): boolean {
    return this.body === CHUNKED || (this.body === LENGTH && this.length > 0)
  }
}

/** Value of an Upgrade field: a list of protocols, whose names are compared without case (RFC 9110 §7.8, RFC 6455 §4.1). */
export const namesWebSocket = (upgrade: string): boolean => /(?:^|,)[ \t]*websocket[ \t]*(?:,|$)/i.test(upgrade)

/** The frequent ones without a new string. */
const methodOf = (buffer: Buffer, base: number, text: string, length: number): string => {
  switch (buffer[base]) {
    case 71:
      return length === 3 && text.startsWith("GET") ? "GET" : text.slice(0, length)
    case 72:
      return length === 4 && text.startsWith("HEAD") ? "HEAD" : text.slice(0, length)
    case 80:
      if (length === 4 && text.startsWith("POST")) return "POST"
      if (length === 3 && text.startsWith("PUT")) return "PUT"
      return length === 5 && text.startsWith("PATCH") ? "PATCH" : text.slice(0, length)
    default:
      return text.slice(0, length)
  }
}
