/** The installation's own nats-server: a StatefulSet whose pods find one another by name, and who may talk to it. */
import { GATEWAY, isExternal, labelsOf, NATS, PEERS, type InstallOptions, type Manifest } from "./options.ts"
import { disruptionBudget, podTemplate, selector, serviceAccount, type Volume } from "./workload.ts"

/** Made by the first server that starts (infra/adapters/nats/credentials.ts): no file of ours has a password or a key in it. */
export const CREDENTIALS_SECRET = "headgate-nats"
/** Who signs: a Secret of its own, for who mounts the other does not. */
export const AUTHORITY = "headgate-nats-authority"

export const natsManifests = (options: InstallOptions): readonly Manifest[] => {
  const { namespace, nats, watchNamespaces } = options
  if (isExternal(nats)) return []
  const metadata = (name: string): Manifest["metadata"] => ({ name, namespace, labels: labelsOf(options, NATS) })
  const data: Volume = { name: "data", path: "/data", ...(nats.storage === undefined ? { source: { emptyDir: {} } } : {}) }
  const template = podTemplate(options, {
    name: NATS,
    args: [
      "nats", "--namespace", namespace, "--replicas", String(nats.replicas), "--mounted", "/etc/headgate/credentials", "--authority", AUTHORITY,
      ...(watchNamespaces.length === 0 ? [] : ["--watch-namespaces", watchNamespaces.join(",")]),
    ],
    environment: { HEADGATE_NATS_SERVER: "/nats-server", GOMEMLIMIT: "700MiB" },
    requests: { cpu: "100m", memory: "192Mi" },
    limits: { cpu: "2", memory: "1Gi" },
    usesApi: true,
    ports: [{ name: "clients", containerPort: 4222 }, { name: "routes", containerPort: 6222 }],
    volumes: [
      data,
      { name: "run", path: "/run/headgate", source: { emptyDir: { medium: "Memory", sizeLimit: "32Mi" } } },
      { name: "credentials", path: "/etc/headgate/credentials", readOnly: true, source: { secret: { secretName: CREDENTIALS_SECRET, optional: true, defaultMode: 0o440 } } },
    ],
    grace: nats.replicas === 1 ? 30 : 60,
    startsWithin: 120,
  })
  return [
    serviceAccount(options, NATS),
    // One whose disk is full is not ready, and read from all the same where there is no other.
    { apiVersion: "v1", kind: "Service", metadata: metadata(NATS), spec: { ...(nats.replicas === 1 ? { publishNotReadyAddresses: true } : {}), selector: labelsOfPods(options), ports: [port("clients", 4222)] } },
    // Peers find one another before any of them is ready.
    { apiVersion: "v1", kind: "Service", metadata: metadata(PEERS), spec: { clusterIP: "None", publishNotReadyAddresses: true, selector: labelsOfPods(options), ports: [port("clients", 4222), port("routes", 6222)] } },
    {
      apiVersion: "apps/v1", kind: "StatefulSet", metadata: metadata(NATS),
      spec: {
        replicas: nats.replicas, serviceName: PEERS, selector: selector(options, NATS), podManagementPolicy: "Parallel", updateStrategy: { type: "RollingUpdate" }, template,
        ...(nats.storage === undefined ? {} : {
          persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" },
          volumeClaimTemplates: [{ apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: nats.storage } } } }],
        }),
      },
    },
    ...(nats.replicas === 1 ? [] : [disruptionBudget(options, NATS)]),
    natsPolicy(options),
  ]
}

const labelsOfPods = ({ namespace }: InstallOptions): Readonly<Record<string, string>> => ({ "app.kubernetes.io/name": NATS, "headgate.dev/installation": namespace })
const port = (name: string, number: number): object => ({ name, port: number, targetPort: name, protocol: "TCP" })

/** Clients are our own parts, and gateway pods wherever they run; peers are its own. What is not named here is closed. */
const natsPolicy = (options: InstallOptions): Manifest => {
  const { namespace, watchNamespaces } = options
  const anywhere = watchNamespaces.length === 0 ? {} : { matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "In", values: [...new Set([namespace, ...watchNamespaces])].sort() }] }
  return {
    apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy",
    metadata: { name: NATS, namespace, labels: labelsOf(options, NATS) },
    spec: {
      podSelector: { matchLabels: labelsOfPods(options) },
      policyTypes: ["Ingress"],
      ingress: [
        { from: [{ podSelector: { matchLabels: { "headgate.dev/installation": namespace } } }, { namespaceSelector: anywhere, podSelector: { matchLabels: { "app.kubernetes.io/name": GATEWAY } } }], ports: [{ protocol: "TCP", port: 4222 }] },
        { from: [{ podSelector: { matchLabels: labelsOfPods(options) } }], ports: [{ protocol: "TCP", port: 6222 }] },
      ],
    },
  }
}
