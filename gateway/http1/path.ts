/**
 * The path that matching sees (RFC 3986 §6.2). The rule, chosen so that gateway and backend cannot understand a path
 * differently in a way that goes around a route:
 *
 * - Dot segments are refused (400), also when `.` is written `%2e` and when the segment is bounded by `\`, `%5c` or
 *   `%2f`, which some servers take for `/`, or followed by a parameter (`..;x`), which servlet containers strip. Clients
 *   remove dot segments before they send (WHATWG URL, curl); removing them here would change bytes that a client may have
 *   signed.
 * - An encoded NUL (`%00`) is refused.
 * - Repeated slashes count as one for matching (`//admin` is routed as `/admin`), because many servers merge them; the
 *   request is forwarded as sent, because to some servers they mean something.
 * - Escapes of unreserved characters count as these characters, and the hexadecimal digits of others have no case
 *   (`/%61dmin` is routed as `/admin`), because they mean the same (§6.2.2); the request is forwarded as sent.
 * - Everything else is matched and forwarded as sent: other escapes are not decoded, case is kept.
 */

const parameter = /;.*$/
const segmentBound = /[/\\]|%2f|%5c/i

/** A target that has a suspect octet (`%`, `.` or `\`): does its path mean another path, or nothing? */
export const isPathRefused = (path: string): boolean => {
  if (path.includes("/.") || path.includes("%") || path.includes("\\")) {
    for (const segment of path.split(segmentBound)) {
      const dots = segment.replace(parameter, "").replace(/%2e/gi, ".")
      if (dots === "." || dots === "..") return true
    }
    return path.includes("%00")
  }
  return false
}

const escape = /%[0-9A-Fa-f]{2}/g
const unreserved = /[A-Za-z0-9._~-]/
const plain = (written: string): string => {
  const character = String.fromCharCode(Number.parseInt(written.slice(1), 16))
  return unreserved.test(character) ? character : written.toUpperCase()
}

/** The same path with an escape only where it means something, in capitals (RFC 3986 §6.2.2.1 and §6.2.2.2). */
export const plainEscapes = (path: string): string => (path.includes("%") ? path.replace(escape, plain) : path)

export const mergeSlashes = (path: string): string => path.replace(/\/{2,}/g, "/")
