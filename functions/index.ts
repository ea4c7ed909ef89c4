/** What a function needs, wherever its file is: `import { kinds, reconcile } from "headgate"`. */
import { kinds as config } from "../bus/kinds/config.ts"
import { core } from "../bus/kinds/core.ts"
import { gatewayApi } from "../bus/kinds/gateway-api.ts"

/** Every built-in kind: what adapters publish (`kinds.httpRoute`), and what functions say (`kinds.overlay`). */
export const kinds = { ...core, ...gatewayApi, ...config } as const

export type { Cluster, Demand, Listener, Note, Overlay, Plan, Route } from "../bus/kinds/config.ts"
export { configKind, type Kind, openKind, resourceKind } from "../bus/kinds/kind.ts"
export { type Given, given, type Outcome, run } from "./once.ts"
export { type Collection, type Index, type Key, type Member, type Read, reconcile, type Reconciler, type Wiring } from "./reconcile.ts"
