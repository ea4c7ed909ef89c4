/** Route → what each of its parents makes of it. */
import { type AnyRoute, GATEWAY_GROUP, type BackendObjectRef, type GRPCRoute, type HTTPRoute, type HTTPRouteFilter, type HTTPRouteRule, type ReferenceGrant } from "../../bus/kinds/gateway-api.ts"
import type { Rule } from "../../bus/kinds/config.ts"
import type { Condition, ParentStatus, Status } from "../../bus/kinds/status.ts"
import type { RouteKind } from "../gateway-api/route-kinds.ts"
import { isGranted } from "../gateway-api/grants.ts"
import { protocolOf } from "../gateway-api/names.ts"
import { parentsOf, type Parent, type Places } from "../gateway-api/parents.ts"
import { collector, type Finding } from "../gateway-api/report.ts"
import { refFinding, type RefContext } from "../gateway-api/references.ts"
import { grpcRuleOf, isImpossible, ruleOf, type RuleContext } from "../gateway-api/rules.ts"
import { judgedService } from "../gateway-api/services.ts"
import type { Service } from "../../bus/kinds/core.ts"
import type { Collection, Index, Read } from "../reconcile.ts"
import { sayer, told, type Say } from "./condition.ts"

export interface RouteSources {
  readonly places: Places
  /** By the Gateway's key: the controller its class names. */
  readonly controllers: Collection<string>
  /** What of Services decides whether they can be a backend. */
  readonly services: Collection<Pick<Service, "spec">>
  readonly grants: Index<ReferenceGrant>
}

export interface JudgedRoute {
  readonly status: Status
  /** `<plane>/<listener id>` of the listeners that take it, where it is accepted. */
  readonly listeners: readonly string[]
}

/** What of rules has to be judged. */
interface Rules {
  readonly all: readonly Pick<HTTPRouteRule, "filters" | "backendRefs">[]
  /** Of one of them: nothing comes of it, or what is served. */
  readonly made: (i: number, field: string, context: RuleContext) => Rule | undefined
}

/** Undefined: it names no Gateway of ours. */
export const judgedHttpRoute = (route: HTTPRoute, sources: RouteSources, read: Read): JudgedRoute | undefined => {
  const { rules } = route.spec
  return judgedRoute("HTTPRoute", route, { all: rules, made: (i, field, context) => rules[i] && ruleOf(rules[i], field, context) }, sources, read)
}

/** Likewise. */
export const judgedGrpcRoute = (route: GRPCRoute, sources: RouteSources, read: Read): JudgedRoute | undefined => {
  const { rules = [] } = route.spec
  return judgedRoute("GRPCRoute", route, { all: rules, made: (i, field, context) => rules[i] && grpcRuleOf(rules[i], field, context) }, sources, read)
}

const judgedRoute = (kind: RouteKind, route: AnyRoute, asked: Rules, sources: RouteSources, read: Read): JudgedRoute | undefined => {
  const { metadata } = route
  const observedGeneration = metadata.generation ?? 0
  const say = sayer(observedGeneration)
  const parents = parentsOf(kind, route, sources.places, read)
  if (!parents.some(({ gateway }) => gateway !== undefined)) return undefined
  const granted = (namespace: string, name: string): boolean =>
    isGranted({ from: { group: GATEWAY_GROUP, kind, namespace: metadata.namespace }, to: { group: "", kind: "Service", namespace, name } }, read(sources.grants, namespace).map(([, grant]) => grant))
  const context = { kind, namespace: metadata.namespace, isGranted: granted }
  const rules = judgedRules(asked, context)
  const own = [resolvedRefs(asked, context, sources, read, say), ...partiallyInvalid(rules, say)]
  const listeners = new Set<string>()
  const statuses = parents.flatMap((parent): ParentStatus[] => {
    const { gateway, attached, ref } = parent
    if (gateway === undefined) return []
    const accepted = acceptedBy(parent, rules, say)
    if (accepted.status === "True") for (const { listener } of attached) listeners.add(`${gateway.plane}/${listener}`)
    return [{ parentRef: ref, controllerName: read(sources.controllers, gateway.key) ?? "", conditions: [accepted, ...own] }]
  })
  return { status: { schema: 1, source: { kind, namespace: metadata.namespace, name: metadata.name }, ...(metadata.uid === undefined ? {} : { uid: metadata.uid }), observedGeneration, parents: statuses }, listeners: [...listeners].sort() }
}

