/**
 * Tracing of the gateway, loaded only where it is on: spans are plain data, sent on at most once a second, to the bus
 * and, where one is named, to a collector.
 */
import type { Bus } from "../../bus/bus.ts"
import { attribute } from "../../bus/trace/names.ts"
import { Outbox } from "../../bus/trace/outbox.ts"
import { otlpRequest, type Attributes, type Span } from "../../bus/trace/span.ts"
import { TraceStore } from "../../bus/trace/store.ts"
import type { Targets } from "../../bus/trace/targets.ts"
import { PlainTracing } from "../../bus/trace/tracing.ts"
import type { Log } from "../log.ts"
import { pairsOf } from "./pairs.ts"
import { RequestTraces } from "./request-trace.ts"
import type { Sampler } from "./sampler.ts"
import { SwapTraces } from "./swap-trace.ts"

/** Spans of requests that go to the bus in a second: it is there for edits. A collector gets more. */
const TO_THE_BUS = 100

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
  /** A span of a request that another thread traced. */
  readonly add: (span: Span) => void
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
  const store = targets.bus ? new TraceStore({ part: "gateway", plane, instance: pod, resource }) : undefined
  const send = targets.otlp === undefined ? undefined : (await import("./otlp.ts")).otlpSender(targets.otlp, env, log)
  const outbox = (toTheBus: number): Outbox =>
    new Outbox(async (spans, leftOut) => {
      if (leftOut > 0) log("warning", "spans were left out: more came in a second than are sent on", { spans: leftOut })
      await Promise.all([store?.add(spans.length > toTheBus ? spans.slice(0, toTheBus) : spans), send?.(JSON.stringify(otlpRequest([{ resource, spans }])))])
    }, send === undefined && toTheBus < Infinity ? toTheBus : undefined)
  const swaps = outbox(Infinity)
  const requests = outbox(TO_THE_BUS)
  return {
    swaps: new SwapTraces(new PlainTracing(swaps.add, swaps.later), pod),
    requests: sampler === null ? null : new RequestTraces(sampler, requests.add),
    add: requests.add,
    attach: (bus) => store?.attach(bus),
    stop: async () => {
      await Promise.all([swaps.flush(), requests.flush()])
    },
  }
}
