/**
 * What code that is traced knows of tracing: spans begin and end. Where tracing is off there is no Tracing, and nothing
 * behind it is loaded.
 */
import { formatTraceparent, parseTraceparent } from "./context.ts"
import { kind, newSpanId, newTraceId, type Attributes, type Span, type SpanId, type SpanKind } from "./span.ts"

export interface Beginning {
  readonly name: string
  /** Milliseconds since 1970, of the clock in span.ts. */
  readonly start: number
  /** The span it follows from. Undefined: a new trace begins. */
  readonly parent?: SpanId | undefined
  readonly links?: readonly SpanId[]
  readonly kind?: SpanKind
  /** The span's from now on. */
  readonly attributes?: Attributes
}

export interface OpenSpan extends SpanId {
  /** Once. Not before its start: a later start wins. */
  end(at: number, attributes?: Attributes, failed?: boolean): void
}

export interface Tracing {
  begin(span: Beginning): OpenSpan
  /**
   * Runs `make` when spans are sent on, with those of other edits: for spans that are over and on which nothing hangs.
   * While an edit is on its way only what must be done then is done; it finds no code warm.
   */
  later(make: () => void): void
}

/** A span that is over already, within `later`. */
export const tell = (tracing: Tracing, span: Beginning, end: number): void => tracing.begin(span).end(end)

/** Of a header; undefined for none, and for what is no traceparent. */
export const spanOf = (traceparent: string | undefined): SpanId | undefined => (traceparent === undefined ? undefined : parseTraceparent(traceparent))

export const traceparentOf = ({ traceId, spanId }: SpanId): string => formatTraceparent(traceId, spanId)

const NONE: Attributes = {}
const NO_LINKS: readonly SpanId[] = []

/** Its own record: what is kept of it is what JSON.stringify sees. */
class Recording implements Span, OpenSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly state = ""
  readonly name: string
  readonly kind: SpanKind
  readonly from: number
  to = 0
  /** Its own: more may be added. */
  attributes: Attributes
  readonly links: readonly SpanId[]
  failed = false
  readonly #done: (span: Span) => void

  constructor(done: (span: Span) => void, { name, start, parent, links = NO_LINKS, kind: of = kind.internal, attributes = NONE }: Beginning) {
    this.traceId = parent === undefined ? newTraceId() : parent.traceId
    this.spanId = newSpanId()
    this.parentId = parent === undefined ? "" : parent.spanId
    this.name = name
    this.kind = of
    this.from = start
    this.attributes = attributes
    this.links = links
    this.#done = done
  }

  end(at: number, attributes?: Attributes, failed = false): void {
    this.to = at < this.from ? this.from : at
    if (attributes !== undefined) this.attributes = this.attributes === NONE ? attributes : Object.assign(this.attributes, attributes)
    this.failed = failed
    this.#done(this)
  }
}

/** Ended spans as plain data, given to `done`. `later`: what waits until they are sent on; by itself it does not wait. */
export class PlainTracing implements Tracing {
  readonly #done: (span: Span) => void
  readonly later: (make: () => void) => void

  constructor(done: (span: Span) => void, later: (make: () => void) => void = (make) => make()) {
    this.#done = done
    this.later = later
  }

  begin(span: Beginning): OpenSpan {
    return new Recording(this.#done, span)
  }
}
