/** What can go wrong with a request, whose fault it is, and what the client is told: decided here and nowhere else. */
import type { Answer } from "../bus/kinds/config.ts"
import { DEADLINE_EXCEEDED, UNAVAILABLE, grpcStatusOf } from "./grpc.ts"
import type { Fault } from "./http1/fault.ts"

export type Failure =
  // The client's
  | { readonly side: "downstream"; readonly reason: Fault | "head-timeout" | "body-timeout" | "body-rate" | "body-too-large" | "expectation" | "scheme" | "misdirected" | "protocol-changed" | "grpc-version" | "connect" | "upgrade" | "trace" }
  // Nobody's: there is too much to do
  | { readonly side: "gateway"; readonly reason: "overload" }
  // The configuration's
  | { readonly side: "route"; readonly reason: "no-route" | "no-backend" | "no-endpoint" | "no-such-service" | "no-websocket" }
  // The backend's
  | { readonly side: "upstream"; readonly reason: "refused" | "connect-timeout" | "overloaded" | "not-http2" | "refused-stream" | "reset" | "closed" | "bad-response" | "upgraded" | "head-timeout" | "timeout" | "truncated" | "idle" }

const ALLOW = ["Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"] as const
/** Longer than shedding takes to adapt; short enough that a client's user waits for it. */
const OVERLOAD_RETRY_AFTER = 1

/** Status, that of gRPC for its calls, and one line of text; the connection is closed after it where the message's end is not known for sure. */
export interface Verdict {
  readonly status: number
  readonly grpc: number
  readonly text: string
  readonly mustClose: boolean
  /** Seconds after which it may be asked again (RFC 9110 §10.2.3); 0: nothing is said. */
  readonly retryAfter: number
}

const verdict = (status: number, text: string, mustClose = false, retryAfter = 0): Verdict => ({ status, grpc: grpcStatusOf(status), text, mustClose, retryAfter })
const asGrpc = (grpc: number, verdict: Verdict): Verdict => ({ ...verdict, grpc })

export const verdictOf = (failure: Failure): Verdict => {
  switch (failure.side) {
    case "downstream":
      return downstream(failure.reason)
    case "gateway":
      return verdict(503, "the gateway has too much to do", false, OVERLOAD_RETRY_AFTER)
    case "route":
      return route(failure.reason)
    case "upstream":
      return upstream(failure.reason)
  }
}

const downstream = (reason: (Failure & { side: "downstream" })["reason"]): Verdict => {
  switch (reason) {
    case "target-too-long":
      return verdict(414, "the request target is too long", true)
    case "head-too-large":
    case "too-many-fields":
    case "trailer-too-large":
      return verdict(431, "the request's header fields are too large", true)
    case "version":
      return verdict(505, "HTTP/2, HTTP/1.1 and HTTP/1.0 are spoken here", true)
    case "transfer-coding":
      return verdict(501, "of transfer codings only chunked is understood", true)
    case "path":
      return verdict(400, "the path has dot segments or an encoded NUL", true)
    case "head-timeout":
    case "body-timeout":
    case "body-rate":
      return verdict(408, "the request took too long to arrive", true)
    case "body-too-large":
      return verdict(413, "the request's content is too large", true)
    case "expectation":
      return verdict(417, "of expectations only 100-continue is understood", true)
    case "scheme":
      return verdict(421, "this connection is not of the scheme that the request names")
    case "misdirected":
      return verdict(421, "this connection was made for another host")
    case "protocol-changed":
      return verdict(421, "this port has changed between http and https", true)
    case "grpc-version":
      return verdict(505, "gRPC is spoken over HTTP/2", true)
    case "connect":
      return verdict(501, "CONNECT is not available here", true)
    case "upgrade":
      return verdict(400, "a WebSocket begins with a GET without content", true)
    case "trace":
      return verdict(405, "TRACE is not allowed")
    case "request-line":
    case "target":
    case "status-line":
    case "line-end":
    case "field-name":
    case "field-value":
    case "obs-fold":
    case "host":
    case "content-length":
    case "length-and-chunked":
    case "transfer-encoding":
    case "chunk":
    case "trailer":
    case "truncated":
      return verdict(400, `bad request: ${reason}`, true)
  }
}

const route = (reason: (Failure & { side: "route" })["reason"]): Verdict => {
  switch (reason) {
    case "no-route":
      return verdict(404, "no route for this host and path")
    case "no-backend":
      return asGrpc(UNAVAILABLE, verdict(500, "the route has no backend"))
    case "no-such-service":
      return asGrpc(UNAVAILABLE, verdict(500, "the backend does not exist, or speaks a protocol that is not supported"))
    case "no-endpoint":
      return verdict(503, "no endpoint is ready")
    case "no-websocket":
      return verdict(502, "the backend speaks HTTP/2, over which WebSocket is not available here")
  }
}

const upstream = (reason: (Failure & { side: "upstream" })["reason"]): Verdict => {
  switch (reason) {
    case "refused":
      return verdict(503, "no connection to the backend")
    case "overloaded":
      return verdict(503, "too many connections to the backend")
    case "connect-timeout":
      return verdict(504, "the backend took too long to accept a connection")
    case "head-timeout":
    case "timeout":
      return asGrpc(DEADLINE_EXCEEDED, verdict(504, "the backend took too long to answer"))
    case "reset":
    case "closed":
      return verdict(502, "the backend closed the connection before it answered")
    case "bad-response":
      return verdict(502, "the backend's answer is not valid HTTP")
    case "not-http2":
      return verdict(502, "the backend does not speak HTTP/2")
    case "refused-stream":
      return verdict(503, "the backend refused the request")
    case "upgraded":
      return verdict(502, "the backend switched to a protocol that was not asked for")
    case "truncated":
    case "idle":
      return verdict(502, "the backend's answer ended early")
  }
}

export const answerOf = ({ status, text, retryAfter }: Verdict): Answer => ({
  status,
  headers: [["Content-Type", "text/plain; charset=utf-8"], ...(status === 405 ? [ALLOW] : []), ...(retryAfter > 0 ? [["Retry-After", String(retryAfter)] as const] : [])],
  body: `${text}\n`,
})

/** Methods whose repetition has the effect of one (RFC 9110 §9.2.2). */
export const isIdempotent = (method: string): boolean => {
  switch (method) {
    case "GET":
    case "HEAD":
    case "PUT":
    case "DELETE":
    case "OPTIONS":
    case "TRACE":
      return true
    default:
      return false
  }
}
