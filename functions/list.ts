/** The built-in functions, in the order of their documentation. */
import { endpoints } from "./endpoints/endpoints.ts"
import type { Reconciler } from "./reconcile.ts"
import { routes } from "./routes/routes.ts"

export const builtIn: readonly Reconciler[] = [routes, endpoints]