interface JudgedRules {
  /** What in each rule cannot be done; rules without any are left out. */
  readonly flawed: readonly { readonly rule: number; readonly findings: readonly Finding[]; readonly isDropped: boolean }[]
  readonly areAllDropped: boolean
}

/** Reasons for which a rule, or a part of it, is not served as it was written. */
const FLAWS: ReadonlySet<string> = new Set(["UnsupportedValue", "IncompatibleFilters", "InvalidRegex"])

const judgedRules = ({ all, made: madeOf }: Rules, context: RefContext): JudgedRules => {
  const flawed = all.flatMap((_rule, i) => {
    const { report, findings } = collector()
    const made = madeOf(i, `spec.rules[${i}]`, { ...context, report, onMatch: () => undefined })
    const flaws = findings.filter(({ severity, reason }) => severity === "error" && FLAWS.has(reason))
    return flaws.length === 0 ? [] : [{ rule: i, findings: flaws, isDropped: made === undefined || isImpossible(made) }]
  })
  return { flawed, areAllDropped: flawed.length > 0 && flawed.filter(({ isDropped }) => isDropped).length === all.length }
}

/** A route is accepted when at least one of its rules is served (RouteParentStatus.conditions). */
const acceptedBy = ({ attached, finding }: Parent, { flawed, areAllDropped }: JudgedRules, say: Say): Condition => {
  if (attached.length === 0) return say("Accepted", "False", finding?.reason ?? "NoMatchingParent", finding === undefined ? "" : told([finding]))
  if (!areAllDropped) return say("Accepted", "True", "Accepted", "The route is accepted.")
  const findings = flawed.flatMap((each) => each.findings)
  return say("Accepted", "False", findings.some(({ reason }) => reason === "IncompatibleFilters") ? "IncompatibleFilters" : "UnsupportedValue", told(findings))
}

/** RouteConditionPartiallyInvalid: only where some rules are served; its message begins with "Dropped Rule". */
const partiallyInvalid = ({ flawed, areAllDropped }: JudgedRules, say: Say): readonly Condition[] => {
  if (flawed.length === 0 || areAllDropped) return []
  const which = flawed.map(({ rule, isDropped }) => (isDropped ? String(rule) : `${rule} in part`)).join(", ")
  return [say("PartiallyInvalid", "True", "UnsupportedValue", `Dropped Rule${flawed.length === 1 ? "" : "s"} ${which}. ${told(flawed.flatMap(({ findings }) => findings))}`)]
}

/** Everything a route sends requests to, with its field; mirrors too (HTTPRequestMirrorFilter.backendRef). */
const references = (rules: Rules["all"]): readonly { readonly field: string; readonly ref: BackendObjectRef; readonly so?: string }[] =>
  rules.flatMap(({ backendRefs = [], filters }, i) => [
    ...mirrors(filters, `spec.rules[${i}]`),
    ...backendRefs.flatMap((ref, j) => {
      const field = `spec.rules[${i}].backendRefs[${j}]`
      return [{ field, ref }, ...mirrors(ref.filters, field)]
    }),
  ])

const mirrors = (filters: readonly HTTPRouteFilter[] = [], field: string) =>
  filters.flatMap(({ type, requestMirror }, i) => (type === "RequestMirror" && requestMirror !== undefined ? [{ field: `${field}.filters[${i}].requestMirror.backendRef`, ref: requestMirror.backendRef, so: "nothing is mirrored to it" }] : []))

const resolvedRefs = ({ all }: Rules, context: RefContext, { services }: RouteSources, read: Read, say: Say): Condition => {
  const findings = references(all).flatMap(({ field, ref, so }): Finding[] => {
    const finding = refFinding(ref, field, context, so)
    if (finding !== undefined || ref.port === undefined) return finding === undefined ? [] : [finding]
    const key = `${ref.namespace ?? context.namespace}/${ref.name}`
    const verdict = judgedService(key, read(services, key), ref.port, { protocol: protocolOf(context.kind), so })
    return verdict.ok ? [] : [{ ...verdict.finding, field }]
  })
  const [first] = findings
  return first === undefined ? say("ResolvedRefs", "True", "ResolvedRefs", "All references are resolved.") : say("ResolvedRefs", "False", first.reason, told(findings))
}
