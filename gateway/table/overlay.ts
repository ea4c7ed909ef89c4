/**
 * Overlays on a rule. They are looked at once matching has chosen it, so they never change which rule that is, and
 * a rule without any pays for one comparison.
 */
import type { Answer, RuleOverlay } from "../../bus/kinds/config.ts"
import { compileFilters, needsPrefix } from "../filters/compile.ts"
import { compileConditions, holds, type Conditions, type PathTest } from "./conditions.ts"
import { EntryFault } from "./fault.ts"
import type { ClusterHandle, CompiledBackend, CompiledOverlay, CompiledRule, Cors, HeaderEdit, Mirror, Redirect, RequestView, Retry, Rewrite, TableRule } from "./table.ts"

/** What a prefix edit replaces where this path matched. Throws EntryFault: a regular expression has no prefix. */
export const matchedPrefix = (path: PathTest, field = "filters"): string => {
  if (path.type === "regex") throw new EntryFault("PrefixEditNeedsPrefix", field, "a filter replaces the matched prefix, but the match is a regular expression")
  return path.type === "exact" && path.value.endsWith("/") ? path.value.slice(0, -1) : path.value
}

/** True when its edits depend on which prefix of the rule matched. */
export const isPrefixedOverlay = (overlay: RuleOverlay): boolean => needsPrefix(overlay.filters) && !hasOwnPath(overlay)

const hasOwnPath = ({ match }: RuleOverlay): boolean => match !== undefined && !(match.path.type === "prefix" && match.path.value === "/")

/** Throws EntryFault with the field. */
export const checkOverlay = (overlay: RuleOverlay, field: string): void => {
  const conditions = conditionsOf(overlay, field)
  if (conditions !== null && needsPrefix(overlay.filters)) matchedPrefix(conditions.path, `${field}.filters`)
}

const conditionsOf = ({ match }: RuleOverlay, field: string): Conditions | null => (match === undefined ? null : compileConditions(match, `${field}.match`))

/**
 * Makes the overlay for a prefix that the rule matched. Conditions and the turn of the weights are shared by all.
 * Throws EntryFault as checkOverlay does.
 */
export const overlayCompiler = (overlay: RuleOverlay, field: string, turnOf: (weights: readonly number[]) => () => number, clusterOf: (id: string) => ClusterHandle): ((prefix: string) => CompiledOverlay) => {
  checkOverlay(overlay, field)
  const conditions = conditionsOf(overlay, field)
  const turn = overlay.weights === undefined ? null : turnOf(overlay.weights)
  const own = conditions !== null && hasOwnPath(overlay) && conditions.path.type !== "regex" ? matchedPrefix(conditions.path) : undefined
  return (prefix) => ({ conditions, answer: overlay.answer ?? null, turn, ...compileFilters(overlay.filters, own ?? prefix, clusterOf) })
}

/** The rule as the overlays that match the request make it; the rule itself when none does. */
export const overlaid = (rule: TableRule, overlays: readonly CompiledOverlay[], request: RequestView): CompiledRule => {
  let made: OverlaidRule | null = null
  for (let i = 0; i < overlays.length; i++) {
    const overlay = overlays[i]
    if (overlay === undefined || (overlay.conditions !== null && !holds(overlay.conditions, request))) continue
    made ??= new OverlaidRule(rule)
    made.add(overlay)
  }
  return made ?? rule
}

/** Made for one request. */
class OverlaidRule implements CompiledRule {
  readonly id: string
  readonly route: string
  readonly isGrpc: boolean
  readonly requestTimeout: number | undefined
  readonly backendTimeout: number | undefined
  readonly retry: Retry | null
  answer: Answer | null
  redirect: Redirect | null
  rewrite: Rewrite | null
  requestHeaders: HeaderEdit | null
  responseHeaders: HeaderEdit | null
  cors: Cors | null
  mirrors: readonly Mirror[] | null
  readonly #rule: TableRule
  #turn: (() => number) | null = null

  constructor(rule: TableRule) {
    this.id = rule.id
    this.route = rule.route
    this.isGrpc = rule.isGrpc
    this.requestTimeout = rule.requestTimeout
    this.backendTimeout = rule.backendTimeout
    this.retry = rule.retry
    this.answer = rule.answer
    this.redirect = rule.redirect
    this.rewrite = rule.rewrite
    this.requestHeaders = rule.requestHeaders
    this.responseHeaders = rule.responseHeaders
    this.cors = rule.cors
    this.mirrors = rule.mirrors
    this.#rule = rule
  }

  add({ answer, redirect, rewrite, requestHeaders, responseHeaders, cors, mirrors, turn }: CompiledOverlay): void {
    if (answer !== null) this.answer = answer
    if (redirect !== null || rewrite !== null) {
      this.redirect = redirect
      this.rewrite = rewrite
    }
    this.requestHeaders = both(this.requestHeaders, requestHeaders)
    this.responseHeaders = both(this.responseHeaders, responseHeaders)
    if (cors !== null) this.cors = cors
    if (mirrors !== null) this.mirrors = this.mirrors === null ? mirrors : [...this.mirrors, ...mirrors]
    if (turn !== null) this.#turn = turn
  }

  pick(): CompiledBackend | null {
    return this.#turn === null ? this.#rule.pick() : this.#rule.pickBy(this.#turn)
  }
}

const both = (first: HeaderEdit | null, then: HeaderEdit | null): HeaderEdit | null => {
  if (first === null || then === null) return first ?? then
  return (headers) => {
    first(headers)
    then(headers)
  }
}
