/** Every kind by name, and the way from an object of the outside (`apiVersion`, `kind`) to a value on the bus. */
import { Result, Schema } from "effect"
import { enable } from "effect/schema/SchemaJITCompiler"
import { applied } from "./applied.ts"
import { kinds as config } from "./config.ts"
import { core } from "./core.ts"
import { customResourceDefinitionLimits, endpointSliceLimits, endpointsLimits, namespaceLimits, secretLimits, serviceLimits } from "./core-limits.ts"
import { defaultsOf } from "./defaults.ts"
import { desired } from "./desired.ts"
import { gatewayClassLimits, gatewayLimits, referenceGrantLimits } from "./gateway-api-limits.ts"
import { GATEWAY_GROUP, gatewayApi } from "./gateway-api.ts"
import { grpcRouteLimits } from "./grpcroute-limits.ts"
import { httpRouteLimits } from "./httproute-limits.ts"
import { gatewayParametersLimits } from "./installation-limits.ts"
import { headgate, HEADGATE_GROUP } from "./installation.ts"
import { isJson } from "./json.ts"
import type { Kind } from "./kind.ts"
import type { Problem } from "./limits.ts"
import type { Metadata } from "./metadata.ts"
import { adapterNote, clock, sync } from "./ours.ts"
import { contentOf, foreignFields, type SecretContent, trimSecret, unquoted } from "./secret-content.ts"
import { status } from "./status.ts"

export type { Problem } from "./limits.ts"

/** A resource kind and where the Kubernetes API has it. */
export interface ResourceApi {
  readonly kind: Kind<unknown>
  /** "" is the core group. */
  readonly group: string
  readonly versions: readonly string[]
  /** As in `kind:` of a manifest. */
  readonly kindName: string
  /** Path segment in the API. */
  readonly plural: string
  readonly namespaced: boolean
  /** Used by `readResource`: a trimmed object → its value, or what is wrong with it. */
  readonly decode: (body: unknown) => Decoded
}

interface Decoded {
  readonly value?: { readonly metadata: Metadata }
  readonly problems: readonly Problem[]
  readonly unknown: readonly Problem[]
}

const api = <T extends { readonly metadata: Metadata }>(
  kind: Kind<T>,
  [group, versions, kindName, plural, namespaced]: readonly [string, readonly string[], string, string, boolean],
  limits: (value: T) => readonly Problem[],
): ResourceApi => ({ kind, group, versions, kindName, plural, namespaced, decode: decoder(kind.schema, limits) })

/** `["spec", "rules", 0]` → `spec.rules[0]` */
const fieldPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, step) => (typeof step === "number" ? `${text}[${step}]` : text === "" ? String(step) : `${text}.${String(step)}`), "")

interface Standard {
  readonly "~standard": { readonly validate: (value: unknown) => Outcome | Promise<Outcome> }
}
interface Outcome {
  readonly issues?: readonly { readonly message: string; readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined }[] | undefined
}

const shapeProblems = (standard: Standard, body: unknown): readonly Problem[] => {
  const outcome = standard["~standard"].validate(body)
  if (outcome instanceof Promise) throw new TypeError("a kind's schema must be synchronous")
  return (outcome.issues ?? []).map(({ message, path }) => {
    const field = fieldPath((path ?? []).map((step) => (typeof step === "object" ? step.key : step)))
    if (message.startsWith("Missing key")) return { field, reason: "Required", message: `${field} is missing`, fix: `Add ${field}.` }
    return { field, reason: "InvalidValue", message: `${field}: ${message[0]?.toLowerCase() ?? ""}${message.slice(1)}`, fix: `Correct ${field}.` }
  })
}

const decoder = <T extends { readonly metadata: Metadata }>(schema: Schema.Codec<T, unknown>, limits: (value: T) => readonly Problem[]) => {
  const shape = Schema.toStandardSchemaV1(schema, { parseOptions: { errors: "all" } })
  const strict = Schema.toStandardSchemaV1(schema, { parseOptions: { errors: "all", onExcessProperty: "error" } })
  const decode = Schema.decodeUnknownResult(schema)
  const fill = defaultsOf(schema.ast)
  const type = Schema.toType(schema)
  enable(type.ast)
  const decodeFilled = Schema.decodeUnknownResult(type, { onExcessProperty: "error" })
  return (body: unknown): Decoded => {
    fill?.(body)
    // Most objects have nothing wrong or unknown in them: then one pass of compiled code suffices.
    let decoded = decodeFilled(body)
    let unknown: readonly Problem[] = []
    if (Result.isFailure(decoded)) {
      const problems = shapeProblems(shape, body)
      const wrong = new Set(problems.map((problem) => problem.field))
      unknown = shapeProblems(strict, body)
        .filter((problem) => !wrong.has(problem.field))
        .map(({ field }) => ({ field, reason: "UnknownField", message: `${field} is not a field of this kind that Headgate knows`, fix: `Check the spelling of ${field}, or remove it.` }))
      decoded = decode(body)
      if (Result.isFailure(decoded)) return { problems, unknown }
    }
    const problems = limits(decoded.success)
    return problems.length > 0 ? { problems, unknown } : { value: decoded.success, problems, unknown }
  }
}

