/**
 * headgate.dev/v1alpha1 and what an adapter says of the installation itself: how gateways are run where running them is
 * ours to do, in a cluster. With files, somebody else runs the gateway: there is no Installation, and one data plane.
 */
import { Schema } from "effect"
import { resourceKind } from "./kind.ts"
import { defaulted, Metadata } from "./metadata.ts"

const { Struct, String, Number, Boolean, Literals, Record, Unknown, Array, optionalKey } = Schema

export const HEADGATE_GROUP = "headgate.dev"
/** GatewayClasses of this controller are ours, where nothing else is said. */
export const OWN_CONTROLLER = "headgate.dev/gateway"

/** Dedicated: pods for each Gateway, in its namespace. Shared: one set of pods for all Gateways of a class that say so, in the installation's namespace. */
const Mode = Literals(["Dedicated", "Shared"])
export type Mode = typeof Mode.Type

/** Key `/`: published by the adapter that runs in a cluster, from its own settings. */
export const Installation = Struct({
  schema: defaulted(Number, 1),
  /** Of the control plane; pods of shared data planes run there. */
  namespace: String,
  /** Of gateway pods. */
  image: String,
  /** As gateway pods reach it: `nats://headgate-nats.headgate-system.svc:4222` */
  nats: String,
  /** Whether gateway pods show a certificate there, which the adapter puts in their Secret. */
  natsTls: optionalKey(Boolean),
  /** Where GatewayParameters say nothing. */
  mode: Mode,
  /** Gateways say what becomes of a traced edit, as adapter and functions do. */
  traces: optionalKey(Boolean),
})
export type Installation = typeof Installation.Type

/**
 * How the pods and the Service of Gateways are made: by spec.parametersRef of a GatewayClass and, over that field by
 * field, by spec.infrastructure.parametersRef of a Gateway (same namespace).
 */
export const GatewayParameters = Struct({
  metadata: Metadata,
  spec: defaulted(
    Struct({
      /** Of a GatewayClass's parameters only. */
      mode: optionalKey(Mode),
      /** Absent: 1 for Dedicated, 2 for Shared. Left to an autoscaler where `autoscaled` is true. */
      replicas: optionalKey(Number),
      autoscaled: optionalKey(Boolean),
      service: optionalKey(
        Struct({
          /** Absent: LoadBalancer. */
          type: optionalKey(Literals(["LoadBalancer", "NodePort", "ClusterIP"])),
          annotations: optionalKey(Record(String, String)),
          loadBalancerClass: optionalKey(String),
          externalTrafficPolicy: optionalKey(Literals(["Cluster", "Local"])),
        }),
      ),
      /** Of the gateway container, as in core/v1 ResourceRequirements. */
      resources: optionalKey(Struct({ requests: optionalKey(Record(String, Unknown)), limits: optionalKey(Record(String, Unknown)) })),
      nodeSelector: optionalKey(Record(String, String)),
      /** As in core/v1 PodSpec. */
      tolerations: optionalKey(Array(Unknown)),
      affinity: optionalKey(Unknown),
      topologySpreadConstraints: optionalKey(Array(Unknown)),
      imagePullSecrets: optionalKey(Array(Struct({ name: String }))),
      /** Settings of the gateway by their variable: `HEADGATE_DRAIN_TIMEOUT: 30s`. */
      environment: optionalKey(Record(String, String)),
    }),
    {},
  ),
})
export type GatewayParameters = typeof GatewayParameters.Type

export const headgate = {
  installation: resourceKind("installation", Installation),
  gatewayParameters: resourceKind("gatewayparameters", GatewayParameters),
} as const
