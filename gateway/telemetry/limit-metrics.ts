/** What the limits at the edge (settings.ts) have been reached for. */
import type { Exposition } from "./metrics.ts"

/** What clients are refused or cut off for; the order is the index in `LimitMetrics`. Reasons of the access log, where there is a request. */
export const limits = [
  "connections", "connections-of-client", "streams", "head-too-large", "too-many-fields", "target-too-long", "trailer-too-large", "body-too-large",
  "head-timeout", "body-timeout", "body-rate", "write-timeout", "write-rate", "overload", "overload-connections",
] as const
export type Limit = (typeof limits)[number]

export class LimitMetrics {
  /** Of requests beyond those always let in, 0 to 1 (overload.ts); how late the event loop was last, ms. */
  shedRatio = 0
  loopDelay = 0
  readonly #reached = new Float64Array(limits.length)

  reached(limit: Limit): void {
    const index = limits.indexOf(limit)
    this.#reached[index] = (this.#reached[index] ?? 0) + 1
  }

  /** A request failed: counted where a limit is why. */
  failed(reason: string): void {
    const limit = limits.find((own) => own === reason)
    if (limit !== undefined) this.reached(limit)
  }

  count(limit: Limit): number {
    return this.#reached[limits.indexOf(limit)] ?? 0
  }
}

export const writeLimits = ({ family, sample }: Exposition, own: LimitMetrics): void => {
  family("limits_reached_total", "counter", "What clients were refused or cut off for.")
  for (const limit of limits) sample("limits_reached_total", `limit="${limit}"`, own.count(limit))
  family("overload_shed_ratio", "gauge", "Of new requests, the share that is answered 503 because there is too much to do.")
  sample("overload_shed_ratio", "", own.shedRatio)
  family("event_loop_delay_seconds", "gauge", "How late the event loop was when last looked at.")
  sample("event_loop_delay_seconds", "", own.loopDelay / 1_000)
}
