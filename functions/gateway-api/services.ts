/** Whether a Service can be what a route sends requests to. */
import type { Cluster } from "../../bus/kinds/config.ts"
import type { Service, ServicePort } from "../../bus/kinds/core.ts"
import type { Finding } from "./report.ts"

/** `reason`: RouteConditionReason of ResolvedRefs=False. `field` of the Service; "": the Service itself. */
export type ServiceVerdict =
  | { readonly ok: true; readonly port: ServicePort }
  | { readonly ok: false; readonly empty: NonNullable<Cluster["empty"]>; readonly finding: Finding & { readonly reason: "BackendNotFound" | "UnsupportedValue" | "UnsupportedProtocol" } }

/** KEP-3726. A WebSocket begins as HTTP/1.1. */
const HTTP_PROTOCOLS = ["", "http", "kubernetes.io/ws"]
/** … and these as TLS, which the gateway does not speak to backends. */
const SECURE_PROTOCOLS = ["https", "kubernetes.io/wss"]

/**
 * @param key `<namespace>/<name>` of the Service, which may not exist
 * @param so what comes of one that cannot, the end of a sentence
 */
export const judgedService = (key: string, service: Pick<Service, "spec"> | undefined, port: number, so = "what goes to it answers 500"): ServiceVerdict => {
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
  if (!HTTP_PROTOCOLS.includes(found.appProtocol ?? "")) {
    const why = SECURE_PROTOCOLS.includes(found.appProtocol ?? "") ? "which needs TLS to the backend, and that is not supported" : "which is not supported"
    return { ok: false, empty: "UnsupportedProtocol", finding: { severity: "error", reason: "UnsupportedProtocol", field: `spec.ports[${ports.indexOf(found)}].appProtocol`, message: `Port ${port} of Service ${key} speaks ${found.appProtocol}, ${why}: ${so}.`, fix: "Leave appProtocol out, or use http or kubernetes.io/ws." } }
  }
  return { ok: true, port: found }
}

const portList = (ports: readonly ServicePort[]): string => (ports.length === 0 ? "no port" : ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", "))
