/** What is counted of HTTP/2 on one port, beside what is counted of every version. */
import type { Exposition } from "./metrics.ts"

export class Http2Metrics {
  connections = 0
  accepted = 0
  requests = 0
  /** Streams reset before their end, while their connection went on. */
  resetByClient = 0
  resetByGateway = 0
  /** Streams that never became a request: refused, malformed, or answered by the engine. */
  refused = 0
  /** Connections ended for an error, by its name (RFC 9113 §7). */
  readonly failed = new Map<string, number>()
}

export const writeHttp2 = ({ family, sample }: Exposition, ports: readonly { readonly port: number; readonly http2: Http2Metrics }[]): void => {
  const each = (name: string, type: "counter" | "gauge", help: string, value: (own: Http2Metrics) => number): void => {
    family(name, type, help)
    for (const { port, http2 } of ports) sample(name, `port="${port}"`, value(http2))
  }
  each("http2_connections", "gauge", "Of the connections open, those of HTTP/2.", (own) => own.connections)
  each("http2_connections_total", "counter", "Of the connections accepted, those of HTTP/2.", (own) => own.accepted)
  each("http2_requests_total", "counter", "Of the requests, those of HTTP/2.", (own) => own.requests)
  family("http2_streams_reset_total", "counter", "Streams reset before their end, by who did.")
  for (const { port, http2 } of ports) {
    sample("http2_streams_reset_total", `port="${port}",by="client"`, http2.resetByClient)
    sample("http2_streams_reset_total", `port="${port}",by="gateway"`, http2.resetByGateway)
  }
  each("http2_streams_refused_total", "counter", "Streams that never became a request: too many, malformed, or beyond a limit.", (own) => own.refused)
  family("http2_connections_failed_total", "counter", "Connections of HTTP/2 ended for an error, by its code.")
  for (const { port, http2 } of ports) for (const [code, value] of http2.failed) sample("http2_connections_failed_total", `port="${port}",code="${code}"`, value)
}
