/** A route entry as compiled rules and the candidates that lead to them. */
import type { Answer, Backend, Route, Rule } from "../../bus/kinds/config.ts"
import { compileFilters, needsPrefix, NO_FILTERS } from "../filters/compile.ts"
import { Candidate } from "./candidate.ts"
import { compileConditions, type PathTest } from "./conditions.ts"
import { within } from "./fault.ts"
import { checkOverlay, isPrefixedOverlay, matchedPrefix, overlayCompiler } from "./overlay.ts"
import type { ClusterHandle, CompiledBackend, CompiledFilters, CompiledOverlay, Cors, HeaderEdit, Mirror, Redirect, Retry, Rewrite, TableRule } from "./table.ts"

/** Chooses an index by weight, in turn; -1 when no weight is above 0. */
export type Weighted = (weights: readonly number[]) => () => number

export interface RuleNeeds {
  readonly cluster: (id: string) => ClusterHandle
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
        const conditions = compileConditions(match, `matches[${matchIndex}]`)
        candidates.push(new Candidate(compile(conditions.path), conditions, { priority: route.priority, created: route.created, ruleIndex, matchIndex }))
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
        const { path } = compileConditions(match, `matches[${matchIndex}]`)
        if (prefixed) matchedPrefix(path)
      })
      rule.overlays?.forEach((overlay, i) => checkOverlay(overlay, `overlays[${i}]`))
    } catch (error) {
      throw within(`rules[${ruleIndex}]`, error)
    }
  })
}

class ReadyRule implements TableRule {
  readonly id: string
  readonly route: string
  readonly answer: Answer | null
  readonly isGrpc: boolean
  readonly redirect: Redirect | null
  readonly rewrite: Rewrite | null
  readonly requestHeaders: HeaderEdit | null
  readonly responseHeaders: HeaderEdit | null
  readonly cors: Cors | null
  readonly mirrors: readonly Mirror[] | null
  readonly requestTimeout: number | undefined
  readonly backendTimeout: number | undefined
  readonly retry: Retry | null
  readonly overlays: readonly CompiledOverlay[] | null
  readonly #backends: readonly CompiledBackend[]
  readonly #turn: () => number
  /** Without a choice to make: found without a walk through memory that other requests have driven from the cache. */
  readonly #only: CompiledBackend | null

  constructor(id: string, route: string, rule: Rule, filters: CompiledFilters, backends: readonly CompiledBackend[], turn: () => number, overlays: readonly CompiledOverlay[] | null) {
    this.id = id
    this.route = route
    this.answer = rule.answer ?? null
    this.isGrpc = rule.grpc === true
    this.redirect = filters.redirect
    this.rewrite = filters.rewrite
    this.requestHeaders = filters.requestHeaders
    this.responseHeaders = filters.responseHeaders
    this.cors = filters.cors
    this.mirrors = filters.mirrors
    this.requestTimeout = rule.timeouts?.request
    this.backendTimeout = rule.timeouts?.backend
    this.retry = rule.retry === undefined ? null : { codes: new Set(rule.retry.codes), attempts: rule.retry.attempts, backoff: rule.retry.backoff }
    this.overlays = overlays
    this.#backends = backends
    this.#turn = turn
    this.#only = turn === first ? (backends[0] ?? null) : null
  }

  pick(): CompiledBackend | null {
    return this.#only ?? this.#backends[this.#turn()] ?? null
  }

  pickBy(turn: () => number): CompiledBackend | null {
    return this.#backends[turn()] ?? null
  }
}

const isPrefixed = ({ filters, backends, overlays }: Rule): boolean =>
  needsPrefix(filters) || backends.some((backend) => backend.filters.length > 0 && needsPrefix(backend.filters)) || overlays?.some(isPrefixedOverlay) === true

const first = (): number => 0
const none = (): number => -1

const turnOf = (weights: readonly number[], weighted: Weighted): (() => number) => {
  if (weights.length === 0) return none
  if (weights.length === 1) return (weights[0] ?? 0) > 0 ? first : none
  return weighted(weights)
}

const ruleCompiler = (id: string, route: string, rule: Rule, needs: RuleNeeds): ((path: PathTest) => TableRule) => {
  const turn = turnOf(rule.backends.map(({ weight }) => weight), needs.weighted)
  const overlays = rule.overlays?.map((overlay, i) => overlayCompiler(overlay, `overlays[${i}]`, (weights) => turnOf(weights, needs.weighted), needs.cluster)) ?? []
  const build = (prefix: string): TableRule => {
    const backends = rule.backends.map((backend) => compileBackend(backend, prefix, needs))
    return new ReadyRule(id, route, rule, compileFilters(rule.filters, prefix, needs.cluster), backends, turn, overlays.length === 0 ? null : overlays.map((compile) => compile(prefix)))
  }
  if (!isPrefixed(rule)) {
    let shared: TableRule | undefined
    return () => (shared ??= build(""))
  }
  const byPrefix = new Map<string, TableRule>()
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
  const cluster = backend.cluster === undefined ? null : needs.cluster(backend.cluster)
  if (cluster !== null && backend.filters.length === 0) return plainBackend(cluster)
  return { cluster, answer: cluster === null ? (backend.answer ?? UNRESOLVED) : null, ...compileFilters(backend.filters, prefix, needs.cluster) }
}

/** Of a cluster, without filters: one for all rules that name it. */
const plainBackends = new WeakMap<ClusterHandle, CompiledBackend>()

const plainBackend = (cluster: ClusterHandle): CompiledBackend => {
  let backend = plainBackends.get(cluster)
  if (backend === undefined) plainBackends.set(cluster, (backend = { cluster, answer: null, ...NO_FILTERS }))
  return backend
}

