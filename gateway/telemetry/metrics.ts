/**
 * Counters of the data path in Prometheus text format. Label values are bounded by construction: ports of listeners,
 * five status classes, a fixed list of outcomes. No series a route or endpoint: those are in the access log.
 */
import type { Endpoint } from "../upstream/endpoint.ts"
import { Http2Metrics, writeHttp2 } from "./http2-metrics.ts"
import { LimitMetrics, writeLimits } from "./limit-metrics.ts"

/** How attempts at backends ended; the order is the index in `UpstreamMetrics.outcomes`. */
export const outcomes = [
  "ok", "refused", "connect-timeout", "overloaded", "not-http2", "refused-stream", "reset", "closed", "bad-response", "upgraded", "head-timeout", "timeout", "truncated", "idle", "cancelled",
] as const
export type Outcome = (typeof outcomes)[number]

const outcomeIndex: Readonly<Record<Outcome, number>> = {
  ok: 0, refused: 1, "connect-timeout": 2, overloaded: 3, "not-http2": 4, "refused-stream": 5, reset: 6, closed: 7, "bad-response": 8, upgraded: 9, "head-timeout": 10, timeout: 11, truncated: 12, idle: 13, cancelled: 14,
}

/** What became of requests that were to be mirrored; the order is the index in `MirrorMetrics`. */
export const mirrorOutcomes = ["answered", "lost", "timeout", "cancelled", "too-many", "overloaded", "no-endpoint", "body-too-large", "body-incomplete"] as const
export type MirrorOutcome = (typeof mirrorOutcomes)[number]

export class MirrorMetrics {
  readonly #outcomes = new Float64Array(mirrorOutcomes.length)

  ended(outcome: MirrorOutcome): void {
    const index = mirrorOutcomes.indexOf(outcome)
    this.#outcomes[index] = (this.#outcomes[index] ?? 0) + 1
  }

  count(outcome: MirrorOutcome): number {
    return this.#outcomes[mirrorOutcomes.indexOf(outcome)] ?? 0
  }
}

/** Where families and their samples are written. */
export interface Exposition {
  family(name: string, type: "counter" | "gauge" | "histogram", help: string): void
  sample(name: string, labels: string, value: number): void
}

/** Upper bounds in milliseconds. */
const bounds = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000] as const

const codeClasses = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const

/** Why a client and this gateway did not agree on TLS; the order is the index in `TlsMetrics.failures`. */
export const handshakeFailures = [
  "plain-http", "not-tls", "malformed", "no-listener", "no-certificate", "version", "cipher", "protocol", "refused-by-client", "client-gone", "timeout", "other",
] as const
export type HandshakeFailure = (typeof handshakeFailures)[number]

/** Of one port with TLS. */
export class TlsMetrics {
  readonly #failures = new Float64Array(handshakeFailures.length)
  /** By version, as OpenSSL names it. */
  readonly handshakes = new Map<string, { full: number; resumed: number }>()

  done(version: string, isResumed: boolean): void {
    let count = this.handshakes.get(version)
    if (count === undefined) this.handshakes.set(version, (count = { full: 0, resumed: 0 }))
    if (isResumed) count.resumed++
    else count.full++
  }

  failed(why: HandshakeFailure): void {
    const index = handshakeFailures.indexOf(why)
    this.#failures[index] = (this.#failures[index] ?? 0) + 1
  }

  failures(why: HandshakeFailure): number {
    return this.#failures[handshakeFailures.indexOf(why)] ?? 0
  }
}

/** How tunnels ended; the order is the index in `ListenerMetrics`. */
export const tunnelEnds = ["closed", "client-gone", "backend-gone", "idle", "drained"] as const
export type TunnelEnd = (typeof tunnelEnds)[number]

/** Of one listening port. */
export class ListenerMetrics {
  readonly port: number
  readonly #codes = new Float64Array(6)
  readonly #buckets = new Float64Array(bounds.length + 1)
  #milliseconds = 0
  accepted = 0
  /** Closed on accept: too many. */
  turnedAway = 0
  connections = 0
  inFlight = 0
  /** Connections that do not speak TLS yet. */
  handshaking = 0
  /** The client went away before its answer was complete. */
  aborted = 0
  refusedMessages = 0
  /** Open ones, and all since the start. */
  tunnels = 0
  tunnelsOpened = 0
  /** Octets through them, from clients and to them. */
  tunnelReceived = 0
  tunnelSent = 0
  readonly #tunnelEnds = new Float64Array(tunnelEnds.length)
  readonly http2 = new Http2Metrics()
  /** null: no client has come for TLS. */
  tls: TlsMetrics | null = null

