/** Which listeners of a Gateway a route may attach to (Gateway API: Listener.allowedRoutes, ParentReference). */
import { GATEWAY_GROUP, type AllowedRoutes, type GatewayListener, type ParentRef } from "../../bus/kinds/gateway-api.ts"
import { attachedHostnames } from "./hostname.ts"
import { selects } from "./selector.ts"

/** What decides about a route besides its parent reference. */
export interface Attaching {
  readonly kind: string
  readonly namespace: string
  readonly hostnames: readonly string[] | undefined
}

export type Refusal = "NoMatchingParent" | "NotAllowedByListeners" | "NoMatchingListenerHostname"

export type Attachment<L> =
  | { readonly ok: true; readonly attached: readonly { readonly listener: L; readonly hostnames: readonly string[] }[] }
  /** `field`: relative to the parent reference, or "hostnames". */
  | { readonly ok: false; readonly refusal: Refusal; readonly field: "" | "sectionName" | "port" | "hostnames" }

/** Whether the reference names a Gateway at all; a Service (mesh) or a ListenerSet is someone else's. */
export const isGatewayRef = (ref: ParentRef): boolean => ref.group === GATEWAY_GROUP && ref.kind === "Gateway"

/**
 * The listeners of one Gateway that take the route. Refused by all, the reason is that of the listener that came
 * furthest: section and port, then allowedRoutes, then hostname.
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
  if (named.length === 0) return { ok: false, refusal: "NoMatchingParent", field: ref.sectionName === undefined ? "" : "sectionName" }
  const onPort = named.filter(({ listener }) => ref.port === undefined || listener.port === ref.port)
  if (onPort.length === 0) return { ok: false, refusal: "NoMatchingParent", field: "port" }
  const allowing = onPort.filter(({ listener }) => allowsKind(listener, route.kind) && allowsNamespace(listener.allowedRoutes, gatewayNamespace, route.namespace, namespaceLabels))
  if (allowing.length === 0) return { ok: false, refusal: "NotAllowedByListeners", field: "" }
  const attached = allowing.flatMap((listener) => {
    const hostnames = attachedHostnames(listener.listener.hostname, route.hostnames)
    return hostnames.length === 0 ? [] : [{ listener, hostnames }]
  })
  return attached.length === 0 ? { ok: false, refusal: "NoMatchingListenerHostname", field: "hostnames" } : { ok: true, attached }
}

const PROTOCOL_KINDS: Readonly<Record<string, readonly string[]>> = { HTTP: ["HTTPRoute", "GRPCRoute"], HTTPS: ["HTTPRoute", "GRPCRoute"], TLS: ["TLSRoute"], TCP: ["TCPRoute"], UDP: ["UDPRoute"] }

const allowsKind = ({ protocol, allowedRoutes: { kinds } }: GatewayListener, kind: string): boolean =>
  PROTOCOL_KINDS[protocol]?.includes(kind) === true && (kinds === undefined || kinds.length === 0 || kinds.some((each) => each.group === GATEWAY_GROUP && each.kind === kind))

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
