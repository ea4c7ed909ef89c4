/**
 * GatewayClasses, Gateways, HTTPRoutes and GRPCRoutes → listeners, routes and what they demand of `endpoints` and `certs`, in one unit, so that
 * all of it goes live together. Precedence among matches is the gateway's: entries carry what it is decided by.
 */
import { kinds, type Demand, type Listener, type Overlay, type Plan, type Route, type Rule } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { type AnyRoute, GATEWAY_GROUP, gatewayApi, type ReferenceGrant } from "../../bus/kinds/gateway-api.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import type { RouteKind } from "../gateway-api/route-kinds.ts"
import { isGranted } from "../gateway-api/grants.ts"
import { yieldsOf } from "../gateway-api/hostname-shares.ts"
import { planeOfKey, routeId } from "../gateway-api/names.ts"
import { placesOf, type Places } from "../gateway-api/parents.ts"
import { grpcRuleOf, ruleOf, type RuleContext } from "../gateway-api/rules.ts"
import { reconcile, type Collection, type Index, type Member, type Read, type Reconciler } from "../reconcile.ts"
import { attachedTo, type Attached } from "./attached.ts"
import { noteClasses } from "./classes.ts"
import { judgedGateways, judgedListeners } from "../gateway-api/listeners.ts"
import { soundOverlays, withOverlays } from "./overlays.ts"
import { noted, reporter, type Report } from "../gateway-api/report.ts"
import { runsOf } from "../gateway-api/runs.ts"
import { noteShadows, repetitions } from "./shadows.ts"
import { noteTargets } from "./targets.ts"

export const routes: Reconciler = reconcile({
  name: "routes",
  version: "1",
  reads: [headgate.installation, headgate.gatewayParameters, gatewayApi.gatewayClass, gatewayApi.gateway, gatewayApi.httpRoute, gatewayApi.grpcRoute, gatewayApi.referenceGrant, core.namespace, core.service, kinds.overlay],
  writes: [kinds.listener, kinds.route, kinds.demand, kinds.plan],
  derive: ({ from, into }) => {
    const classes = from(gatewayApi.gatewayClass)
    const gateways = from(gatewayApi.gateway)
    const namespaces = from(core.namespace)
    const grantsByNamespace = from(gatewayApi.referenceGrant).index(({ metadata }) => [metadata.namespace])
    const httpRoutes = from(gatewayApi.httpRoute)
    const grpcRoutes = from(gatewayApi.grpcRoute)
    const overlays = soundOverlays(from(kinds.overlay))
    const overlaysByTarget = overlays.index(({ target }) => [`${target.kind}/${target.namespace}/${target.name}`])

    const installations = from(headgate.installation)
    const parameters = from(headgate.gatewayParameters)
    noteClasses(gateways, { classes, installations, parameters })
    const runs = runsOf(gateways, { classes, installations, parameters, services: from(core.service) })
    const served = noted(judgedGateways(gateways, { runs, parameters, grants: grantsByNamespace })).named("served gateways")
    const listeners = noted(judgedListeners(served, from(core.service)))
    const base = placesOf(gateways, served, listeners, namespaces)
    const yields = yieldsOf(httpRoutes, grpcRoutes, base)
    const sources = { places: { ...base, yields }, grants: grantsByNamespace, overlays: overlaysByTarget }

    const ofHttp = httpRoutes.flatMap((route, read) => entriesOf("HTTPRoute", route, (context) => route.spec.rules.flatMap((rule, i) => ruleOf(rule, `spec.rules[${i}]`, context) ?? []), sources, read))
    const ofGrpc = grpcRoutes.flatMap((route, read) => entriesOf("GRPCRoute", route, (context) => (route.spec.rules ?? []).flatMap((rule, i) => grpcRuleOf(rule, `spec.rules[${i}]`, context) ?? []), sources, read)).named("entries of GRPCRoutes")
    const entries = ofHttp.named("entries of HTTPRoutes").union(ofGrpc)
    noteShadows(entries)
    noteTargets(overlays, { gateways, served, httpRoutes, grpcRoutes, entries })

    const demand = entries.flatMap(demandOf).named("clusters demanded").union(listeners.flatMap(certificateDemand).named("certs demanded"))
    into(kinds.listener, listeners)
    into(kinds.route, entries)
    into(kinds.demand, demand)
    into(kinds.plan, plans(served.map(({ plane }) => plane).named("planes of gateways"), demand))
  },
})

interface RouteSources {
  readonly places: Places
  readonly grants: Index<ReferenceGrant>
  readonly overlays: Index<Overlay>
}

