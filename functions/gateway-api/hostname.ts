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
 * Hostnames a route has on a listener (HTTPRouteSpec.hostnames): sorted, without repetition; empty when they have
 * nothing in common. `listener` undefined or empty: every host; no hostnames of the route: the listener's.
 */
export const attachedHostnames = (listener: string | undefined, route: readonly string[] | undefined): readonly string[] => {
  const wide = listener === undefined || listener === "" ? ANY_HOST : listener.toLowerCase()
  if (route === undefined || route.length === 0) return [wide]
  const found = new Set<string>()
  for (const hostname of route) {
    const common = intersectHostname(wide, hostname.toLowerCase())
    if (common !== undefined) found.add(common)
  }
  return [...found].sort()
}
