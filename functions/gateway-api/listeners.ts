/** Gateways → listeners: which are served, and who gets a port and hostname that two want. */
import type { Listener } from "../../bus/kinds/config.ts"
import { GATEWAY_GROUP, type Gateway, type GatewayClass, type GatewayListener } from "../../bus/kinds/gateway-api.ts"
import { listenerId, olderFirst, planeOf } from "./names.ts"
import type { Collection, Member } from "../reconcile.ts"
import { reporter, type Report } from "./report.ts"

export interface ServedGateway {
  readonly plane: string
  readonly namespace: string
  readonly name: string
  readonly listeners: readonly ServedListener[]
}

export interface ServedListener {
  readonly id: string
  readonly listener: GatewayListener
  /** Of the listener in the Gateway. */
  readonly field: string
  /** Absent: attaching is possible, serving is not (yet). */
  readonly entry?: Listener
}

/** Gateways whose class is on the bus; by the resource's key. */
export const servedGateways = (gateways: Collection<Gateway>, classes: Collection<GatewayClass>): Collection<ServedGateway> =>
  gateways.map((gateway, read) => {
    const { metadata, spec } = gateway
    const report = reporter(read, { kind: "Gateway", namespace: metadata.namespace, name: metadata.name })
    if (read(classes, `/${spec.gatewayClassName}`) === undefined) {
      report("error", "NoSuchGatewayClass", "spec.gatewayClassName", `There is no GatewayClass ${spec.gatewayClassName} of this controller: the Gateway is not served.`, "Create the GatewayClass, or name one that exists.")
      return undefined
    }
    for (const field of ["infrastructure", "allowedListeners", "defaultScope", "tls"] as const) {
      if (spec[field] !== undefined) report("warning", "UnsupportedValue", `spec.${field}`, `${field} is not supported and has no effect.`, `Remove spec.${field}.`)
    }
    const addresses = addressesOf(gateway, report)
    const generation = metadata.generation === undefined ? {} : { generation: metadata.generation }
    const served = { plane: planeOf(gateway), namespace: metadata.namespace, name: metadata.name }
    if (addresses === undefined) return { ...served, listeners: [] }
    const listeners = spec.listeners.map((listener, i): ServedListener => {
      const field = `spec.listeners[${i}]`
      const id = listenerId(metadata.namespace, metadata.name, listener.name)
      kindsOf(listener, field, report)
      if (listener.protocol !== "HTTP") {
        const why = ["HTTPS", "TLS", "TCP", "UDP", "GRPC"].includes(listener.protocol) ? "is not supported yet" : "is not known"
        report("error", "UnsupportedProtocol", `${field}.protocol`, `Protocol ${listener.protocol} ${why}: listener ${listener.name} is not served; the others are.`, "Use protocol HTTP.")
        return { id, listener, field }
      }
      const hostname = listener.hostname === undefined || listener.hostname === "" ? {} : { hostname: listener.hostname.toLowerCase() }
      const gatewayName = { namespace: metadata.namespace, name: metadata.name }
      return { id, listener, field, entry: { schema: 1, gateway: gatewayName, name: listener.name, protocol: "HTTP", port: listener.port, ...hostname, addresses, created: metadata.creationTimestamp ?? "", ...generation } }
    })
    return { ...served, listeners }
  })

/** Undefined: addresses were asked for and none can be used, so serving on another would be wrong. */
const addressesOf = ({ spec }: Gateway, report: Report): string[] | undefined => {
  const asked = spec.addresses ?? []
  const usable: string[] = []
  for (const [i, { type, value }] of asked.entries()) {
    if (type !== "IPAddress") report("error", "UnsupportedAddress", `spec.addresses[${i}].type`, `Address type ${type} is not supported.`, "Use type IPAddress.")
    else if (value !== undefined && value !== "") usable.push(value)
  }
  const wantsAny = asked.some(({ type, value }) => type === "IPAddress" && (value === undefined || value === ""))
  if (asked.length > 0 && usable.length === 0 && !wantsAny) {
    report("error", "AddressNotUsable", "spec.addresses", "None of the addresses can be used: the Gateway is not served.", "Give an address of type IPAddress, or leave spec.addresses out.")
    return undefined
  }
  return wantsAny ? [] : [...new Set(usable)].sort()
}

const kindsOf = ({ allowedRoutes: { kinds } }: GatewayListener, field: string, report: Report): void => {
  for (const [i, { group, kind }] of (kinds ?? []).entries()) {
    if (group === GATEWAY_GROUP && kind === "HTTPRoute") continue
    report("warning", "InvalidRouteKinds", `${field}.allowedRoutes.kinds[${i}]`, `Routes of kind ${group}/${kind} are not supported.`, "Allow HTTPRoute.")
  }
}

interface Candidate {
  readonly id: string
  readonly field: string
  readonly entry: Listener
}

/** One for each address; an empty list of addresses is one more address, the process's default. */
const places = (plane: string, { addresses, port, hostname }: Listener): readonly (readonly [address: string, place: string])[] =>
  (addresses.length === 0 ? ["*"] : addresses).map((address) => [address, JSON.stringify([plane, address, port, hostname ?? "*"])] as const)

/**
 * Listener entries by `<plane>/<listener id>`. Of listeners with the same address, port and hostname the one of the
 * older Gateway stands, then the smaller id; the others get a note and serve what is left to them.
 */
export const listenerEntries = (served: Collection<ServedGateway>): Collection<Listener> => {
  const candidates = served.flatMap(({ plane, listeners }) =>
    listeners.flatMap(({ id, entry, field }): Member<Candidate>[] => (entry === undefined ? [] : [[`${plane}/${id}`, { id, field, entry }]])),
  )
  const planeOfCandidate = (key: string): string => key.slice(0, key.indexOf("/"))
  const winners = candidates.group(
    ({ entry }, key) => places(planeOfCandidate(key), entry).map(([, place]) => place),
    (members) => {
      const [first] = members.map(([, { id, entry }]) => ({ id, created: entry.created })).sort(olderFirst)
      return first?.id
    },
  )
  return candidates.map(({ id, field, entry }, read, key) => {
    const report = reporter(read, { kind: "Gateway", ...entry.gateway })
    const won: string[] = []
    let lost = 0
    for (const [address, place] of places(planeOfCandidate(key), entry)) {
      const winner = read(winners, place)
      if (winner === undefined || winner === id) {
        won.push(address)
        continue
      }
      lost++
      report("error", "HostnameConflict", entry.hostname === undefined ? `${field}.port` : `${field}.hostname`, `Listener ${winner} already has port ${entry.port}${entry.hostname === undefined ? "" : `, hostname ${entry.hostname}`}${address === "*" ? "" : `, address ${address}`}; it is older or comes first by name.`, "Choose another port, hostname or address, or attach routes to that listener.")
    }
    if (lost === 0) return entry
    return won.length === 0 ? undefined : { ...entry, addresses: won }
  })
}
