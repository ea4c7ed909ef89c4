/** The pods of a data plane, and what they need: an account without rights, secrets of their own, and a budget. */
import { busCertificate, type Desired } from "../../bus/kinds/desired.ts"
import type { Installation } from "../../bus/kinds/installation.ts"
import type { Parameters } from "../gateway-api/runs.ts"
import type { Member } from "../reconcile.ts"
import { object, selectorOf, type Made } from "./objects.ts"

/** As the image has it. */
const USER = 65_532
/** Of /healthz, /readyz and /metrics. Below every port that a listener is bound at. */
const PROBES_PORT = 9902
/**
 * How long a pod that goes takes connections, s: until its Service sends no more, and where it was the only one until
 * another is ready (a Service sends to one that goes as long as its probe says it serves, where there is no other).
 */
const LINGER = 10
/** How long requests may take to finish then, s. */
const DRAIN = 20
/** Until the last words are said. */
const SLACK = 5
const SECRETS = "/etc/headgate"
const DATA = "/data"

const TLS = [["HEADGATE_NATS_CA", busCertificate.authority], ["HEADGATE_NATS_CERT", busCertificate.certificate], ["HEADGATE_NATS_KEY", busCertificate.key]].map(([name, file]) => ({ name, value: `${SECRETS}/${file}` }))

/** 5,000 routes take about 100 MiB. */
const RESOURCES = { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "512Mi" } }

export const pods = (made: Made, { parameters, replicas }: { readonly parameters: Parameters; readonly replicas: number }, installation: Installation): readonly Member<Desired>[] => {
  const selector = { matchLabels: selectorOf(made.plane) }
  return [
    object("ServiceAccount", made, { automountServiceAccountToken: false }),
    object("Secret", made, { type: "Opaque" }, {
      generated: { "plane.key": { as: "hex", bytes: 32 }, "nats-password": { as: "base64url", bytes: 32 } },
      ...(installation.natsTls === true ? { certificate: { plane: made.plane } } : {}),
    }),
    object("PodDisruptionBudget", made, { spec: { maxUnavailable: 1, selector, unhealthyPodEvictionPolicy: "AlwaysAllow" } }),
    object("Deployment", made, {
      spec: {
        ...(parameters.autoscaled === true ? {} : { replicas: parameters.replicas ?? replicas }),
        revisionHistoryLimit: 2,
        selector,
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        template: {
          metadata: { labels: made.labels, ...(Object.keys(made.annotations).length === 0 ? {} : { annotations: made.annotations }) },
          spec: podSpec(made, parameters, installation),
        },
      },
    }),
  ]
}

const podSpec = ({ plane, name }: Made, parameters: Parameters, installation: Installation) => ({
  serviceAccountName: name,
  automountServiceAccountToken: false,
  enableServiceLinks: false,
  terminationGracePeriodSeconds: LINGER + DRAIN + SLACK,
  securityContext: { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER, seccompProfile: { type: "RuntimeDefault" } },
  containers: [container(plane, parameters, installation)],
  volumes: [{ name: "secrets", secret: { secretName: name, defaultMode: 0o440 } }, { name: "data", emptyDir: {} }],
  topologySpreadConstraints: parameters.topologySpreadConstraints ?? [{ maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", labelSelector: { matchLabels: selectorOf(plane) } }],
  ...(parameters.nodeSelector === undefined ? {} : { nodeSelector: parameters.nodeSelector }),
  ...(parameters.tolerations === undefined ? {} : { tolerations: parameters.tolerations }),
  ...(parameters.affinity === undefined ? {} : { affinity: parameters.affinity }),
  ...(parameters.imagePullSecrets === undefined ? {} : { imagePullSecrets: parameters.imagePullSecrets }),
})

const container = (plane: string, { resources = RESOURCES, environment = {} }: Parameters, { image, nats, natsTls = false, traces = false }: Installation) => ({
  name: "gateway",
  image,
  args: [
    "gateway", "--plane", plane, "--pod", "$(POD_NAME)", "--data", DATA,
    "--nats", nats, "--nats-password-file", `${SECRETS}/nats-password`, "--plane-key", `${SECRETS}/plane.key`,
    "--probes", `[::]:${PROBES_PORT}`, "--linger", String(LINGER * 1000), "--drain", String(DRAIN * 1000),
  ],
  env: [{ name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }, ...(natsTls ? TLS : []), ...Object.entries({ ...(traces ? { HEADGATE_TRACES: "on" } : {}), ...environment }).sort(([a], [b]) => (a < b ? -1 : 1)).map(([variable, value]) => ({ name: variable, value }))],
  ports: [{ name: "probes", containerPort: PROBES_PORT }],
  readinessProbe: { httpGet: { path: "/readyz", port: "probes" }, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: LINGER + 2 },
  livenessProbe: { httpGet: { path: "/healthz", port: "probes" }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
  resources,
  securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
  volumeMounts: [{ name: "secrets", mountPath: SECRETS, readOnly: true }, { name: "data", mountPath: DATA }],
})
