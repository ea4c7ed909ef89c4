/**
 * Gateways → the objects by which a cluster runs them: pods and what they need for each Gateway in its own namespace, or
 * for all of a class that shares them, in the installation's; and a Service for each Gateway. With files there are none.
 */
import { core, type Service } from "../../bus/kinds/core.ts"
import { desired, type Desired } from "../../bus/kinds/desired.ts"
import { gatewayApi, type Gateway } from "../../bus/kinds/gateway-api.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { classPlane, objectName } from "../../bus/planes.ts"
import { bindPortKey, bindPorts } from "../gateway-api/bind-ports.ts"
import { judgedGateways, judgedListeners } from "../gateway-api/listeners.ts"
import { gatewayService, planeOf } from "../gateway-api/names.ts"
import { failure, gatewayParameters, merged, runsOf, type Parameters as ClassParameters, type Run } from "../gateway-api/runs.ts"
import { reconcile, type Collection, type Member, type Read } from "../reconcile.ts"
import { labelsOf, type Made, type Owner } from "./objects.ts"
import { pods } from "./pods.ts"
import { service, type ServedPort } from "./service.ts"

export const gateways = reconcile({
  name: "gateways",
  version: "1",
  reads: [headgate.installation, headgate.gatewayParameters, gatewayApi.gatewayClass, gatewayApi.gateway, gatewayApi.referenceGrant, core.namespace, core.service],
  writes: [desired],
  later: true,
  derive: ({ from, into }) => {
    const classes = from(gatewayApi.gatewayClass)
    const parameters = from(headgate.gatewayParameters)
    // In a namespace that is being deleted nothing can be made either.
    const leaving = from(core.namespace).map(({ metadata }) => (metadata.deletionTimestamp === undefined ? undefined : (true as const))).named("namespaces that go")
    const services = from(core.service)
    const every = from(gatewayApi.gateway)
    const all = every
      .map((gateway, read) => (gateway.metadata.deletionTimestamp !== undefined || read(leaving, `/${gateway.metadata.namespace}`) === true ? undefined : gateway))
      .named("gateways that stay")
    const grants = from(gatewayApi.referenceGrant).index(({ metadata }) => [metadata.namespace])
    const runs = runsOf(every, { classes, installations: from(headgate.installation), parameters, services })
    // Of every Gateway: one that goes is served, and has its ports, until it has gone.
    const ports = portsOf(all, judgedGateways(every, { runs, parameters, grants }).map(({ value }) => value).named("served gateways"), services)

    const ofGateways = all.flatMap((gateway, read, key): readonly Member<Desired>[] => {
      const run = read(runs, key)
      if (run === undefined || run.mode === "External") return []
      const ofClass = parametersOf(run, gateway.spec.gatewayClassName)
      const own = gatewayParameters(gateway, parameters, read)
      if (!own.ok) throw failure(own.finding)
      const effective = merged(ofClass, own.parameters)
      const made = madeFor(gateway, run, read(classes, `/${gateway.spec.gatewayClassName}`)?.metadata.uid)
      const reached = service(made, gateway, effective, read(ports, key) ?? [])
      return run.mode === "Shared" ? [reached] : [reached, ...pods(made, { parameters: effective, replicas: 1 }, run.installation)]
    }).named("objects of gateways")

    const fleets = all
      .map(({ spec }, read, key) => {
        const run = read(runs, key)
        return run?.mode === "Shared" ? { className: spec.gatewayClassName, run } : undefined
      })
      .named("gateways in shared pods")
      .group(({ className }) => [`/${className}`], ([first], read, key) => fleetOf(read(classes, key)?.metadata, first?.[1].run))
      .flatMap((objects) => objects)
      .named("objects of classes")
    into(desired, ofGateways.union(fleets))
  },
})

type InCluster = Exclude<Run, { readonly mode: "External" }>

/** `classUid`: across namespaces a Gateway can own nothing, its class can. */
const madeFor = (gateway: Gateway, run: InCluster, classUid: string | undefined): Made => {
  const { metadata, spec } = gateway
  const plane = planeOf(gateway, run)
  const { namespace, name } = gatewayService(gateway, run) ?? metadata
  const { labels = {}, annotations = {} } = spec.infrastructure ?? {}
  const source = { kind: "Gateway", namespace: metadata.namespace, name: metadata.name }
  const owner: Owner = run.mode === "Shared" ? { kind: "GatewayClass", name: spec.gatewayClassName, uid: classUid } : { kind: "Gateway", name: metadata.name, uid: metadata.uid }
  return { source, owner, plane, namespace, name, labels: { ...labels, ...labelsOf(plane, metadata.name) }, annotations }
}

/** Throws where they cannot be found, so that what was made before stays. */
const parametersOf = ({ parameters }: InCluster, className: string): ClassParameters => {
  if (parameters === undefined) throw new Error(`GatewayClass ${className} has parameters that cannot be found`)
  return parameters
}

const fleetOf = (metadata: { readonly name: string; readonly uid?: string } | undefined, run: InCluster | undefined): readonly Member<Desired>[] | undefined => {
  if (metadata === undefined || run === undefined) return undefined
  const { name, uid } = metadata
  const plane = classPlane(name)
  const made: Made = { source: { kind: "GatewayClass", namespace: "", name }, owner: { kind: "GatewayClass", name, uid }, plane, namespace: run.installation.namespace, name: objectName(name, plane), labels: labelsOf(plane, undefined), annotations: {} }
  return pods(made, { parameters: parametersOf(run, name), replicas: 2 }, run.installation)
}

/**
 * By the Gateway's key: ports of the listeners that are served. A Service has at least one port, so where none is served
 * it has all that are asked for, and there connections are refused: its address stays.
 */
const portsOf = (all: Collection<Gateway>, served: Parameters<typeof judgedListeners>[0], services: Collection<Service>): Collection<readonly ServedPort[]> => {
  const bound = bindPorts(served, services)
  const used = judgedListeners(served, services)
    .group((_judged, key) => [key.split("/").slice(1, 3).join("/")], (members) => members.flatMap(([, { value }]) => (value === undefined ? [] : [value.port])))
    .named("ports served")
  return all.join(served, (gateway, own, read: Read, key) => {
    if (own === undefined || own.mode === "External") return undefined
    const ports = read(used, key) ?? []
    const chosen = new Set(ports.length > 0 ? ports : gateway.spec.listeners.map(({ port }) => port))
    return [...chosen].sort((a, b) => a - b).flatMap((port) => {
      const bindPort = read(bound, bindPortKey(own.plane, own.namespace, own.name, port))
      return bindPort === undefined ? [] : [{ port, bindPort }]
    })
  }).named("ports of gateways")
}
