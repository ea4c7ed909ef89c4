/** Kinds of Kubernetes itself (core/v1, discovery.k8s.io/v1, apiextensions.k8s.io/v1), with the API server's defaults applied by decoding. */
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
  status: optionalKey(
    Struct({ loadBalancer: optionalKey(Struct({ ingress: optionalKey(Array(Struct({ ip: optionalKey(String), hostname: optionalKey(String) }))) })) }),
  ),
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

/** What is published of a TLS Secret once a function wants it. All of it but `sealed` is public anyway. */
export const TlsContent = Struct({
  /** PEM blocks as the user gave them, in their order, and nothing between them. */
  chain: String,
  /** SHA-256 of the public key (SubjectPublicKeyInfo in DER) that belongs to the private key, hexadecimal. */
  keyDigest: String,
  /** By data plane that wants it: the private key in PKCS#8 DER, sealed for `<plane>/<namespace>/<name>` (bus/seal.ts). */
  sealed: Schema.Record(String, String),
})
export type TlsContent = typeof TlsContent.Type

/** Metadata only, until wanted (config.ts, Wanted). Values of other keys are never published. */
export const Secret = Struct({
  /** Without labels and annotations. */
  metadata: Metadata,
  /** One of more than 40 characters is left out. */
  type: defaulted(String, "Opaque"),
  /** Names of its data, sorted; those of more than 40 characters are left out. */
  keys: Array(String),
  /** The last content that could be used. */
  tls: optionalKey(TlsContent),
  /** Why what the Secret holds now is not in `tls`: KeyMismatch, EncryptedKey, InvalidKey, InvalidCertificate, MissingData. */
  problem: optionalKey(Struct({ reason: String, field: String, message: String })),
})
export type Secret = typeof Secret.Type

/** What it defines is not published: its annotations say of which release of the Gateway API it is. */
export const CustomResourceDefinition = Struct({ metadata: Metadata })
export type CustomResourceDefinition = typeof CustomResourceDefinition.Type

export const core = {
  customResourceDefinition: resourceKind("customresourcedefinition", CustomResourceDefinition),
  namespace: resourceKind("namespace", Namespace),
  service: resourceKind("service", Service),
  endpointSlice: resourceKind("endpointslice", EndpointSlice),
  endpoints: resourceKind("endpoints", Endpoints),
  secret: resourceKind("secret", Secret),
} as const
