/** GatewayClass → accepted or not, and what Gateways of it can do. */
import type { GatewayClass } from "../../bus/kinds/gateway-api.ts"
import type { Status } from "../../bus/kinds/status.ts"
import { sayer } from "./condition.ts"

/** Names of the Gateway API (pkg/features) for what is built. Sorted: status.supportedFeatures is a list by name. */
const FEATURES = [
  "Gateway",
  "GatewayAddressEmpty",
  "GatewayPort8080",
  "GatewayStaticAddresses",
  "HTTPRoute",
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteBackendRequestHeaderModification",
  "HTTPRouteBackendRequestRedirect",
  "HTTPRouteBackendTimeout",
  "HTTPRouteBackendURLRewrite",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRouteNamedRouteRule",
  "HTTPRouteParentRefPort",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteSchemeRedirect",
  "ReferenceGrant",
].map((name) => ({ name }))

export const classStatus = ({ metadata, spec }: GatewayClass): Status => {
  const observedGeneration = metadata.generation ?? 0
  const say = sayer(observedGeneration)
  const accepted =
    spec.parametersRef === undefined
      ? say("Accepted", "True", "Accepted", `Gateways of class ${metadata.name} are served.`)
      : say("Accepted", "False", "InvalidParameters", "spec.parametersRef: Parameters are not supported; Gateways of this class are served without.")
  return { schema: 1, source: { kind: "GatewayClass", namespace: "", name: metadata.name }, ...(metadata.uid === undefined ? {} : { uid: metadata.uid }), observedGeneration, conditions: [accepted], supportedFeatures: FEATURES }
}
