/**
 * Heads on their way out, as one latin1 string: ranges of the head that came in, without what ends at this hop
 * (RFC 9110 §7.6.1), with what this hop adds.
 */
import { httpDate } from "../clock.ts"
import type { Answer } from "../../bus/kinds/config.ts"
import { PROTECTED, type Edits } from "./edits.ts"
import {
  CONNECTION, CONTENT_LENGTH, DATE, EXPECT, FORWARDED, HOST, HTTP2_SETTINGS, KEEP_ALIVE, MAX_FORWARDS, PROXY_CONNECTION, TE,
  TRACEPARENT, TRACESTATE, TRANSFER_ENCODING, UPGRADE, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID,
} from "./field.ts"
import type { Head } from "./head.ts"
import type { RequestHead } from "./request.ts"
import type { ResponseHead } from "./response.ts"
import { reasonPhrase } from "./status.ts"

const bits = (...kinds: number[]): number => kinds.reduce((sum, kind) => sum | (1 << kind), 0)

/** Fields that end at this hop, and are written anew where the next one needs them. */
export const HOP_BY_HOP = bits(CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, UPGRADE, HTTP2_SETTINGS)
/** What a client may claim about earlier hops: nothing, unless hops before this one are trusted. */
export const CLAIMS = bits(X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_REQUEST_ID, FORWARDED)
/**
 * Fields a Connection option must not take away: the message would mean something else to the next hop. What trusted
 * hops claim is among them, since a client may have named it in a Connection field that one of them let through.
 */
const NEVER_OPTIONS = bits(HOST, CONTENT_LENGTH, TRANSFER_ENCODING, DATE) | CLAIMS

const FRAMING = bits(CONTENT_LENGTH, TRANSFER_ENCODING)
export const TRACE_CONTEXT = bits(TRACEPARENT, TRACESTATE)

/** RFC 6455 §4: anew at each hop, of the protocols a client offers the one that is known here. */
const WEB_SOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

/** What frames the message, as everybody reads it. */
const framingLine = (head: Head): string => (head.has(TRANSFER_ENCODING) ? "Transfer-Encoding: chunked\r\n" : `Content-Length: ${head.length}\r\n`)

/** Field lines of `head` without those of the kinds in `dropped`, removed by edits or named as connection options. */
const fieldLines = (head: Head, dropped: number, edits: Edits | null): string => {
  const { text, options } = head
  if (edits === null && options === null && (head.seen & dropped) === 0) return text.slice(head.fieldsStart, text.length - 2)
  let lines = ""
  let from = head.fieldsStart
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field)
    const isDropped = (dropped & (1 << kind)) !== 0 || (edits !== null && edits.isRemoved(field)) || (options !== null && isOption(head, field, kind, options))
    if (!isDropped) continue
    const start = head.lineStart(field)
    if (start > from) lines += text.slice(from, start)
    from = head.lineStart(field + 1)
  }
  const end = text.length - 2
  return end > from ? lines + text.slice(from, end) : lines
}

/** `field` is named by the head's Connection field, and may be. */
export const isOption = (head: Head, field: number, kind: number, options: readonly string[]): boolean => {
  if (((1 << kind) & NEVER_OPTIONS) !== 0) return false
  for (const option of options) if (head.isNamed(field, option)) return true
  return false
}

/** A field of ours that takes the place of a client's (telemetry/request-trace.ts). */
export interface TraceLine {
  /** With CRLF. */
  readonly line: string
  readonly value: string
  /** What else the client sent about it goes no further. */
  readonly isNew: boolean
}

/** What one downstream connection says about its client, made once. */
export interface Forwarding {
  /** Address of the peer, as X-Forwarded-For has it. */
  readonly address: string
  readonly scheme: string
  /** Major version of HTTP on it. */
  readonly major: 1 | 2
  readonly port: number
  /** X-Forwarded-Proto and -Port lines. */
  readonly lines: string
  /** Hops before this one that are trusted: 0 means that what the peer claims is dropped. */
  readonly trustedHops: number
}

/** By address, of the connections before: clients come back. */
const known = new Map<string, Forwarding>()
const MOST_KNOWN = 1_024

