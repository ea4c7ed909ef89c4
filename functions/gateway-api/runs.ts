/** Gateways → how they are run: by whom, in which pods, with which parameters. */
import type { Service } from "../../bus/kinds/core.ts"
import type { Gateway, GatewayClass, ParametersReference } from "../../bus/kinds/gateway-api.ts"
import { HEADGATE_GROUP, type GatewayParameters, type Installation, type Mode } from "../../bus/kinds/installation.ts"
import type { Collection, Read } from "../reconcile.ts"
import { gatewayService } from "./names.ts"
import type { Finding } from "./report.ts"

export type Parameters = GatewayParameters["spec"]

export type Run =
  /** With files somebody else runs the gateway. */
  | { readonly mode: "External" }
  /** `parameters`: of the class; undefined: they cannot be found. */
  | { readonly mode: Mode; readonly installation: Installation; readonly parameters: Parameters | undefined }

export type Resolved = { readonly ok: true; readonly parameters: Parameters } | { readonly ok: false; readonly finding: Finding }

export interface RunSources {
  readonly classes: Collection<GatewayClass>
  readonly installations: Collection<Installation>
  readonly parameters: Collection<GatewayParameters>
  readonly services: Collection<Service>
}

/**
 * By the Gateway's key; absent where its class is. Where the class's parameters cannot be found the mode may have been
 * in them: the Gateway is run as its Service shows that it was, because guessing would move it to other pods.
 */
export const runsOf = (gateways: Collection<Gateway>, { classes, installations, parameters, services }: RunSources): Collection<Run> =>
  gateways.map((gateway, read): Run | undefined => {
    const own = read(classes, `/${gateway.spec.gatewayClassName}`)
    if (own === undefined) return undefined
    const installation = read(installations, "/")
    if (installation === undefined) return { mode: "External" }
    const resolved = classParameters(own, parameters, read)
    if (resolved.ok) return { mode: resolved.parameters.mode ?? installation.mode, installation, parameters: resolved.parameters }
    const wasRun = (mode: Mode): boolean => {
      const service = gatewayService(gateway, { mode, installation, parameters: undefined })
      return service !== undefined && read(services, `${service.namespace}/${service.name}`) !== undefined
    }
    const mode = wasRun("Shared") ? "Shared" : wasRun("Dedicated") ? "Dedicated" : installation.mode
    return { mode, installation, parameters: undefined }
  }).named("how gateways run")

/** To throw where what was made before is to stay; what says so adds its own full stop. */
export const failure = ({ field, message }: Finding): Error => new Error(`${field}: ${message.replace(/\.$/, "")}`)

const NONE: Resolved = { ok: true, parameters: {} }

export const classParameters = ({ spec: { parametersRef } }: GatewayClass, all: Collection<GatewayParameters>, read: Read): Resolved =>
  parametersRef === undefined ? NONE : resolve(parametersRef, parametersRef.namespace, "spec.parametersRef", all, read)

/** What a Gateway says itself; see `merged`. */
export const gatewayParameters = ({ metadata, spec: { infrastructure } }: Gateway, all: Collection<GatewayParameters>, read: Read): Resolved =>
  infrastructure?.parametersRef === undefined ? NONE : resolve(infrastructure.parametersRef, metadata.namespace, "spec.infrastructure.parametersRef", all, read)

const resolve = ({ group, kind, name }: ParametersReference, namespace: string | undefined, field: string, all: Collection<GatewayParameters>, read: Read): Resolved => {
  const refused = (at: string, message: string, fix: string): Resolved => ({ ok: false, finding: { severity: "error", reason: "InvalidParameters", field: at, message, fix } })
  if (group !== HEADGATE_GROUP || kind !== "GatewayParameters") return refused(`${field}.kind`, `Parameters of kind ${group === "" ? "" : `${group}/`}${kind} are not known.`, `Refer to a GatewayParameters of group ${HEADGATE_GROUP}.`)
  if (namespace === undefined) return refused(`${field}.namespace`, "GatewayParameters are in a namespace, and none is named.", `Add ${field}.namespace.`)
  const found = read(all, `${namespace}/${name}`)
  return found === undefined ? refused(`${field}.name`, `There is no GatewayParameters ${namespace}/${name}.`, "Create it, or correct the reference.") : { ok: true, parameters: found.spec }
}

/** A Gateway's over its class's, field by field, those of the Service too. The mode is the class's to say. */
export const merged = (ofClass: Parameters, { mode: _mode, ...own }: Parameters): Parameters => ({
  ...ofClass,
  ...own,
  ...(ofClass.service === undefined && own.service === undefined ? {} : { service: { ...ofClass.service, ...own.service } }),
})
