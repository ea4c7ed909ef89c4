/**
 * How often and when requests are sent again. A budget for each cluster keeps retries from multiplying the load on one
 * that is in trouble: a share of the requests it gets, and a few a second so that it works with little traffic too.
 */
import type { Settings } from "../settings.ts"
import type { ClusterHandle, Retry } from "../table/table.ts"

export type RetryLimits = Pick<Settings, "retryPercent" | "retryRate">

/** What is not used is kept for so long. */
const SAVED_SECONDS = 10

export class RetryBudget {
  readonly #limits: RetryLimits
  #retries: number
  #time: number

  constructor(limits: RetryLimits, now: number) {
    this.#limits = limits
    this.#retries = limits.retryRate * SAVED_SECONDS
    this.#time = now
  }

  /** A request that may be sent again has come. */
  earn(): void {
    this.#save(this.#limits.retryPercent / 100)
  }

  /** False: too many have been sent again. `now` in milliseconds. */
  take(now: number): boolean {
    this.#save(((now - this.#time) / 1_000) * this.#limits.retryRate)
    this.#time = now
    if (this.#retries < 1) return false
    this.#retries--
    return true
  }

  #save(retries: number): void {
    this.#retries = Math.min(this.#retries + retries, Math.max(1, this.#limits.retryRate * SAVED_SECONDS))
  }
}

const budgets = new WeakMap<ClusterHandle, RetryBudget>()

/** The one of this cluster; limits are the process's. */
export const budgetOf = (cluster: ClusterHandle, limits: RetryLimits, now: number): RetryBudget => {
  let budget = budgets.get(cluster)
  if (budget === undefined) budgets.set(cluster, (budget = new RetryBudget(limits, now)))
  return budget
}

/** Where the rule names no backoff; milliseconds. */
const BASE = 25
const MOST = 10

/**
 * Milliseconds before the next attempt: twice as long each time, up to ten times the base, and up to half as long again so
 * that many clients' requests do not come back together.
 *
 * @param made attempts so far
 * @param chance from 0 to 1
 */
export const backoff = ({ backoff: base = BASE }: Pick<Retry, "backoff">, made: number, chance: number): number => base * Math.min(2 ** (made - 1), MOST) * (1 + chance / 2)
