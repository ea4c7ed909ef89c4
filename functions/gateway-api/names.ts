/** Names and places functions agree on. */
import { hash } from "node:crypto"
import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import { CLASS_PLANE } from "../../bus/kinds/installation.ts"
import type { Run } from "./runs.ts"

/**
 * The data plane a Gateway belongs to: one for all of them with files; in a cluster the Gateway's own, or its class's.
 * A label's value of at most 40 characters.
 */
export const planeOf = ({ metadata: { namespace, name }, spec }: Gateway, { mode }: Pick<Run, "mode">): string => {
  switch (mode) {
    case "External":
      return "default"
    case "Dedicated":
      return shortened(`${namespace}.${name}`)
    case "Shared":
      return classPlane(spec.gatewayClassName)
  }
}

/** Of the pods that Gateways of a class share. */
export const classPlane = (name: string): string => shortened(`${CLASS_PLANE}${name}`)

const LONGEST_PLANE = 40
const shortened = (plane: string): string => (plane.length <= LONGEST_PLANE ? plane : `${plane.slice(0, LONGEST_PLANE - 13)}-${hash("sha256", plane).slice(0, 12)}`)

/** Of what is made in a cluster for a Gateway or a class; a DNS label (RFC 1123) of at most 52 characters. `of`: what tells it from others of that name. */
export const objectName = (name: string, of: string, digits = 8): string => `headgate-${name.slice(0, 30).replaceAll(".", "-")}-${hash("sha256", of).slice(0, digits)}`

/** Where a Gateway's Service is; undefined with files. One of shared pods stands beside them, and its name is told from those of Gateways of other namespaces. */
export const gatewayService = (gateway: Gateway, run: Run): { readonly namespace: string; readonly name: string } | undefined => {
  const { namespace, name } = gateway.metadata
  switch (run.mode) {
    case "External":
      return undefined
    case "Dedicated":
      return { namespace, name: objectName(name, planeOf(gateway, run)) }
    case "Shared":
      return { namespace: run.installation.namespace, name: objectName(name, `${namespace}.${name}`, 12) }
  }
}

export const listenerId = (namespace: string, gateway: string, listener: string): string => `${namespace}/${gateway}/${listener}`

/** Of the route's entry; `@<namespace>/<name>` of a Gateway follows where an overlay acts on that Gateway alone. */
export const routeId = (namespace: string, name: string): string => `httproute/${namespace}/${name}`

/** Cluster and demand id of a Service port. */
export const serviceClusterId = (namespace: string, name: string, port: number): string => `service/${namespace}/${name}/${port}`

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
