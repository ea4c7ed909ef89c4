/** Gateways → listeners: which are served and with which certificates, and who gets a port and hostname that two want. */
import type { Listener } from "../../bus/kinds/config.ts"
import type { Service } from "../../bus/kinds/core.ts"
import type { Gateway, GatewayListener, ReferenceGrant } from "../../bus/kinds/gateway-api.ts"
import type { GatewayParameters } from "../../bus/kinds/installation.ts"
import { isServedKind, SERVED_KINDS } from "./route-kinds.ts"
import { bindPortKey, bindPorts } from "./bind-ports.ts"
import { certificateRefs } from "./certificates.ts"
import { gatewayService, listenerId, olderFirst, planeOf, planeOfKey } from "./names.ts"
import type { Collection, Index, Member } from "../reconcile.ts"
import { collector, type Judged, type Report } from "./report.ts"
import { gatewayParameters, type Run } from "./runs.ts"

export interface ServedGateway {
  readonly plane: string
  readonly mode: Run["mode"]
  /** `<namespace>/<name>` of its Service; none with files. */
  readonly service?: string
  readonly namespace: string
  readonly name: string
  readonly created: string
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

export interface JudgingSources {
  /** By the Gateway's key. */
  readonly runs: Collection<Run>
  readonly parameters: Collection<GatewayParameters>
  /** By their namespace. */
  readonly grants: Index<ReferenceGrant>
}

/** Gateways by the resource's key; those whose class is not on the bus have no value. */
export const judgedGateways = (gateways: Collection<Gateway>, { runs, parameters, grants }: JudgingSources): Collection<Judged<ServedGateway>> =>
  gateways.map((gateway, read, key) => {
    const { metadata, spec } = gateway
    const about = { kind: "Gateway", namespace: metadata.namespace, name: metadata.name }
    const { report, findings } = collector()
    const run = read(runs, key)
    if (run === undefined) {
      report("error", "NoSuchGatewayClass", "spec.gatewayClassName", `There is no GatewayClass ${spec.gatewayClassName} of this controller: the Gateway is not served.`, "Create the GatewayClass, or name one that exists.")
      return { about, findings, value: undefined }
    }
    const { mode } = run
    for (const field of ["infrastructure", "allowedListeners", "defaultScope", "tls"] as const) {
      if (spec[field] !== undefined && (field !== "infrastructure" || mode === "External")) report("warning", "UnsupportedValue", `spec.${field}`, `${field} is not supported and has no effect.`, `Remove spec.${field}.`)
    }
    const own = mode === "External" ? undefined : gatewayParameters(gateway, parameters, read)
    if (own?.ok === false) report("error", own.finding.reason, own.finding.field, `${own.finding.message} What was made for the Gateway before stays as it is.`, own.finding.fix)
    const asked = addressesOf(gateway, report)
    // In a cluster addresses are the Service's; pods bind all they have.
    const addresses = mode === "External" || asked === undefined ? asked : []
    const created = metadata.creationTimestamp ?? ""
    const generation = metadata.generation === undefined ? {} : { generation: metadata.generation }
    const listeners = spec.listeners.map((listener, i): ServedListener => {
      const field = `spec.listeners[${i}]`
      const id = listenerId(metadata.namespace, metadata.name, listener.name)
      kindsOf(listener, field, report)
      const { protocol } = listener
      if (protocol !== "HTTP" && protocol !== "HTTPS") {
        const why = ["TLS", "TCP", "UDP", "GRPC"].includes(protocol) ? "is not supported yet" : "is not known"
        report("error", "UnsupportedProtocol", `${field}.protocol`, `Protocol ${protocol} ${why}: listener ${listener.name} is not served; the others are.`, "Use protocol HTTP or HTTPS.")
        return { id, listener, field }
      }
      const certificates = protocol === "HTTP" ? [] : certificatesOf(metadata.namespace, listener, field, (namespace) => read(grants, namespace).map(([, grant]) => grant), report)
      if (addresses === undefined || (protocol === "HTTPS" && certificates.length === 0)) return { id, listener, field }
      const tls = protocol === "HTTP" ? {} : { tls: { certificates } }
      const hostname = listener.hostname === undefined || listener.hostname === "" ? {} : { hostname: listener.hostname.toLowerCase() }
      const gatewayName = { namespace: metadata.namespace, name: metadata.name }
      return { id, listener, field, entry: { schema: 1, gateway: gatewayName, name: listener.name, protocol, port: listener.port, ...hostname, addresses, created, ...generation, ...tls } }
    })
    const service = gatewayService(gateway, run)
    return { about, findings, value: { plane: planeOf(gateway, run), mode, ...(service === undefined ? {} : { service: `${service.namespace}/${service.name}` }), namespace: metadata.namespace, name: metadata.name, created, listeners } }
  }).named("judged gateways")

/** Undefined: addresses were asked for and none can be used, so serving on another would be wrong. Empty: any will do. */
export const addressesOf = ({ spec }: Gateway, report: Report): string[] | undefined => {
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
    if (isServedKind({ group, kind })) continue
    report("warning", "InvalidRouteKinds", `${field}.allowedRoutes.kinds[${i}]`, `Routes of kind ${group}/${kind} are not supported.`, `Allow ${SERVED_KINDS.join(" or ")}.`)
  }
}

