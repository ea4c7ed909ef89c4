/** Every endpoint of the process, by protocol and address: identity outlives tables. */
import { clock } from "../clock.ts"
import type { Settings } from "../settings.ts"
import type { EndpointHandle } from "../table/table.ts"
import type { UpstreamMetrics } from "../telemetry/metrics.ts"
import type { Endpoint } from "./endpoint.ts"
import { Http1Endpoint } from "./http1-endpoint.ts"
import { Http2Endpoint } from "./http2-endpoint.ts"

export class Endpoints {
  readonly #settings: Settings
  readonly #metrics: UpstreamMetrics
  readonly #endpoints = new Map<string, Endpoint>()

  constructor(settings: Settings, metrics: UpstreamMetrics) {
    this.#settings = settings
    this.#metrics = metrics
  }

  /** The one object for an address and port in a protocol. Naming an endpoint again that keep() dropped brings it back. */
  get(address: string, port: number, isHttp2 = false): Endpoint {
    const key = `${isHttp2 ? "h2c " : ""}${address} ${port}`
    let endpoint = this.#endpoints.get(key)
    if (endpoint === undefined) {
      endpoint = isHttp2 ? new Http2Endpoint(address, port, this.#settings, this.#metrics) : new Http1Endpoint(address, port, this.#settings, this.#metrics)
      this.#endpoints.set(key, endpoint)
    }
    endpoint.isNamed = true
    return endpoint
  }

  /**
   * After a swap: what no cluster names any more loses its idle connections at once and the others as their requests
   * end. Requests in flight, also ones that still have an older table, finish.
   */
  keep(named: ReadonlySet<EndpointHandle>): void {
    for (const endpoint of this.#endpoints.values()) {
      if (named.has(endpoint)) continue
      endpoint.isNamed = false
      endpoint.closeIdle(Infinity)
    }
    this.#forget()
  }

  /** Now and then: closes connections idle for too long. */
  sweep(): void {
    const before = clock.now - this.#settings.poolIdleTimeout
    if (this.#settings.poolIdleTimeout > 0) for (const endpoint of this.#endpoints.values()) endpoint.closeIdle(before)
    this.#forget()
  }

  /** For metrics and the admin port. */
  all(): IterableIterator<Endpoint> {
    return this.#endpoints.values()
  }

  /** Ends every idle connection: the process stops. */
  close(): void {
    for (const endpoint of this.#endpoints.values()) {
      endpoint.isNamed = false
      endpoint.closeIdle(Infinity)
    }
  }

  #forget(): void {
    for (const [key, endpoint] of this.#endpoints) if (!endpoint.isNamed && endpoint.connections === 0) this.#endpoints.delete(key)
  }
}
