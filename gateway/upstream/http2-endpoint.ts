/**
 * An endpoint that speaks HTTP/2: few connections, each with as many streams as the peer allows and `endpointStreams`
 * says. The oldest that has room gets the next request, so that those which are needed no more grow idle and are closed.
 */
import { Endpoint } from "./endpoint.ts"
import { Http2UpstreamConnection } from "./http2-connection.ts"
import { UpstreamStream } from "./http2-stream.ts"
import type { Settings } from "../settings.ts"
import type { FieldUser } from "./upstream.ts"

/** Stream objects kept for later requests. */
const MOST_SPARE = 64
/** Streams at once that wait for a first connection: what most servers allow (RFC 9113 §6.5.2 recommends no less). */
const EXPECTED_STREAMS = 100

export class Http2Endpoint extends Endpoint {
  /** What the peer said last about streams at once; what a connection that is not there yet is taken for. */
  expectedStreams = EXPECTED_STREAMS
  /** Those that take requests, oldest first. */
  readonly #taking: Http2UpstreamConnection[] = []
  readonly #spare: UpstreamStream[] = []
  #open = 0

  get limits(): Settings {
    return this.settings
  }

  get connections(): number {
    return this.#open
  }

  get idle(): number {
    let idle = 0
    for (const connection of this.#taking) if (connection.isIdle) idle++
    return idle
  }

  acquire(user: FieldUser, isFresh: boolean): UpstreamStream | null {
    const connection = this.#withRoom(isFresh) ?? this.#connect()
    if (connection === null) return null
    const stream = this.#spare.pop() ?? new UpstreamStream(this)
    stream.begin(user, connection)
    this.inFlight++
    return stream
  }

  #withRoom(isFresh: boolean): Http2UpstreamConnection | null {
    for (const connection of this.#taking) {
      if (connection.room <= 0 || (isFresh && connection.isReused)) continue
      this.metrics.reused++
      return connection
    }
    return null
  }

  #connect(): Http2UpstreamConnection | null {
    if (this.#open >= this.settings.endpointConnections) return null
    this.#open++
    this.metrics.opened++
    const connection = new Http2UpstreamConnection(this)
    this.#taking.push(connection)
    return connection
  }

  /** The connection that a request waited for has less room than was expected: another one for it. Null: at the limit. */
  another(): Http2UpstreamConnection | null {
    return this.#withRoom(false) ?? this.#connect()
  }

  /** A request is done. */
  free(stream: UpstreamStream): void {
    this.inFlight--
    if (this.#spare.length < MOST_SPARE) this.#spare.push(stream)
  }

  /** It takes no more requests. */
  onLeaving(connection: Http2UpstreamConnection): void {
    const at = this.#taking.indexOf(connection)
    if (at >= 0) this.#taking.splice(at, 1)
  }

  /** Its socket is closed. */
  onClosed(): void {
    this.#open--
    this.metrics.closed++
  }

  closeIdle(before: number): void {
    for (const connection of [...this.#taking]) if (connection.isIdle && connection.idleSince <= before) connection.leave()
  }
}
