/** The leases of the functions of one process: all of them, or, while others hold some, those there are. */
import type { Bus } from "../bus/bus.ts"
import { acquireLease, type Lease } from "../bus/unit/lease.ts"

export interface LeasesOptions {
  readonly bus: Bus
  readonly functions: readonly string[]
  readonly holder: string
  /** ms */
  readonly ttl: number
  /** An epoch that new ones must exceed. */
  readonly above: number
  onWaiting(fn: string, holder: string): void
  /** One is lost, or none can be had: stop writing. */
  onLost(error: unknown): void
}

export class Leases {
  readonly #options: LeasesOptions
  readonly #held = new Map<string, Lease>()
  readonly #given = new AbortController()
  readonly #acquiring: Promise<void>[]
  readonly #settled = Promise.withResolvers<ReadonlyMap<string, Lease>>()
  readonly #grown = Promise.withResolvers<void>()
  #isSettled = false
  #grace: NodeJS.Timeout | undefined

  constructor(options: LeasesOptions) {
    this.#options = options
    this.#acquiring = options.functions.map((fn) => this.#acquire(fn))
  }

  /**
   * What is held once it is all; or some, half a ttl after the first: processes may run different sets of functions,
   * and a function must not wait because another one of its process runs elsewhere.
   */
  settled(): Promise<ReadonlyMap<string, Lease>> {
    return this.#settled.promise
  }

  /** One more is held than `settled` gave. */
  grown(): Promise<void> {
    return this.#grown.promise
  }

  /** Lets the next process in at once. */
  async release(): Promise<void> {
    this.#given.abort()
    await Promise.all(this.#acquiring)
    clearTimeout(this.#grace)
    await Promise.all([...this.#held.values()].map((lease) => lease.release()))
  }

  async #acquire(fn: string): Promise<void> {
    const { bus, holder, ttl, above, onWaiting, onLost } = this.#options
    try {
      const lease = await acquireLease(bus, {
        name: fn,
        holder,
        ttl,
        above,
        signal: this.#given.signal,
        onWaiting: (other) => onWaiting(fn, other),
        onLost: (reason, message) => onLost(new Error(`${reason}: ${message}`)),
      })
      this.#held.set(fn, lease)
      this.#took()
    } catch (error) {
      if (!this.#given.signal.aborted) onLost(error)
    }
  }

  #took(): void {
    if (this.#isSettled) this.#grown.resolve()
    else if (this.#held.size === this.#options.functions.length) this.#settle()
    else this.#grace ??= setTimeout(() => this.#settle(), this.#options.ttl / 2)
  }

  #settle(): void {
    clearTimeout(this.#grace)
    this.#isSettled = true
    this.#settled.resolve(new Map(this.#held))
  }
}
