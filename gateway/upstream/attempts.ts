/**
 * The attempts of one request: how many there were and at whom, whether another may follow and when. What a rule asks for
 * (its `retry`) is bounded by the cluster's budget; what is sent again without a rule was not processed, or has the same
 * effect twice. Used for one request after another.
 */
import { clock } from "../clock.ts"
import type { RequestRelay } from "../downstream/request.ts"
import { isIdempotent } from "../error.ts"
import type { Settings } from "../settings.ts"
import type { ClusterHandle, Retry } from "../table/table.ts"
import type { UpstreamMetrics } from "../telemetry/metrics.ts"
import type { Endpoint } from "./endpoint.ts"
import { backoff, budgetOf } from "./retry.ts"

/** How often a request that a backend has not looked at is sent again. */
const MOST_RESENT = 5

export class Attempts {
  /** So far. */
  made = 0
  /** Passed over while there are others. */
  readonly tried: Endpoint[] = []
  /** When the next is due; 0: none is. */
  time = 0
  /** The rule's word. */
  retry: Retry | null = null
  readonly #settings: Settings
  readonly #metrics: UpstreamMetrics
  #resent = 0

  constructor(settings: Settings, metrics: UpstreamMetrics) {
    this.#settings = settings
    this.#metrics = metrics
  }

  restart(): void {
    this.made = this.time = this.#resent = 0
    this.retry = null
    if (this.tried.length > 0) this.tried.length = 0
  }

  /** A request of a rule that wants retries. */
  prepare(retry: Retry, cluster: ClusterHandle): void {
    this.retry = retry
    budgetOf(cluster, this.#settings, clock.now).earn()
  }

  /** How many there may be. `isExtra`: one that costs nobody anything. */
  most(isExtra: boolean): number {
    if (isExtra) return Infinity
    return this.retry === null ? this.#settings.attempts : this.retry.attempts + 1
  }

  /** Another one begins. */
  begin(): void {
    if (this.made++ > 0) this.#metrics.retries++
  }

  /** Of the number that the rule allows, and of the cluster's budget. */
  hasRetry(cluster: ClusterHandle): boolean {
    if (this.retry === null || this.made > this.retry.attempts) return false
    if (budgetOf(cluster, this.#settings, clock.now).take(clock.now)) return true
    this.#metrics.retriesDenied++
    return false
  }

  /** One failed that may have had its effect. True: another one is due, and wait() must follow. */
  isRepeated(cluster: ClusterHandle, method: string, request: RequestRelay): boolean {
    return this.retry !== null && isIdempotent(method) && request.isRepeatable && this.hasRetry(cluster)
  }

  /** A backend has said that it did nothing with the request (RFC 9113 §8.7): another connection may take it, whatever it is. */
  isResent(request: RequestRelay): boolean {
    return request.isRepeatable && this.#resent++ < MOST_RESENT
  }

  wait(failed: Endpoint, now: number): void {
    this.tried.push(failed)
    if (this.retry !== null) this.time = now + backoff(this.retry, this.made, Math.random())
  }

  /** The time is over. Those that were tried are tried again where there are no others. */
  onWaited(cluster: ClusterHandle): void {
    this.time = 0
    if (this.tried.length >= cluster.endpoints.length) this.tried.length = 0
  }
}
