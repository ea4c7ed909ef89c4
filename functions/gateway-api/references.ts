/** Whether what a route refers to can be sent requests, as far as the reference itself goes. */
import type { BackendObjectRef } from "../../bus/kinds/gateway-api.ts"
import type { Finding } from "./report.ts"

export interface RefContext {
  /** Of the route. */
  readonly namespace: string
  /** Whether a ReferenceGrant lets the route name this Service of another namespace. */
  readonly isGranted: (namespace: string, service: string) => boolean
}

/**
 * Why a reference cannot lead anywhere; undefined: it names a Service's port, and may.
 *
 * @param so what comes of it, the end of a sentence
 */
export const refFinding = (ref: BackendObjectRef, field: string, { namespace, isGranted }: RefContext, so = "its share answers 500"): Finding | undefined => {
  const error = (reason: string, at: string, message: string, fix: string): Finding => ({ severity: "error", reason, field: `${field}.${at}`, message, fix })
  if (ref.group !== "" || ref.kind !== "Service") return error("InvalidKind", "kind", `A backend of kind ${ref.group === "" ? "" : `${ref.group}/`}${ref.kind} is not known; ${so}.`, "Refer to a Service.")
  if (ref.port === undefined) return error("UnsupportedValue", "port", `A reference to a Service needs a port; ${so}.`, "Add the port.")
  const target = ref.namespace ?? namespace
  if (target === namespace || isGranted(target, ref.name)) return undefined
  return error("RefNotPermitted", "namespace", `No ReferenceGrant in namespace ${target} lets HTTPRoutes of ${namespace} refer to Service ${ref.name}; ${so}.`, `Create a ReferenceGrant in ${target}.`)
}
