/** Whether what a route refers to can be sent requests, as far as the reference itself goes. */
import type { BackendObjectRef } from "../../bus/kinds/gateway-api.ts"
import type { RouteKind } from "./route-kinds.ts"
import type { Finding } from "./report.ts"

export interface RefContext {
  readonly kind: RouteKind
  /** Of the route. */
  readonly namespace: string
  /** Whether a ReferenceGrant lets the route name this Service of another namespace. */
  readonly isGranted: (namespace: string, service: string) => boolean
}

/** What comes of a backendRef that leads nowhere (HTTPRouteRule.backendRefs, GRPCRouteRule.backendRefs). */
export const brokenShare = (kind: RouteKind): string => `its share answers ${kind === "GRPCRoute" ? "UNAVAILABLE" : "500"}`

/**
 * Why a reference cannot lead anywhere; undefined: it names a Service's port, and may.
 *
 * @param so what comes of it, the end of a sentence
 */
export const refFinding = (ref: BackendObjectRef, field: string, { kind, namespace, isGranted }: RefContext, so = brokenShare(kind)): Finding | undefined => {
  const error = (reason: string, at: string, message: string, fix: string): Finding => ({ severity: "error", reason, field: `${field}.${at}`, message, fix })
  if (ref.group !== "" || ref.kind !== "Service") return error("InvalidKind", "kind", `A backend of kind ${ref.group === "" ? "" : `${ref.group}/`}${ref.kind} is not known; ${so}.`, "Refer to a Service.")
  if (ref.port === undefined) return error("UnsupportedValue", "port", `A reference to a Service needs a port; ${so}.`, "Add the port.")
  const target = ref.namespace ?? namespace
  if (target === namespace || isGranted(target, ref.name)) return undefined
  return error("RefNotPermitted", "namespace", `No ReferenceGrant in namespace ${target} lets ${kind}s of ${namespace} refer to Service ${ref.name}; ${so}.`, `Create a ReferenceGrant in ${target}.`)
}
