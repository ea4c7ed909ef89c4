/** Hostnames as the Gateway API means them: exact, or `*.suffix` for one or more labels before the suffix. */

/** Every host. */
export const ANY_HOST = "*"

/** The more specific of two hostnames when a host can match both, else undefined. */
const intersectHostname = (a: string, b: string): string | undefined => {
  if (a === b || b === ANY_HOST) return a
  if (a === ANY_HOST) return b
  if (covers(a, b)) return b
  return covers(b, a) ? a : undefined
}

/** Whether everything `narrow` can match, `wide` (a wildcard) matches too. */
const covers = (wide: string, narrow: string): boolean => wide.startsWith("*.") && narrow.length > wide.length - 1 && narrow.endsWith(wide.slice(1)) && narrow !== wide

/**
 * Hostnames a route has on a listener (HTTPRouteSpec.hostnames), each with the route's own that gives it, the most specific
 * of several: sorted; empty when they have nothing in common. `listener` undefined or empty: every host; no hostnames of
 * the route: the listener's, and `*` as its own.
 */
export const attachedHostnames = (listener: string | undefined, route: readonly string[] | undefined): ReadonlyMap<string, string> => {
  const wide = listener === undefined || listener === "" ? ANY_HOST : listener.toLowerCase()
  const found = new Map<string, string>()
  for (const hostname of route === undefined || route.length === 0 ? [ANY_HOST] : route) {
    const own = hostname.toLowerCase()
    const common = intersectHostname(wide, own)
    if (common === undefined) continue
    const before = found.get(common)
    if (before === undefined || moreSpecificHostname(own, before) < 0) found.set(common, own)
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** For sorting hostnames that one host can match: exact ones, then longer wildcards, `*` last (HTTPRouteSpec.hostnames). */
export const moreSpecificHostname = (a: string, b: string): number => Number(a.startsWith("*")) - Number(b.startsWith("*")) || b.length - a.length
