/**
 * Tells the bus what this pod serves (bus/kinds/applied.ts), after every swap and whenever it changes. One message in
 * flight; what changes meanwhile goes into the next, so that a burst of swaps costs a few acks. What was told already
 * is not told again, unless the stream may have lost it, or to say that the pod is still there (bus/presence.ts).
 */
import type { Bus } from "../bus/bus.ts"
import { canonical } from "../bus/canonical.ts"
import { header } from "../bus/envelope.ts"
import type { Applied } from "../bus/kinds/applied.ts"
import { REPEAT_ACK } from "../bus/presence.ts"
import { appliedSubject } from "../bus/subject.ts"
import type { SwapTraces } from "./telemetry/swap-trace.ts"

const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 5000

export class Acks {
  readonly #current: () => Applied
  readonly #traces: SwapTraces | undefined
  #bus: Bus | undefined
  #told = ""
  #isDue = false
  #sending: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #failures = 0
  #repeat: NodeJS.Timeout | undefined

  /** `traces` undefined: tracing is off. */
  constructor(current: () => Applied, traces?: SwapTraces) {
    this.#current = current
    this.#traces = traces
  }

  attach(bus: Bus): void {
    this.#bus = bus
    clearInterval(this.#repeat)
    this.#repeat = setInterval(() => this.repeat(), REPEAT_ACK)
    this.#repeat.unref()
    this.request()
  }

  /** Something of `current` changed. */
  request(): void {
    this.#isDue = true
    if (this.#bus === undefined || this.#sending !== undefined || this.#retry !== undefined) return
    // Cleared in a later microtask: sending ends at once where there is nothing new to tell.
    this.#sending = this.#send(this.#bus).then(() => {
      this.#sending = undefined
      if (this.#isDue) this.request()
    })
  }

  /** The stream may not have the last ack any more. */
  repeat(): void {
    this.#told = ""
    this.request()
  }

  /** Resolves when what was requested is stored, or could not be for the moment. */
  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending
  }

  stop(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    clearInterval(this.#repeat)
    this.#bus = undefined
  }

  async #send(bus: Bus): Promise<void> {
    while (this.#isDue) {
      this.#isDue = false
      const applied = this.#current()
      const data = canonical(applied)
      if (data === this.#told) continue
      try {
        const traceparent = this.#traces?.telling()
        await bus.publish({ subject: appliedSubject(applied.plane, applied.pod), data, ...(traceparent === undefined ? {} : { headers: { [header.traceparent]: traceparent } }) })
        this.#traces?.told()
        this.#told = data
        this.#failures = 0
      } catch {
        // Said by the subscription when the bus is away; an ack that is late is no news of its own.
        this.#isDue = true
        this.#retryLater()
        return
      }
    }
  }

  #retryLater(): void {
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(this.#failures++, 10)) * (0.5 + Math.random())
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.request()
    }, wait)
    this.#retry.unref()
  }
}