/** One of before where it says the same. */
export const forwarding = (address: string, scheme: string, major: 1 | 2, port: number, trustedHops: number): Forwarding => {
  const before = known.get(address)
  if (before !== undefined && before.scheme === scheme && before.major === major && before.port === port && before.trustedHops === trustedHops) return before
  if (known.size >= MOST_KNOWN) known.clear()
  const made: Forwarding = {
    address,
    scheme,
    major,
    port,
    trustedHops,
    // Flat: a concatenation would be walked for every request.
    lines: Buffer.from(`X-Forwarded-For: ${address}\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${port}\r\n`, "latin1").toString("latin1"),
  }
  known.set(address, made)
  return made
}

/**
 * The head that goes upstream, with its empty line. `target` (path with query) and `rewrittenHost`: as the rewrite
 * says, undefined: as sent. `via`: pseudonym, "" for none. `fallbackHost` is for HTTP/1.0 requests without Host.
 * `trace`: its line takes the place of the client's; null: what the client sent goes on.
 */
export const requestText = (
  head: RequestHead,
  edits: Edits | null,
  from: Forwarding,
  target: string | undefined,
  rewrittenHost: string | undefined,
  requestId: string,
  via: string,
  fallbackHost: string,
  trace: TraceLine | null = null,
): string => {
  const { text } = head
  let dropped = HOP_BY_HOP
  if (head.minor === 0 || !head.hasBody) dropped |= 1 << EXPECT
  if (head.maxForwards >= 0) dropped |= 1 << MAX_FORWARDS
  const host = edits?.host ?? rewrittenHost ?? (head.authority === "" ? fallbackHost : head.form === "absolute" ? head.authority : undefined)
  if (host !== undefined) dropped |= 1 << HOST
  let lines: string
  if (from.trustedHops === 0) {
    dropped |= CLAIMS
    lines = edits === null ? from.lines : editedForwarding(from, edits)
    if (head.authority !== "" && !(edits?.gives("x-forwarded-host") ?? false)) lines += `X-Forwarded-Host: ${head.authority}\r\n`
  } else {
    dropped |= 1 << X_FORWARDED_FOR
    lines = trustedForwarding(head, edits, from)
  }
  if (!(from.trustedHops > 0 && head.has(X_REQUEST_ID)) && !(edits?.gives("x-request-id") ?? false)) lines += `X-Request-Id: ${requestId}\r\n`
  if (head.isWebSocket) lines += WEB_SOCKET
  else if (head.takesTrailers) lines += "TE: trailers\r\nConnection: TE\r\n"
  if (head.maxForwards > 0) lines += `Max-Forwards: ${head.maxForwards - 1}\r\n`
  if (via !== "") lines += viaLine(from, head, via)
  if (trace !== null && !givesTrace(edits)) {
    dropped |= trace.isNew ? TRACE_CONTEXT : 1 << TRACEPARENT
    lines += trace.line
  }
  if (edits !== null) lines += edits.text
  if (!head.isFramingPlain) {
    dropped |= FRAMING
    lines += framingLine(head)
  }
  if (host !== undefined) lines = `Host: ${host}\r\n${lines}`
  const isLineKept = target === undefined && head.form === "origin" && head.minor === 1
  if (isLineKept && edits === null && head.options === null && (head.seen & dropped) === 0) return `${text.slice(0, text.length - 2)}${lines}\r\n`
  const line = isLineKept ? text.slice(0, head.fieldsStart) : `${head.method} ${target ?? head.target} HTTP/1.1\r\n`
  return `${line}${fieldLines(head, dropped, edits)}${lines}\r\n`
}

/** RFC 9110 §7.6.3: what the client spoke. */
const viaLine = (from: Forwarding, head: RequestHead, via: string): string => `Via: ${from.major === 2 ? "2.0" : `1.${head.minor}`} ${via}\r\n`

const givesTrace = (edits: Edits | null): boolean => edits?.gives("traceparent") ?? false

const editedForwarding = (from: Forwarding, edits: Edits): string => {
  let lines = ""
  if (!edits.gives("x-forwarded-for")) lines += `X-Forwarded-For: ${from.address}\r\n`
  if (!edits.gives("x-forwarded-proto")) lines += `X-Forwarded-Proto: ${from.scheme}\r\n`
  if (!edits.gives("x-forwarded-port")) lines += `X-Forwarded-Port: ${from.port}\r\n`
  return lines
}

