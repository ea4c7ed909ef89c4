/** HTTPRouteRule and GRPCRouteRule → Rule. */
import type { Answer, Backend, Match, Rule } from "../../bus/kinds/config.ts"
import type { GRPCRouteRule, HTTPBackendRef, HTTPRouteRule } from "../../bus/kinds/gateway-api.ts"
import { durationMs } from "../../bus/kinds/httproute-limits.ts"
import type { RouteKind } from "./route-kinds.ts"
import { protocolOf, serviceClusterId } from "./names.ts"
import { filtersOf } from "./filters.ts"
import { grpcMatchOf, matchOf } from "./matches.ts"
import { refFinding, type RefContext } from "./references.ts"
import type { Report } from "./report.ts"

export interface RuleContext extends RefContext {
  readonly report: Report
  /** Told of every match that can be evaluated, in order. */
  readonly onMatch: (match: Match, field: string) => void
}

/** What a reference that does not resolve answers (HTTPRouteRule.backendRefs); gRPC maps 503 to UNAVAILABLE (GRPCRouteRule.backendRefs). */
const broken = (kind: RouteKind): Answer => ({ status: kind === "GRPCRoute" ? 503 : 500, headers: [], body: "" })

/** What cannot be done, and must not be left out either. */
const impossible = (): Answer => ({ status: 500, headers: [], body: "" })

/** It answers so because it cannot be done, and not because a backend is missing. */
export const isImpossible = ({ answer }: Rule): boolean => answer?.status === 500

/** What the rules of all kinds have. */
type AnyRule = Pick<HTTPRouteRule, "name" | "filters" | "backendRefs" | "sessionPersistence">

/** Undefined when none of the rule's matches can be evaluated. Every cause of a 500 is in a note with its field. */
export const ruleOf = (rule: HTTPRouteRule, field: string, context: RuleContext): Rule | undefined => {
  const { report } = context
  const matches = matchesOf(rule.matches, matchOf, field, context)
  const made = matches && forwarding(rule, matches, field, context)
  if (made === undefined || made.answer !== undefined) return made
  const corsAt = made.filters.findIndex(({ type }) => type === "cors")
  if (corsAt !== -1 && made.matches.every(({ method }) => method !== undefined && method !== "OPTIONS")) {
    report("warning", "PreflightNotMatched", `${field}.filters[${corsAt}]`, "Every match of the rule names another method than OPTIONS: browsers' preflights do not come here, and what needs one fails.", "Add a match with method OPTIONS, or leave the method out.")
  }
  const timeouts = timeoutsOf(rule, field, report)
  const retry = retryOf(rule, field, report)
  return { ...made, ...(timeouts === undefined ? {} : { timeouts }), ...(retry === undefined ? {} : { retry }) }
}

/** Likewise. */
export const grpcRuleOf = (rule: GRPCRouteRule, field: string, context: RuleContext): Rule | undefined => {
  const { matches: asked = [] } = rule
  const matches = matchesOf(asked.length === 0 ? [{}] : asked, grpcMatchOf, field, context)
  const made = matches && forwarding(rule, matches, field, context)
  return made && { ...made, grpc: true, ...(made.backends.length === 0 && made.answer === undefined ? { answer: broken(context.kind) } : {}) }
}

/** Those that can be evaluated; undefined when there is none. */
const matchesOf = <M>(asked: readonly M[], matchOfOne: (match: M, field: string, report: Report) => Match | undefined, field: string, { report, onMatch }: RuleContext): readonly Match[] | undefined => {
  const matches = asked.flatMap((each, i) => {
    const match = matchOfOne(each, `${field}.matches[${i}]`, report)
    if (match === undefined) return []
    onMatch(match, `${field}.matches[${i}]`)
    return [match]
  })
  return matches.length === 0 ? undefined : matches
}

/** Filters and backends; `answer`: the rule cannot be done as it is written. */
const forwarding = (rule: AnyRule, matches: readonly Match[], field: string, context: RuleContext): Rule => {
  const { kind, report } = context
  const base = { ...(rule.name === undefined ? {} : { name: rule.name }), matches }
  const filters = filtersOf(rule.filters, `${field}.filters`, context)
  if (filters === undefined || !isPossible(rule, field, report)) return { ...base, filters: [], backends: [], answer: impossible() }
  const backends = (rule.backendRefs ?? []).map((ref, i) => backendOf(ref, `${field}.backendRefs[${i}]`, context))
  const isRedirect = filters.some((filter) => filter.type === "redirect")
  const says = kind === "GRPCRoute" ? "UNAVAILABLE" : "500"
  if (backends.length === 0 && !isRedirect) report("info", "NoBackendRefs", `${field}.backendRefs`, kind === "GRPCRoute" ? `The rule has no backend: it answers ${says}.` : `The rule has no backend and no redirect: it answers ${says}.`, "Add a backendRef.")
  else if (backends.length > 0 && backends.every((backend) => backend.weight === 0)) report("warning", "NoWeight", `${field}.backendRefs`, `Every weight is 0: the rule answers ${says}.`, "Give one backendRef a weight above 0.")
  return { ...base, filters, backends }
}

const isPossible = (rule: AnyRule, field: string, report: Report): boolean => {
  if (rule.sessionPersistence === undefined) return true
  report("error", "UnsupportedValue", `${field}.sessionPersistence`, "sessionPersistence is not supported; the rule answers 500.", "Remove sessionPersistence.")
  return false
}

const retryOf = ({ retry }: HTTPRouteRule, field: string, report: Report): Rule["retry"] => {
  if (retry === undefined) return undefined
  const { codes = [], attempts, backoff: text } = retry
  const backoff = text === undefined ? undefined : durationMs(text)
  if (text !== undefined && backoff === undefined) report("error", "UnsupportedValue", `${field}.retry.backoff`, `"${text}" is not a duration; the default applies.`, "Write something like 100ms or 1s.")
  return { codes: [...new Set(codes)].sort((a, b) => a - b), attempts, ...(backoff === undefined ? {} : { backoff }) }
}

const timeoutsOf = (rule: HTTPRouteRule, field: string, report: Report): Rule["timeouts"] => {
  const one = (name: "request" | "backendRequest"): number | undefined => {
    const text = rule.timeouts?.[name]
    if (text === undefined) return undefined
    const time = durationMs(text)
    if (time === undefined) report("error", "UnsupportedValue", `${field}.timeouts.${name}`, `"${text}" is not a duration; the default applies.`, "Write something like 500ms, 10s or 1m30s.")
    return time
  }
  const request = one("request")
  const backend = one("backendRequest")
  if (request === undefined && backend === undefined) return undefined
  return { ...(request === undefined ? {} : { request }), ...(backend === undefined ? {} : { backend }) }
}

const backendOf = (ref: HTTPBackendRef, field: string, context: RuleContext): Backend => {
  const { kind, namespace, report } = context
  const share = { weight: ref.weight, filters: [] }
  const finding = refFinding(ref, field, context)
  if (finding !== undefined) report(finding.severity, finding.reason, finding.field, finding.message, finding.fix)
  if (finding !== undefined || ref.port === undefined) return { ...share, answer: broken(kind) }
  const filters = filtersOf(ref.filters, `${field}.filters`, context)
  return filters === undefined ? { ...share, answer: impossible() } : { weight: ref.weight, cluster: serviceClusterId(ref.namespace ?? namespace, ref.name, ref.port, protocolOf(kind)), filters: [...filters] }
}
