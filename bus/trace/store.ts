/**
 * TRACES: batches of spans on the bus, `trace.<part>.<instance>`, of gateways `trace.gateway.<plane>.<pod>`. Traces are an aid: what cannot be stored is left out
 * and counted, nothing waits for it.
 */
import type { Bus } from "../bus.ts"
import { MAX_PAYLOAD } from "../streams.ts"
import { traceSubject } from "../subject.ts"
import { encodeBatch } from "./batch.ts"
import type { Attributes, Span } from "./span.ts"

/** Of one message: well below what the server takes. */
const LARGEST = MAX_PAYLOAD / 2

export interface StoreOptions {
  readonly part: string
  readonly instance: string
  /** Of a gateway. */
  readonly plane?: string
  readonly resource: Attributes
}

export class TraceStore {
  readonly #subject: string
  readonly #resource: Attributes
  #bus: Bus | undefined
  /** Spans that could not be stored. */
  lost = 0

  constructor({ part, instance, plane, resource }: StoreOptions) {
    this.#subject = traceSubject(part, instance, plane)
    this.#resource = resource
  }

  /** The connection of the moment. */
  attach(bus: Bus): void {
    this.#bus = bus
  }

  /** Resolves when they are stored or given up. */
  async add(spans: readonly Span[]): Promise<void> {
    if (spans.length === 0) return
    const bus = this.#bus
    const data = encodeBatch(this.#resource, spans)
    if (bus === undefined || (spans.length === 1 && data.length > LARGEST)) {
      this.lost += spans.length
      return
    }
    if (data.length * 3 > LARGEST && Buffer.byteLength(data) > LARGEST) {
      const half = Math.ceil(spans.length / 2)
      await Promise.all([this.add(spans.slice(0, half)), this.add(spans.slice(half))])
      return
    }
    await bus.publish({ subject: this.#subject, data }).catch(() => {
      this.lost += spans.length
    })
  }
}
