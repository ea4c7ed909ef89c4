/**
 * Spans on their way out: gathered, and sent on together at most once a second, so that an edit costs no message of its
 * own. While what was sent last is still on its way, what comes gathers; beyond a bound it is left out and counted.
 */
import type { Span } from "./span.ts"

/** Milliseconds between two batches. */
const EVERY = 1_000
/** Spans that wait; more are left out. */
const WAITING = 2_048
/** How long the end of a process waits for the last batch, ms. */
const LAST_WORDS = 2_000

export class Outbox {
  readonly #send: (spans: readonly Span[], leftOut: number) => Promise<void>
  readonly #most: number
  #spans: Span[] = []
  #makers: (() => void)[] = []
  #leftOut = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  /** `send` must not reject. */
  constructor(send: (spans: readonly Span[], leftOut: number) => Promise<void>, most = WAITING) {
    this.#send = send
    this.#most = most
  }

  readonly add = (span: Span): void => {
    if (this.#spans.length < this.#most) this.#spans.push(span)
    else this.#leftOut++
    if (this.#timer === undefined) this.#schedule()
  }

  /** Of spans: run just before the next batch, which they go into. */
  readonly later = (make: () => void): void => {
    if (this.#makers.length < this.#most) this.#makers.push(make)
    else this.#leftOut++
    if (this.#timer === undefined) this.#schedule()
  }

  /** Resolves when what has been added is sent, or after 2 s. */
  async flush(): Promise<void> {
    const all = (async () => {
      await this.#sending
      await this.#sendNow()
    })()
    const patience = new Promise<void>((resolve) => { setTimeout(resolve, LAST_WORDS).unref() })
    await Promise.race([all, patience])
  }

  #schedule(): void {
    this.#timer = setTimeout(this.#onTimer, EVERY)
    this.#timer.unref()
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined
    if (this.#sending !== undefined) this.#schedule()
    else void this.#sendNow()
  }

  #sendNow(): Promise<void> {
    for (const make of this.#makers.splice(0)) make()
    clearTimeout(this.#timer)
    this.#timer = undefined
    const spans = this.#spans
    if (spans.length === 0) return Promise.resolve()
    const leftOut = this.#leftOut
    this.#spans = []
    this.#leftOut = 0
    this.#sending = this.#send(spans, leftOut).finally(() => { this.#sending = undefined })
    return this.#sending
  }
}
