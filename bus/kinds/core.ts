/** Kinds of Kubernetes itself (core/v1 and discovery.k8s.io/v1), with the API server's defaults applied by decoding. */
import { Schema } from "effect"
import { resourceKind } from "./kind.ts"
import { defaulted, Metadata } from "./metadata.ts"

const { Struct, String, Number, Boolean, Array, Union, Unknown, optionalKey } = Schema

export const Namespace = Struct({ metadata: Metadata })
export type Namespace = typeof Namespace.Type

export const ServicePort = Struct({
  name: optionalKey(String),
  port: Number,
  protocol: defaulted(String, "TCP"),
  appProtocol: optionalKey(String),
  /** Number or the name of a container port; absent: same as port. */
  targetPort: optionalKey(Union([Number, String])),
  nodePort: optionalKey(Number),
})
export type ServicePort = typeof ServicePort.Type

export const Service = Struct({
  metadata: Metadata,
  spec: Struct({
    type: defaulted(String, "ClusterIP"),
    /** "None": headless. */
    clusterIP: optionalKey(String),
    externalName: optionalKey(String),
    selector: optionalKey(Schema.Record(String, String)),
    ports: defaulted(Array(ServicePort), []),
  }),
})
export type Service = typeof Service.Type

export const EndpointSlice = Struct({
  metadata: Metadata,
  /** IPv4, IPv6 or FQDN. */
  addressType: String,
  endpoints: defaulted(
    Array(
      Struct({
        addresses: Array(String),
        /** An absent condition means: ready, serving, not terminating. */
        conditions: optionalKey(Struct({ ready: optionalKey(Boolean), serving: optionalKey(Boolean), terminating: optionalKey(Boolean) })),
        hostname: optionalKey(String),
        nodeName: optionalKey(String),
        zone: optionalKey(String),
        targetRef: optionalKey(Unknown),
        hints: optionalKey(Unknown),
      }),
    ),
    [],
  ),
  ports: defaulted(
    Array(Struct({ name: defaulted(String, ""), port: optionalKey(Number), protocol: defaulted(String, "TCP"), appProtocol: optionalKey(String) })),
    [],
  ),
})
export type EndpointSlice = typeof EndpointSlice.Type

const LegacyAddress = Struct({ ip: String, hostname: optionalKey(String), nodeName: optionalKey(String), targetRef: optionalKey(Unknown) })

/** The old form; read only where no EndpointSlice exists. Same name as its Service. */
export const Endpoints = Struct({
  metadata: Metadata,
  subsets: defaulted(
    Array(
      Struct({
        addresses: defaulted(Array(LegacyAddress), []),
        notReadyAddresses: defaulted(Array(LegacyAddress), []),
        ports: defaulted(Array(Struct({ name: defaulted(String, ""), port: Number, protocol: defaulted(String, "TCP"), appProtocol: optionalKey(String) })), []),
      }),
    ),
    [],
  ),
})
export type Endpoints = typeof Endpoints.Type

export const core = {
  namespace: resourceKind("namespace", Namespace),
  service: resourceKind("service", Service),
  endpointSlice: resourceKind("endpointslice", EndpointSlice),
  endpoints: resourceKind("endpoints", Endpoints),
} as const
