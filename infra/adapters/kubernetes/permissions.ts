/**
 * Every verb on every resource that the adapter uses, each with what for; the ClusterRole, or the Roles of an
 * installation that is limited to some namespaces, are rendered from it. A test holds the calls really made against it.
 */
import { resourceApis } from "../../../bus/kinds/all.ts"
import { LEADER } from "./apply/leader.ts"
import { madeKinds } from "./apply/made-kinds.ts"

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete"

export interface Permission {
  /** What for. */
  readonly why: string
  readonly group: string
  /** Plural, with a subresource: `httproutes/status`. */
  readonly resource: string
  readonly verbs: readonly Verb[]
  /** `cluster`: objects of the whole cluster; `watched`: of every namespace that is watched; `installation`: of the installation's own. */
  readonly scope: "cluster" | "watched" | "installation"
  /** These objects alone. */
  readonly names?: readonly string[]
}

const OWN_STATUS: ReadonlySet<string> = new Set(["Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute"])
/** What a Gateway or a route names, of Secrets the content too, where a function wants it; and what is read again when somebody else has written it meanwhile. */
const READ_BY_NAME: ReadonlySet<string> = new Set(["Secret", "Service", ...OWN_STATUS])

export const permissions: readonly Permission[] = [
  // EndpointSlices stand for Endpoints.
  ...resourceApis.filter(({ kindName }) => kindName !== "Endpoints").map(({ group, plural, kindName, namespaced }): Permission => ({
    why: READ_BY_NAME.has(kindName) ? "watched, and read by name" : "watched", group, resource: plural, verbs: [...(READ_BY_NAME.has(kindName) ? (["get"] as const) : []), "list", "watch"], scope: namespaced ? "watched" : "cluster",
  })),
  ...resourceApis.filter(({ kindName }) => OWN_STATUS.has(kindName)).map(({ group, plural, namespaced }): Permission => ({
    why: "what the status says", group, resource: `${plural}/status`, verbs: ["patch"], scope: namespaced ? "watched" : "cluster",
  })),
  ...madeKinds.map(({ group, plural }): Permission => ({
    why: "made for Gateways, kept so, and taken away; an apply of what is not there is a create too", group, resource: plural, verbs: ["get", "list", "watch", "create", "patch", "delete"], scope: "watched",
  })),
  { why: "made objects are owned by their Gateway or class (OwnerReferencesPermissionEnforcement)", group: "gateway.networking.k8s.io", resource: "gateways/finalizers", verbs: ["update"], scope: "watched" },
  { why: "made objects are owned by their Gateway or class (OwnerReferencesPermissionEnforcement)", group: "gateway.networking.k8s.io", resource: "gatewayclasses/finalizers", verbs: ["update"], scope: "cluster" },
  { why: "a class that Gateways use has a finalizer, which has no subresource to be written by", group: "gateway.networking.k8s.io", resource: "gatewayclasses", verbs: ["get", "patch"], scope: "cluster" },
  { why: "told to people", group: "events.k8s.io", resource: "events", verbs: ["create", "patch"], scope: "watched" },
  { why: "who leads; one that is not there cannot be named", group: "coordination.k8s.io", resource: "leases", verbs: ["create"], scope: "installation" },
  { why: "who leads", group: "coordination.k8s.io", resource: "leases", verbs: ["get", "update"], scope: "installation", names: [LEADER] },
]

/** rbac.authorization.k8s.io/v1 PolicyRule. */
export interface PolicyRule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly Verb[]
  readonly resourceNames?: readonly string[]
}

/** One rule for each resource: what several need is joined, so that a reader finds it in one place. */
const rulesOf = (some: readonly Permission[]): readonly PolicyRule[] => {
  const groups = Map.groupBy(some, ({ group, resource, names }) => JSON.stringify([group, resource, names ?? []]))
  return [...groups.values()].flatMap((same) => {
    const [first] = same
    if (first === undefined) return []
    const verbs = [...new Set(same.flatMap((each) => each.verbs))].sort()
    return [{ apiGroups: [first.group], resources: [first.resource], verbs, ...(first.names === undefined ? {} : { resourceNames: first.names }) }]
  }).sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1))
}

const sortKey = ({ apiGroups, resources, resourceNames = [] }: PolicyRule): string => JSON.stringify([apiGroups, resources, resourceNames])

/** What a ClusterRole, and a Role of the installation's namespace, have to allow: everywhere. */
export const clusterRules = (): readonly PolicyRule[] => rulesOf(permissions.filter(({ scope }) => scope !== "installation"))
export const installationRules = (): readonly PolicyRule[] => rulesOf(permissions.filter(({ scope }) => scope === "installation"))

/**
 * Limited to namespaces: what a ClusterRole still has to allow, which is what has no namespace (of Namespaces these alone:
 * they are asked for by name), and what a Role in each of the namespaces has. A class is found by its controller, which
 * no rule of RBAC can ask for, so classes are read, and their status and finalizers written, by whatever name; so are definitions read.
 */
export const limitedClusterRules = (namespaces?: readonly string[]): readonly PolicyRule[] =>
  rulesOf(permissions.filter(({ scope }) => scope === "cluster").map((each) => (namespaces !== undefined && each.group === "" && each.resource === "namespaces" ? { ...each, names: namespaces } : each)))
export const watchedRules = (): readonly PolicyRule[] => rulesOf(permissions.filter(({ scope }) => scope === "watched"))
