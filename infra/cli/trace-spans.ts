/** Spans as `headgate trace` looks at them: of batches in TRACES, which are OTLP/JSON (bus/trace/span.ts). */
import { attribute } from "../../bus/trace/names.ts"
import { at, list } from "./field.ts"

export interface SeenSpan {
  readonly traceId: string
  readonly spanId: string
  /** "": none. */
  readonly parentId: string
  readonly name: string
  /** `adapter`, `functions`, `gateway up`. */
  readonly process: string
  /** Milliseconds since 1970. */
  readonly start: number
  readonly end: number
  readonly failed: boolean
  readonly attributes: ReadonlyMap<string, string>
  /** Ids of traces it joins. */
  readonly links: readonly string[]
  /** As they came. */
  readonly raw: { readonly resource: unknown; readonly span: unknown }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "")

const attributesOf = (of: unknown): ReadonlyMap<string, string> =>
  new Map(list(at(of, "attributes")).map((each) => [text(at(each, "key")), String(Object.values(at(each, "value") ?? {})[0] ?? "")]))

const milliseconds = (nanoseconds: unknown): number => {
  const digits = text(nanoseconds)
  return Number(digits.slice(0, -6)) + Number(digits.slice(-6)) / 1e6
}

const processOf = (resource: ReadonlyMap<string, string>): string => {
  const part = resource.get(attribute.part) ?? resource.get("service.name") ?? "?"
  return part === "gateway" ? `gateway ${resource.get("service.instance.id") ?? ""}`.trimEnd() : part
}

/** Of one batch; nothing of what is none. */
export const spansIn = (batch: string): readonly SeenSpan[] => {
  let value: unknown
  try {
    value = JSON.parse(batch)
  } catch {
    return []
  }
  return list(at(value, "resourceSpans")).flatMap((group) => {
    const resource = at(group, "resource")
    const process = processOf(attributesOf(resource))
    return list(at(group, "scopeSpans")).flatMap((scope) => list(at(scope, "spans"))).map((span): SeenSpan => ({
      traceId: text(at(span, "traceId")), spanId: text(at(span, "spanId")), parentId: text(at(span, "parentSpanId")), name: text(at(span, "name")), process,
      start: milliseconds(at(span, "startTimeUnixNano")), end: milliseconds(at(span, "endTimeUnixNano")), failed: at(span, "status", "code") === 2,
      attributes: attributesOf(span), links: list(at(span, "links")).map((link) => text(at(link, "traceId"))), raw: { resource, span },
    }))
  })
}

/** Spans again as one ExportTraceServiceRequest. */
export const otlpJson = (spans: readonly SeenSpan[]): string => {
  const groups = Map.groupBy(spans, ({ raw }) => JSON.stringify(raw.resource))
  return `${JSON.stringify({ resourceSpans: [...groups.values()].map((group) => ({ resource: group[0]?.raw.resource, scopeSpans: [{ scope: { name: "headgate" }, spans: group.map(({ raw }) => raw.span) }] })) }, null, 2)}\n`
}
