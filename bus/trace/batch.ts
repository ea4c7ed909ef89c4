/**
 * Body of a message in TRACES, as short as plain JSON is: what it costs is written by every edit. Spans by trace, each
 * a row of their fields in order, those at the end left out that say nothing; times in whole microseconds since `at`.
 */
import { kind, type Attributes, type AttributeValue, type Span, type SpanId } from "./span.ts"

type Row = (string | number | Attributes | readonly string[])[]

/** `resource` is what all spans have in common: the process. */
export const encodeBatch = (resource: Attributes, spans: readonly Span[]): string => {
  const at = Math.floor(spans.reduce((first, { from }) => Math.min(first, from), Infinity))
  const traces: Record<string, Row[]> = {}
  for (const { traceId, spanId, parentId, name, kind: of, from, to, attributes, links, failed, state } of spans) {
    const row: Row = [spanId, parentId, name, of, Math.round((from - at) * 1000), Math.round((to - from) * 1000)]
    const isMore = links.length > 0 || failed || state !== ""
    // Without an object for what has none.
    for (const _ in attributes) {
      row.push(attributes)
      break
    }
    if (isMore) {
      if (row.length === FIELDS) row.push({})
      row.push(links.flatMap((link) => [link.traceId, link.spanId]), failed ? 1 : 0, state)
    }
    const rows = traces[traceId]
    if (rows === undefined) traces[traceId] = [row]
    else rows.push(row)
  }
  return JSON.stringify({ at, resource, traces })
}

/** Of a row that nothing is left out of at the end but attributes, links, failure and state. */
const FIELDS = 6

const text = (value: unknown): string => (typeof value === "string" ? value : "")
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0)
const entriesOf = (value: unknown): readonly (readonly [string, unknown])[] => (typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [])
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const isValue = (value: unknown): value is AttributeValue => typeof value === "string" || typeof value === "number" || typeof value === "boolean"

const attributesOf = (value: unknown): Attributes => {
  const attributes: Record<string, AttributeValue> = {}
  for (const [key, each] of entriesOf(value)) if (isValue(each)) attributes[key] = each
  return attributes
}

const linksOf = (value: unknown): readonly SpanId[] => {
  const ids = listOf(value)
  return Array.from({ length: Math.floor(ids.length / 2) }, (_, i) => ({ traceId: text(ids[2 * i]), spanId: text(ids[2 * i + 1]) }))
}

/** What a batch holds; nothing for what is none. Whoever may write to TRACES may have written anything. */
export const decodeBatch = (body: string): { readonly resource: Attributes; readonly spans: readonly Span[] } => {
  let batch: ReadonlyMap<string, unknown>
  try {
    batch = new Map(entriesOf(JSON.parse(body)))
  } catch {
    return { resource: {}, spans: [] }
  }
  const at = number(batch.get("at"))
  const spans = entriesOf(batch.get("traces")).flatMap(([traceId, rows]) => listOf(rows).map((row): Span => {
    const [spanId, parentId, name, of, from, took, attributes, links, failed, state] = listOf(row)
    const start = at + number(from) / 1000
    return {
      traceId, spanId: text(spanId), parentId: text(parentId), name: text(name), kind: Object.values(kind).find((each) => each === of) ?? kind.internal,
      from: start, to: start + Math.max(0, number(took)) / 1000, attributes: attributesOf(attributes), links: linksOf(links), failed: failed === 1, state: text(state),
    }
  }))
  return { resource: attributesOf(batch.get("resource")), spans }
}