const GATEWAY_VERSIONS = ["v1", "v1beta1"]

/** What adapters watch; sorted by kind name. */
export const resourceApis: readonly ResourceApi[] = [
  api(core.customResourceDefinition, ["apiextensions.k8s.io", ["v1"], "CustomResourceDefinition", "customresourcedefinitions", false], customResourceDefinitionLimits),
  api(core.endpoints, ["", ["v1"], "Endpoints", "endpoints", true], endpointsLimits),
  api(core.endpointSlice, ["discovery.k8s.io", ["v1"], "EndpointSlice", "endpointslices", true], endpointSliceLimits),
  api(gatewayApi.gateway, [GATEWAY_GROUP, GATEWAY_VERSIONS, "Gateway", "gateways", true], gatewayLimits),
  api(gatewayApi.gatewayClass, [GATEWAY_GROUP, GATEWAY_VERSIONS, "GatewayClass", "gatewayclasses", false], gatewayClassLimits),
  api(headgate.gatewayParameters, [HEADGATE_GROUP, ["v1alpha1"], "GatewayParameters", "gatewayparameters", true], gatewayParametersLimits),
  api(gatewayApi.grpcRoute, [GATEWAY_GROUP, ["v1"], "GRPCRoute", "grpcroutes", true], grpcRouteLimits),
  api(gatewayApi.httpRoute, [GATEWAY_GROUP, GATEWAY_VERSIONS, "HTTPRoute", "httproutes", true], httpRouteLimits),
  api(core.namespace, ["", ["v1"], "Namespace", "namespaces", false], namespaceLimits),
  api(gatewayApi.referenceGrant, [GATEWAY_GROUP, GATEWAY_VERSIONS, "ReferenceGrant", "referencegrants", true], referenceGrantLimits),
  api(core.secret, ["", ["v1"], "Secret", "secrets", true], secretLimits),
  api(core.service, ["", ["v1"], "Service", "services", true], serviceLimits),
]

const all: readonly Kind<unknown>[] = [...resourceApis.map((each) => each.kind), sync, adapterNote, clock, headgate.installation, ...Object.values(config), desired, status, applied]

/** Resource and config kinds share names in one case, `note`: the stream tells them apart. */
const byStreamAndName = new Map(all.map((kind) => [`${kind.stream}/${kind.name}`, kind]))

/** Every kind, resource kinds first. */
export const kinds: readonly Kind<unknown>[] = all

/** A kind by its subject token, or undefined. */
export const kindByName = (stream: Kind<unknown>["stream"], name: string): Kind<unknown> | undefined => byStreamAndName.get(`${stream}/${name}`)

const byApi = new Map(resourceApis.flatMap((each) => each.versions.map((version) => [`${each.group === "" ? "" : `${each.group}/`}${version}/${each.kindName}`, each] as const)))

/** What `apiVersion` and `kind` of a manifest mean here, or undefined. */
export const resourceApi = (apiVersion: string, kind: string): ResourceApi | undefined => byApi.get(`${apiVersion}/${kind}`)

export interface ReadResource {
  readonly api: ResourceApi
  /** `<namespace>/<name>` */
  readonly key: string
  /** Trimmed, defaulted: what an adapter publishes. */
  readonly value: unknown
  readonly name: string
  readonly namespace: string
  /** Of a Secret. No part of the value. */
  readonly secret?: SecretContent
}

export type ReadResult =
  | { readonly ok: true; readonly resource: ReadResource; readonly unknown: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly unknown: readonly Problem[] }

