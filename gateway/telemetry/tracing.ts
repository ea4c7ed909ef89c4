/**
 * Tracing of the gateway, loaded only where it is on: spans are plain data, gathered and sent on at most once a
 * second, to the bus and, where one is given, to a collector.
 */
import type { Bus } from "../../bus/bus.ts"
import { attribute } from "../../bus/trace/names.ts"
import { encodeSpans, type Attributes, type Span } from "../../bus/trace/span.ts"
import { EVERY, TraceStore, WAITING } from "../../bus/trace/store.ts"
import type { Targets } from "../../bus/trace/targets.ts"
import { PlainTracing } from "../../bus/trace/tracing.ts"
import type { Log } from "../log.ts"
import { pairsOf } from "./pairs.ts"
import { RequestTraces } from "./request-trace.ts"
import type { Sampler } from "./sampler.ts"
import { SwapTraces } from "./swap-trace.ts"

/** Spans of requests in one batch to the bus, which is there for edits; a collector gets them all. */
const REQUESTS = 100
/** How long the end of the process waits, ms. */
const LAST_WORDS = 2_000

export interface TracingOptions {
  readonly targets: Targets
  readonly plane: string
  readonly pod: string
  /** Null: no request is traced. */
  readonly sampler: Sampler | null
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
}

export interface GatewayTracing {
  readonly swaps: SwapTraces
  readonly requests: RequestTraces | null
  attach(bus: Bus): void
  /** Sends what waits. */
  stop(): Promise<void>
}

export const startTracing = async ({ targets, plane, pod, sampler, env, log }: TracingOptions): Promise<GatewayTracing> => {
  const resource: Attributes = {
    ...pairsOf(env["OTEL_RESOURCE_ATTRIBUTES"]),
    "service.name": env["OTEL_SERVICE_NAME"] || "headgate-gateway", "service.namespace": "headgate", "service.instance.id": pod,
    [attribute.part]: "gateway", [attribute.plane]: plane,
  }
  const store = targets.bus ? new TraceStore({ part: "gateway", instance: pod, resource }) : undefined
  const send = targets.otlp === undefined ? undefined : (await import("./otlp.ts")).otlpSender(targets.otlp, env, log)
  let swaps: Span[] = []
  let requests: Span[] = []
  let timer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined
  let lost = 0

  const flush = async (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    const all = [...swaps, ...requests]
    const kept = requests.length <= REQUESTS ? all : [...swaps, ...requests.slice(0, REQUESTS)]
    swaps = []
    requests = []
    if (lost > 0) log("warning", "spans were left out: more came than are sent on", { spans: lost })
    lost = 0
    await Promise.all([store?.add(kept), send?.(encodeSpans(resource, all))])
  }
  const flushLater = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined
      // While a collector is slow, what comes gathers.
      if (sending !== undefined) flushLater()
      else sending = flush().finally(() => { sending = undefined })
    }, EVERY).unref()
  }
  const add = (to: Span[], span: Span): void => {
    if (to.length < WAITING) to.push(span)
    else lost++
    flushLater()
  }

  return {
    swaps: new SwapTraces(new PlainTracing((span) => add(swaps, span)), pod),
    requests: sampler === null ? null : new RequestTraces(sampler, (span) => add(requests, span)),
    attach: (bus) => store?.attach(bus),
    stop: async () => {
      const patience = new Promise<void>((resolve) => { setTimeout(resolve, LAST_WORDS).unref() })
      await Promise.race([Promise.resolve(sending).then(flush), patience])
    },
  }
}