  constructor(port: number) {
    this.port = port
  }

  done(status: number, milliseconds: number): void {
    const code = status < 600 ? (status / 100) | 0 : 0
    this.#codes[code] = (this.#codes[code] ?? 0) + 1
    let bucket = 0
    while (bucket < bounds.length && milliseconds > (bounds[bucket] ?? 0)) bucket++
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
    this.#milliseconds += milliseconds
  }

  tunnelEnded(end: TunnelEnd): void {
    const index = tunnelEnds.indexOf(end)
    this.#tunnelEnds[index] = (this.#tunnelEnds[index] ?? 0) + 1
  }

  tunnelsEnded(end: TunnelEnd): number {
    return this.#tunnelEnds[tunnelEnds.indexOf(end)] ?? 0
  }

  codes(): readonly (readonly [string, number])[] {
    return codeClasses.map((name, i) => [name, this.#codes[i + 1] ?? 0])
  }

  /** Cumulative, with the sum in seconds. */
  histogram(): { readonly buckets: readonly (readonly [string, number])[]; readonly count: number; readonly seconds: number } {
    let count = 0
    const buckets = bounds.map((bound, i): readonly [string, number] => [String(bound / 1000), (count += this.#buckets[i] ?? 0)])
    count += this.#buckets[bounds.length] ?? 0
    return { buckets, count, seconds: this.#milliseconds / 1000 }
  }
}

export class UpstreamMetrics {
  readonly #outcomes = new Float64Array(outcomes.length)
  opened = 0
  reused = 0
  closed = 0
  /** Attempts after the first of a request. */
  retries = 0
  /** Of those that a rule asks for: not made, because the cluster's budget was used up. */
  retriesDenied = 0

  ended(outcome: Outcome): void {
    const index = outcomeIndex[outcome]
    this.#outcomes[index] = (this.#outcomes[index] ?? 0) + 1
  }

  count(outcome: Outcome): number {
    return this.#outcomes[outcomeIndex[outcome]] ?? 0
  }
}

export class Metrics {
  readonly upstream = new UpstreamMetrics()
  readonly mirrors = new MirrorMetrics()
  readonly limits = new LimitMetrics()
  /** Tables swapped in since start; written by who swaps. */
  swaps = 0
  /** Lines the access log could not keep. */
  droppedLines = 0
  readonly #listeners = new Map<number, ListenerMetrics>()

  /** One object a port, whatever becomes of the socket: counters never go back. */
  listener(port: number): ListenerMetrics {
    let listener = this.#listeners.get(port)
    if (listener === undefined) this.#listeners.set(port, (listener = new ListenerMetrics(port)))
    return listener
  }

  /** Requests being answered, and handshakes. */
  get underWay(): number {
    let count = 0
    for (const { inFlight, handshaking } of this.#listeners.values()) count += inFlight + handshaking
    return count
  }

  get listeners(): IterableIterator<ListenerMetrics> {
    return this.#listeners.values()
  }

  /** Prometheus text format 0.0.4. */
  text(endpoints: Iterable<Endpoint>): string {
    const out: string[] = []
    const family = (name: string, type: "counter" | "gauge" | "histogram", help: string): void => {
      out.push(`# HELP headgate_${name} ${help}`, `# TYPE headgate_${name} ${type}`)
    }
    const sample = (name: string, labels: string, value: number): void => {
      out.push(`headgate_${name}${labels === "" ? "" : `{${labels}}`} ${value}`)
    }
    const ports = [...this.#listeners.values()].sort((a, b) => a.port - b.port)
    family("http_requests_total", "counter", "Requests answered, by class of status.")
    for (const own of ports) for (const [code, value] of own.codes()) sample("http_requests_total", `port="${own.port}",code="${code}"`, value)
    family("http_request_duration_seconds", "histogram", "From the end of the request's head to the end of its response.")
    for (const own of ports) {
      const { buckets, count, seconds } = own.histogram()
      for (const [bound, value] of buckets) sample("http_request_duration_seconds_bucket", `port="${own.port}",le="${bound}"`, value)
      sample("http_request_duration_seconds_bucket", `port="${own.port}",le="+Inf"`, count)
      sample("http_request_duration_seconds_sum", `port="${own.port}"`, seconds)
      sample("http_request_duration_seconds_count", `port="${own.port}"`, count)
    }
    const each = (name: string, type: "counter" | "gauge", help: string, value: (own: ListenerMetrics) => number): void => {
      family(name, type, help)
      for (const own of ports) sample(name, `port="${own.port}"`, value(own))
    }
    each("http_requests_in_flight", "gauge", "Requests being answered.", (own) => own.inFlight)
    each("http_requests_aborted_total", "counter", "Requests whose client went away before the answer was complete.", (own) => own.aborted)
    each("http_requests_refused_total", "counter", "Messages that are not valid HTTP or beyond a limit.", (own) => own.refusedMessages)
    each("http_connections_total", "counter", "Client connections accepted.", (own) => own.accepted)
    each("http_connections_turned_away_total", "counter", "Client connections closed on accept: too many, too many of one client, or too much to do.", (own) => own.turnedAway)
    each("http_connections", "gauge", "Client connections open.", (own) => own.connections)
    writeHttp2({ family, sample }, ports)
    writeLimits({ family, sample }, this.limits)
    each("tunnels", "gauge", "Connections that became WebSockets, open.", (own) => own.tunnels)
    each("tunnels_opened_total", "counter", "Connections that became WebSockets.", (own) => own.tunnelsOpened)
    family("tunnels_ended_total", "counter", "Tunnels ended, by how.")
    for (const own of ports) for (const end of tunnelEnds) sample("tunnels_ended_total", `port="${own.port}",end="${end}"`, own.tunnelsEnded(end))
    family("tunnel_bytes_total", "counter", "Octets through tunnels, by whom they came from.")
    for (const own of ports) {
      sample("tunnel_bytes_total", `port="${own.port}",from="client"`, own.tunnelReceived)
      sample("tunnel_bytes_total", `port="${own.port}",from="backend"`, own.tunnelSent)
    }
    if (ports.some(({ tls }) => tls !== null)) {
      family("tls_handshakes_total", "counter", "TLS handshakes done, by version and whether a session was resumed.")
      for (const { port, tls } of ports) {
        for (const [version, { full, resumed }] of tls?.handshakes ?? []) {
          sample("tls_handshakes_total", `port="${port}",version="${version}",resumed="false"`, full)
          sample("tls_handshakes_total", `port="${port}",version="${version}",resumed="true"`, resumed)
        }
      }
      family("tls_handshake_failures_total", "counter", "Connections that did not come to speak TLS, by reason.")
      for (const { port, tls } of ports) if (tls !== null) for (const why of handshakeFailures) sample("tls_handshake_failures_total", `port="${port}",reason="${why}"`, tls.failures(why))
    }
    family("upstream_requests_total", "counter", "Attempts at backends, by how they ended.")
    for (const outcome of outcomes) sample("upstream_requests_total", `outcome="${outcome}"`, this.upstream.count(outcome))
    let connections = 0
    let idle = 0
    let ejected = 0
    let count = 0
    for (const endpoint of endpoints) {
      count++
      connections += endpoint.connections
      idle += endpoint.idle
      if (endpoint.health.isEjected) ejected++
    }
    const one = (name: string, type: "counter" | "gauge", help: string, value: number): void => {
      family(name, type, help)
      sample(name, "", value)
    }
    one("upstream_retries_total", "counter", "Attempts after the first of a request.", this.upstream.retries)
    one("upstream_retries_denied_total", "counter", "Retries not made because there were too many.", this.upstream.retriesDenied)
    family("mirrored_requests_total", "counter", "Requests that were to be mirrored, by what became of the copy.")
    for (const outcome of mirrorOutcomes) sample("mirrored_requests_total", `outcome="${outcome}"`, this.mirrors.count(outcome))
    one("upstream_connections_opened_total", "counter", "Connections begun to backends.", this.upstream.opened)
    one("upstream_connections_reused_total", "counter", "Requests sent on a pooled connection.", this.upstream.reused)
    one("upstream_connections_closed_total", "counter", "Connections to backends closed.", this.upstream.closed)
    one("upstream_connections", "gauge", "Connections to backends.", connections)
    one("upstream_connections_idle", "gauge", "Connections to backends waiting in pools.", idle)
    one("upstream_endpoints", "gauge", "Endpoints known.", count)
    one("upstream_endpoints_ejected", "gauge", "Endpoints ejected by passive health.", ejected)
    one("table_swaps_total", "counter", "Tables swapped in.", this.swaps)
    one("access_log_dropped_total", "counter", "Lines the access log could not keep.", this.droppedLines)
    return `${out.join("\n")}\n`
  }
}
