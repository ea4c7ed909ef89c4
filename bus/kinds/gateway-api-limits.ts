/** What the Gateway API's CRDs check beyond shapes (v1.7, standard channel): patterns, counts, CEL rules. */
import { isIP } from "node:net"
import { GATEWAY_GROUP, type Gateway, type GatewayClass, type GatewayListener, type ListenerTLSConfig, type ReferenceGrant } from "./gateway-api.ts"
import { DNS_SUBDOMAIN, Problems, type Problem } from "./limits.ts"

const CONTROLLER = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/
const PROTOCOL = /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$/
const KIND = /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/

export const group = (problems: Problems, field: string, value: string): void => {
  if (value !== "") problems.pattern(field, value, DNS_SUBDOMAIN, 253, "an API group", GATEWAY_GROUP)
}
export const kindName = (problems: Problems, field: string, value: string): void => problems.pattern(field, value, KIND, 63, "a kind", "Service")

export const gatewayClassLimits = ({ metadata, spec }: GatewayClass): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.pattern("spec.controllerName", spec.controllerName, CONTROLLER, 253, "a domain, a slash and a path", "example.com/gateway")
  return problems.found
}

export const gatewayLimits = ({ metadata, spec }: Gateway): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  problems.length("spec.gatewayClassName", spec.gatewayClassName, 1, 253)
  problems.count("spec.listeners", spec.listeners, 1, 64)
  problems.unique("spec.listeners", spec.listeners, (listener) => listener.name, "name")
  problems.unique("spec.listeners", spec.listeners, (listener) => `${listener.port} ${listener.protocol} ${listener.hostname ?? ""}`, "port, protocol and hostname")
  for (const [i, listener] of spec.listeners.entries()) listenerLimits(problems, `spec.listeners[${i}]`, listener)
  problems.count("spec.addresses", spec.addresses, 0, 16)
  problems.unique("spec.addresses", spec.addresses, (address) => (address.value === undefined ? undefined : `${address.type} ${address.value}`), "type and value")
  for (const [i, address] of (spec.addresses ?? []).entries()) {
    if (address.type === "IPAddress" && address.value !== undefined && address.value !== "" && isIP(address.value) === 0) {
      problems.add(`spec.addresses[${i}].value`, "InvalidValue", `"${address.value}" is not an IP address`, "Write an IP address, or leave the value out.")
    }
  }
  return problems.found
}

const listenerLimits = (problems: Problems, at: string, listener: GatewayListener): void => {
  problems.name(`${at}.name`, listener.name)
  problems.range(`${at}.port`, listener.port, 1, 65535)
  problems.pattern(`${at}.protocol`, listener.protocol, PROTOCOL, 255, "a protocol", "HTTP")
  if (listener.hostname !== "") problems.hostname(`${at}.hostname`, listener.hostname, true)
  if (["TCP", "UDP"].includes(listener.protocol) && (listener.hostname ?? "") !== "") problems.add(`${at}.hostname`, "Forbidden", `${listener.protocol} listeners have no hostname`, "Remove it.")
  if (["HTTP", "TCP", "UDP"].includes(listener.protocol) && listener.tls !== undefined) problems.add(`${at}.tls`, "Forbidden", `${listener.protocol} listeners have no tls`, "Remove it, or use protocol HTTPS.")
  else if (listener.protocol === "TLS" && listener.tls === undefined) problems.add(`${at}.tls`, "Required", "a TLS listener needs it", `Add ${at}.tls with a mode.`)
  else if (listener.tls !== undefined) tlsLimits(problems, `${at}.tls`, listener.protocol, listener.tls)
  problems.count(`${at}.allowedRoutes.kinds`, listener.allowedRoutes.kinds, 0, 8)
  const selector = listener.allowedRoutes.namespaces.selector
  for (const [k, expression] of (selector?.matchExpressions ?? []).entries()) {
    const takesValues = expression.operator === "In" || expression.operator === "NotIn"
    const has = (expression.values ?? []).length > 0
    if (takesValues === has) continue
    problems.add(`${at}.allowedRoutes.namespaces.selector.matchExpressions[${k}].values`, takesValues ? "Required" : "Forbidden", `operator ${expression.operator} ${takesValues ? "needs values" : "takes no values"}`, takesValues ? "Add a value." : "Remove the values.")
  }
}

const tlsLimits = (problems: Problems, at: string, protocol: string, { mode, certificateRefs, options }: ListenerTLSConfig): void => {
  problems.oneOf(`${at}.mode`, mode, ["Terminate", "Passthrough"])
  if (protocol === "HTTPS" && mode === "Passthrough") problems.add(`${at}.mode`, "Forbidden", "an HTTPS listener terminates TLS", "Write mode: Terminate, or use protocol TLS.")
  if (mode === "Terminate" && (certificateRefs ?? []).length === 0 && Object.keys(options ?? {}).length === 0) problems.add(`${at}.certificateRefs`, "Required", "mode Terminate needs a certificate", "Name a Secret of type kubernetes.io/tls.")
  problems.count(`${at}.certificateRefs`, certificateRefs, 0, 64)
  for (const [i, ref] of (certificateRefs ?? []).entries()) {
    group(problems, `${at}.certificateRefs[${i}].group`, ref.group)
    kindName(problems, `${at}.certificateRefs[${i}].kind`, ref.kind)
    problems.length(`${at}.certificateRefs[${i}].name`, ref.name, 1, 253)
    problems.label(`${at}.certificateRefs[${i}].namespace`, ref.namespace)
  }
  const count = Object.keys(options ?? {}).length
  if (count > 16) problems.add(`${at}.options`, "TooMany", `${count} options, at most 16 are allowed`, "Remove some.")
}

export const referenceGrantLimits = ({ metadata, spec }: ReferenceGrant): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  problems.count("spec.from", spec.from, 1, 16)
  problems.count("spec.to", spec.to, 1, 16)
  for (const [i, from] of spec.from.entries()) {
    group(problems, `spec.from[${i}].group`, from.group)
    kindName(problems, `spec.from[${i}].kind`, from.kind)
    problems.label(`spec.from[${i}].namespace`, from.namespace)
  }
  for (const [i, to] of spec.to.entries()) {
    group(problems, `spec.to[${i}].group`, to.group)
    kindName(problems, `spec.to[${i}].kind`, to.kind)
    problems.length(`spec.to[${i}].name`, to.name, 1, 253)
  }
  return problems.found
}
