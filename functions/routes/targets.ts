/** Notes on overlays that act on nothing because their target is not there. */
import type { Overlay, Route } from "../../bus/kinds/config.ts"
import type { Gateway, HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import { planeOfKey, routeId } from "../gateway-api/names.ts"
import type { Collection } from "../reconcile.ts"
import type { ServedGateway } from "../gateway-api/listeners.ts"
import { overlayReporter } from "./overlays.ts"

export interface Targets {
  readonly gateways: Collection<Gateway>
  readonly served: Collection<ServedGateway>
  readonly httpRoutes: Collection<HTTPRoute>
  readonly entries: Collection<Route>
}

export const noteTargets = (overlays: Collection<Overlay>, { gateways, served, httpRoutes, entries }: Targets): void => {
  overlays.map(({ target }, read, key) => {
    const plane = planeOfKey(key)
    const name = `${target.namespace}/${target.name}`
    const isRoute = target.kind === "HTTPRoute"
    const report = overlayReporter(read, key)
    const exists = (isRoute ? read(httpRoutes, name) : read(gateways, name)) !== undefined
    const entry = `${plane}/${routeId(target.namespace, target.name)}`
    const hasEntry = (): boolean => read(entries, entry) !== undefined || read.all(served).some(([gateway]) => read(entries, `${entry}@${gateway}`) !== undefined)
    const isServed = isRoute ? hasEntry() : read(served, name)?.plane === plane
    if (!exists) report("warning", "OverlayNotApplied", "target.name", `Overlay ${key} has no effect: there is no ${target.kind} ${name}, which it targets.`, `Create ${target.kind} ${name}, correct the overlay's target, or remove the overlay.`)
    else if (!isServed) report("warning", "OverlayNotApplied", "target.name", `Overlay ${key} has no effect: data plane ${plane} serves nothing of ${target.kind} ${name}, which it targets.`, `See the notes of ${target.kind} ${name}; an overlay's key begins with the data plane it acts in.`)
    return undefined
  }).named("notes on targets")
}
