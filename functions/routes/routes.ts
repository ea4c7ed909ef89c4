/**
 * GatewayClasses, Gateways and HTTPRoutes → listeners, routes and what they demand of `endpoints` and `certs`, in one unit, so that
 * all of it goes live together. Precedence among matches is the gateway's: entries carry what it is decided by.
 */
import { kinds, type Demand, type Listener, type Overlay, type Plan, type Route, type Rule } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { GATEWAY_GROUP, gatewayApi, type HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { isGranted } from "../gateway-api/grants.ts"
import { planeOfKey, routeId } from "../gateway-api/names.ts"
import { placesOf } from "../gateway-api/parents.ts"
import { ruleOf } from "../gateway-api/rules.ts"
import { reconcile, type Collection, type Index, type Member, type Read } from "../reconcile.ts"
import { attachedTo, type Attached } from "./attached.ts"
import { noteClasses } from "./classes.ts"
import { judgedGateways, judgedListeners } from "../gateway-api/listeners.ts"
import { soundOverlays, withOverlays } from "./overlays.ts"
import { noted, reporter, type Report } from "../gateway-api/report.ts"
import { runsOf } from "../gateway-api/runs.ts"
import { noteShadows, repetitions } from "./shadows.ts"
import { noteTargets } from "./targets.ts"

export const routes = reconcile({
  name: "routes",
  version: "1",
  reads: [headgate.installation, headgate.gatewayParameters, gatewayApi.gatewayClass, gatewayApi.gateway, gatewayApi.httpRoute, gatewayApi.referenceGrant, core.namespace, core.service, kinds.overlay],
  writes: [kinds.listener, kinds.route, kinds.demand, kinds.plan],
  derive: ({ from, into }) => {
    const classes = from(gatewayApi.gatewayClass)
    const gateways = from(gatewayApi.gateway)
    const namespaces = from(core.namespace)
    const grantsByNamespace = from(gatewayApi.referenceGrant).index(({ metadata }) => [metadata.namespace])
    const httpRoutes = from(gatewayApi.httpRoute)
    const overlays = soundOverlays(from(kinds.overlay))
    const overlaysByTarget = overlays.index(({ target }) => [`${target.kind}/${target.namespace}/${target.name}`])

    const installations = from(headgate.installation)
    const parameters = from(headgate.gatewayParameters)
    noteClasses(gateways, { classes, installations, parameters })
    const runs = runsOf(gateways, { classes, installations, parameters, services: from(core.service) })
    const served = noted(judgedGateways(gateways, { runs, parameters, grants: grantsByNamespace })).named("served gateways")
    const listeners = noted(judgedListeners(served, from(core.service)))
    const places = placesOf(gateways, served, listeners, namespaces)

    const entries = httpRoutes.flatMap((route, read): Member<Route>[] => {
      const { metadata, spec } = route
      const report = reporter(read, { kind: "HTTPRoute", namespace: metadata.namespace, name: metadata.name })
      const attached = attachedTo(route, places, read, report)
      if (spec.useDefaultGateways !== undefined) report("warning", "UnsupportedValue", "spec.useDefaultGateways", "useDefaultGateways is not supported and has no effect.", "Name Gateways in spec.parentRefs.")
      const granted = (namespace: string, name: string): boolean =>
        isGranted({ from: { group: GATEWAY_GROUP, kind: "HTTPRoute", namespace: metadata.namespace }, to: { group: "", kind: "Service", namespace, name } }, read(grantsByNamespace, namespace).map(([, grant]) => grant))
      const context = { namespace: metadata.namespace, report, isGranted: granted, onMatch: repetitions(report) }
      const rules = spec.rules.flatMap((rule, i) => ruleOf(rule, `spec.rules[${i}]`, context) ?? [])
      return attached.length === 0 || rules.length === 0 ? [] : variants(route, attached, rules, read, overlaysByTarget, report)
    })
    noteShadows(entries)
    noteTargets(overlays, { gateways, served, httpRoutes, entries })

    const demand = entries.flatMap(demandOf).named("clusters demanded").union(listeners.flatMap(certificateDemand).named("certs demanded"))
    into(kinds.listener, listeners)
    into(kinds.route, entries)
    into(kinds.demand, demand)
    into(kinds.plan, plans(served.map(({ plane }) => plane).named("planes of gateways"), demand))
  },
})

/** One entry a plane; one more for each Gateway that an overlay targets, for there the rules differ. */
const variants = ({ metadata }: HTTPRoute, attached: readonly Attached[], rules: readonly Rule[], read: Read, overlays: Index<Overlay>, report: Report): Member<Route>[] => {
  const id = routeId(metadata.namespace, metadata.name)
  const own = read(overlays, `HTTPRoute/${metadata.namespace}/${metadata.name}`)
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
      source: { kind: "HTTPRoute", namespace: metadata.namespace, name: metadata.name },
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

/** Every cluster a route names, by `<plane>/<cluster id>`; an id is `service/<namespace>/<name>/<port>`. */
const demandOf = ({ rules }: Route, _read: Read, key: string): readonly Member<Demand>[] => {
  const clusters = new Set(rules.flatMap(({ filters, backends, overlays = [] }) => [
    ...backends.flatMap(({ cluster }) => cluster ?? []),
    ...[filters, ...backends.map((backend) => backend.filters), ...overlays.map((overlay) => overlay.filters)].flat().flatMap((filter) => (filter.type === "mirror" ? [filter.cluster] : [])),
  ]))
  return [...clusters].map((cluster): Member<Demand> => {
    const [, namespace = "", name = "", port = ""] = cluster.split("/")
    return [`${planeOfKey(key)}/${cluster}`, { schema: 1, backend: { kind: "Service", namespace, name, port: Number(port) } }]
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
