/** Names and places functions agree on. */
import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import { classPlane, gatewayPlane, objectName } from "../../bus/planes.ts"
import type { RouteKind } from "./route-kinds.ts"
import type { Run } from "./runs.ts"

/**
 * The data plane a Gateway belongs to: one for all of them with files; in a cluster the Gateway's own, or its class's.
 */
export const planeOf = ({ metadata: { namespace, name }, spec }: Gateway, { mode }: Pick<Run, "mode">): string => {
  switch (mode) {
    case "External":
      return "default"
    case "Dedicated":
      return gatewayPlane(namespace, name)
    case "Shared":
      return classPlane(spec.gatewayClassName)
  }
}

/** Where a Gateway's Service is; undefined with files. One of shared pods stands beside them, and its name is told from those of Gateways of other namespaces. */
export const gatewayService = (gateway: Gateway, run: Run): { readonly namespace: string; readonly name: string } | undefined => {
  const { namespace, name } = gateway.metadata
  switch (run.mode) {
    case "External":
      return undefined
    case "Dedicated":
      return { namespace, name: objectName(name, planeOf(gateway, run)) }
    case "Shared":
      return { namespace: run.installation.namespace, name: objectName(name, `${namespace}.${name}`, 20) }
  }
}

export const listenerId = (namespace: string, gateway: string, listener: string): string => `${namespace}/${gateway}/${listener}`

/** Of the route's entry; `@<namespace>/<name>` of a Gateway follows where an overlay acts on that Gateway alone. */
export const routeId = (kind: RouteKind, namespace: string, name: string): string => `${kind.toLowerCase()}/${namespace}/${name}`

/** Cluster and demand id of a Service port; `protocol`: the one that is spoken to it, whatever the Service says. */
export const serviceClusterId = (namespace: string, name: string, port: number, protocol?: "h2c"): string => `service/${namespace}/${name}/${port}${protocol === undefined ? "" : `/${protocol}`}`

/** What gRPC is carried by, said of the backends of a kind of route (GRPCBackendRef; HTTP routes leave it to the Service). */
export const protocolOf = (kind: RouteKind): "h2c" | undefined => (kind === "GRPCRoute" ? "h2c" : undefined)

/** Certificate and demand id of a Secret. */
export const secretCertificateId = (namespace: string, name: string): string => `secret/${namespace}/${name}`

/** `default/httproute/a/b` → `default`. Planes hold no slash. */
export const planeOfKey = (key: string): string => key.slice(0, Math.max(0, key.indexOf("/")))

/** `default/httproute/a/b` → `httproute/a/b` */
export const idOfKey = (key: string): string => key.slice(key.indexOf("/") + 1)

/** Byte order of older objects first, then id (Gateway API precedence); an absent time is the oldest. */
export const olderFirst = (a: { readonly created: string; readonly id: string }, b: { readonly created: string; readonly id: string }): number => {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
