/**
 * gateway.networking.k8s.io, v1 and v1beta1 (one shape for both). Decoding applies the CRDs' defaults, so an object
 * from a file equals what an API server would have stored. Fields we do not act on are kept as they are where a
 * function has to say that it does not act on them; others are dropped by decoding (`unknownFields` in all.ts tells).
 * Limits that are not shapes (syntax, counts, cross-field rules) are in gateway-api-limits.ts.
 */
import { Schema } from "effect"
import { resourceKind } from "./kind.ts"
import { defaulted, LabelSelector, Metadata } from "./metadata.ts"

const { Struct, String, Number, Boolean, Array, Literals, Unknown, optionalKey } = Schema

export const GATEWAY_GROUP = "gateway.networking.k8s.io"

/** An object with parameters of the controller's own. */
export const ParametersReference = Struct({ group: String, kind: String, name: String, namespace: optionalKey(String) })
export type ParametersReference = typeof ParametersReference.Type

export const GatewayClass = Struct({
  metadata: Metadata,
  spec: Struct({ controllerName: String, description: optionalKey(String), parametersRef: optionalKey(ParametersReference) }),
})
export type GatewayClass = typeof GatewayClass.Type

const RouteGroupKind = Struct({ group: defaulted(String, GATEWAY_GROUP), kind: String })

const AllowedRoutes = Struct({
  namespaces: defaulted(
    Struct({ from: defaulted(Literals(["Same", "All", "Selector", "None"]), "Same"), selector: optionalKey(LabelSelector) }),
    { from: "Same" },
  ),
  /** Absent: every kind the protocol can serve. */
  kinds: optionalKey(Array(RouteGroupKind)),
})
export type AllowedRoutes = typeof AllowedRoutes.Type

export const SecretObjectReference = Struct({
  group: defaulted(String, ""),
  kind: defaulted(String, "Secret"),
  namespace: optionalKey(String),
  name: String,
})
export type SecretObjectReference = typeof SecretObjectReference.Type

export const ListenerTLSConfig = Struct({
  /** Terminate or Passthrough. */
  mode: defaulted(String, "Terminate"),
  certificateRefs: optionalKey(Array(SecretObjectReference)),
  options: optionalKey(Schema.Record(String, String)),
  /** Of the experimental channel before v1.5; it is spec.tls.frontend of the Gateway now. */
  frontendValidation: optionalKey(Unknown),
})
export type ListenerTLSConfig = typeof ListenerTLSConfig.Type

export const GatewayListener = Struct({
  name: String,
  hostname: optionalKey(String),
  port: Number,
  /** HTTP, HTTPS, TLS, TCP, UDP or a domain-prefixed name. */
  protocol: String,
  tls: optionalKey(ListenerTLSConfig),
  allowedRoutes: defaulted(AllowedRoutes, { namespaces: { from: "Same" } }),
})
export type GatewayListener = typeof GatewayListener.Type

export const Gateway = Struct({
  metadata: Metadata,
  spec: Struct({
    gatewayClassName: String,
    listeners: Array(GatewayListener),
    addresses: optionalKey(Array(Struct({ type: defaulted(String, "IPAddress"), value: optionalKey(String) }))),
    infrastructure: optionalKey(
      Struct({
        labels: optionalKey(Schema.Record(String, String)),
        annotations: optionalKey(Schema.Record(String, String)),
        /** Always of the Gateway's namespace. */
        parametersRef: optionalKey(Struct({ group: String, kind: String, name: String })),
      }),
    ),
    allowedListeners: optionalKey(Unknown),
    defaultScope: optionalKey(String),
    tls: optionalKey(Unknown),
  }),
})
export type Gateway = typeof Gateway.Type

export const ParentRef = Struct({
  group: defaulted(String, GATEWAY_GROUP),
  kind: defaulted(String, "Gateway"),
  namespace: optionalKey(String),
  name: String,
  sectionName: optionalKey(String),
  port: optionalKey(Number),
})
export type ParentRef = typeof ParentRef.Type

