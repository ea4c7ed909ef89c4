/** Whether a Service can be what a route sends requests to. */
import type { Cluster } from "../../bus/kinds/config.ts"
import type { Service, ServicePort } from "../../bus/kinds/core.ts"
import type { Finding } from "./report.ts"

/** `reason`: RouteConditionReason of ResolvedRefs=False. `field` of the Service; "": the Service itself. */
export type ServiceVerdict =
  | { readonly ok: true; readonly port: ServicePort; readonly protocol: Cluster["protocol"] }
  | { readonly ok: false; readonly empty: NonNullable<Cluster["empty"]>; readonly finding: Finding & { readonly reason: "BackendNotFound" | "UnsupportedValue" | "UnsupportedProtocol" } }

/** KEP-3726. A WebSocket begins as HTTP/1.1. */
const HTTP_PROTOCOLS = ["", "http", "kubernetes.io/ws"]
/** … and these as TLS, which the gateway does not speak to backends. */
const SECURE_PROTOCOLS = ["https", "kubernetes.io/wss"]
const H2C = "kubernetes.io/h2c"

export interface ServiceUse {
  /** What is spoken to it whatever it says, as long as it does not say otherwise; absent: what it says. */
  readonly protocol?: "h2c" | undefined
  /** What comes of one that cannot, the end of a sentence. */
  readonly so?: string | undefined
}

/**
 * @param key `<namespace>/<name>` of the Service, which may not exist
 */
export const judgedService = (key: string, service: Pick<Service, "spec"> | undefined, port: number, { protocol, so = `what goes to it answers ${protocol === "h2c" ? "UNAVAILABLE" : "500"}` }: ServiceUse): ServiceVerdict => {
  if (service === undefined) {
    return { ok: false, empty: "NoSuchService", finding: { severity: "error", reason: "BackendNotFound", field: "", message: `Routes refer to Service ${key}, which does not exist: ${so}.`, fix: "Create the Service, or correct the backendRef." } }
  }
  const { type, ports } = service.spec
  if (type === "ExternalName") {
    return { ok: false, empty: "UnsupportedProtocol", finding: { severity: "error", reason: "UnsupportedValue", field: "spec.type", message: `Service ${key} is of type ExternalName, which is not supported: ${so}.`, fix: "Use a Service with endpoints." } }
  }
  const found = ports.find((each) => each.port === port && each.protocol === "TCP")
  if (found === undefined) {
    return { ok: false, empty: "NoSuchPort", finding: { severity: "error", reason: "BackendNotFound", field: "spec.ports", message: `Routes refer to TCP port ${port} of Service ${key}, which has ${portList(ports)}: ${so}.`, fix: "Add the port to the Service, or correct the backendRef." } }
  }
  const said = found.appProtocol ?? ""
  if (said === H2C || (protocol === "h2c" && said === "")) return { ok: true, port: found, protocol: "h2c" }
  if (protocol === undefined && HTTP_PROTOCOLS.includes(said)) return { ok: true, port: found, protocol: "http" }
  const [why, fix] = unspoken(said, protocol)
  return { ok: false, empty: "UnsupportedProtocol", finding: { severity: "error", reason: "UnsupportedProtocol", field: `spec.ports[${ports.indexOf(found)}].appProtocol`, message: `Port ${port} of Service ${key} ${why}: ${so}.`, fix } }
}

/** Why nothing can be sent to a port of this appProtocol, and what can be done. */
const unspoken = (said: string, protocol: "h2c" | undefined): readonly [why: string, fix: string] => {
  const fix = protocol === "h2c" ? H2C_FIX : HTTP_FIX
  if (SECURE_PROTOCOLS.includes(said)) return [`speaks ${said}, which needs TLS to the backend, and that is not supported`, fix]
  if (protocol === undefined) return [`speaks ${said}, which is not supported`, fix]
  return [`speaks ${said}, which gRPC is not carried by`, fix]
}

const HTTP_FIX = `Leave appProtocol out, or use http, ${H2C} or kubernetes.io/ws.`
const H2C_FIX = `Leave appProtocol out, or use ${H2C}.`

const portList = (ports: readonly ServicePort[]): string => (ports.length === 0 ? "no port" : ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", "))
