/** Which listeners of a Gateway a route may attach to (Gateway API: Listener.allowedRoutes, ParentReference). */
import { GATEWAY_GROUP, type AllowedRoutes, type GatewayListener, type ParentRef } from "../../bus/kinds/gateway-api.ts"
import type { RouteKind } from "./route-kinds.ts"
import { attachedHostnames } from "./hostname.ts"
import { selects } from "./selector.ts"

/** What decides about a route besides its parent reference. */
export interface Attaching {
  readonly kind: RouteKind
  readonly namespace: string
  readonly hostnames: readonly string[] | undefined
}

/** `reason`: RouteConditionReason of Accepted=False. */
export type Refusal =
  | { readonly reason: "NoMatchingParent"; readonly field: "" | "sectionName" | "port" }
  /** `takes`: what each listener in question takes instead, by its name. */
  | { readonly reason: "NotAllowedByListeners"; readonly by: "kinds"; readonly takes: ReadonlyMap<string, readonly string[]> }
  | { readonly reason: "NotAllowedByListeners"; readonly by: "namespaces" }
  | { readonly reason: "NoMatchingListenerHostname" }

/** `hostnames`: as `attachedHostnames` gives them. */
export type Attachment<L> =
  | { readonly ok: true; readonly attached: readonly { readonly listener: L; readonly hostnames: ReadonlyMap<string, string> }[] }
  | { readonly ok: false; readonly refusal: Refusal }

/** Whether the reference names a Gateway at all; a Service (mesh) or a ListenerSet is someone else's. */
export const isGatewayRef = (ref: ParentRef): boolean => ref.group === GATEWAY_GROUP && ref.kind === "Gateway"

/**
 * The listeners of one Gateway that take the route. Refused by all, the reason is that of the listener that came
 * furthest: section and port, then kinds and namespaces of allowedRoutes, then hostname.
 *
 * @param namespaceLabels labels of the route's namespace; asked only for `from: Selector`
 */
export const attach = <L extends { readonly listener: GatewayListener }>(
  ref: ParentRef,
  gatewayNamespace: string,
  listeners: readonly L[],
  route: Attaching,
  namespaceLabels: () => Readonly<Record<string, string>> | undefined,
): Attachment<L> => {
  const named = listeners.filter(({ listener }) => ref.sectionName === undefined || ref.sectionName === "" || listener.name === ref.sectionName)
  if (named.length === 0) return { ok: false, refusal: { reason: "NoMatchingParent", field: ref.sectionName === undefined ? "" : "sectionName" } }
  const onPort = named.filter(({ listener }) => ref.port === undefined || listener.port === ref.port)
  if (onPort.length === 0) return { ok: false, refusal: { reason: "NoMatchingParent", field: "port" } }
  const ofKind = onPort.filter(({ listener }) => kindsTaken(listener).includes(route.kind))
  if (ofKind.length === 0) return { ok: false, refusal: { reason: "NotAllowedByListeners", by: "kinds", takes: new Map(onPort.map(({ listener }) => [listener.name, kindsTaken(listener)])) } }
  const allowing = ofKind.filter(({ listener }) => allowsNamespace(listener.allowedRoutes, gatewayNamespace, route.namespace, namespaceLabels))
  if (allowing.length === 0) return { ok: false, refusal: { reason: "NotAllowedByListeners", by: "namespaces" } }
  const attached = allowing.flatMap((listener) => {
    const hostnames = attachedHostnames(listener.listener.hostname, route.hostnames)
    return hostnames.size === 0 ? [] : [{ listener, hostnames }]
  })
  return attached.length === 0 ? { ok: false, refusal: { reason: "NoMatchingListenerHostname" } } : { ok: true, attached }
}

const PROTOCOL_KINDS: Readonly<Record<string, readonly string[]>> = { HTTP: ["HTTPRoute", "GRPCRoute"], HTTPS: ["HTTPRoute", "GRPCRoute"], TLS: ["TLSRoute"], TCP: ["TCPRoute"], UDP: ["UDPRoute"] }

/** Those of the protocol that allowedRoutes.kinds names, served or not; named none, all of them. */
export const kindsTaken = ({ protocol, allowedRoutes: { kinds = [] } }: GatewayListener): readonly string[] => {
  const possible = PROTOCOL_KINDS[protocol] ?? []
  return kinds.length === 0 ? possible : possible.filter((kind) => kinds.some((each) => each.group === GATEWAY_GROUP && each.kind === kind))
}

const allowsNamespace = (allowed: AllowedRoutes, gateway: string, route: string, labels: () => Readonly<Record<string, string>> | undefined): boolean => {
  switch (allowed.namespaces.from) {
    case "All":
      return true
    case "Same":
      return gateway === route
    case "None":
      return false
    case "Selector":
      return allowed.namespaces.selector !== undefined && selects(allowed.namespaces.selector, labels())
  }
}
