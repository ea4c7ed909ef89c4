/**
 * OpenTelemetry's SDK, through which adapters and functions send their spans to a collector: it knows the OTEL_…
 * variables. Loaded only where a collector is named (0.3 s, 40 MB), and given spans that are over, with their ids and
 * times, a batch at a time. Every edit is traced; OTEL_TRACES_SAMPLER is about requests, and the gateway's.
 */
import { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace, type HrTime, type SpanContext } from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { envDetector, resourceFromAttributes } from "@opentelemetry/resources"
import { NodeSDK } from "@opentelemetry/sdk-node"
import { AlwaysOnSampler, BatchSpanProcessor } from "@opentelemetry/sdk-trace"
import type { Attributes, Span, SpanId } from "./span.ts"

export interface Sdk {
  send(spans: readonly Span[]): void
  /** Sends what waits, for 2 s at most. */
  stop(): Promise<void>
}

const LAST_WORDS = 2_000

export const startSdk = (url: string, resource: Attributes): Sdk => {
  // Of the span that is made next: it has its ids already.
  let ids: SpanId = { traceId: "", spanId: "" }
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ ...resource }), resourceDetectors: [envDetector], sampler: new AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
    // They come a second's worth at a time.
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url }), scheduledDelayMillis: 10 })],
    // Without these two the SDK would make exporters for logs and metrics by itself.
    logRecordProcessors: [], metricReaders: [],
  })
  sdk.start()
  const tracer = trace.getTracer("headgate")
  return {
    send: (spans) => {
      for (const span of spans) {
        ids = span
        const { traceId, parentId, name, from, to, attributes, links, failed } = span
        const isRoot = parentId === ""
        const made = tracer.startSpan(
          name,
          // OpenTelemetry's own enumeration begins at 0.
          { startTime: hrTime(from), kind: span.kind - 1, root: isRoot, attributes: { ...attributes }, links: links.map((link) => ({ context: contextOf(link) })) },
          isRoot ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, contextOf({ traceId, spanId: parentId })),
        )
        if (failed) made.setStatus({ code: SpanStatusCode.ERROR })
        made.end(hrTime(to))
      }
    },
    stop: () => Promise.race([sdk.shutdown().catch(() => undefined), new Promise<void>((resolve) => { setTimeout(resolve, LAST_WORDS).unref() })]),
  }
}

const contextOf = ({ traceId, spanId }: SpanId): SpanContext => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true })

/** Not as a number: a small one would be taken for a time since the start of the process. */
const hrTime = (milliseconds: number): HrTime => {
  const seconds = Math.floor(milliseconds / 1000)
  return [seconds, Math.min(999_999_999, Math.round((milliseconds - seconds * 1000) * 1e6))]
}
