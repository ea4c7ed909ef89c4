/** GatewayClass → accepted or not, and what Gateways of it can do. */
import type { GatewayClass } from "../../bus/kinds/gateway-api.ts"
import type { Mode } from "../../bus/kinds/installation.ts"
import { GATEWAYS_EXIST, type Status } from "../../bus/kinds/status.ts"
import type { Resolved } from "../gateway-api/runs.ts"
import { sayer, told } from "./condition.ts"
import { versionSupport, type Release } from "./releases.ts"

/** Names of the Gateway API (pkg/features) for what is built. Sorted: status.supportedFeatures is a list by name. */
const FEATURES = [
  "GRPCRoute",
  "GRPCRouteNamedRouteRule",
  "GRPCRouteRequestHeaderModifier",
  "Gateway",
  "GatewayAddressEmpty",
  "GatewayHTTPListenerIsolation",
  "GatewayHTTPSListenerDetectMisdirectedRequests",
  "GatewayPort8080",
  "GatewayRouteHostnameIntersectionPrecedence",
  "GatewayStaticAddresses",
  "HTTPRoute",
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteBackendProtocolH2C",
  "HTTPRouteBackendProtocolWebSocket",
  "HTTPRouteBackendRequestHeaderModification",
  "HTTPRouteBackendTimeout",
  "HTTPRouteBackendURLRewrite",
  "HTTPRouteCORS",
  "HTTPRouteDestinationPortMatching",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRouteNamedRouteRule",
  "HTTPRouteParentRefPort",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestMirror",
  "HTTPRouteRequestMultipleMirrors",
  "HTTPRouteRequestPercentageMirror",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteRetryCodes",
  "HTTPRouteRetryConnectionError",
  "HTTPRouteSchemeRedirect",
  "ReferenceGrant",
]

/** Labels and annotations reach what is made for a Gateway; the API asks for that in the Gateway's own namespace. */
const ONLY_DEDICATED = ["GatewayInfrastructure"]

/** Sorted; undefined: with files. */
export const supportedFeatures = (mode: Mode | undefined): readonly string[] =>
  [...FEATURES, ...(mode === "Dedicated" ? ONLY_DEDICATED : [])].sort()

/** How Gateways of the class are run; undefined: by somebody else, with files. */
interface InCluster {
  readonly mode: Mode
  readonly parameters: Resolved
}

export interface ClassFacts {
  readonly inCluster: InCluster | undefined
  /** Of the definitions in the cluster, or in the folder; undefined: there are none. */
  readonly releases: readonly Release[] | undefined
  /** By a Gateway, also by one that is being deleted. */
  readonly isUsed: boolean
}

export const classStatus = ({ metadata, spec }: GatewayClass, { inCluster, releases, isUsed }: ClassFacts): Status => {
  const observedGeneration = metadata.generation ?? 0
  const say = sayer(observedGeneration)
  const isServed = say("Accepted", "True", "Accepted", `Gateways of class ${metadata.name} are served.`)
  const withFiles = spec.parametersRef === undefined ? isServed : say("Accepted", "False", "InvalidParameters", "spec.parametersRef: Parameters are not supported; Gateways of this class are served without.")
  const inPods = inCluster?.parameters.ok === false ? say("Accepted", "False", "InvalidParameters", `${told([inCluster.parameters.finding])} Gateways of this class go on as they were.`) : isServed
  const accepted = inCluster === undefined ? withFiles : inPods
  return {
    schema: 1, source: { kind: "GatewayClass", namespace: "", name: metadata.name }, ...(metadata.uid === undefined ? {} : { uid: metadata.uid }), observedGeneration,
    conditions: [accepted, ...(releases === undefined ? [] : [versionSupport(releases, say)])],
    supportedFeatures: supportedFeatures(inCluster?.mode).map((name) => ({ name })),
    ...(inCluster === undefined ? {} : { finalizers: isUsed ? [GATEWAYS_EXIST] : [] }),
  }
}