/** A trusted peer's chain is continued; what it does not say is said here. */
const trustedForwarding = (head: RequestHead, edits: Edits | null, from: Forwarding): string => {
  const chain = head.known(X_FORWARDED_FOR)
  let lines = ""
  if (!(edits?.gives("x-forwarded-for") ?? false)) lines += `X-Forwarded-For: ${chain === undefined || chain === "" ? "" : `${chain}, `}${from.address}\r\n`
  if (!head.has(X_FORWARDED_PROTO) && !(edits?.gives("x-forwarded-proto") ?? false)) lines += `X-Forwarded-Proto: ${from.scheme}\r\n`
  if (!head.has(X_FORWARDED_PORT) && !(edits?.gives("x-forwarded-port") ?? false)) lines += `X-Forwarded-Port: ${from.port}\r\n`
  if (!head.has(X_FORWARDED_HOST) && head.authority !== "" && !(edits?.gives("x-forwarded-host") ?? false)) lines += `X-Forwarded-Host: ${head.authority}\r\n`
  return lines
}

/** How a response's body goes to this client. */
export const AS_IS = 0
/** Its length is unknown and the client speaks 1.1. */
export const TO_CHUNKS = 1
/** It came in chunks and the client speaks 1.0. */
export const TO_CLOSE = 2
/** None: 101, the rest is WebSocket. */
export const TO_TUNNEL = 3

const connectionLine = (isPersistent: boolean, minor: number): string => (isPersistent ? (minor === 0 ? "Connection: keep-alive\r\n" : "") : "Connection: close\r\n")

/** The head that goes downstream, with its empty line. `minor` is the request's. */
export const responseText = (head: ResponseHead, edits: Edits | null, mode: number, isPersistent: boolean, minor: number): string => {
  const { text, status } = head
  let dropped = HOP_BY_HOP
  // RFC 9112 §6.1, RFC 9110 §8.6: neither in 1xx and 204.
  if (status === 204 || status < 200) dropped |= FRAMING
  else if (mode !== AS_IS || minor === 0) dropped |= 1 << TRANSFER_ENCODING
  let lines = status < 200 ? "" : connectionLine(isPersistent, minor)
  // RFC 9110 §15.5.22: a 426 must say to what.
  if (mode === TO_TUNNEL || (status === 426 && minor === 1 && head.isWebSocket)) lines += WEB_SOCKET
  if (mode === TO_CHUNKS) lines += "Transfer-Encoding: chunked\r\n"
  // RFC 9110 §6.6.1: who forwards a response without Date adds it.
  if (!head.has(DATE) && status >= 200) lines += `Date: ${httpDate()}\r\n`
  if (edits !== null) lines += edits.text
  if (!head.isFramingPlain && (head.seen & FRAMING & ~dropped) !== 0) {
    dropped |= FRAMING
    lines += framingLine(head)
  }
  const isWhole = head.minor === 1 && text.charCodeAt(12) === 32
  if (isWhole && edits === null && head.options === null && (head.seen & dropped) === 0) return `${text.slice(0, text.length - 2)}${lines}\r\n`
  const line = isWhole ? text.slice(0, head.fieldsStart) : `HTTP/1.1 ${text.slice(9, 12)} ${text.slice(13, head.fieldsStart - 2)}\r\n`
  return `${line}${fieldLines(head, dropped, edits)}${lines}\r\n`
}

/** A response of the gateway's own. No Server field: what answers is nobody's business. */
export const answerText = (answer: Answer, isHead: boolean, isPersistent: boolean, minor: number): string => {
  const { status } = answer
  const body = Buffer.from(answer.body, "utf8")
  let head = `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n`
  for (const [name, value] of answer.headers) if (!PROTECTED.has(name.toLowerCase())) head += `${name}: ${value}\r\n`
  if (status !== 204 && status !== 304) head += `Content-Length: ${body.length}\r\n`
  head += `Date: ${httpDate()}\r\n${connectionLine(isPersistent, minor)}\r\n`
  return isHead || status === 204 || status === 304 ? head : head + body.toString("latin1")
}
