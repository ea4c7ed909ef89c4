/** What a peer may do so many times at once and so many times a second (a token bucket). */

export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

export class Allowance {
  readonly #rate: Rate
  #left: number
  /** Milliseconds */
  #since = 0

  constructor(rate: Rate) {
    this.#rate = rate
    this.#left = rate.burst
  }

  /** `now` in milliseconds, of any clock that does not go back. False: it has done so too often. */
  take(count: number, now: number): boolean {
    if (now > this.#since) {
      this.earn(((now - this.#since) * this.#rate.perSecond) / 1_000)
      this.#since = now
    }
    this.#left -= count
    return this.#left >= 0
  }

  /** Useful work was done beside it. */
  earn(count: number): void {
    this.#left = Math.min(this.#rate.burst, this.#left + count)
  }
}
