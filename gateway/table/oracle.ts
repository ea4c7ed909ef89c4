/**
 * The slow, obvious matcher: looks at every match of every route and sorts them as the Gateway API's text says.
 * Shares no code with the table but the regular expressions; the property test holds the table to it.
 */
import type { Listener, Match, Route } from "../../bus/kinds/config.ts"
import { compileRegex } from "./regex.ts"
import type { RequestView } from "./table.ts"

interface Found {
  readonly rule: string
  readonly order: readonly (number | string)[]
}

/** `<route id>#<rule>` or null. */
export const oracle = (listeners: ReadonlyMap<string, Listener>, routes: ReadonlyMap<string, Route>, port: number, request: RequestView): string | null => {
  const taking = [...listeners].filter(([, listener]) => listener.port === port && takesHost(listener.hostname ?? "*", request.host))
  const [best] = taking.sort(([a, x], [b, y]) => compare([-rank(x.hostname ?? "*"), x.created, a], [-rank(y.hostname ?? "*"), y.created, b]))
  if (best === undefined) return null
  const found: Found[] = []
  for (const [id, route] of routes) {
    for (const attachment of route.attach) {
      if (attachment.listener !== best[0]) continue
      for (const [i, common] of attachment.hostnames.entries()) {
        if (!takesHost(common, request.host)) continue
        const host = attachment.own?.[i] ?? common
        route.rules.forEach((rule, ruleIndex) => {
          rule.matches.forEach((match, matchIndex) => {
            if (!holds(match, request)) return
            found.push({
              rule: `${id}#${rule.name ?? ruleIndex}`,
              order: [-route.priority, -rank(host), ...pathOrder(match), match.method === undefined ? 1 : 0, -match.headers.length, -match.query.length, route.created, id, ruleIndex, matchIndex],
            })
          })
        })
      }
    }
  }
  return found.sort((a, b) => compare(a.order, b.order))[0]?.rule ?? null
}

const compare = (a: readonly (number | string)[], b: readonly (number | string)[]): number => {
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? ""
    if (x < y) return -1
    if (x > y) return 1
  }
  return 0
}

const takesHost = (pattern: string, host: string): boolean =>
  pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1)
const rank = (pattern: string): number => (pattern === "*" ? 0 : pattern.startsWith("*.") ? pattern.length : 1000)

const segments = (path: string): readonly string[] => path.replace(/\/$/, "").split("/")
const pathOrder = ({ path }: Match): readonly (number | string)[] => {
  if (path.type === "exact") return [0, 0]
  // Behind every prefix that has a segment, before the one that has none.
  if (path.type === "regex") return path.late === true ? [2, -path.value.length / 1_000_000] : [1, -path.value.length]
  return [2, -path.value.replace(/\/$/, "").length]
}

const holds = (match: Match, request: RequestView): boolean => {
  const { type, value } = match.path
  if (type === "exact" && request.path !== value) return false
  if (type === "regex" && !compileRegex(value, "").test(request.path)) return false
  if (type === "prefix") {
    const wanted = segments(value)
    const have = request.path.split("/")
    if (!wanted.every((segment, i) => have[i] === segment)) return false
  }
  if (match.method !== undefined && match.method !== request.method) return false
  const is = (test: Match["headers"][number], actual: string | null | undefined): boolean =>
    actual !== undefined && actual !== null && (test.type === "exact" ? actual === test.value : compileRegex(test.value, "").test(actual))
  const query = new URLSearchParams(request.query)
  return match.headers.every((test) => is(test, request.header(test.name))) && match.query.every((test) => is(test, query.get(test.name)))
}
