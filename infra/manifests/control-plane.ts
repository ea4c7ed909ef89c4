/** Adapter, functions, and the part that keeps the history: Deployments whose pods stand by for one another by leases. */
import { CREDENTIALS } from "../../bus/access.ts"
import { AUTHORITY as AUTHORITY_FILES, filesOf } from "../adapters/nats/credentials.ts"
import { AUTHORITY, CREDENTIALS_SECRET } from "./nats.ts"
import { ADAPTER, FUNCTIONS, HISTORY, isExternal, labelsOf, natsUrl, type InstallOptions, type Manifest } from "./options.ts"
import { disruptionBudget, podTemplate, selector, serviceAccount, type Part, type Volume } from "./workload.ts"

const FOLDER = "/etc/headgate"
/** Of the adapter, which signs for data planes: it is who makes their Secrets, and reads any Secret where Gateways count. */
const AUTHORITY_FOLDER = "/etc/headgate-authority"

export const controlPlaneManifests = (options: InstallOptions): readonly Manifest[] => {
  const { namespace, image, mode, controllerName, watchNamespaces } = options
  const adapter = partOf(options, ADAPTER, "adapter", {
    args: [
      "adapter", "kubernetes", "--namespace", namespace, "--controller-name", controllerName, "--image", image, "--gateway-nats", natsUrl(options), "--mode", mode,
      ...(isExternal(options.nats) ? [] : ["--authority", AUTHORITY_FOLDER]),
      ...(watchNamespaces.length === 0 ? [] : ["--watch-namespaces", watchNamespaces.join(",")]),
    ],
    requests: { cpu: "100m", memory: "192Mi" },
    limits: { cpu: "2", memory: "768Mi" },
    usesApi: true,
  }, isExternal(options.nats) ? [] : [{ name: "authority", path: AUTHORITY_FOLDER, readOnly: true, source: { secret: { secretName: AUTHORITY, defaultMode: 0o440 } } }])
  const functions = partOf(options, FUNCTIONS, "functions", { args: ["functions"], requests: { cpu: "100m", memory: "192Mi" }, limits: { cpu: "2", memory: "1Gi" }, usesApi: false })
  // It only makes answers about the past quick: one is enough.
  const history = partOf(options, HISTORY, "history", { args: ["checkpoints"], requests: { cpu: "20m", memory: "128Mi" }, limits: { cpu: "1", memory: "768Mi" }, usesApi: false })
  return [...deployed(options, adapter, 2), ...deployed(options, functions, 2), ...deployed(options, history, 1), closed(options)]
}

/** On the bus as who has the role: its own credentials are mounted, and nobody else's. */
const partOf = (options: InstallOptions, name: string, role: string, rest: Pick<Part, "args" | "requests" | "limits" | "usesApi">, volumes: readonly Volume[] = []): Part => ({
  name, ...rest,
  environment: {
    HEADGATE_NATS_URL: natsUrl(options),
    ...(options.traces ? { HEADGATE_TRACES: "on" } : {}),
    [CREDENTIALS]: `${FOLDER}/${role}`,
    ...(isExternal(options.nats) ? {} : {
      HEADGATE_NATS_REPLICAS: String(options.nats.replicas),
      HEADGATE_NATS_CA: `${FOLDER}/${AUTHORITY_FILES.certificate}`, HEADGATE_NATS_CERT: `${FOLDER}/${filesOf(role).certificate}`, HEADGATE_NATS_KEY: `${FOLDER}/${filesOf(role).key}`,
    }),
  },
  volumes: [{ name: "credentials", path: FOLDER, readOnly: true, source: { secret: { secretName: isExternal(options.nats) ? options.nats.credentials : CREDENTIALS_SECRET, items: keysOf(options, role).map((key) => ({ key, path: key })), defaultMode: 0o440 } } }, ...volumes],
  grace: 30,
  startsWithin: 60,
})

/** Of a NATS of the user's the password alone. */
const keysOf = ({ nats }: InstallOptions, role: string): readonly string[] => (isExternal(nats) ? [role] : [role, filesOf(role).certificate, filesOf(role).key, AUTHORITY_FILES.certificate])

const deployed = (options: InstallOptions, part: Part, replicas: number): readonly Manifest[] => [
  serviceAccount(options, part.name),
  {
    apiVersion: "apps/v1", kind: "Deployment",
    metadata: { name: part.name, namespace: options.namespace, labels: labelsOf(options, part.name) },
    spec: {
      replicas, selector: selector(options, part.name), template: podTemplate(options, part), revisionHistoryLimit: 3,
      // The one that leads goes on until another is there.
      strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    },
  },
  ...(replicas === 1 ? [] : [disruptionBudget(options, part.name)]),
]

/** They ask, and are asked by the kubelet alone, which no policy keeps away. */
const closed = (options: InstallOptions): Manifest => ({
  apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy",
  metadata: { name: "headgate-control-plane", namespace: options.namespace, labels: labelsOf(options) },
  spec: {
    podSelector: { matchLabels: { "headgate.dev/installation": options.namespace }, matchExpressions: [{ key: "app.kubernetes.io/name", operator: "In", values: [ADAPTER, FUNCTIONS, HISTORY] }] },
    policyTypes: ["Ingress"],
  },
})
