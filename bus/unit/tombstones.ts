/**
 * Forgets removed entries after a window: the whole subject is purged, up to the tombstone, so that neither an older
 * value comes back nor a newer one is lost. (A time to live on the tombstone would bring the older value back.)
 */
import type { Bus } from "../bus.ts"
import { reasonOf } from "./publish.ts"
import type { Clock } from "./unit.ts"

/** A timer cannot be set further ahead. */
const LONGEST = 2 ** 31 - 1

export class Tombstones {
  readonly #bus: Bus
  readonly #clock: Clock
  readonly #window: number
  /** In the order they will be purged: oldest first. */
  readonly #kept = new Map<string, { readonly seq: number; readonly time: number }>()
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(bus: Bus, clock: Clock, window: number) {
    this.#bus = bus
    this.#clock = clock
    this.#window = window
  }

  /** `time` is the server's, ms. */
  keep(subject: string, seq: number, time: number): void {
    this.#kept.delete(subject)
    this.#kept.set(subject, { seq, time })
    this.#schedule()
  }

  /** The entry is back. */
  drop(subject: string): void {
    this.#kept.delete(subject)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #schedule(wait = 0): void {
    if (this.#cancel !== undefined || this.#stopped) return
    const oldest = this.#kept.values().next().value
    if (oldest === undefined) return
    const due = Math.max(wait, oldest.time + this.#window - this.#clock.wall())
    this.#cancel = this.#clock.after(Math.min(LONGEST, Math.max(0, due)), () => void this.#purge())
  }

  async #purge(): Promise<void> {
    let wait = 0
    for (const [subject, { seq, time }] of [...this.#kept]) {
      if (this.#stopped || time + this.#window > this.#clock.wall()) break
      if (this.#kept.get(subject)?.seq !== seq) continue
      try {
        await this.#bus.purge("CONFIG", subject, seq)
        if (this.#kept.get(subject)?.seq === seq) this.#kept.delete(subject)
      } catch (error) {
        reasonOf(error)
        wait = 10_000
        break
      }
    }
    this.#cancel = undefined
    this.#schedule(wait)
  }
}
