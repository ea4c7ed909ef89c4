/**
 * OpenTelemetry's SDK behind Tracing, for adapters and functions. Loaded only where tracing is on: it takes 0.3 s and
 * 40 MB. Every edit is traced; OTEL_TRACES_SAMPLER is about requests, and the gateway's.
 */
import { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace, type HrTime, type SpanContext } from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { envDetector, resourceFromAttributes } from "@opentelemetry/resources"
import { NodeSDK } from "@opentelemetry/sdk-node"
import { AlwaysOnSampler, BatchSpanProcessor, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace"
import type { Bus } from "../bus.ts"
import { formatTraceparent, parseTraceparent } from "./context.ts"
import { attribute } from "./names.ts"
import { kind, type Attributes, type AttributeValue, type Span, type SpanKind } from "./span.ts"
import { EVERY, flushedBeforeClose, TraceStore, WAITING } from "./store.ts"
import type { Targets } from "./targets.ts"
import type { Beginning, OpenSpan, Tracing } from "./tracing.ts"

export interface SdkOptions {
  readonly targets: Targets
  /** `adapter` or `functions`. */
  readonly part: string
  /** Of the service, where OTEL_SERVICE_NAME says nothing. */
  readonly service: string
  /** Of several of one part: who it is. */
  readonly instance: string
}

export interface SdkTracing extends Tracing {
  /** Spans go there from now on; what waits is stored before the connection closes. */
  attach(bus: Bus): Bus
  /** Sends what waits. */
  stop(): Promise<void>
}

/** How long the end of a process waits for a collector, ms. */
const LAST_WORDS = 2_000

export const startTracing = ({ targets, part, service, instance }: SdkOptions): SdkTracing => {
  const resource = { "service.name": service, "service.namespace": "headgate", "service.instance.id": instance, [attribute.part]: part }
  const store = new TraceStore({ part, instance, resource })
  const batches: BatchSpanProcessor[] = []
  const every = { scheduledDelayMillis: EVERY, maxQueueSize: WAITING }
  const toBus = targets.bus ? new BatchSpanProcessor({ exporter: exporterTo(store), ...every }) : undefined
  if (toBus !== undefined) batches.push(toBus)
  if (targets.otlp !== undefined) batches.push(new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: targets.otlp }), ...every }))
  const sdk = new NodeSDK({
    resource: resourceFromAttributes(resource), resourceDetectors: [envDetector], sampler: new AlwaysOnSampler(), spanProcessors: batches,
    // Without these two the SDK would make exporters for logs and metrics by itself.
    logRecordProcessors: [], metricReaders: [],
  })
  sdk.start()
  const tracer = trace.getTracer("headgate")
  return {
    begin: ({ name, start, parent, links, kind: of = kind.internal, attributes }: Beginning): OpenSpan => {
      const from = parent === undefined ? undefined : contextOf(parent)
      const span = tracer.startSpan(
        name,
        // OpenTelemetry's own enumeration begins at 0.
        { startTime: hrTime(start), kind: of - 1, root: from === undefined, ...(attributes === undefined ? {} : { attributes: { ...attributes } }), ...(links === undefined ? {} : { links: links.flatMap((link) => contextOf(link) ?? []).map((context) => ({ context })) }) },
        from === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, from),
      )
      const { traceId, spanId } = span.spanContext()
      return {
        traceparent: formatTraceparent(traceId, spanId),
        end: (at, more, failed = false) => {
          if (more !== undefined) span.setAttributes({ ...more })
          if (failed) span.setStatus({ code: SpanStatusCode.ERROR })
          span.end(hrTime(Math.max(start, at)))
        },
      }
    },
    attach: (bus) => {
      store.attach(bus)
      return flushedBeforeClose(bus, async () => { await toBus?.forceFlush().catch(() => undefined) })
    },
    stop: () => Promise.race([sdk.shutdown().catch(() => undefined), new Promise<void>((resolve) => { setTimeout(resolve, LAST_WORDS).unref() })]),
  }
}

const contextOf = (traceparent: string): SpanContext | undefined => {
  const context = parseTraceparent(traceparent)
  return context && { traceId: context.traceId, spanId: context.spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true }
}

/** Not as a number: a small one would be taken for a time since the start of the process. */
const hrTime = (milliseconds: number): HrTime => {
  const seconds = Math.floor(milliseconds / 1000)
  return [seconds, Math.min(999_999_999, Math.round((milliseconds - seconds * 1000) * 1e6))]
}

const exporterTo = (store: TraceStore): SpanExporter => ({
  export: (spans, done) => void store.add(spans.map(spanOf)).then(() => done({ code: 0 })),
  shutdown: () => Promise.resolve(),
})

const nanosecondsOf = ([seconds, nanoseconds]: HrTime): string => `${seconds}${String(nanoseconds).padStart(9, "0")}`

const kinds: readonly SpanKind[] = [kind.internal, kind.server, kind.client, kind.producer, kind.consumer]

const isPlain = (value: unknown): value is AttributeValue => typeof value === "string" || typeof value === "number" || typeof value === "boolean"

const spanOf = (span: ReadableSpan): Span => {
  const { traceId, spanId } = span.spanContext()
  const attributes: Record<string, AttributeValue> = {}
  for (const key in span.attributes) {
    const value = span.attributes[key]
    if (isPlain(value)) attributes[key] = value
  }
  const plain: Attributes = attributes
  return {
    traceId, spanId, parentId: span.parentSpanContext?.spanId ?? "", state: "", name: span.name, kind: kinds[span.kind] ?? kind.internal,
    start: nanosecondsOf(span.startTime), end: nanosecondsOf(span.endTime), attributes: plain,
    links: span.links.map(({ context }) => ({ traceId: context.traceId, spanId: context.spanId })), failed: span.status.code === SpanStatusCode.ERROR,
  }
}
