import { isIPv6 } from "node:net"
import { HOST, classOf } from "./bytes.ts"

/**
 * uri-host [":" port] (RFC 9112 §3.2, RFC 3986 §3.2.2) as matching wants it: lower case, without port and trailing
 * dot. Null: not one, or empty (RFC 9110 §4.2.1), or with userinfo (RFC 9110 §4.2.4).
 */
export const normalHost = (authority: string): string | null => {
  const host = authority.charCodeAt(0) === 91 ? literal(authority) : registered(authority)
  if (host === null || host === "") return null
  return host.toLowerCase()
}

const registered = (authority: string): string | null => {
  let end = 0
  while (end < authority.length && (classOf(authority.charCodeAt(end)) & HOST) !== 0 && authority.charCodeAt(end) < 128) end++
  if (!isPort(authority, end)) return null
  const host = authority.slice(0, end)
  if (host.includes("%") && /%(?![0-9a-f]{2})/i.test(host)) return null
  return host.endsWith(".") ? host.slice(0, -1) : host
}

const literal = (authority: string): string | null => {
  const close = authority.indexOf("]")
  if (close < 0 || !isPort(authority, close + 1)) return null
  const address = authority.slice(1, close)
  // isIPv6() allows a zone, RFC 3986 does not.
  return !address.includes("%") && isIPv6(address) ? authority.slice(0, close + 1) : null
}

const isPort = (authority: string, at: number): boolean => {
  if (at === authority.length) return true
  if (authority.charCodeAt(at) !== 58 || authority.length - at > 6) return false
  let port = 0
  for (let i = at + 1; i < authority.length; i++) {
    const digit = authority.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
  }
  return port <= 65535
}