/** Ids of what the listener may present; empty: it cannot be served, and a note says so. */
const certificatesOf = (gateway: string, listener: GatewayListener, field: string, grantsIn: (namespace: string) => readonly ReferenceGrant[], report: Report): string[] => {
  const { tls } = listener
  if (tls?.mode === "Passthrough") {
    report("error", "UnsupportedValue", `${field}.tls.mode`, `An HTTPS listener terminates TLS: listener ${listener.name} is not served; the others are.`, "Write mode: Terminate.")
    return []
  }
  for (const name of ["options", "frontendValidation"] as const) {
    if (tls?.[name] !== undefined) report("warning", "UnsupportedValue", `${field}.tls.${name}`, `tls.${name} is not supported and has no effect.`, `Remove ${field}.tls.${name}.`)
  }
  const refs = certificateRefs(gateway, listener, field, grantsIn)
  const ids = [...new Set(refs.flatMap((ref) => (ref.ok ? [ref.id] : [])))]
  const became = ids.length > 0 ? "It is left out." : `Listener ${listener.name} has no certificate and is not served; the others are.`
  for (const ref of refs) if (!ref.ok) report("error", ref.reason, ref.field, `${ref.message} ${became}`, ref.fix)
  return ids
}

interface Candidate {
  readonly id: string
  readonly field: string
  readonly entry: Listener
}

/** An empty list of addresses is one more address, the process's default. */
const addressesAsked = ({ addresses }: Listener): readonly string[] => (addresses.length === 0 ? ["*"] : addresses)
const portPlace = (plane: string, address: string, { port, bindPort = port }: Listener): string => JSON.stringify([plane, address, bindPort])
const hostPlace = (plane: string, address: string, { port, bindPort = port, hostname }: Listener): string => JSON.stringify([plane, address, bindPort, hostname ?? "*"])

type Place = (plane: string, address: string, entry: Listener) => string

/** Of those who ask for one place, who has it: the one of the older Gateway, then the smaller id. */
const holders = (candidates: Collection<Candidate>, place: Place): Collection<Candidate> =>
  candidates.group(
    ({ entry }, key) => addressesAsked(entry).map((address) => place(planeOfKey(key), address, entry)),
    (members) => {
      const [first] = members.map(([, candidate]) => ({ id: candidate.id, created: candidate.entry.created, candidate })).sort(olderFirst)
      return first?.candidate
    },
  ).named("holders of places")

/** The candidate at the addresses where nobody refuses it; undefined when there are none. */
const remaining = (candidate: Candidate, refuses: (address: string) => boolean): Candidate | undefined => {
  const asked = addressesAsked(candidate.entry)
  const won = asked.filter((address) => !refuses(address))
  if (won.length === asked.length) return candidate
  return won.length === 0 ? undefined : { ...candidate, entry: { ...candidate.entry, addresses: won } }
}

/**
 * Listener entries by `<plane>/<listener id>`. Of listeners with the same address and port that one protocol cannot
 * serve together, and of those with the same address, port and hostname, the one of the older Gateway stands, then the
 * smaller id; the others serve what is left to them: without a value where that is nothing.
 */
export const judgedListeners = (served: Collection<ServedGateway>, services: Collection<Service>): Collection<Judged<Listener>> => {
  const ports = bindPorts(served, services)
  const candidates = served.flatMap(({ plane, namespace, name, listeners }, read) =>
    listeners.flatMap(({ id, entry, field }): Member<Candidate>[] => {
      if (entry === undefined) return []
      const bindPort = read(ports, bindPortKey(plane, namespace, name, entry.port))
      return [[`${plane}/${id}`, { id, field, entry: bindPort === undefined ? entry : { ...entry, bindPort } }]]
    }),
  ).named("listeners asked for")
  const byPort = holders(candidates, portPlace)
  const ofProtocol = candidates.map((candidate, read, key): Judged<Candidate> => {
    const { entry, field } = candidate
    const { report, findings } = collector()
    const value = remaining(candidate, (address) => {
      const holder = read(byPort, portPlace(planeOfKey(key), address, entry))
      if (holder === undefined || holder.entry.protocol === entry.protocol) return false
      report("error", "ProtocolConflict", `${field}.protocol`, `Listener ${holder.id} already has port ${entry.port}${at(address)} with protocol ${holder.entry.protocol}; it is older or comes first by name.`, "Choose another port or address, or the same protocol.")
      return true
    })
    return { about: { kind: "Gateway", ...entry.gateway }, findings, value }
  }).named("listeners by port")
  const byHost = holders(ofProtocol.map(({ value }) => value).named("listeners with port"), hostPlace)
  return ofProtocol.map(({ about, findings: before, value: candidate }, read, key): Judged<Listener> => {
    if (candidate === undefined) return { about, findings: before, value: undefined }
    const { id, entry, field } = candidate
    const { report, findings } = collector()
    const left = remaining(candidate, (address) => {
      const holder = read(byHost, hostPlace(planeOfKey(key), address, entry))
      if (holder === undefined || holder.id === id) return false
      report("error", "HostnameConflict", entry.hostname === undefined ? `${field}.port` : `${field}.hostname`, `Listener ${holder.id} already has port ${entry.port}${entry.hostname === undefined ? "" : `, hostname ${entry.hostname}`}${at(address)}; it is older or comes first by name.`, "Choose another port, hostname or address, or attach routes to that listener.")
      return true
    })
    return { about, findings: [...before, ...findings], value: left?.entry }
  }).named("judged listeners")
}

const at = (address: string): string => (address === "*" ? "" : `, address ${address}`)
