/**
 * What each object's status should say: what is wrong with it as it is written, found by the same pieces that `routes`
 * and `endpoints` go by, and what gateway pods have made of it, by their acks. All in the control plane: no gateway
 * waits for it.
 */
import { applied } from "../../bus/kinds/applied.ts"
import { CONTROL_PLANE, kinds } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { gatewayApi } from "../../bus/kinds/gateway-api.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { clock } from "../../bus/kinds/ours.ts"
import type { Kind } from "../../bus/kinds/kind.ts"
import { status as statusKind, type Status } from "../../bus/kinds/status.ts"
import { yieldsOf } from "../gateway-api/hostname-shares.ts"
import { judgedGateways, judgedListeners } from "../gateway-api/listeners.ts"
import { placesOf } from "../gateway-api/parents.ts"
import { classParameters, runsOf } from "../gateway-api/runs.ts"
import { reconcile, type Collection, type Member, type Reconciler } from "../reconcile.ts"
import { ackedBy } from "./acks.ts"
import { wayOf } from "./addresses.ts"
import { certificateFacts } from "./certificates.ts"
import { classStatus } from "./classes.ts"
import { gatewayStatus } from "./gateways.ts"
import { overlapping } from "./overlaps.ts"
import { EVERY_RELEASE, releasesOf } from "./releases.ts"
import { judgedGrpcRoute, judgedHttpRoute, type JudgedRoute } from "./routes.ts"

const statusKey = (kind: string, key: string): string => `${CONTROL_PLANE}/${kind}/${key}`

export const status: Reconciler = reconcile({
  name: "status",
  version: "1",
  reads: [headgate.installation, headgate.gatewayParameters, gatewayApi.gatewayClass, gatewayApi.gateway, gatewayApi.httpRoute, gatewayApi.grpcRoute, gatewayApi.referenceGrant, core.customResourceDefinition, core.namespace, core.service, core.secret, clock, kinds.certificate, applied],
  writes: [statusKind],
  later: true,
  derive: ({ from, into }) => {
    const classes = from(gatewayApi.gatewayClass)
    const gateways = from(gatewayApi.gateway)
    const grants = from(gatewayApi.referenceGrant).index(({ metadata }) => [metadata.namespace])
    const installations = from(headgate.installation)
    const parameters = from(headgate.gatewayParameters)
    const runs = runsOf(gateways, { classes, installations, parameters, services: from(core.service) })
    const judged = judgedGateways(gateways, { runs, parameters, grants })
    const served = judged.map(({ value }) => value).named("served gateways")
    const contests = judgedListeners(served, from(core.service))
    const listeners = contests.map(({ value }) => value).named("listeners")
    const base = placesOf(gateways, served, listeners, from(core.namespace))
    const yields = yieldsOf(from(gatewayApi.httpRoute), from(gatewayApi.grpcRoute), base)
    const places = { ...base, yields }
    const overlaps = overlapping(listeners)
    const certificates = certificateFacts(from(kinds.certificate), from(core.secret), from(clock))
    const controllers = gateways.map(({ spec }, read) => read(classes, `/${spec.gatewayClassName}`)?.spec.controllerName).named("controllers")
    const ways = from(core.service).map(wayOf).named("addresses of services")
    const services = from(core.service).map(({ spec: { type, ports } }) => ({ spec: { type, ports } })).named("ports of services")

    const sources = { places, controllers, services, grants }
    const keyed = (kind: Kind<unknown>, key: string, one: JudgedRoute | undefined): Member<JudgedRoute>[] => (one === undefined ? [] : [[statusKey(kind.name, key), one]])
    const ofHttp = from(gatewayApi.httpRoute).flatMap((route, read, key) => keyed(gatewayApi.httpRoute, key, judgedHttpRoute(route, sources, read))).named("judged HTTPRoutes")
    const ofGrpc = from(gatewayApi.grpcRoute).flatMap((route, read, key) => keyed(gatewayApi.grpcRoute, key, judgedGrpcRoute(route, sources, read))).named("judged GRPCRoutes")
    const routes = ofHttp.union(ofGrpc)
    const attachedRoutes = counted(routes.map((each) => each.listeners).named("listeners of routes"))
    const acked = ackedBy(from(applied))
    const ofGateways = gateways.flatMap((gateway, read, key): Member<Status>[] => {
      const one = read(judged, key)
      const own = one === undefined ? undefined : gatewayStatus(gateway, one, { contests, acked, attachedRoutes, overlaps, certificates, runs, ways }, read)
      return own === undefined ? [] : [[statusKey("gateway", key), own]]
    }).named("status of gateways")
    const releases = releasesOf(from(core.customResourceDefinition))
    const used = gateways.group(({ spec }) => [`/${spec.gatewayClassName}`], () => true as const).named("classes in use")
    const ofClasses = classes.flatMap((each, read, key): Member<Status>[] => {
      const installation = read(installations, "/")
      const own = classParameters(each, parameters, read)
      const inCluster = installation && { mode: (own.ok ? own.parameters.mode : undefined) ?? installation.mode, parameters: own }
      return [[statusKey("gatewayclass", key), classStatus(each, { inCluster, releases: read(releases, EVERY_RELEASE), isUsed: read(used, key) === true })]]
    }).named("status of classes")
    into(statusKind, routes.map(({ status: own }) => own).named("status of routes").union(ofGateways).union(ofClasses))
  },
})

const BUCKETS = 256
const bucketOf = (key: string): number => {
  let hash = 0
  for (let i = 0; i < key.length; i++) hash = (hash * 31 + key.charCodeAt(i)) % 65_521
  return hash % BUCKETS
}

/** How many name each listener. In two steps, so that one more or less among many stays cheap. */
const counted = (listeners: Collection<readonly string[]>): Collection<number> =>
  listeners
    .group((own, key) => own.map((listener) => `${listener} ${bucketOf(key)}`), (members) => members.length)
    .named("routes in part")
    .group((_count, bucket) => [bucket.slice(0, bucket.lastIndexOf(" "))], (members) => members.reduce((sum, [, count]) => sum + count, 0))
    .named("routes counted")
