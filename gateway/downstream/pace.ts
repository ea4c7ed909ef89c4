/**
 * How long a client may take over what it sends or takes. It has `grace` from when it is waited for, and each octet earns
 * as much more as it takes at `rate` octets a second, up to `grace` from then: who keeps to the rate may pause so long,
 * who does not is out of time after it. A rate of 0: any octet earns it all.
 */
export class Pace {
  /** 0: nobody is waited for. */
  #deadline = 0
  #isSlow = false
  /** While it is paused: what was left. */
  #left = Infinity

  /** `grace` in milliseconds, 0: none is set. */
  start(now: number, grace: number): void {
    this.#deadline = grace === 0 ? 0 : now + grace
    this.#isSlow = false
  }

  stop(): void {
    this.#deadline = 0
    this.#left = Infinity
  }

  /** Nobody is waited for, until resume(): what was earned stays. */
  pause(now: number): void {
    if (this.#deadline === 0) return
    this.#left = Math.max(0, this.#deadline - now)
    this.#deadline = 0
  }

  /** As start(), but after a pause with no more than was left then. */
  resume(now: number, grace: number): void {
    this.#deadline = grace === 0 ? 0 : now + Math.min(grace, this.#left)
    this.#isSlow = this.#left < grace
  }

  get isRunning(): boolean {
    return this.#deadline !== 0
  }

  earn(octets: number, now: number, grace: number, rate: number): void {
    if (grace === 0 || octets <= 0) return
    const full = now + grace
    const earned = this.#deadline === 0 || rate === 0 ? full : this.#deadline + (octets * 1_000) / rate
    this.#isSlow = earned < full
    this.#deadline = this.#isSlow ? earned : full
  }

  isOver(now: number): boolean {
    return this.#deadline !== 0 && now >= this.#deadline
  }

  /** It is the rate that was not kept to: something came, or went, within the grace. */
  get isSlow(): boolean {
    return this.#isSlow
  }
}
