/** HTTPRoute → what each of its parents makes of it. */
import { GATEWAY_GROUP, type BackendObjectRef, type HTTPRoute, type HTTPRouteFilter, type ReferenceGrant } from "../../bus/kinds/gateway-api.ts"
import type { Condition, ParentStatus, Status } from "../../bus/kinds/status.ts"
import { isGranted } from "../gateway-api/grants.ts"
import { parentsOf, type Parent, type Places } from "../gateway-api/parents.ts"
import { collector, type Finding } from "../gateway-api/report.ts"
import { refFinding } from "../gateway-api/references.ts"
import { ruleOf } from "../gateway-api/rules.ts"
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

/** Undefined: it names no Gateway of ours. */
export const judgedRoute = (route: HTTPRoute, sources: RouteSources, read: Read): JudgedRoute | undefined => {
  const { metadata } = route
  const observedGeneration = metadata.generation ?? 0
  const say = sayer(observedGeneration)
  const parents = parentsOf(route, sources.places, read)
  if (!parents.some(({ gateway }) => gateway !== undefined)) return undefined
  const granted = (namespace: string, name: string): boolean =>
    isGranted({ from: { group: GATEWAY_GROUP, kind: "HTTPRoute", namespace: metadata.namespace }, to: { group: "", kind: "Service", namespace, name } }, read(sources.grants, namespace).map(([, grant]) => grant))
  const rules = judgedRules(route, granted)
  const own = [resolvedRefs(route, granted, sources, read, say), ...partiallyInvalid(rules, say)]
  const listeners = new Set<string>()
  const statuses = parents.flatMap((parent): ParentStatus[] => {
    const { gateway, attached, ref } = parent
    if (gateway === undefined) return []
    const accepted = acceptedBy(parent, rules, say)
    if (accepted.status === "True") for (const { listener } of attached) listeners.add(`${gateway.plane}/${listener}`)
    return [{ parentRef: ref, controllerName: read(sources.controllers, gateway.key) ?? "", conditions: [accepted, ...own] }]
  })
  return { status: { schema: 1, source: { kind: "HTTPRoute", namespace: metadata.namespace, name: metadata.name }, ...(metadata.uid === undefined ? {} : { uid: metadata.uid }), observedGeneration, parents: statuses }, listeners: [...listeners].sort() }
}

interface JudgedRules {
  /** What in each rule cannot be done; rules without any are left out. */
  readonly flawed: readonly { readonly rule: number; readonly findings: readonly Finding[]; readonly isDropped: boolean }[]
  readonly areAllDropped: boolean
}

/** Reasons for which a rule, or a part of it, is not served as it was written. */
const FLAWS: ReadonlySet<string> = new Set(["UnsupportedValue", "IncompatibleFilters", "InvalidRegex"])

const judgedRules = ({ metadata, spec }: HTTPRoute, granted: (namespace: string, name: string) => boolean): JudgedRules => {
  const flawed = spec.rules.flatMap((rule, i) => {
    const { report, findings } = collector()
    const made = ruleOf(rule, `spec.rules[${i}]`, { namespace: metadata.namespace, report, isGranted: granted, onMatch: () => undefined })
    const flaws = findings.filter(({ severity, reason }) => severity === "error" && FLAWS.has(reason))
    return flaws.length === 0 ? [] : [{ rule: i, findings: flaws, isDropped: made === undefined || made.answer !== undefined }]
  })
  return { flawed, areAllDropped: flawed.length > 0 && flawed.filter(({ isDropped }) => isDropped).length === spec.rules.length }
}

/** HTTPRoute is accepted when at least one of its rules is served (RouteParentStatus.conditions). */
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
const references = (rules: HTTPRoute["spec"]["rules"]): readonly { readonly field: string; readonly ref: BackendObjectRef; readonly so?: string }[] =>
  rules.flatMap(({ backendRefs = [], filters }, i) => [
    ...mirrors(filters, `spec.rules[${i}]`),
    ...backendRefs.flatMap((ref, j) => {
      const field = `spec.rules[${i}].backendRefs[${j}]`
      return [{ field, ref }, ...mirrors(ref.filters, field)]
    }),
  ])

const mirrors = (filters: readonly HTTPRouteFilter[] = [], field: string) =>
  filters.flatMap(({ type, requestMirror }, i) => (type === "RequestMirror" && requestMirror !== undefined ? [{ field: `${field}.filters[${i}].requestMirror.backendRef`, ref: requestMirror.backendRef, so: "nothing is mirrored to it" }] : []))

const resolvedRefs = ({ metadata: { namespace }, spec }: HTTPRoute, granted: (namespace: string, name: string) => boolean, { services }: RouteSources, read: Read, say: Say): Condition => {
  const findings = references(spec.rules).flatMap(({ field, ref, so }): Finding[] => {
    const finding = refFinding(ref, field, { namespace, isGranted: granted }, so)
    if (finding !== undefined || ref.port === undefined) return finding === undefined ? [] : [finding]
    const key = `${ref.namespace ?? namespace}/${ref.name}`
    const verdict = judgedService(key, read(services, key), ref.port, so)
    return verdict.ok ? [] : [{ ...verdict.finding, field }]
  })
  const [first] = findings
  return first === undefined ? say("ResolvedRefs", "True", "ResolvedRefs", "All references are resolved.") : say("ResolvedRefs", "False", first.reason, told(findings))
}
