/** Kinds of routes that are served. */
import { GATEWAY_GROUP } from "../../bus/kinds/gateway-api.ts"

export type RouteKind = "HTTPRoute" | "GRPCRoute"

/** In the order in which a listener's status names them. */
export const SERVED_KINDS: readonly RouteKind[] = ["HTTPRoute", "GRPCRoute"]

export const isServedKind = ({ group, kind }: { readonly group: string; readonly kind: string }): boolean => group === GATEWAY_GROUP && SERVED_KINDS.some((each) => each === kind)
