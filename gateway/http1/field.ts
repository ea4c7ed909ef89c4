/** Fields a proxy acts on, as small numbers, so that a head is classified once and copied by number. */

export const OTHER = 0
export const HOST = 1
export const CONNECTION = 2
export const CONTENT_LENGTH = 3
export const TRANSFER_ENCODING = 4
export const KEEP_ALIVE = 5
export const PROXY_CONNECTION = 6
export const TE = 7
export const UPGRADE = 8
export const EXPECT = 9
export const X_FORWARDED_FOR = 10
export const X_FORWARDED_PROTO = 11
export const X_FORWARDED_HOST = 12
export const X_FORWARDED_PORT = 13
export const X_REQUEST_ID = 14
export const FORWARDED = 15
export const DATE = 16
export const TRAILER = 17
export const MAX_FORWARDS = 18
export const HTTP2_SETTINGS = 19
/** Fields that must not come in a trailer section (RFC 9110 §6.5.1: framing, routing, authentication …). */
export const NOT_IN_TRAILER = 20
export const USER_AGENT = 21
export const TRACEPARENT = 22
export const TRACESTATE = 23

export const CONTENT_TYPE = 24
export const GRPC_TIMEOUT = 25

const named: readonly (readonly [string, number])[] = [
  ["host", HOST],
  ["connection", CONNECTION],
  ["content-length", CONTENT_LENGTH],
  ["transfer-encoding", TRANSFER_ENCODING],
  ["keep-alive", KEEP_ALIVE],
  ["proxy-connection", PROXY_CONNECTION],
  ["te", TE],
  ["upgrade", UPGRADE],
  ["expect", EXPECT],
  ["x-forwarded-for", X_FORWARDED_FOR],
  ["x-forwarded-proto", X_FORWARDED_PROTO],
  ["x-forwarded-host", X_FORWARDED_HOST],
  ["x-forwarded-port", X_FORWARDED_PORT],
  ["x-request-id", X_REQUEST_ID],
  ["forwarded", FORWARDED],
  ["date", DATE],
  ["trailer", TRAILER],
  ["max-forwards", MAX_FORWARDS],
  ["http2-settings", HTTP2_SETTINGS],
  ["user-agent", USER_AGENT],
  ["traceparent", TRACEPARENT],
  ["tracestate", TRACESTATE],
  ["content-encoding", NOT_IN_TRAILER],
  ["content-type", CONTENT_TYPE],
  ["grpc-timeout", GRPC_TIMEOUT],
  ["content-range", NOT_IN_TRAILER],
  ["authorization", NOT_IN_TRAILER],
  ["cookie", NOT_IN_TRAILER],
  ["set-cookie", NOT_IN_TRAILER],
  ["cache-control", NOT_IN_TRAILER],
  ["www-authenticate", NOT_IN_TRAILER],
]

interface Known {
  readonly name: Uint8Array
  readonly kind: number
}

/** By length and first letter (folded, 5 bits): at most a few candidates, mostly none. */
const byShape: readonly (readonly Known[] | undefined)[] = (() => {
  const shapes: (Known[] | undefined)[] = Array.from({ length: 32 * 32 })
  for (const [name, kind] of named) {
    const shape = name.length * 32 + (name.charCodeAt(0) & 31)
    const known = { name: Uint8Array.from(name, (c) => c.charCodeAt(0)), kind }
    const others = shapes[shape]
    if (others === undefined) shapes[shape] = [known]
    else others.push(known)
  }
  return shapes
})()

/** The number of the field whose name lies in `buffer` from `start` (a token of `length` octets), in any case. */
export const fieldKind = (buffer: Uint8Array, start: number, length: number): number => {
  if (length > 31) return OTHER
  const candidates = byShape[length * 32 + ((buffer[start] ?? 0) & 31)]
  if (candidates === undefined) return OTHER
  for (let i = 0; i < candidates.length; i++) {
    const known = candidates[i]
    if (known !== undefined && equalsFolded(buffer, start, known.name)) return known.kind
  }
  return OTHER
}

/** `| 32` folds letters and leaves digits and `-` alone; of the other tchars none folds onto one of these but by being one. */
const equalsFolded = (buffer: Uint8Array, start: number, name: Uint8Array): boolean => {
  for (let i = 0; i < name.length; i++) if (((buffer[start + i] ?? 0) | 32) !== name[i]) return false
  return true
}
