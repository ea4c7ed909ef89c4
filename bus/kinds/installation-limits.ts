/** What is checked of GatewayParameters beyond shapes, which their CRD has too. */
import type { GatewayParameters } from "./installation.ts"
import { Problems, type Problem } from "./limits.ts"

/** How gateways reach the bus and which keys they have is not for parameters to say. */
const VARIABLE = /^(HEADGATE|OTEL)_(?!NATS_|PLANE_KEY|DATA$)[A-Z0-9_]+$/

export const gatewayParametersLimits = ({ metadata, spec }: GatewayParameters): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  problems.range("spec.replicas", spec.replicas, 0, 1000)
  for (const name of Object.keys(spec.environment ?? {})) problems.pattern(`spec.environment.${name}`, name, VARIABLE, 128, "a setting of the gateway", "HEADGATE_HEAD_TIMEOUT")
  return problems.found
}
