/** What the Kubernetes adapter does with the API server, as rules of RBAC. */
import type { Permissions } from "./rbac.ts"

export interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

const READ = ["get", "list", "watch"]
const GATEWAY_API = "gateway.networking.k8s.io"
const ROUTES = ["httproutes", "grpcroutes", "tlsroutes", "tcproutes", "udproutes"]

export const permissions: Permissions = {
  cluster: [
    { apiGroups: [GATEWAY_API], resources: ["gatewayclasses"], verbs: READ },
    { apiGroups: [GATEWAY_API], resources: ["gatewayclasses/status"], verbs: ["patch", "update"] },
    { apiGroups: [GATEWAY_API], resources: ["gatewayclasses"], verbs: ["patch", "update"] },
    { apiGroups: ["apiextensions.k8s.io"], resources: ["customresourcedefinitions"], verbs: READ },
    { apiGroups: [""], resources: ["namespaces", "nodes"], verbs: READ },
  ],
  watched: [
    { apiGroups: [GATEWAY_API], resources: ["gateways", ...ROUTES, "referencegrants", "backendtlspolicies", "listenersets"], verbs: READ },
    { apiGroups: [GATEWAY_API], resources: ["gateways", ...ROUTES, "backendtlspolicies", "listenersets"].map((plural) => `${plural}/status`), verbs: ["patch", "update"] },
    { apiGroups: [GATEWAY_API], resources: ["gateways"], verbs: ["patch", "update"] },
    { apiGroups: ["headgate.dev"], resources: ["gatewayparameters"], verbs: READ },
    { apiGroups: [""], resources: ["services", "configmaps", "pods"], verbs: READ },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: READ },
    // Metadata alone until a function wants one, which no rule of RBAC can say.
    { apiGroups: [""], resources: ["secrets"], verbs: READ },
    { apiGroups: [""], resources: ["services", "serviceaccounts", "secrets"], verbs: ["create", "patch", "delete"] },
    { apiGroups: [""], resources: ["serviceaccounts"], verbs: READ },
    { apiGroups: ["apps"], resources: ["deployments"], verbs: [...READ, "create", "patch", "delete"] },
    { apiGroups: ["policy"], resources: ["poddisruptionbudgets"], verbs: [...READ, "create", "patch", "delete"] },
    { apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch"] },
  ],
  own: [{ apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "create", "update", "patch"] }],
}
