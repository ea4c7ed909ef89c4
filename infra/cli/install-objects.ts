/** The objects of an installation in the API server: put there, found again by their label, taken away. */
import { ApiError } from "../adapters/kubernetes/api-error.ts"
import { type ApiClient, resourcePath } from "../adapters/kubernetes/client.ts"
import { type Json, labelOf, listOf, memberOf, textOf } from "../adapters/kubernetes/raw.ts"
import { INSTALLATION_LABEL, type Manifest } from "../manifests/options.ts"

const FIELD_MANAGER = "headgate-install"

interface Resource {
  readonly group: string
  readonly version: string
  readonly plural: string
}

/** Every kind that installing can make, in the order in which they are taken away. */
const resources: Readonly<Record<string, Resource>> = {
  GatewayClass: { group: "gateway.networking.k8s.io", version: "v1", plural: "gatewayclasses" },
  Deployment: { group: "apps", version: "v1", plural: "deployments" },
  StatefulSet: { group: "apps", version: "v1", plural: "statefulsets" },
  PodDisruptionBudget: { group: "policy", version: "v1", plural: "poddisruptionbudgets" },
  NetworkPolicy: { group: "networking.k8s.io", version: "v1", plural: "networkpolicies" },
  Service: { group: "", version: "v1", plural: "services" },
  ServiceAccount: { group: "", version: "v1", plural: "serviceaccounts" },
  RoleBinding: { group: "rbac.authorization.k8s.io", version: "v1", plural: "rolebindings" },
  Role: { group: "rbac.authorization.k8s.io", version: "v1", plural: "roles" },
  ClusterRoleBinding: { group: "rbac.authorization.k8s.io", version: "v1", plural: "clusterrolebindings" },
  ClusterRole: { group: "rbac.authorization.k8s.io", version: "v1", plural: "clusterroles" },
  CustomResourceDefinition: { group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions" },
  Namespace: { group: "", version: "v1", plural: "namespaces" },
}

export const kindsToRemove: readonly string[] = Object.keys(resources)

const resourceOf = (kind: string): Resource => {
  const resource = resources[kind]
  if (resource === undefined) throw new TypeError(`no installation has a ${kind}`)
  return resource
}

export interface Place {
  readonly kind: string
  readonly namespace: string
  readonly name: string
}

export const placeOf = ({ kind, metadata }: Manifest): Place => ({ kind, namespace: metadata.namespace ?? "", name: metadata.name })

/** `Deployment headgate-system/headgate-adapter` */
export const placeText = ({ kind, namespace, name }: Place): string => `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`

export const pathOf = ({ kind, namespace, name }: Place): string => resourcePath({ ...resourceOf(kind), namespace, name })

type Api = Pick<ApiClient, "request">

/** Undefined where it, or its kind, is not there. */
export const read = (api: Api, path: string): Promise<unknown> =>
  api.request({ path }).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined
    throw error
  })

/** By server-side apply; what others have set elsewhere in it stays. Gives what became of it. */
export const put = async (api: Api, manifest: Manifest): Promise<"made" | "changed" | "unchanged"> => {
  const path = pathOf(placeOf(manifest))
  const before = await read(api, path)
  const after = await api.request({ method: "PATCH", path, query: { fieldManager: FIELD_MANAGER, force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: manifest })
  if (before === undefined) return "made"
  return versionOf(before) === versionOf(after) ? "unchanged" : "changed"
}

const versionOf = (object: unknown): string => textOf(memberOf(object, "metadata")["resourceVersion"])

/** All of one kind that the installation in `namespace` has made, or any (undefined), wherever they are. */
export const labelled = async (api: Api, kind: string, namespace: string | undefined): Promise<readonly Place[]> => {
  const answer = await read(api, `${resourcePath(resourceOf(kind))}?labelSelector=${encodeURIComponent(namespace === undefined ? INSTALLATION_LABEL : `${INSTALLATION_LABEL}=${namespace}`)}`)
  return listOf(answer, "items").map((item) => {
    const metadata = memberOf(item, "metadata")
    return { kind, namespace: textOf(metadata["namespace"]), name: textOf(metadata["name"]) }
  })
}

/** False where there was none. What hangs on it goes in the background. */
export const take = (api: Api, place: Place): Promise<boolean> =>
  api.request({ method: "DELETE", path: pathOf(place), query: { propagationPolicy: "Background" } }).then(() => true, (error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return false
    throw error
  })

/** By an installation. */
export const isMade = (object: Json): boolean => labelOf(object, INSTALLATION_LABEL) !== ""
