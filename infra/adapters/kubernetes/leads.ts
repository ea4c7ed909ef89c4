/**
 * Where an object leads, read from what the API server sent without checking the rest of it: objects of others are only
 * ever looked at here. Defaults are those of the Gateway API (apis/v1).
 */
import { GATEWAY_GROUP } from "../../../bus/kinds/gateway-api.ts"
import { isJson, type Json, labelOf, listOf, memberOf, textOf } from "./raw.ts"

const specOf = (object: Json): Json => memberOf(object, "spec")
const namespaceOf = (object: Json): string => textOf(memberOf(object, "metadata")["namespace"])

interface Expected {
  readonly group: string
  readonly kind: string
}

/** `<namespace>/<name>` of a reference to such an object; undefined: it is to another sort. */
const keyOf = (ref: unknown, expected: Expected, namespace: string): string | undefined => {
  if (!isJson(ref)) return undefined
  if ((ref["group"] ?? expected.group) !== expected.group || (ref["kind"] ?? expected.kind) !== expected.kind) return undefined
  return `${textOf(ref["namespace"]) || namespace}/${textOf(ref["name"])}`
}

const keysOf = (refs: readonly unknown[], expected: Expected, namespace: string): readonly string[] =>
  refs.flatMap((ref) => keyOf(ref, expected, namespace) ?? [])

/** Of a GatewayClass. */
export const controllerOf = (gatewayClass: Json): string => textOf(specOf(gatewayClass)["controllerName"])

/** Key of the class of a Gateway. */
export const classOf = (gateway: Json): string => `/${textOf(specOf(gateway)["gatewayClassName"])}`

const SECRET = { group: "", kind: "Secret" }
/** Secrets that a Gateway names: what its listeners present, and what it shows to backends. */
export const secretsOf = (gateway: Json): readonly string[] => {
  const namespace = namespaceOf(gateway)
  const tls = listOf(specOf(gateway), "listeners").map((listener) => memberOf(listener, "tls"))
  const backend = memberOf(memberOf(specOf(gateway), "tls"), "backend")["clientCertificateRef"]
  return keysOf([...tls.flatMap((each) => listOf(each, "certificateRefs")), ...(backend === undefined ? [] : [backend])], SECRET, namespace)
}

/** Gateways that a route names. */
export const parentsOf = (route: Json): readonly string[] => keysOf(listOf(specOf(route), "parentRefs"), { group: GATEWAY_GROUP, kind: "Gateway" }, namespaceOf(route))

const SERVICE = { group: "", kind: "Service" }
/** Services that a route names, in its rules and in their filters. */
export const servicesOf = (route: Json): readonly string[] => {
  const rules = listOf(specOf(route), "rules")
  const backends = rules.flatMap((rule) => listOf(rule, "backendRefs"))
  const filters = [...rules, ...backends].flatMap((each) => listOf(each, "filters"))
  const inFilters = filters.flatMap((filter) => ["requestMirror", "externalAuth"].map((name) => memberOf(filter, name)["backendRef"])).filter((ref) => ref !== undefined)
  return keysOf([...backends, ...inFilters], SERVICE, namespaceOf(route))
}

/** Key of the Service an EndpointSlice belongs to; `<namespace>/`: of none. */
export const serviceOf = (slice: Json): string => `${namespaceOf(slice)}/${labelOf(slice, "kubernetes.io/service-name")}`

/** Made by us for a Gateway. */
export const isMadeByUs = (object: Json): boolean => labelOf(object, "app.kubernetes.io/managed-by") === "headgate" && labelOf(object, PLANE_LABEL) !== ""
export const PLANE_LABEL = "headgate.dev/plane"