const NamedValue = Struct({ name: String, value: String })
const ValueMatch = Struct({ name: String, type: defaulted(String, "Exact"), value: String })

export const HTTPRouteMatch = Struct({
  path: defaulted(Struct({ type: defaulted(String, "PathPrefix"), value: defaulted(String, "/") }), { type: "PathPrefix", value: "/" }),
  headers: optionalKey(Array(ValueMatch)),
  queryParams: optionalKey(Array(ValueMatch)),
  method: optionalKey(String),
})
export type HTTPRouteMatch = typeof HTTPRouteMatch.Type

const HeaderModifier = Struct({
  set: optionalKey(Array(NamedValue)),
  add: optionalKey(Array(NamedValue)),
  remove: optionalKey(Array(String)),
})
export type HeaderModifier = typeof HeaderModifier.Type

const PathModifier = Struct({ type: String, replaceFullPath: optionalKey(String), replacePrefixMatch: optionalKey(String) })
export type PathModifier = typeof PathModifier.Type

/** What a filter refers to: a backend without weight and filters. */
const BackendObjectRef = Struct({ group: defaulted(String, ""), kind: defaulted(String, "Service"), namespace: optionalKey(String), name: String, port: optionalKey(Number) })
export type BackendObjectRef = typeof BackendObjectRef.Type

/** At most one of percent and fraction; neither: every request. */
const RequestMirror = Struct({
  backendRef: BackendObjectRef,
  percent: optionalKey(Number),
  fraction: optionalKey(Struct({ numerator: Number, denominator: defaulted(Number, 100) })),
})
export type RequestMirror = typeof RequestMirror.Type

/** `maxAge` in seconds. */
const CORSFilter = Struct({
  allowOrigins: optionalKey(Array(String)),
  allowCredentials: optionalKey(Boolean),
  allowMethods: optionalKey(Array(String)),
  allowHeaders: optionalKey(Array(String)),
  exposeHeaders: optionalKey(Array(String)),
  maxAge: defaulted(Number, 5),
})
export type CORSFilter = typeof CORSFilter.Type

/** `type` stays open: a filter newer than this program is answered with 500 and a note, not refused here. */
export const HTTPRouteFilter = Struct({
  type: String,
  requestHeaderModifier: optionalKey(HeaderModifier),
  responseHeaderModifier: optionalKey(HeaderModifier),
  requestRedirect: optionalKey(
    Struct({
      scheme: optionalKey(String),
      hostname: optionalKey(String),
      path: optionalKey(PathModifier),
      port: optionalKey(Number),
      statusCode: defaulted(Number, 302),
    }),
  ),
  urlRewrite: optionalKey(Struct({ hostname: optionalKey(String), path: optionalKey(PathModifier) })),
  requestMirror: optionalKey(RequestMirror),
  cors: optionalKey(CORSFilter),
  externalAuth: optionalKey(Unknown),
  extensionRef: optionalKey(Unknown),
})
export type HTTPRouteFilter = typeof HTTPRouteFilter.Type

export const HTTPBackendRef = Struct({
  group: defaulted(String, ""),
  kind: defaulted(String, "Service"),
  namespace: optionalKey(String),
  name: String,
  port: optionalKey(Number),
  weight: defaulted(Number, 1),
  filters: optionalKey(Array(HTTPRouteFilter)),
})
export type HTTPBackendRef = typeof HTTPBackendRef.Type

