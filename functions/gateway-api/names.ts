/** Names and places functions agree on. */
import type { Gateway } from "../../bus/kinds/gateway-api.ts"

/** The data plane a Gateway belongs to: every one is served by the same pods for now. */
export const planeOf = (_gateway: Gateway): string => "default"

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
