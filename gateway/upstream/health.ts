/**
 * Passive health of one endpoint: after several failures in a row (no connection, or a fresh connection lost before
 * any answer) it is ejected, each time for twice as long; then one request may try it.
 */
import { clock } from "../clock.ts"
import type { Settings } from "../settings.ts"

export class Health {
  readonly #settings: Pick<Settings, "ejectAfter" | "ejectBase" | "ejectMax">
  #failures = 0
  #ejections = 0
  /** 0: in service. */
  #ejectedUntil = 0
  #isProbed = false

  constructor(settings: Pick<Settings, "ejectAfter" | "ejectBase" | "ejectMax">) {
    this.#settings = settings
  }

  get isEjected(): boolean {
    return this.#ejectedUntil !== 0
  }

  /** May be chosen now: in service, or its time is over and nobody is trying it. */
  get isAvailable(): boolean {
    return this.#ejectedUntil === 0 || (!this.#isProbed && clock.now >= this.#ejectedUntil)
  }

  /** It was chosen: when it is ejected, this is the one try. */
  chosen(): void {
    if (this.#ejectedUntil !== 0) this.#isProbed = true
  }

  succeeded(): void {
    this.#failures = this.#ejections = this.#ejectedUntil = 0
    this.#isProbed = false
  }

  /** The try ended without a word on whether it is well (the client went away, a time-out): another may follow. */
  undecided(): void {
    this.#isProbed = false
  }

  failed(): void {
    this.#failures++
    if (this.#ejectedUntil === 0 && this.#failures < this.#settings.ejectAfter) return
    // Of a request that was under way when it was ejected, or that came because all are: nothing new.
    if (clock.now < this.#ejectedUntil) return this.undecided()
    const pause = Math.min(this.#settings.ejectBase * 2 ** Math.min(this.#ejections, 20), this.#settings.ejectMax)
    this.#ejections++
    this.#ejectedUntil = clock.now + pause
    this.#isProbed = false
  }
}
