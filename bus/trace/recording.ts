/** Tracing of adapters and functions: spans are recorded as plain data, go to the bus, and through the SDK to a collector where one is named. */
import type { Bus } from "../bus.ts"
import { attribute } from "./names.ts"
import { Outbox } from "./outbox.ts"
import type { Attributes } from "./span.ts"
import { TraceStore } from "./store.ts"
import type { Targets } from "./targets.ts"
import { PlainTracing, type Tracing } from "./tracing.ts"

export interface RecordingOptions {
  readonly targets: Targets
  /** `adapter` or `functions`. */
  readonly part: string
  /** Of the service, where OTEL_SERVICE_NAME says nothing. */
  readonly service: string
  /** Of several of one part: who it is. */
  readonly instance: string
}

export interface RecordedTracing extends Tracing {
  /** Spans go there from now on; what waits is stored before the connection closes. */
  attach(bus: Bus): Bus
  /** Sends what waits. */
  stop(): Promise<void>
}

export const startTracing = async ({ targets, part, service, instance }: RecordingOptions): Promise<RecordedTracing> => {
  const resource: Attributes = { "service.name": service, "service.namespace": "headgate", "service.instance.id": instance, [attribute.part]: part }
  const store = targets.bus ? new TraceStore({ part, instance, resource }) : undefined
  const sdk = targets.otlp === undefined ? undefined : (await import("./sdk.ts")).startSdk(targets.otlp, resource)
  const outbox = new Outbox(async (spans) => {
    sdk?.send(spans)
    await store?.add(spans)
  })
  const tracing = new PlainTracing(outbox.add, outbox.later)
  return {
    begin: (span) => tracing.begin(span),
    later: outbox.later,
    attach: (bus) => {
      store?.attach(bus)
      return {
        ...bus,
        close: async () => {
          await outbox.flush()
          await bus.close()
        },
      }
    },
    stop: async () => {
      await outbox.flush()
      await sdk?.stop()
    },
  }
}