export const HTTPRouteRule = Struct({
  name: optionalKey(String),
  matches: defaulted(Array(HTTPRouteMatch), [{}]),
  filters: optionalKey(Array(HTTPRouteFilter)),
  backendRefs: optionalKey(Array(HTTPBackendRef)),
  /** GEP-2257 durations: `10s`, `1h30m`; `0s`: none. */
  timeouts: optionalKey(Struct({ request: optionalKey(String), backendRequest: optionalKey(String) })),
  /** `backoff` is such a duration too. */
  retry: optionalKey(Struct({ codes: optionalKey(Array(Number)), attempts: defaulted(Number, 1), backoff: optionalKey(String) })),
  sessionPersistence: optionalKey(Unknown),
})
export type HTTPRouteRule = typeof HTTPRouteRule.Type

export const HTTPRoute = Struct({
  metadata: Metadata,
  spec: Struct({
    parentRefs: optionalKey(Array(ParentRef)),
    hostnames: optionalKey(Array(String)),
    rules: defaulted(Array(HTTPRouteRule), [{}]),
    useDefaultGateways: optionalKey(String),
  }),
})
export type HTTPRoute = typeof HTTPRoute.Type

/** A gRPC call is a request for `/<service>/<method>`; absent or empty: any. */
const GRPCMethodMatch = Struct({ type: defaulted(String, "Exact"), service: optionalKey(String), method: optionalKey(String) })

export const GRPCRouteMatch = Struct({ method: optionalKey(GRPCMethodMatch), headers: optionalKey(Array(ValueMatch)) })
export type GRPCRouteMatch = typeof GRPCRouteMatch.Type

/** `type` stays open, as that of HTTPRouteFilter. */
export const GRPCRouteFilter = Struct({
  type: String,
  requestHeaderModifier: optionalKey(HeaderModifier),
  responseHeaderModifier: optionalKey(HeaderModifier),
  requestMirror: optionalKey(RequestMirror),
  extensionRef: optionalKey(Unknown),
})
export type GRPCRouteFilter = typeof GRPCRouteFilter.Type

export const GRPCBackendRef = Struct({
  group: defaulted(String, ""),
  kind: defaulted(String, "Service"),
  namespace: optionalKey(String),
  name: String,
  port: optionalKey(Number),
  weight: defaulted(Number, 1),
  filters: optionalKey(Array(GRPCRouteFilter)),
})
export type GRPCBackendRef = typeof GRPCBackendRef.Type

/** Absent or empty `matches`: every call. The CRD has no defaults here. */
export const GRPCRouteRule = Struct({
  name: optionalKey(String),
  matches: optionalKey(Array(GRPCRouteMatch)),
  filters: optionalKey(Array(GRPCRouteFilter)),
  backendRefs: optionalKey(Array(GRPCBackendRef)),
  sessionPersistence: optionalKey(Unknown),
})
export type GRPCRouteRule = typeof GRPCRouteRule.Type

export const GRPCRoute = Struct({
  metadata: Metadata,
  spec: Struct({
    parentRefs: optionalKey(Array(ParentRef)),
    hostnames: optionalKey(Array(String)),
    rules: optionalKey(Array(GRPCRouteRule)),
    useDefaultGateways: optionalKey(String),
  }),
})
export type GRPCRoute = typeof GRPCRoute.Type

/** What all kinds of routes have. */
export type AnyRoute = Pick<HTTPRoute, "metadata"> & { readonly spec: Pick<HTTPRoute["spec"], "parentRefs" | "hostnames" | "useDefaultGateways"> & { readonly rules?: readonly unknown[] } }

export const ReferenceGrant = Struct({
  metadata: Metadata,
  spec: Struct({
    from: Array(Struct({ group: String, kind: String, namespace: String })),
    to: Array(Struct({ group: String, kind: String, name: optionalKey(String) })),
  }),
})
export type ReferenceGrant = typeof ReferenceGrant.Type

export const gatewayApi = {
  gatewayClass: resourceKind("gatewayclass", GatewayClass),
  gateway: resourceKind("gateway", Gateway),
  httpRoute: resourceKind("httproute", HTTPRoute),
  grpcRoute: resourceKind("grpcroute", GRPCRoute),
  referenceGrant: resourceKind("referencegrant", ReferenceGrant),
} as const
