/**
 * Spans as they are recorded. How they travel on the bus: batch.ts. For a collector, and for people who want them as
 * data, they are one ExportTraceServiceRequest of OTLP/JSON
 * (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): ids in hexadecimal, 64-bit numbers as text,
 * enumerations as numbers.
 */
import { randomBytes } from "node:crypto"

export type AttributeValue = string | number | boolean
export type Attributes = Readonly<Record<string, AttributeValue>>

/** As OTLP counts them. */
export const kind = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const
export type SpanKind = (typeof kind)[keyof typeof kind]

export interface SpanId {
  readonly traceId: string
  readonly spanId: string
}

export interface Span extends SpanId {
  /** "": none. */
  readonly parentId: string
  /** W3C tracestate, "": none. */
  readonly state: string
  readonly name: string
  readonly kind: SpanKind
  /** Milliseconds since 1970, with a fraction. */
  readonly from: number
  readonly to: number
  readonly attributes: Attributes
  readonly links: readonly SpanId[]
  readonly failed: boolean
}

/** Of one process: `resource` is what all its spans have in common. */
export interface Batch {
  readonly resource: Attributes
  readonly spans: readonly Span[]
}

// Digits of many ids at once: each time by itself costs more than all else about a span.
let digits = ""
let used = 0

export const newTraceId = (): string => {
  if (used >= digits.length) {
    digits = randomBytes(1024).toString("hex")
    used = 0
  }
  return digits.slice(used, (used += 32))
}

// Unique without a random source each time: a random process part and a counter. That differs from the ids of other
// processes of the same trace, which is all a span's id must.
const processPart = randomBytes(5).toString("hex")
let counter = 0

export const newSpanId = (): string => {
  counter = (counter + 1) % 0x1000000
  return processPart + (counter + 0x1000000).toString(16).slice(1)
}

/** Read once: it is a getter that costs as much as the time itself. */
const ORIGIN = performance.timeOrigin

/** Of performance.now(). */
export const wallTime = (monotonic: number): number => ORIGIN + monotonic

/**
 * Milliseconds since 1970 with a fraction: one clock for all spans of a process, which never goes back. Processes of
 * one machine agree; between machines whoever draws must expect a span to begin before what it follows from.
 */
export const wallNow = (): number => ORIGIN + performance.now()

/** Nanoseconds as digits, of milliseconds since 1970. */
const nanoseconds = (milliseconds: number): string => {
  const whole = Math.floor(milliseconds)
  const rest = Math.min(999_999, Math.round((milliseconds - whole) * 1e6))
  return `${whole}${String(rest).padStart(6, "0")}`
}

const valueOf = (value: AttributeValue): object => {
  if (typeof value === "string") return { stringValue: value }
  if (typeof value === "boolean") return { boolValue: value }
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}

const attributesOf = (attributes: Attributes): readonly object[] => Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }))

const otlpSpan = ({ traceId, spanId, parentId, state, name, kind: of, from, to, attributes, links, failed }: Span): object => ({
  traceId, spanId, ...(parentId === "" ? {} : { parentSpanId: parentId }), ...(state === "" ? {} : { traceState: state }), name, kind: of,
  startTimeUnixNano: nanoseconds(from), endTimeUnixNano: nanoseconds(to), attributes: attributesOf(attributes),
  ...(links.length === 0 ? {} : { links: links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })) }), status: failed ? { code: 2 } : {},
})

/** Batches as one request of OTLP/JSON. */
export const otlpRequest = (batches: readonly Batch[]): object => ({
  resourceSpans: batches.map(({ resource, spans }) => ({ resource: { attributes: attributesOf(resource) }, scopeSpans: [{ scope: { name: "headgate" }, spans: spans.map(otlpSpan) }] })),
})
