/**
 * What code that is traced knows of tracing: spans begin and end. Where tracing is off there is no Tracing, and
 * nothing behind it is loaded. Two implementations: OpenTelemetry's SDK (sdk.ts, in adapters and functions) and plain
 * data (PlainTracing, in the gateway, which loads no SDK, and in tests).
 */
import { formatTraceparent, parseTraceparent } from "./context.ts"
import { kind, nanoseconds, newSpanId, newTraceId, type Attributes, type Span, type SpanKind } from "./span.ts"

export interface Beginning {
  readonly name: string
  /** Milliseconds since 1970, of the clock in span.ts. */
  readonly start: number
  /** Traceparent of the span it follows from. Undefined, or no traceparent: a new trace begins. */
  readonly parent?: string | undefined
  /** Traceparents. */
  readonly links?: readonly string[]
  readonly kind?: SpanKind
  readonly attributes?: Attributes
}

export interface OpenSpan {
  readonly traceparent: string
  /** Once. Not before its start: a later start wins. */
  end(at: number, attributes?: Attributes, failed?: boolean): void
}

export interface Tracing {
  begin(span: Beginning): OpenSpan
}

/** A span that is over already. */
export const tell = (tracing: Tracing, span: Beginning, end: number): void => tracing.begin(span).end(end)

const NONE: Attributes = {}
const NO_LINKS: Span["links"] = []

/** Ended spans as plain data. */
export class PlainTracing implements Tracing {
  readonly #done: (span: Span) => void

  constructor(done: (span: Span) => void) {
    this.#done = done
  }

  begin({ name, start, parent, links, kind: of = kind.internal, attributes = NONE }: Beginning): OpenSpan {
    const from = parent === undefined ? undefined : parseTraceparent(parent)
    const traceId = from?.traceId ?? newTraceId()
    const spanId = newSpanId()
    const done = this.#done
    return {
      traceparent: formatTraceparent(traceId, spanId),
      end: (at, more, failed = false) =>
        done({
          traceId, spanId, parentId: from?.spanId ?? "", state: "", name, kind: of, start: nanoseconds(start), end: nanoseconds(Math.max(start, at)), failed,
          attributes: more === undefined ? attributes : { ...attributes, ...more },
          links: links === undefined ? NO_LINKS : links.flatMap((link) => parseTraceparent(link) ?? []),
        }),
    }
  }
}
