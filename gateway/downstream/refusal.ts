/** Valid requests that are not taken (yet), before matching. */
import { LENGTH } from "../http1/head.ts"
import type { RequestHead } from "../http1/request.ts"
import type { Forwarding } from "../http1/write.ts"
import type { Settings } from "../settings.ts"

export type Refusal = "connect" | "trace" | "expectation" | "scheme" | "upgrade" | "body-too-large"

/**
 * Whether a request that names this scheme may come over such a connection. Not https in clear (RFC 9110 §7.4: it must be
 * rejected; 421, because it may be right on another connection), but where proxies that are trusted ended its TLS. http
 * over TLS is served as what came over TLS: nothing is promised less than it got, and proxies that begin TLS themselves
 * send it so.
 */
export const isForConnection = (scheme: string, { scheme: own, trustedHops }: Pick<Forwarding, "scheme" | "trustedHops">): boolean =>
  scheme === own || scheme === "http" || trustedHops > 0

export const refusalOf = (head: RequestHead, forwarding: Pick<Forwarding, "scheme" | "trustedHops">, settings: Pick<Settings, "requestBodyBytes">): Refusal | null => {
  if (head.form !== "origin") {
    if (head.form === "authority") return "connect"
    if (head.form === "absolute" && !isForConnection(head.scheme, forwarding)) return "scheme"
  }
  // A response to TRACE shows fields that others added on the way.
  if (head.method === "TRACE") return "trace"
  if (head.expectsOther) return "expectation"
  // RFC 6455 §4.1: anything else is no handshake, and could mean one thing here and another behind. Other protocols may
  // be ignored (RFC 9110 §7.8) and are, `h2c` above all.
  if (head.isWebSocket && (head.method !== "GET" || head.hasBody)) return "upgrade"
  if (settings.requestBodyBytes > 0 && head.body === LENGTH && head.length > settings.requestBodyBytes) return "body-too-large"
  return null
}
