/** One match of one rule: the conditions a request must meet besides host and path, and where it stands among others. */
import type { Regex } from "./regex.ts"
import type { CompiledRule, RequestView } from "./table.ts"

export interface ValueTest {
  /** Header names lower case. */
  readonly name: string
  /** Exactly one of the two. */
  readonly equals: string | null
  readonly regex: Regex | null
}

export type PathTest =
  | { readonly type: "exact"; readonly value: string }
  /** Without trailing slash: "" takes every path, `/a` takes `/a` and `/a/…`. */
  | { readonly type: "prefix"; readonly value: string }
  | { readonly type: "regex"; readonly value: Regex }

export class Candidate {
  readonly rule: CompiledRule
  readonly path: PathTest
  readonly method: string | null
  readonly headers: readonly ValueTest[] | null
  readonly query: readonly ValueTest[] | null
  readonly priority: number
  readonly created: string
  readonly ruleIndex: number
  readonly matchIndex: number

  constructor(
    rule: CompiledRule,
    conditions: { readonly path: PathTest; readonly method: string | null; readonly headers: readonly ValueTest[] | null; readonly query: readonly ValueTest[] | null },
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

/** Everything but host and path, which led here (a regex path included: it led nowhere). */
export const takes = (candidate: Candidate, request: RequestView): boolean => {
  if (candidate.method !== null && candidate.method !== request.method) return false
  if (candidate.path.type === "regex" && !candidate.path.value.test(request.path)) return false
  const { headers, query } = candidate
  if (headers !== null) {
    for (let i = 0; i < headers.length; i++) {
      const test = headers[i]
      if (test !== undefined && !headerHolds(test, request)) return false
    }
  }
  if (query !== null) {
    for (let i = 0; i < query.length; i++) {
      const test = query[i]
      if (test !== undefined && !parameterHolds(test, request.query)) return false
    }
  }
  return true
}

/**
 * Order among candidates of one host, priority and path (Gateway API HTTPRouteRule.matches): with a method first,
 * then more headers, more query parameters, the older route, route id, rule, match. Ids compare by UTF-16 unit,
 * which is byte order for all that Kubernetes allows. Total: no two candidates of a table are equal.
 */
export const precedes = (a: Candidate, b: Candidate): number => {
  if (a.path.type === "regex" && b.path.type === "regex") {
    const longer = b.path.value.source.length - a.path.value.source.length
    if (longer !== 0) return longer
  }
  if ((a.method === null) !== (b.method === null)) return a.method === null ? 1 : -1
  const headers = (b.headers?.length ?? 0) - (a.headers?.length ?? 0)
  if (headers !== 0) return headers
  const query = (b.query?.length ?? 0) - (a.query?.length ?? 0)
  if (query !== 0) return query
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  if (a.rule.route !== b.rule.route) return a.rule.route < b.rule.route ? -1 : 1
  return a.ruleIndex - b.ruleIndex || a.matchIndex - b.matchIndex
}

const headerHolds = (test: ValueTest, request: RequestView): boolean => {
  const value = request.header(test.name)
  if (value === undefined) return false
  return test.regex === null ? value === test.equals : test.regex.test(value)
}

const AMPERSAND = 38
const EQUALS = 61
const PERCENT = 37
const PLUS = 43

/**
 * The first parameter of that name decides. Names and values are compared decoded (`+` is a space, WHATWG URL
 * application/x-www-form-urlencoded); nothing is copied unless something is encoded. One pass.
 */
const parameterHolds = (test: ValueTest, query: string): boolean => {
  const length = query.length
  let start = 0
  while (start < length) {
    let equals = -1
    let encodedName = false
    let encodedValue = false
    let end = start
    for (; end < length; end++) {
      const unit = query.charCodeAt(end)
      if (unit === AMPERSAND) break
      if (unit === EQUALS && equals === -1) equals = end
      else if (unit === PERCENT || unit === PLUS) {
        if (equals === -1) encodedName = true
        else encodedValue = true
      }
    }
    const nameEnd = equals === -1 ? end : equals
    if (isText(query, start, nameEnd, encodedName, test.name)) {
      const valueStart = equals === -1 ? end : equals + 1
      if (test.regex === null) return isText(query, valueStart, end, encodedValue, test.equals ?? "")
      const value = query.slice(valueStart, end)
      return test.regex.test(encodedValue ? decode(value) : value)
    }
    start = end + 1
  }
  return false
}

const isText = (query: string, start: number, end: number, encoded: boolean, wanted: string): boolean =>
  encoded ? decode(query.slice(start, end)) === wanted : end - start === wanted.length && query.startsWith(wanted, start)

/** What cannot be decoded stands for itself. */
const decode = (text: string): string => {
  const spaced = text.replaceAll("+", " ")
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
