/** What each part may do with the API server, and nothing else. Functions and the history do not talk to it. */
import { installationRules, limitedClusterRules, type PolicyRule, watchedRules } from "../adapters/kubernetes/permissions.ts"
import { AUTHORITY, CREDENTIALS_SECRET } from "./nats.ts"
import { ADAPTER, isExternal, labelsOf, NATS, type InstallOptions, type Manifest } from "./options.ts"

export const rbacManifests = (options: InstallOptions): readonly Manifest[] => [
  ...granted(options, ADAPTER, { cluster: limitedClusterRules(watchedNamespaces(options)), watched: watchedRules(), own: installationRules() }),
  ...(isExternal(options.nats) ? [] : granted(options, NATS, natsPermissions)),
]

/** The installation's own among them, where what shared data planes are made of is; undefined: all. */
const watchedNamespaces = ({ namespace, watchNamespaces }: InstallOptions): readonly string[] | undefined =>
  watchNamespaces.length === 0 ? undefined : [...new Set([namespace, ...watchNamespaces])].sort()

/** Rules by where they hold. */
interface Permissions {
  /** Of objects without a namespace. */
  readonly cluster: readonly PolicyRule[]
  /** In every namespace whose objects count. */
  readonly watched: readonly PolicyRule[]
  /** In the installation's own namespace. */
  readonly own: readonly PolicyRule[]
}

/** Data planes' Secrets are labelled, which no rule of RBAC can ask for. */
const natsPermissions: Permissions = {
  cluster: [],
  watched: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list", "watch"] }],
  own: [
    { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
    { apiGroups: [""], resources: ["secrets"], resourceNames: [CREDENTIALS_SECRET, AUTHORITY], verbs: ["get", "update"] },
  ],
}

/** Where only some namespaces count, a Role in each of them, and a ClusterRole for what has no namespace. */
const granted = (options: InstallOptions, part: string, { cluster, watched, own }: Permissions): readonly Manifest[] => {
  const { namespace, watchNamespaces } = options
  const everywhere = watchNamespaces.length === 0
  const name = `${part}-${namespace}`
  const wide = everywhere ? [...cluster, ...watched] : cluster
  const narrow = everywhere ? [] : watchNamespaces.filter((one) => one !== namespace)
  const inOwn = everywhere ? own : [...own, ...watched]
  const pair = (suffix: "" | "Cluster", metadata: Manifest["metadata"], rules: readonly PolicyRule[]): readonly Manifest[] => rules.length === 0 ? [] : [
    { apiVersion: RBAC, kind: `${suffix}Role`, metadata, rules },
    { apiVersion: RBAC, kind: `${suffix}RoleBinding`, metadata, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: `${suffix}Role`, name: metadata.name }, subjects: [{ kind: "ServiceAccount", name: part, namespace }] },
  ]
  const labels = labelsOf(options, part)
  return [
    ...pair("Cluster", { name, labels }, wide),
    ...[...narrow].sort().flatMap((one) => pair("", { name, namespace: one, labels }, watched)),
    ...pair("", { name: part, namespace, labels }, inOwn),
  ]
}

const RBAC = "rbac.authorization.k8s.io/v1"