const entriesOf = (kind: RouteKind, route: AnyRoute, rulesIn: (context: RuleContext) => readonly Rule[], { places, grants, overlays }: RouteSources, read: Read): readonly Member<Route>[] => {
  const { metadata, spec } = route
  const report = reporter(read, { kind, namespace: metadata.namespace, name: metadata.name })
  const attached = attachedTo(kind, route, places, read, report)
  if (spec.useDefaultGateways !== undefined) report("warning", "UnsupportedValue", "spec.useDefaultGateways", "useDefaultGateways is not supported and has no effect.", "Name Gateways in spec.parentRefs.")
  if (spec.rules === undefined || spec.rules.length === 0) report("info", "NoRules", "spec.rules", "The route has no rule: it takes nothing.", "Add a rule.")
  const granted = (namespace: string, name: string): boolean =>
    isGranted({ from: { group: GATEWAY_GROUP, kind, namespace: metadata.namespace }, to: { group: "", kind: "Service", namespace, name } }, read(grants, namespace).map(([, grant]) => grant))
  const rules = rulesIn({ kind, namespace: metadata.namespace, report, isGranted: granted, onMatch: repetitions(report) })
  return attached.length === 0 || rules.length === 0 ? [] : variants(kind, route, attached, rules, read, overlays, report)
}

/** One entry a plane; one more for each Gateway that an overlay targets, for there the rules differ. */
const variants = (kind: RouteKind, { metadata }: AnyRoute, attached: readonly Attached[], rules: readonly Rule[], read: Read, overlays: Index<Overlay>, report: Report): Member<Route>[] => {
  const id = routeId(kind, metadata.namespace, metadata.name)
  const own = read(overlays, `${kind}/${metadata.namespace}/${metadata.name}`)
  const groups = new Map<string, { readonly plane: string; readonly overlays: readonly Member<Overlay>[]; readonly attach: Attachment[] }>()
  for (const { plane, gateway, listener, hostnames } of attached) {
    const ofGateway = read(overlays, `Gateway/${gateway}`).filter(([key]) => planeOfKey(key) === plane)
    const key = `${plane}/${ofGateway.length === 0 ? id : `${id}@${gateway}`}`
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = { plane, overlays: [...own.filter(([each]) => planeOfKey(each) === plane), ...ofGateway], attach: [] }))
    group.attach.push(attachment(listener, hostnames))
  }
  return [...groups].map(([key, { attach, overlays: acting }]) => [
    key,
    {
      schema: 1,
      source: { kind, namespace: metadata.namespace, name: metadata.name },
      created: metadata.creationTimestamp ?? "",
      priority: 0,
      attach,
      rules: acting.length === 0 ? rules : withOverlays(rules, acting, report),
    },
  ])
}

type Attachment = Route["attach"][number]

const attachment = (listener: string, hostnames: ReadonlyMap<string, string>): Attachment => {
  const [common, own] = [[...hostnames.keys()], [...hostnames.values()]]
  return { listener, hostnames: common, ...(common.every((hostname, i) => hostname === own[i]) ? {} : { own }) }
}

/** Every cluster a route names, by `<plane>/<cluster id>`; an id is `service/<namespace>/<name>/<port>`, or that and `/h2c`. */
const demandOf = ({ rules }: Route, _read: Read, key: string): readonly Member<Demand>[] => {
  const clusters = new Set(rules.flatMap(({ filters, backends, overlays = [] }) => [
    ...backends.flatMap(({ cluster }) => cluster ?? []),
    ...[filters, ...backends.map((backend) => backend.filters), ...overlays.map((overlay) => overlay.filters)].flat().flatMap((filter) => (filter.type === "mirror" ? [filter.cluster] : [])),
  ]))
  return [...clusters].map((cluster): Member<Demand> => {
    const [, namespace = "", name = "", port = "", protocol] = cluster.split("/")
    return [`${planeOfKey(key)}/${cluster}`, { schema: 1, backend: { kind: "Service", namespace, name, port: Number(port), ...(protocol === "h2c" ? { protocol } : {}) } }]
  })
}

/** Every certificate a listener names, by `<plane>/<certificate id>`; an id is `secret/<namespace>/<name>`. */
const certificateDemand = ({ tls }: Listener, _read: Read, key: string): readonly Member<Demand>[] =>
  (tls?.certificates ?? []).map((certificate): Member<Demand> => {
    const [, namespace = "", name = ""] = certificate.split("/")
    return [`${planeOfKey(key)}/${certificate}`, { schema: 1, secret: { namespace, name } }]
  })

const BUCKETS = 256
const bucketOf = (key: string, who: string): string => {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) % 65_521
  return `${planeOfKey(key)}/${who}/${hash % BUCKETS}`
}

/** A plane waits for a function only once something is demanded of it. In two steps, so one demand more stays cheap. */
const plans = (planes: Collection<string>, demand: Collection<Demand>): Collection<Plan> => {
  const demanding = demand
    .group(({ secret }, key) => [bucketOf(key, secret === undefined ? "endpoints" : "certs")], () => true)
    .named("demands in part")
    .group((_true, bucket) => [bucket.slice(0, bucket.lastIndexOf("/"))], () => true)
    .named("functions demanded")
  return planes
    .group((plane) => [`${plane}/plan`], () => true)
    .named("planes")
    .map((_true, read, key): Plan => ({ schema: 1, functions: [...["certs", "endpoints"].filter((name) => read(demanding, `${planeOfKey(key)}/${name}`) === true), "routes"] }))
}
