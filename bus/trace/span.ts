/**
 * Spans as they travel: on the bus (TRACES) and to a collector alike a batch is one ExportTraceServiceRequest of
 * OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hexadecimal, 64-bit numbers as
 * text, enumerations as numbers.
 */
import { randomFillSync } from "node:crypto"

export type AttributeValue = string | number | boolean
export type Attributes = Readonly<Record<string, AttributeValue>>

/** As OTLP counts them. */
export const kind = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const
export type SpanKind = (typeof kind)[keyof typeof kind]

export interface Span {
  readonly traceId: string
  readonly spanId: string
  /** "": none. */
  readonly parentId: string
  /** W3C tracestate, "": none. */
  readonly state: string
  readonly name: string
  readonly kind: SpanKind
  /** Nanoseconds since 1970, as digits. */
  readonly start: string
  readonly end: string
  readonly attributes: Attributes
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly failed: boolean
}

const pool = Buffer.alloc(4096)
let at = pool.length

/** `bytes` random bytes as hexadecimal digits. All zero has no meaning in either id, and a chance of 2^-64. */
const randomHex = (bytes: number): string => {
  if (at + bytes > pool.length) {
    randomFillSync(pool)
    at = 0
  }
  return pool.toString("hex", at, (at += bytes))
}

export const newTraceId = (): string => randomHex(16)
export const newSpanId = (): string => randomHex(8)

/**
 * Milliseconds since 1970 with a fraction: one clock for all spans of a process, which never goes back. Processes of
 * one machine agree; between machines whoever draws must expect a span to begin before what it follows from.
 */
export const wallNow = (): number => performance.timeOrigin + performance.now()

/** Nanoseconds as digits, of milliseconds since 1970. */
export const nanoseconds = (milliseconds: number): string => {
  const whole = Math.floor(milliseconds)
  const rest = Math.min(999_999, Math.round((milliseconds - whole) * 1e6))
  return `${whole}${String(rest).padStart(6, "0")}`
}

const valueOf = (value: AttributeValue): string => {
  if (typeof value === "string") return `{"stringValue":${JSON.stringify(value)}}`
  if (typeof value === "boolean") return `{"boolValue":${value}}`
  return Number.isInteger(value) ? `{"intValue":"${value}"}` : `{"doubleValue":${value}}`
}

const attributesOf = (attributes: Attributes): string => {
  let text = ""
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined) text += `${text === "" ? "" : ","}{"key":${JSON.stringify(key)},"value":${valueOf(value)}}`
  }
  return `[${text}]`
}

const spanText = ({ traceId, spanId, parentId, state, name, kind: of, start, end, attributes, links, failed }: Span): string =>
  `{"traceId":"${traceId}","spanId":"${spanId}"${parentId === "" ? "" : `,"parentSpanId":"${parentId}"`}${state === "" ? "" : `,"traceState":${JSON.stringify(state)}`},"name":${JSON.stringify(name)},"kind":${of},"startTimeUnixNano":"${start}","endTimeUnixNano":"${end}","attributes":${attributesOf(attributes)}${
    links.length === 0 ? "" : `,"links":[${links.map((link) => `{"traceId":"${link.traceId}","spanId":"${link.spanId}"}`).join(",")}]`
  },"status":{${failed ? `"code":2` : ""}}}`

/** One batch. `resource` is what all its spans have in common: the process. */
export const encodeSpans = (resource: Attributes, spans: readonly Span[]): string =>
  `{"resourceSpans":[{"resource":{"attributes":${attributesOf(resource)}},"scopeSpans":[{"scope":{"name":"headgate"},"spans":[${spans.map(spanText).join(",")}]}]}]}`
