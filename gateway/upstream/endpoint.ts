/**
 * One address that serves: its pool of kept-alive connections and its health, shared by every route and table that
 * names it.
 */
import { clock } from "../clock.ts"
import type { Settings } from "../settings.ts"
import type { EndpointHandle } from "../table/table.ts"
import type { UpstreamMetrics } from "../telemetry/metrics.ts"
import { UpstreamConnection, type UpstreamUser } from "./connection.ts"
import { Health } from "./health.ts"

export class Endpoint implements EndpointHandle {
  readonly address: string
  readonly port: number
  /** address:port */
  readonly name: string
  readonly health: Health
  /** Requests that have it chosen and are not done. */
  inFlight = 0
  /** Named by a table. False: connections are closed as they become idle. */
  isNamed = true
  readonly #settings: Settings
  readonly #metrics: UpstreamMetrics
  /** Last in, first out: the busiest stay warm, the others grow old and are closed. */
  readonly #idle: UpstreamConnection[] = []
  #open = 0

  constructor(address: string, port: number, settings: Settings, metrics: UpstreamMetrics) {
    this.address = address
    this.port = port
    this.name = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
    this.#settings = settings
    this.#metrics = metrics
    this.health = new Health(settings)
  }

  /** Connections, idle ones included. */
  get connections(): number {
    return this.#open
  }

  get idle(): number {
    return this.#idle.length
  }

  /**
   * A connection for one request: pooled, or a new one that is still connecting (`isConnected`). `isFresh`: not from
   * the pool. Null: at its limit.
   */
  acquire(user: UpstreamUser, isFresh: boolean): UpstreamConnection | null {
    if (!isFresh) {
      const pooled = this.#idle.pop()
      if (pooled !== undefined) {
        pooled.user = user
        this.inFlight++
        this.#metrics.reused++
        return pooled
      }
    }
    if (this.#open >= this.#settings.endpointConnections) return null
    this.#open++
    this.inFlight++
    this.#metrics.opened++
    return new UpstreamConnection(this, user)
  }

  /** The request is done. `isReusable`: both messages ended where they should and both sides want to go on. */
  release(connection: UpstreamConnection, isReusable: boolean): void {
    this.inFlight--
    if (!isReusable || !connection.isOpen || !this.isNamed || this.#idle.length >= this.#settings.endpointIdle) {
      connection.destroy()
      return
    }
    connection.becomeIdle(clock.now)
    this.#idle.push(connection)
  }

  onClosed(connection: UpstreamConnection): void {
    this.#open--
    this.#metrics.closed++
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Closes what has been idle since before `before`. */
  closeIdle(before: number): void {
    let oldest = this.#idle[0]
    while (oldest !== undefined && oldest.idleSince <= before) {
      oldest.destroy()
      oldest = this.#idle[0]
    }
  }
}
