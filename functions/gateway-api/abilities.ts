/** What gateways of this release can do, where it decides what is derived. */
import { GATEWAY_GROUP } from "../../bus/kinds/gateway-api.ts"

export interface Abilities {
  /** HTTP/2 from clients (h2c by prior knowledge, ALPN) and to backends (h2c). What GRPCRoute and appProtocol kubernetes.io/h2c need. */
  readonly http2: boolean
}

/**
 * The one switch: true once a gateway serves HTTP/2 on both sides. By it GRPCRoutes are taken by listeners and counted,
 * backends of appProtocol kubernetes.io/h2c get a cluster that has endpoints, and classes name the features. While it is
 * false GRPCRoutes are read and judged, their status says why they are not served, and no entry comes of them.
 */
export const ABILITIES: Abilities = { http2: false }

export type RouteKind = "HTTPRoute" | "GRPCRoute"

/** Kinds of routes that are served, in the order in which a listener's status names them. */
export const servedKinds = ({ http2 }: Abilities): readonly RouteKind[] => (http2 ? ["HTTPRoute", "GRPCRoute"] : ["HTTPRoute"])

export const isServedKind = (abilities: Abilities, { group, kind }: { readonly group: string; readonly kind: string }): boolean => group === GATEWAY_GROUP && servedKinds(abilities).some((each) => each === kind)
