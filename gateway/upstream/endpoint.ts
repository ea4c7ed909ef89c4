/**
 * One address that serves, in one protocol: its connections and its health, shared by every route and table that names it.
 * How connections are shared by requests is the protocol's affair: http1-endpoint.ts, http2-endpoint.ts.
 */
import type { Settings } from "../settings.ts"
import type { EndpointHandle } from "../table/table.ts"
import type { UpstreamMetrics } from "../telemetry/metrics.ts"
import { Health } from "./health.ts"
import type { Upstream, UpstreamUser } from "./upstream.ts"

export abstract class Endpoint implements EndpointHandle {
  readonly address: string
  readonly port: number
  /** address:port */
  readonly name: string
  readonly health: Health
  /** Requests that have it chosen and are not done. */
  inFlight = 0
  /** Named by a table. False: connections are closed as they become idle. */
  isNamed = true
  protected readonly settings: Settings
  protected readonly metrics: UpstreamMetrics

  constructor(address: string, port: number, settings: Settings, metrics: UpstreamMetrics) {
    this.address = address
    this.port = port
    this.name = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
    this.settings = settings
    this.metrics = metrics
    this.health = new Health(settings)
  }

  /** Connections, idle ones included. */
  abstract get connections(): number

  abstract get idle(): number

  /**
   * Something to send one request on, perhaps still connecting (`isConnected`). `isFresh`: not where a request was sent
   * before. Null: at its limit.
   */
  abstract acquire(user: UpstreamUser, isFresh: boolean): Upstream | null

  /** Closes what has been idle since before `before`. */
  abstract closeIdle(before: number): void
}
