/** Spans as `headgate trace` looks at them: of batches in TRACES (bus/trace/span.ts). */
import { attribute } from "../../bus/trace/names.ts"
import { kind, otlpRequest, type Attributes, type AttributeValue, type Span, type SpanId } from "../../bus/trace/span.ts"
import { at, list } from "./field.ts"

export interface SeenSpan extends Span {
  /** What is known of its process, and its name for people: `adapter`, `functions`, `gateway up`. */
  readonly resource: Attributes
  readonly process: string
}

const text = (value: unknown): string => (typeof value === "string" ? value : "")
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0)

const isValue = (value: unknown): value is AttributeValue => typeof value === "string" || typeof value === "number" || typeof value === "boolean"

const attributesOf = (value: unknown): Attributes => {
  const attributes: Record<string, AttributeValue> = {}
  for (const [key, each] of Object.entries(value ?? {})) if (isValue(each)) attributes[key] = each
  return attributes
}

const idOf = (value: unknown): SpanId => ({ traceId: text(at(value, "traceId")), spanId: text(at(value, "spanId")) })
const kindOf = (value: unknown): Span["kind"] => Object.values(kind).find((each) => each === value) ?? kind.internal

export const processOf = (resource: Attributes): string => {
  const part = text(resource[attribute.part]) || text(resource["service.name"]) || "?"
  return part === "gateway" ? `gateway ${text(resource["service.instance.id"])}`.trimEnd() : part
}

/** Of one batch; nothing of what is none. */
export const spansIn = (batch: string): readonly SeenSpan[] => {
  let value: unknown
  try {
    value = JSON.parse(batch)
  } catch {
    return []
  }
  const resource = attributesOf(at(value, "resource"))
  const process = processOf(resource)
  return list(at(value, "spans")).map((span): SeenSpan => ({
    ...idOf(span), parentId: text(at(span, "parentId")), state: text(at(span, "state")), name: text(at(span, "name")), kind: kindOf(at(span, "kind")),
    from: number(at(span, "from")), to: number(at(span, "to")), attributes: attributesOf(at(span, "attributes")), links: list(at(span, "links")).map(idOf), failed: at(span, "failed") === true,
    resource, process,
  }))
}

/** As one ExportTraceServiceRequest. */
export const otlpJson = (spans: readonly SeenSpan[]): string => {
  const groups = Map.groupBy(spans, ({ resource }) => JSON.stringify(resource))
  return `${JSON.stringify(otlpRequest([...groups.values()].map((group) => ({ resource: group[0]?.resource ?? {}, spans: group }))), null, 2)}\n`
}
