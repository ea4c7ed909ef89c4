/** Notes on overlays that act on nothing because their target is not there. */
import type { Overlay, Route } from "../../bus/kinds/config.ts"
import type { Gateway, GRPCRoute, HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import type { RouteKind } from "../gateway-api/route-kinds.ts"
import { planeOfKey, routeId } from "../gateway-api/names.ts"
import type { Collection } from "../reconcile.ts"
import type { ServedGateway } from "../gateway-api/listeners.ts"
import { overlayReporter } from "./overlays.ts"

export interface Targets {
  readonly gateways: Collection<Gateway>
  readonly served: Collection<ServedGateway>
  readonly httpRoutes: Collection<HTTPRoute>
  readonly grpcRoutes: Collection<GRPCRoute>
  readonly entries: Collection<Route>
}

export const noteTargets = (overlays: Collection<Overlay>, { gateways, served, httpRoutes, grpcRoutes, entries }: Targets): void => {
  overlays.map(({ target }, read, key) => {
    const plane = planeOfKey(key)
    const name = `${target.namespace}/${target.name}`
    const report = overlayReporter(read, key)
    const exists = { HTTPRoute: () => read(httpRoutes, name), GRPCRoute: () => read(grpcRoutes, name), Gateway: () => read(gateways, name) }[target.kind]() !== undefined
    const hasEntry = (kind: RouteKind): boolean => {
      const entry = `${plane}/${routeId(kind, target.namespace, target.name)}`
      return read(entries, entry) !== undefined || read.all(served).some(([gateway]) => read(entries, `${entry}@${gateway}`) !== undefined)
    }
    const isServed = target.kind === "Gateway" ? read(served, name)?.plane === plane : hasEntry(target.kind)
    if (!exists) report("warning", "OverlayNotApplied", "target.name", `Overlay ${key} has no effect: there is no ${target.kind} ${name}, which it targets.`, `Create ${target.kind} ${name}, correct the overlay's target, or remove the overlay.`)
    else if (!isServed) report("warning", "OverlayNotApplied", "target.name", `Overlay ${key} has no effect: data plane ${plane} serves nothing of ${target.kind} ${name}, which it targets.`, `See the notes of ${target.kind} ${name}; an overlay's key begins with the data plane it acts in.`)
    return undefined
  }).named("notes on targets")
}