/** A copy all through. An API server prunes explicit nulls before it applies defaults. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isJson(value)) return value
  const kept: Record<string, unknown> = { ...value }
  for (const [key, member] of Object.entries(kept)) {
    if (member === null || member === undefined) delete kept[key]
    else if (typeof member === "object") kept[key] = withoutNulls(member)
  }
  return kept
}

/** `kubectl apply` keeps a copy of the whole object here. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
const words = (text: string): ReadonlySet<string> => new Set(text.split(" "))
/** Fields the API has and no function reads: dropped, and no mistake of the user's. */
const TOP_IGNORED = words("apiVersion kind status")
const METADATA_IGNORED = words("resourceVersion managedFields selfLink ownerReferences finalizers generateName deletionGracePeriodSeconds clusterName")
const SERVICE_IGNORED = words(
  "clusterIPs ipFamilies ipFamilyPolicy sessionAffinity sessionAffinityConfig externalIPs loadBalancerIP loadBalancerClass loadBalancerSourceRanges externalTrafficPolicy internalTrafficPolicy healthCheckNodePort publishNotReadyAddresses allocateLoadBalancerNodePorts trafficDistribution",
)
const INGRESS_IGNORED = words("ipMode ports")

const without = (object: Readonly<Record<string, unknown>>, ignored: ReadonlySet<string>): Record<string, unknown> =>
  Object.keys(object).some((key) => ignored.has(key)) ? Object.fromEntries(Object.entries(object).filter(([key]) => !ignored.has(key))) : { ...object }

const trim = (object: Readonly<Record<string, unknown>>, api: ResourceApi): Record<string, unknown> => {
  const body = without(object, TOP_IGNORED)
  if (api.kindName === "Namespace" || api.kindName === "CustomResourceDefinition") delete body["spec"]
  if (api.kindName === "Secret") return trimMetadata(trimSecret(body), api)
  if (api.kindName === "Service") {
    if (isJson(body["spec"])) body["spec"] = without(body["spec"], SERVICE_IGNORED)
    const status = givenAddresses(object["status"])
    if (status !== undefined) body["status"] = status
  }
  return trimMetadata(body, api)
}

/** What of a Service's status decides anything: where a load balancer has put it. Undefined: nowhere (yet). */
const givenAddresses = (status: unknown): object | undefined => {
  const loadBalancer = isJson(status) ? status["loadBalancer"] : undefined
  const ingress = isJson(loadBalancer) ? loadBalancer["ingress"] : undefined
  const given = Array.isArray(ingress) ? ingress.flatMap((each: unknown) => (isJson(each) && (each["ip"] !== undefined || each["hostname"] !== undefined) ? [without(each, INGRESS_IGNORED)] : [])) : []
  return given.length === 0 ? undefined : { loadBalancer: { ingress: given } }
}

const trimMetadata = (body: Record<string, unknown>, api: ResourceApi): Record<string, unknown> => {
  if (!isJson(body["metadata"])) return body
  const metadata = without(body["metadata"], METADATA_IGNORED)
  if (isJson(metadata["annotations"])) metadata["annotations"] = without(metadata["annotations"], new Set([LAST_APPLIED]))
  if (!api.namespaced) delete metadata["namespace"]
  else if (metadata["namespace"] === undefined || metadata["namespace"] === "") metadata["namespace"] = "default"
  body["metadata"] = metadata
  return body
}

/**
 * An object as a user wrote it or an API server sent it → what is published, or every problem with the path of its
 * field. `unknown` lists fields no schema knows (misspelt, or newer than this program): reported, never a reason to
 * refuse. `api` comes from `resourceApi(object.apiVersion, object.kind)`.
 */
export const readResource = (api: ResourceApi, object: Readonly<Record<string, unknown>>): ReadResult => {
  const copy = withoutNulls(object)
  const pruned = isJson(copy) ? copy : {}
  const decoded = api.decode(trim(pruned, api))
  return api.kindName === "Secret" ? readSecret(api, pruned, decoded) : resultOf(api, decoded)
}

const resultOf = (api: ResourceApi, { value, problems, unknown }: Decoded): ReadResult => {
  if (value === undefined) return { ok: false, problems, unknown }
  const { namespace, name } = value.metadata
  return { ok: true, resource: { api, key: `${namespace}/${name}`, value, name, namespace }, unknown }
}

/** Nothing of it is quoted, wherever it was written. */
const readSecret = (api: ResourceApi, object: Readonly<Record<string, unknown>>, { value, problems, unknown }: Decoded): ReadResult => {
  const { content, problems: inContent } = contentOf(object)
  const all = [...problems.map(unquoted), ...inContent]
  const result = resultOf(api, { ...(all.length > 0 || value === undefined ? {} : { value }), problems: all, unknown: [...foreignFields(object), ...unknown.map(unquoted)] })
  return result.ok ? { ...result, resource: { ...result.resource, secret: content } } : result
}
