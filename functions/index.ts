/** What a function needs, wherever its file is: `import { kinds, reconcile } from "headgate"`. */
import { applied } from "../bus/kinds/applied.ts"
import { kinds as config } from "../bus/kinds/config.ts"
import { core } from "../bus/kinds/core.ts"
import { gatewayApi } from "../bus/kinds/gateway-api.ts"
import { status } from "../bus/kinds/status.ts"

/** Every built-in kind: what adapters publish (`kinds.httpRoute`), what functions say (`kinds.overlay`), what gateways serve (`kinds.applied`). */
export const kinds = { ...core, ...gatewayApi, ...config, status, applied } as const

export type { Applied } from "../bus/kinds/applied.ts"
export type { Cluster, Demand, Listener, Note, Overlay, Plan, Route } from "../bus/kinds/config.ts"
export type { Condition, Status } from "../bus/kinds/status.ts"
export { configKind, type Kind, openKind, resourceKind } from "../bus/kinds/kind.ts"
export { type Given, given, type Outcome, run } from "./once.ts"
export { type Collection, type Index, type Key, type Member, type Read, reconcile, type Reconciler, type Wiring } from "./reconcile.ts"
