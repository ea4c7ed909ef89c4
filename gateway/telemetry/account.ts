/** What is told of one request once it is over: counters, a span, a line of the access log. Used for one request after another. */
import { tick } from "../clock.ts"
import { clientAddress } from "../downstream/client-address.ts"
import type { Client } from "../downstream/client.ts"
import { USER_AGENT, X_FORWARDED_FOR, X_REQUEST_ID } from "../http1/field.ts"
import type { RequestTrace } from "./request-trace.ts"

export class Account {
  /** Monotonic, when the request's head was complete. */
  start = 0
  id = ""
  status = 0
  /** Octets of an answer of the gateway's own, or of a tunnel. */
  bytes = 0
  /** Of the gateway's own answer to a call of gRPC; -1: there is none. */
  grpc = -1
  /** Why the gateway itself answered or gave up; "" when it did not. */
  reason = ""
  /** Rule id, "" when none matched. */
  route = ""
  /** address:port, "" when no backend was asked. */
  upstream = ""
  attempts = 0
  /** Null: not sampled. */
  trace: RequestTrace | null = null
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  begin(): void {
    this.start = tick()
    this.status = this.bytes = this.attempts = 0
    this.grpc = -1
    this.reason = this.route = this.upstream = ""
  }

  /** The first one stands. */
  noteReason(reason: string): void {
    if (this.reason === "") this.reason = reason
  }

  /** The request is answered. Returns the milliseconds it took. */
  count(): number {
    const { metrics } = this.#client.server
    const milliseconds = tick() - this.start
    metrics.inFlight--
    metrics.done(this.status, milliseconds)
    if (this.trace !== null) this.#endTrace(this.trace, milliseconds)
    return milliseconds
  }

  #endTrace(trace: RequestTrace, milliseconds: number): void {
    const { server, head: { method, host }, forwarding: { scheme } } = this.#client
    const { start, status, route, upstream, attempts, reason } = this
    this.trace = null
    server.traces?.end(trace, { start, milliseconds, scheme, method, host, status, route, upstream, attempts, reason })
  }

  /** `content`: octets of a backend's answer; `received`: octets a tunnel took from the client, -1: there was none. */
  write(milliseconds: number, content: number, received: number): void {
    const { server, head, forwarding, secure } = this.#client
    if (server.accessLog === null) return
    const isTrusted = forwarding.trustedHops > 0
    server.accessLog.write({
      start: this.start,
      milliseconds,
      id: (isTrusted ? head.known(X_REQUEST_ID) : undefined) ?? this.id,
      client: isTrusted ? clientAddress(forwarding.address, head.known(X_FORWARDED_FOR), forwarding.trustedHops) : forwarding.address,
      method: head.method,
      host: head.host,
      path: head.path,
      protocol: forwarding.major === 2 ? "HTTP/2" : head.minor === 1 ? "HTTP/1.1" : "HTTP/1.0",
      status: this.status,
      bytes: this.bytes + content,
      received,
      userAgent: head.has(USER_AGENT) ? (head.known(USER_AGENT) ?? "") : "",
      route: this.route,
      upstream: this.upstream,
      attempts: this.attempts,
      grpc: this.grpc,
      reason: this.reason,
      tls: secure?.version ?? "",
    })
  }
}
