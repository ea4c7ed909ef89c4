/** An endpoint that speaks HTTP/1.1: a pool of kept-alive connections, each for one request at a time. */
import { clock } from "../clock.ts"
import { UpstreamConnection } from "./connection.ts"
import { Endpoint } from "./endpoint.ts"
import type { OctetUser } from "./upstream.ts"

export class Http1Endpoint extends Endpoint {
  /** Last in, first out: the busiest stay warm, the others grow old and are closed. */
  readonly #idle: UpstreamConnection[] = []
  #open = 0

  get connections(): number {
    return this.#open
  }

  get idle(): number {
    return this.#idle.length
  }

  acquire(user: OctetUser, isFresh: boolean): UpstreamConnection | null {
    if (!isFresh) {
      const pooled = this.#idle.pop()
      if (pooled !== undefined) {
        pooled.user = user
        this.inFlight++
        this.metrics.reused++
        return pooled
      }
    }
    if (this.#open >= this.settings.endpointConnections) return null
    this.#open++
    this.inFlight++
    this.metrics.opened++
    return new UpstreamConnection(this, user)
  }

  /** The request is done; see UpstreamSide.release. */
  release(connection: UpstreamConnection, isReusable: boolean): void {
    this.inFlight--
    if (!isReusable || !connection.isOpen || !this.isNamed || this.#idle.length >= this.settings.endpointIdle) {
      connection.destroy()
      return
    }
    connection.becomeIdle(clock.now)
    this.#idle.push(connection)
  }

  onClosed(connection: UpstreamConnection): void {
    this.#open--
    this.metrics.closed++
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  closeIdle(before: number): void {
    let oldest = this.#idle[0]
    while (oldest !== undefined && oldest.idleSince <= before) {
      oldest.destroy()
      oldest = this.#idle[0]
    }
  }
}
