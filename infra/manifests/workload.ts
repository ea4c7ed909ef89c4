/** Pods of the control plane: what they all have in common, PodSecurity "restricted" above all. */
import { NODE_ENVIRONMENT } from "../cli/part.ts"
import { labelsOf, type InstallOptions, type Manifest } from "./options.ts"

/** Of the image (infra/images/Dockerfile). */
const USER = 65532
const PROBES = 9902

export interface Part {
  readonly name: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly requests: { readonly cpu: string; readonly memory: string }
  readonly limits: { readonly cpu: string; readonly memory: string }
  /** Whether it talks to the API server. */
  readonly usesApi: boolean
  /** Mounted, by path. */
  readonly volumes?: readonly Volume[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  /** How long it may take to end, s. */
  readonly grace: number
  /** Until it counts as hanging, s. */
  readonly startsWithin: number
}

export interface Volume {
  readonly name: string
  readonly path: string
  readonly readOnly?: boolean
  /** As in core/v1 Volume; undefined: of a claim template. */
  readonly source?: Readonly<Record<string, unknown>>
}

/** A pod template. Secrets come as files, never as variables, which `kubectl describe` and child processes see. */
export const podTemplate = (options: InstallOptions, part: Part): object => {
  const volumes: readonly Volume[] = [{ name: "tmp", path: "/tmp", source: { emptyDir: { sizeLimit: "64Mi" } } }, ...(part.volumes ?? [])]
  return {
    metadata: { labels: labelsOf(options, part.name) },
    spec: {
      serviceAccountName: part.name,
      automountServiceAccountToken: part.usesApi,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: part.grace,
      securityContext: { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER, fsGroupChangePolicy: "OnRootMismatch", seccompProfile: { type: "RuntimeDefault" } },
      // Of two that do the same one should live when a node dies.
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", labelSelector: selector(options, part.name) }],
      containers: [{
        name: part.name,
        image: options.image,
        imagePullPolicy: "IfNotPresent",
        args: part.args,
        env: [
          // The version as the API server fills it in: one who applied without would be in conflict with it.
          { name: "HEADGATE_HOLDER", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
          { name: "HEADGATE_PROBES", value: `:${PROBES}` },
          ...Object.entries({ ...NODE_ENVIRONMENT, ...part.environment }).map(([name, value]) => ({ name, value })),
        ],
        ports: [{ name: "probes", containerPort: PROBES, protocol: "TCP" }, ...(part.ports ?? []).map((port) => ({ ...port, protocol: "TCP" }))],
        startupProbe: { httpGet: { path: "/healthz", port: "probes" }, periodSeconds: 1, failureThreshold: part.startsWithin },
        livenessProbe: { httpGet: { path: "/healthz", port: "probes" }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
        readinessProbe: { httpGet: { path: "/readyz", port: "probes" }, periodSeconds: 2, timeoutSeconds: 3 },
        resources: { requests: part.requests, limits: part.limits },
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
        volumeMounts: volumes.map(({ name, path, readOnly }) => ({ name, mountPath: path, ...(readOnly === true ? { readOnly } : {}) })),
      }],
      volumes: volumes.flatMap(({ name, source }) => (source === undefined ? [] : [{ name, ...source }])),
    },
  }
}

export const selector = ({ namespace }: InstallOptions, part: string): object => ({ matchLabels: { "app.kubernetes.io/name": part, "headgate.dev/installation": namespace } })

export const serviceAccount = (options: InstallOptions, part: string): Manifest => ({
  apiVersion: "v1", kind: "ServiceAccount",
  metadata: { name: part, namespace: options.namespace, labels: labelsOf(options, part) },
  automountServiceAccountToken: false,
})

/** `replicas` of a part, all but one of which may be away at once only in a disaster. */
export const disruptionBudget = (options: InstallOptions, part: string): Manifest => ({
  apiVersion: "policy/v1", kind: "PodDisruptionBudget",
  metadata: { name: part, namespace: options.namespace, labels: labelsOf(options, part) },
  spec: { maxUnavailable: 1, selector: selector(options, part) },
})
