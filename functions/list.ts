/** The built-in functions, in the order of their documentation. */
import { certs } from "./certs/certs.ts"
import { endpoints } from "./endpoints/endpoints.ts"
import { gateways } from "./gateways/gateways.ts"
import type { Reconciler } from "./reconcile.ts"
import { routes } from "./routes/routes.ts"
import { status } from "./status/status.ts"

export const builtIn: readonly Reconciler[] = [routes, endpoints, certs, gateways, status]
