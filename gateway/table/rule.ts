/** A route entry as compiled rules and the candidates that lead to them. */
import type { Answer, Backend, Match, Route, Rule } from "../../bus/kinds/config.ts"
import { compileFilters, needsPrefix, type CompiledFilters } from "../filters/compile.ts"
import { encodePath } from "../filters/path.ts"
import { Candidate, type PathTest, type ValueTest } from "./candidate.ts"
import { EntryFault, within } from "./fault.ts"
import { compileRegex } from "./regex.ts"
import type { ClusterHandle, CompiledBackend, CompiledRule, HeaderEdit, Redirect, Rewrite } from "./table.ts"

/** Chooses an index by weight, in turn; -1 when no weight is above 0. */
export type Weighted = (weights: readonly number[]) => () => number

export interface RuleNeeds {
  cluster(id: string): ClusterHandle
  readonly weighted: Weighted
}

/**
 * Every match of every rule. Throws EntryFault with the field. Rules are shared by their matches, except where an
 * edit depends on the prefix that matched: then there is one per prefix, with the turn of the backends still shared.
 */
export const compileRoute = (id: string, route: Route, needs: RuleNeeds): Candidate[] => {
  const candidates: Candidate[] = []
  route.rules.forEach((rule, ruleIndex) => {
    try {
      const compile = ruleCompiler(`${id}#${rule.name ?? ruleIndex}`, id, rule, needs)
      rule.matches.forEach((match, matchIndex) => {
        const path = pathTest(match, `matches[${matchIndex}].path.value`)
        candidates.push(
          new Candidate(
            compile(path),
            { path, method: match.method ?? null, headers: tests(match.headers, `matches[${matchIndex}].headers`), query: tests(match.query, `matches[${matchIndex}].query`) },
            { priority: route.priority, created: route.created, ruleIndex, matchIndex },
          ),
        )
      })
    } catch (error) {
      throw within(`rules[${ruleIndex}]`, error)
    }
  })
  return candidates
}

/** What can be wrong with a decoded route, found without compiling it: so that the barrier never queues a bad one. */
export const checkRoute = (route: Route): void => {
  route.rules.forEach((rule, ruleIndex) => {
    try {
      const prefixed = isPrefixed(rule)
      rule.matches.forEach((match, matchIndex) => {
        const path = pathTest(match, `matches[${matchIndex}].path.value`)
        if (prefixed) matchedPrefix(path)
        tests(match.headers, `matches[${matchIndex}].headers`)
        tests(match.query, `matches[${matchIndex}].query`)
      })
    } catch (error) {
      throw within(`rules[${ruleIndex}]`, error)
    }
  })
}

class ReadyRule implements CompiledRule {
  readonly id: string
  readonly route: string
  readonly answer: Answer | null
  readonly redirect: Redirect | null
  readonly rewrite: Rewrite | null
  readonly requestHeaders: HeaderEdit | null
  readonly responseHeaders: HeaderEdit | null
  readonly requestTimeout: number | undefined
  readonly backendTimeout: number | undefined
  readonly #backends: readonly CompiledBackend[]
  readonly #turn: () => number

  constructor(id: string, route: string, rule: Rule, filters: CompiledFilters, backends: readonly CompiledBackend[], turn: () => number) {
    this.id = id
    this.route = route
    this.answer = rule.answer ?? null
    this.redirect = filters.redirect
    this.rewrite = filters.rewrite
    this.requestHeaders = filters.requestHeaders
    this.responseHeaders = filters.responseHeaders
    this.requestTimeout = rule.timeouts?.request
    this.backendTimeout = rule.timeouts?.backend
    this.#backends = backends
    this.#turn = turn
  }

  pick(): CompiledBackend | null {
    return this.#backends[this.#turn()] ?? null
  }
}

const isPrefixed = (rule: Rule): boolean => needsPrefix(rule.filters) || rule.backends.some((backend) => backend.filters.length > 0 && needsPrefix(backend.filters))

const first = (): number => 0
const none = (): number => -1

const turnOf = (backends: readonly Backend[], weighted: Weighted): (() => number) => {
  if (backends.length === 0) return none
  if (backends.length === 1) return (backends[0]?.weight ?? 0) > 0 ? first : none
  return weighted(backends.map((backend) => backend.weight))
}

const ruleCompiler = (id: string, route: string, rule: Rule, needs: RuleNeeds): ((path: PathTest) => CompiledRule) => {
  const turn = turnOf(rule.backends, needs.weighted)
  const build = (prefix: string): CompiledRule => {
    const backends = rule.backends.map((backend) => compileBackend(backend, prefix, needs))
    return new ReadyRule(id, route, rule, compileFilters(rule.filters, prefix), backends, turn)
  }
  if (!isPrefixed(rule)) {
    let shared: CompiledRule | undefined
    return () => (shared ??= build(""))
  }
  const byPrefix = new Map<string, CompiledRule>()
  return (path) => {
    const prefix = matchedPrefix(path)
    const known = byPrefix.get(prefix)
    if (known !== undefined) return known
    const built = build(prefix)
    byPrefix.set(prefix, built)
    return built
  }
}

/** A share that names nothing answers 500 (Gateway API HTTPRouteRule.backendRefs: a reference that is not valid). */
const UNRESOLVED: Answer = { status: 500, headers: [], body: "" }

const compileBackend = (backend: Backend, prefix: string, needs: RuleNeeds): CompiledBackend => {
  const { requestHeaders, responseHeaders, rewrite, redirect } = compileFilters(backend.filters, prefix)
  const cluster = backend.cluster === undefined ? null : needs.cluster(backend.cluster)
  return { cluster, answer: cluster === null ? (backend.answer ?? UNRESOLVED) : null, requestHeaders, responseHeaders, rewrite, redirect }
}

const matchedPrefix = (path: PathTest): string => {
  if (path.type === "regex") throw new EntryFault("PrefixEditNeedsPrefix", "filters", "a filter replaces the matched prefix, but a match of the rule is a regular expression")
  return path.type === "exact" && path.value.endsWith("/") ? path.value.slice(0, -1) : path.value
}

/** Request paths are bytes on the wire, so a value beyond ASCII is compared as its percent-encoded UTF-8. */
const pathTest = (match: Match, field: string): PathTest => {
  const { type, value } = match.path
  if (type === "regex") return { type, value: compileRegex(value, field) }
  const wire = encodePath(value)
  if (type === "exact") return { type, value: wire }
  return { type, value: wire.endsWith("/") ? wire.slice(0, -1) : wire }
}

const tests = (matches: Match["headers"], field: string): readonly ValueTest[] | null =>
  matches.length === 0
    ? null
    : matches.map(({ name, type, value }, i) =>
        type === "exact" ? { name, equals: value, regex: null } : { name, equals: null, regex: compileRegex(value, `${field}[${i}].value`) },
      )
