/** A match of an entry as tests on a request. */
import type { Match } from "../../bus/kinds/config.ts"
import { encodePath } from "../filters/path.ts"
import { plainEscapes } from "../http1/path.ts"
import { parameterHolds } from "./query.ts"
import { compileRegex, type Regex } from "./regex.ts"
import type { RequestView } from "./table.ts"

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
  /** `isLate`: after every prefix but "". */
  | { readonly type: "regex"; readonly value: Regex; readonly isLate: boolean }

export interface Conditions {
  readonly path: PathTest
  readonly method: string | null
  /** null: none. All must hold. */
  readonly headers: readonly ValueTest[] | null
  readonly query: readonly ValueTest[] | null
}

/** Throws EntryFault with the field, below `field`, of a regular expression that cannot be used. */
export const compileConditions = ({ path, method, headers, query }: Match, field: string): Conditions => ({
  path: pathTest(path, `${field}.path.value`),
  method: method ?? null,
  headers: tests(headers, `${field}.headers`),
  query: tests(query, `${field}.query`),
})

/** Everything but an exact path and a prefix, which an index has looked up. */
export const takes = (conditions: Conditions, request: RequestView): boolean => {
  if (conditions.method !== null && conditions.method !== request.method) return false
  if (conditions.path.type === "regex" && !conditions.path.value.test(request.path)) return false
  const { headers, query } = conditions
  if (headers !== null) {
    for (let i = 0; i < headers.length; i++) {
      const test = headers[i]
      if (test !== undefined && !headerHolds(test, request)) return false
    }
  }
  if (query !== null) {
    for (let i = 0; i < query.length; i++) {
      const test = query[i]
      if (test !== undefined && !parameterHolds(request.query, test.name, test.equals ?? "", test.regex)) return false
    }
  }
  return true
}

/** Everything, path included. */
export const holds = (conditions: Conditions, request: RequestView): boolean => pathHolds(conditions.path, request.path) && takes(conditions, request)

const SLASH = 47

const pathHolds = (test: PathTest, path: string): boolean => {
  switch (test.type) {
    case "exact":
      return path === test.value
    case "prefix":
      return path.startsWith(test.value) && (path.length === test.value.length || path.charCodeAt(test.value.length) === SLASH)
    case "regex":
      return true
  }
}

const headerHolds = (test: ValueTest, request: RequestView): boolean => {
  const value = request.header(test.name)
  if (value === undefined) return false
  return test.regex === null ? value === test.equals : test.regex.test(value)
}

/** Request paths are bytes on the wire with plain escapes, so a value is compared as percent-encoded UTF-8 with such. */
const pathTest = ({ type, value, late }: Match["path"], field: string): PathTest => {
  if (type === "regex") return { type, value: compileRegex(value, field), isLate: late === true }
  const wire = plainEscapes(encodePath(value))
  return { type, value: type === "prefix" && wire.endsWith("/") ? wire.slice(0, -1) : wire }
}

const tests = (matches: Match["headers"], field: string): readonly ValueTest[] | null =>
  matches.length === 0
    ? null
    : matches.map(({ name, type, value }, i) =>
        type === "exact" ? { name, equals: value, regex: null } : { name, equals: null, regex: compileRegex(value, `${field}[${i}].value`) },
      )
