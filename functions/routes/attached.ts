/** Route → where it is reachable. */
import type { AnyRoute } from "../../bus/kinds/gateway-api.ts"
import type { RouteKind } from "../gateway-api/route-kinds.ts"
import { parentsOf, type Places } from "../gateway-api/parents.ts"
import type { Report } from "../gateway-api/report.ts"
import type { Read } from "../reconcile.ts"

export interface Attached {
  readonly plane: string
  /** `<namespace>/<name>` of the Gateway. */
  readonly gateway: string
  readonly listener: string
  /** As `attachedHostnames` gives them. */
  readonly hostnames: ReadonlyMap<string, string>
}

/** Every served listener that takes the route, hostnames intersected. A parentRef that leads nowhere is in a note. */
export const attachedTo = (kind: RouteKind, route: AnyRoute, places: Places, read: Read, report: Report): readonly Attached[] => {
  const found = new Map<string, { readonly plane: string; readonly gateway: string; readonly hostnames: ReadonlyMap<string, string> }>()
  const parents = parentsOf(kind, route, places, read)
  if (parents.length === 0) report("warning", "NoMatchingParent", "spec.parentRefs", "The route has no parentRef: nothing sends it requests.", "Name a Gateway in spec.parentRefs.")
  for (const { gateway, attached, finding } of parents) {
    if (finding !== undefined) report(finding.severity, finding.reason, finding.field, finding.message, finding.fix)
    if (gateway === undefined) continue
    for (const { listener, hostnames, isServed } of attached) {
      if (!isServed) continue
      // By way of whichever parentRef, the route has the same there.
      found.set(listener, { plane: gateway.plane, gateway: gateway.key, hostnames })
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([listener, where]) => ({ listener, ...where }))
}
