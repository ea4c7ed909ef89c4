/** Valid requests that are not taken (yet), before matching. */
import { LENGTH } from "../http1/head.ts"
import type { RequestHead } from "../http1/request.ts"
import type { Settings } from "../settings.ts"

export type Refusal = "connect" | "trace" | "expectation" | "scheme" | "upgrade" | "body-too-large"

/** `scheme`: of the connection. */
export const refusalOf = (head: RequestHead, scheme: string, settings: Pick<Settings, "requestBodyBytes">): Refusal | null => {
  if (head.form !== "origin") {
    if (head.form === "authority") return "connect"
    if (head.form === "absolute" && head.scheme !== scheme) return "scheme"
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
