/** What an API server checks of core kinds beyond shapes, as far as it matters to routing. Loopback addresses are allowed here. */
import { isIP, isIPv4, isIPv6 } from "node:net"
import type { CustomResourceDefinition, Endpoints, EndpointSlice, Namespace, Secret, Service } from "./core.ts"
import { Problems, type Problem } from "./limits.ts"

const PROTOCOLS = ["TCP", "UDP", "SCTP"]

export const namespaceLimits = ({ metadata }: Namespace): readonly Problem[] => {
  const problems = new Problems()
  problems.label("metadata.name", metadata.name)
  return problems.found
}

export const customResourceDefinitionLimits = ({ metadata }: CustomResourceDefinition): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  return problems.found
}

export const secretLimits = ({ metadata }: Secret): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  return problems.found
}

export const serviceLimits = ({ metadata, spec }: Service): readonly Problem[] => {
  const problems = new Problems()
  problems.label("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  problems.oneOf("spec.type", spec.type, ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])
  if (spec.type === "ExternalName") {
    if (spec.externalName === undefined) problems.add("spec.externalName", "Required", "an ExternalName Service needs it", "Add spec.externalName.")
  } else if (spec.clusterIP !== "None") problems.count("spec.ports", spec.ports, 1, 1000)
  problems.unique("spec.ports", spec.ports, (port) => `${port.port}/${port.protocol}`, "port and protocol")
  problems.unique("spec.ports", spec.ports, (port) => port.name, "name")
  for (const [i, port] of spec.ports.entries()) {
    const at = `spec.ports[${i}]`
    problems.range(`${at}.port`, port.port, 1, 65535)
    problems.oneOf(`${at}.protocol`, port.protocol, PROTOCOLS)
    problems.label(`${at}.name`, port.name)
    if (port.name === undefined && spec.ports.length > 1) problems.add(`${at}.name`, "Required", "a Service with several ports needs a name for each", `Add ${at}.name.`)
    if (typeof port.targetPort === "number") problems.range(`${at}.targetPort`, port.targetPort, 1, 65535)
    else problems.pattern(`${at}.targetPort`, port.targetPort, /^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/, 15, "a port name", "http")
  }
  return problems.found
}

export const endpointSliceLimits = ({ metadata, addressType, endpoints, ports }: EndpointSlice): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  problems.oneOf("addressType", addressType, ["IPv4", "IPv6", "FQDN"])
  problems.count("endpoints", endpoints, 0, 1000)
  for (const [i, endpoint] of endpoints.entries()) {
    problems.count(`endpoints[${i}].addresses`, endpoint.addresses, 1, 100)
    for (const [k, address] of endpoint.addresses.entries()) {
      const wrong = addressType === "IPv4" ? !isIPv4(address) : addressType === "IPv6" ? !isIPv6(address) : false
      if (wrong) problems.add(`endpoints[${i}].addresses[${k}]`, "InvalidValue", `"${address}" is not an ${addressType} address`, "Write an IP address of the slice's addressType.")
    }
  }
  portLimits(problems, "ports", ports)
  return problems.found
}

export const endpointsLimits = ({ metadata, subsets }: Endpoints): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  for (const [i, subset] of subsets.entries()) {
    for (const list of ["addresses", "notReadyAddresses"] as const) {
      for (const [k, address] of subset[list].entries()) {
        if (isIP(address.ip) === 0) problems.add(`subsets[${i}].${list}[${k}].ip`, "InvalidValue", `"${address.ip}" is not an IP address`, "Write an IP address.")
      }
    }
    portLimits(problems, `subsets[${i}].ports`, subset.ports)
  }
  return problems.found
}

const portLimits = (problems: Problems, field: string, ports: readonly { readonly name: string; readonly port?: number; readonly protocol: string }[]): void => {
  problems.unique(field, ports, (port) => port.name, "name")
  for (const [i, port] of ports.entries()) {
    problems.range(`${field}[${i}].port`, port.port, 1, 65535)
    problems.oneOf(`${field}[${i}].protocol`, port.protocol, PROTOCOLS)
  }
}
