/** Where a Gateway can be reached in a cluster: as its Service says. */
import type { Service } from "../../bus/kinds/core.ts"
import type { Status } from "../../bus/kinds/status.ts"

/** What of a Service tells that. */
export interface Way {
  readonly type: string
  readonly clusterIP: string | undefined
  readonly ingress: readonly { readonly ip?: string; readonly hostname?: string }[]
}

export const wayOf = ({ spec: { type, clusterIP }, status }: Service): Way => ({ type, clusterIP, ingress: status?.loadBalancer?.ingress ?? [] })

export interface Reach {
  /** Sorted. */
  readonly addresses: NonNullable<Status["addresses"]>
  /** Why it is not programmed (GatewayConditionReason), although pods serve it. */
  readonly lack: { readonly reason: "AddressNotAssigned" | "AddressNotUsable"; readonly message: string } | undefined
  /** What else is to be known, as a sentence. */
  readonly more: string
}

/**
 * @param name of the Service, `<namespace>/<name>`
 * @param asked addresses of spec.addresses
 */
export const reachOf = (name: string, way: Way | undefined, asked: readonly string[]): Reach => {
  if (way === undefined) return { addresses: [], lack: { reason: "AddressNotAssigned", message: `There is no Service ${name} yet.` }, more: "" }
  const { type, ingress } = way
  const addresses = type === "LoadBalancer" ? ingress.flatMap(({ ip = "", hostname = "" }) => [...ofType("IPAddress", ip), ...ofType("Hostname", hostname)]) : ofType("IPAddress", way.clusterIP === "None" ? "" : (way.clusterIP ?? ""))
  const given = new Set(addresses.map(({ value }) => value))
  const sorted = [...new Map(addresses.map((address) => [address.value, address])).values()].sort((a, b) => (a.value < b.value ? -1 : 1))
  const more = type === "NodePort" ? ` Nodes are reachable by the node ports of Service ${name}; their addresses are not known here.` : ""
  return { addresses: sorted, lack: lackOf(name, type, asked.filter((address) => !given.has(address)), sorted.length > 0), more }
}

const ofType = (type: string, value: string) => (value === "" ? [] : [{ type, value }])

const lackOf = (name: string, type: string, missing: readonly string[], isReachable: boolean): Reach["lack"] => {
  if (missing.length > 0 && type !== "LoadBalancer") return { reason: "AddressNotUsable", message: `${missing.join(", ")}: only a Service of type LoadBalancer can be given an address that is asked for, and ${name} is of type ${type}.` }
  if (missing.length > 0) return { reason: "AddressNotUsable", message: `${missing.join(", ")}: no load balancer has given this address to Service ${name}.` }
  return isReachable ? undefined : { reason: "AddressNotAssigned", message: type === "LoadBalancer" ? `No load balancer has given Service ${name} an address yet.` : `Service ${name} has no address yet.` }
}
