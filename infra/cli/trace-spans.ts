/** Spans as `headgate trace` looks at them: of batches in TRACES (bus/trace/batch.ts). */
import { decodeBatch } from "../../bus/trace/batch.ts"
import { attribute } from "../../bus/trace/names.ts"
import { otlpRequest, type Attributes, type Span } from "../../bus/trace/span.ts"

export interface SeenSpan extends Span {
  /** What is known of its process, and its name for people: `adapter`, `functions`, `gateway up`. */
  readonly resource: Attributes
  readonly process: string
}

export const processOf = (resource: Attributes): string => {
  const part = String(resource[attribute.part] ?? resource["service.name"] ?? "?")
  return part === "gateway" ? `gateway ${String(resource["service.instance.id"] ?? "")}`.trimEnd() : part
}

/** Of one batch; nothing of what is none. */
export const spansIn = (batch: string): readonly SeenSpan[] => {
  const { resource, spans } = decodeBatch(batch)
  const process = processOf(resource)
  return spans.map((span) => ({ ...span, resource, process }))
}

/** As one ExportTraceServiceRequest. */
export const otlpJson = (spans: readonly SeenSpan[]): string => {
  const groups = Map.groupBy(spans, ({ resource }) => JSON.stringify(resource))
  return `${JSON.stringify(otlpRequest([...groups.values()].map((group) => ({ resource: group[0]?.resource ?? {}, spans: group }))), null, 2)}\n`
}
