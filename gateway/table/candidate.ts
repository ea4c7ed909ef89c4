/** One match of one rule: the conditions a request must meet besides host and path, and where it stands among others. */
import type { Conditions, PathTest, ValueTest } from "./conditions.ts"
import type { TableRule } from "./table.ts"

export class Candidate implements Conditions {
  readonly rule: TableRule
  readonly path: PathTest
  readonly method: string | null
  readonly headers: readonly ValueTest[] | null
  readonly query: readonly ValueTest[] | null
  readonly priority: number
  readonly created: string
  readonly ruleIndex: number
  readonly matchIndex: number

  constructor(
    rule: TableRule,
    conditions: Conditions,
    place: { readonly priority: number; readonly created: string; readonly ruleIndex: number; readonly matchIndex: number },
  ) {
    this.rule = rule
    this.path = conditions.path
    this.method = conditions.method
    this.headers = conditions.headers
    this.query = conditions.query
    this.priority = place.priority
    this.created = place.created
    this.ruleIndex = place.ruleIndex
    this.matchIndex = place.matchIndex
  }
}

/**
 * Order among candidates of one host, priority and path (Gateway API HTTPRouteRule.matches): with a method first,
 * then more headers, more query parameters, the older route, route id, rule, match. Ids compare by UTF-16 unit,
 * which is byte order for all that Kubernetes allows. Total: no two candidates of a table are equal.
 */
export const precedes = (a: Candidate, b: Candidate): number => bySpecificity(a, b) || byAge(a, b) || a.ruleIndex - b.ruleIndex || a.matchIndex - b.matchIndex

const bySpecificity = (a: Candidate, b: Candidate): number => {
  if (a.path.type === "regex" && b.path.type === "regex") {
    const longer = b.path.value.source.length - a.path.value.source.length
    if (longer !== 0) return longer
  }
  if ((a.method === null) !== (b.method === null)) return a.method === null ? 1 : -1
  return count(b.headers) - count(a.headers) || count(b.query) - count(a.query)
}

const count = (tests: Conditions["headers"]): number => (tests === null ? 0 : tests.length)

const byAge = (a: Candidate, b: Candidate): number => {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.rule.route === b.rule.route ? 0 : a.rule.route < b.rule.route ? -1 : 1
}
