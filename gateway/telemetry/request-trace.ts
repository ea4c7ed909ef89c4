/**
 * Spans of requests, W3C Trace Context in and out (https://www.w3.org/TR/trace-context-1/). A request that is not
 * sampled passes with what it brought, untouched, and costs no allocation.
 */
import { flagsOf, formatTraceparent, MALFORMED, SAMPLED } from "../../bus/trace/context.ts"
import { attribute } from "../../bus/trace/names.ts"
import { kind, newSpanId, newTraceId, type Attributes, type Span } from "../../bus/trace/span.ts"
import { wallTime } from "../clock.ts"
import { TRACEPARENT, TRACESTATE } from "../http1/field.ts"
import type { RequestHead } from "../http1/request.ts"
import type { Sampler } from "./sampler.ts"

/** A sampled request in progress. */
export class RequestTrace {
  readonly traceId: string
  readonly parentId: string
  /** What the client sent beside its context; "" with a context of our own. */
  readonly state: string
  readonly spanId = newSpanId()
  /** traceparent for the backend, and its field line. */
  readonly value: string
  readonly line: string
  /** The client sent no context that could be read: what else it sent about it does not go on (§4.3). */
  readonly isNew: boolean
  /** When the request went to a backend, and when the head of its answer was there: performance.now(), 0: not. */
  sent = 0
  answered = 0

  constructor(traceId: string, parentId: string, state: string) {
    this.isNew = parentId === ""
    this.traceId = traceId
    this.parentId = parentId
    this.state = state
    this.value = formatTraceparent(traceId, this.spanId)
    this.line = `traceparent: ${this.value}\r\n`
  }
}

export interface RequestEnd {
  /** Monotonic, when the request's head was complete. */
  readonly start: number
  readonly milliseconds: number
  readonly scheme: string
  readonly method: string
  readonly host: string
  readonly status: number
  /** Rule id, "" when none matched. */
  readonly route: string
  /** address:port, "" when no backend was asked. */
  readonly upstream: string
  readonly attempts: number
  readonly reason: string
}

/** Others are said as OpenTelemetry's semantic conventions say them: names of spans must be few. */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])

export class RequestTraces {
  readonly #sampler: Sampler
  readonly #done: (span: Span) => void

  constructor(sampler: Sampler, done: (span: Span) => void) {
    this.#sampler = sampler
    this.#done = done
  }

  /** Null: not sampled. */
  begin(head: RequestHead): RequestTrace | null {
    const { ratio, followsParent } = this.#sampler
    if (!head.has(TRACEPARENT)) return ratio > 0 && Math.random() < ratio ? new RequestTrace(newTraceId(), "", "") : null
    const field = only(head, TRACEPARENT)
    const from = head.positions[field * 4 + 2] ?? 0
    const flags = field < 0 ? MALFORMED : flagsOf(head.text, from, head.positions[field * 4 + 3] ?? 0)
    if (flags === MALFORMED) return ratio > 0 && Math.random() < ratio ? new RequestTrace(newTraceId(), "", "") : null
    if (followsParent ? (flags & SAMPLED) === 0 : Number.parseInt(head.text.slice(from + 27, from + 35), 16) >= ratio * 2 ** 32) return null
    return new RequestTrace(head.text.slice(from + 3, from + 35), head.text.slice(from + 36, from + 52), head.known(TRACESTATE) ?? "")
  }

  end({ traceId, spanId, parentId, state, sent, answered }: RequestTrace, { start, milliseconds, scheme, method, host, status, route, upstream, attempts, reason }: RequestEnd): void {
    const known = methods.has(method) ? method : "_OTHER"
    const attributes: Attributes = {
      "http.request.method": known,
      "http.response.status_code": status,
      "url.scheme": scheme,
      ...(host === "" ? {} : { "server.address": host }),
      ...(route === "" ? {} : { "http.route": route }),
      ...(upstream === "" ? {} : { [attribute.upstream]: upstream, [attribute.attempts]: attempts }),
      ...(sent === 0 ? {} : { [attribute.sentAfter]: after(sent, start) }),
      ...(answered === 0 ? {} : { [attribute.answeredAfter]: after(answered, start) }),
      ...(reason === "" ? {} : { "error.type": reason }),
    }
    this.#done({
      traceId, spanId, parentId, state, name: `${known === "_OTHER" ? "HTTP" : known}${route === "" ? "" : ` ${route}`}`, kind: kind.server, attributes, links: [], failed: status >= 500,
      from: wallTime(start), to: wallTime(start + milliseconds),
    })
  }
}

/** Milliseconds, to the microsecond. */
const after = (then: number, start: number): number => Math.max(0, Math.round((then - start) * 1000) / 1000)

/** The one field of a kind, -1: there are several. */
const only = (head: RequestHead, wanted: number): number => {
  let found = -1
  for (let field = 0; field < head.count; field++) {
    if (head.kinds[field] !== wanted) continue
    if (found >= 0) return -1
    found = field
  }
  return found
}
