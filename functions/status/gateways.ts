/** Gateway → its status: what is wrong with it as it is written, and what gateway pods have made of it. */
import type { Listener } from "../../bus/kinds/config.ts"
import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import type { Condition, ListenerStatus, Status } from "../../bus/kinds/status.ts"
import type { ServedGateway } from "../gateway-api/listeners.ts"
import { gatewayService } from "../gateway-api/names.ts"
import type { Finding, Judged } from "../gateway-api/report.ts"
import type { Run } from "../gateway-api/runs.ts"
import type { Collection, Read } from "../reconcile.ts"
import { programmedBy, type Acked, type Programmed } from "./acks.ts"
import { reachOf, type Reach, type Way } from "./addresses.ts"
import type { CertificateFacts } from "./certificates.ts"
import { sayer, told, type Say } from "./condition.ts"
import { isMute, listenerStatus, statusOf } from "./listeners.ts"

export interface GatewaySources {
  readonly contests: Collection<Judged<Listener>>
  readonly acked: Acked
  /** By `<plane>/<listener id>`. */
  readonly attachedRoutes: Collection<number>
  /** Likewise; see overlaps.ts. */
  readonly overlaps: Collection<readonly string[]>
  /** By `<plane>/<certificate id>`. */
  readonly certificates: Collection<CertificateFacts>
  /** By the Gateway's key. */
  readonly runs: Collection<Run>
  /** By the Service's key. */
  readonly ways: Collection<Way>
}

/** Undefined: its class is not ours, or it is being deleted. */
export const gatewayStatus = (gateway: Gateway, { about, findings, value: served }: Judged<ServedGateway>, sources: GatewaySources, read: Read): Status | undefined => {
  const { metadata, spec } = gateway
  if (served === undefined || metadata.deletionTimestamp !== undefined) return undefined
  const { plane, mode } = served
  const observedGeneration = metadata.generation ?? 0
  const say = sayer(observedGeneration)
  const hasPod = read(sources.acked.planes, plane) === true
  const made: (Programmed | undefined)[] = []
  const listeners = served.listeners.map((listener): ListenerStatus => {
    const key = `${plane}/${listener.id}`
    const contest = read(sources.contests, key)
    const programmed = contest?.value === undefined ? undefined : programmedBy(read(sources.acked.listeners, key), observedGeneration)
    const certificates = contest?.value?.tls?.certificates.map((id) => read(sources.certificates, `${plane}/${id}`)) ?? []
    const isUnread = certificates.some((each) => each?.empty === "NotRead")
    if (contest?.value !== undefined && (!isMute(certificates) || isUnread)) made.push(isMute(certificates) ? undefined : programmed)
    const own = findings.filter(({ field }) => field.startsWith(`${listener.field}.`))
    return listenerStatus({ served: listener, findings: own, contest, programmed, hasPod, attachedRoutes: read(sources.attachedRoutes, key) ?? 0, overlaps: read(sources.overlaps, key) ?? [], certificates }, say)
  })
  const asked = new Set((spec.addresses ?? []).flatMap(({ value = "" }) => (value === "" ? [] : [value])))
  const reach = reachIn(gateway, sources, read)
  return {
    schema: 1,
    source: about,
    ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
    observedGeneration,
    conditions: [accepted(mode === "External" && spec.infrastructure?.parametersRef !== undefined, findings, listeners, say), programmedCondition(made, { hasPod, asked, reach }, say), resolvedRefs(listeners, say)],
    addresses: reach === undefined ? addressesOf(made, asked) : reach.addresses,
    listeners,
  }
}

/** Undefined: with files, pods themselves say where they are bound. */
const reachIn = (gateway: Gateway, { runs, ways }: GatewaySources, read: Read): Reach | undefined => {
  const run = read(runs, `${gateway.metadata.namespace}/${gateway.metadata.name}`)
  const service = run && gatewayService(gateway, run)
  if (service === undefined) return undefined
  const name = `${service.namespace}/${service.name}`
  return reachOf(name, read(ways, name), (gateway.spec.addresses ?? []).flatMap(({ type, value = "" }) => (type === "IPAddress" && value !== "" ? [value] : [])))
}

const accepted = (hasUnread: boolean, findings: readonly Finding[], listeners: readonly ListenerStatus[], say: Say): Condition => {
  if (hasUnread) return say("Accepted", "False", "InvalidParameters", "spec.infrastructure.parametersRef: Parameters are not supported; what can be served without is.")
  const parameters = findings.filter(({ reason }) => reason === "InvalidParameters")
  if (parameters.length > 0) return say("Accepted", "False", "InvalidParameters", told(parameters))
  const unsupported = findings.filter(({ reason }) => reason === "UnsupportedAddress")
  if (unsupported.length > 0) return say("Accepted", "False", "UnsupportedAddress", told(unsupported))
  const bad = listeners.filter((listener) => statusOf(listener, "Accepted") === "False")
  if (bad.length === 0) return say("Accepted", "True", "Accepted", "The Gateway is accepted.")
  return say("Accepted", bad.length === listeners.length ? "False" : "True", "ListenersNotValid", `Not accepted: ${bad.length === 1 ? "listener" : "listeners"} ${bad.map(({ name }) => name).join(", ")}.`)
}

interface Served {
  readonly hasPod: boolean
  /** Addresses of the spec. */
  readonly asked: ReadonlySet<string>
  readonly reach: Reach | undefined
}

/**
 * Once one ready pod has acked this generation it stays True: pods that lag are no matter of the Gateway. A pod swaps a
 * generation in as a whole, so any listener of it speaks for all.
 *
 * @param made of the listeners that can be served
 */
const programmedCondition = (made: readonly (Programmed | undefined)[], { hasPod, asked, reach }: Served, say: Say): Condition => {
  if (made.length === 0) return say("Programmed", "False", "Invalid", "None of its listeners can be served.")
  if (!hasPod) return say("Programmed", "False", "NoResources", "No gateway pod is ready.")
  const acked = made.filter((each) => each !== undefined)
  if (acked.length === 0) return say("Programmed", "False", "Pending", "No gateway pod has said yet that it serves this generation.")
  const bound = new Set(acked.flatMap((each) => each.bound))
  const failed = acked.flatMap((each) => each.failed)
  const unusable = [...new Map(failed.filter(({ address, reason }) => reason === "AddressNotUsable" && asked.has(address) && !bound.has(address)).map((place) => [place.address, place])).values()]
  if (unusable.length > 0) return say("Programmed", "False", "AddressNotUsable", unusable.map(({ address, error }) => `${address}: ${error}.`).join(" "))
  if (bound.size > 0 && reach?.lack !== undefined) return say("Programmed", "False", reach.lack.reason, reach.lack.message)
  if (bound.size > 0) return say("Programmed", "True", "Programmed", `A gateway pod serves this generation.${reach?.more ?? ""}`)
  return say("Programmed", "False", "Invalid", `No listener could be bound. ${[...new Set(failed.map(({ address, error }) => `${address}: ${error}.`))].join(" ")}`)
}

/** Experimental in the API: a summary of the listeners'. */
const resolvedRefs = (listeners: readonly ListenerStatus[], say: Say): Condition => {
  const bad = listeners.filter((listener) => statusOf(listener, "ResolvedRefs") === "False")
  if (bad.length === 0) return say("ResolvedRefs", "True", "ResolvedRefs", "All references are resolved.")
  return say("ResolvedRefs", "False", "ListenersNotResolved", `Not resolved: ${bad.length === 1 ? "listener" : "listeners"} ${bad.map(({ name }) => name).join(", ")}.`)
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["::", "0.0.0.0"])

/** A socket for every address serves those that were asked for; of itself it does not say where it can be reached. */
const addressesOf = (made: readonly (Programmed | undefined)[], asked: ReadonlySet<string>): NonNullable<Status["addresses"]> => {
  const bound = new Set(made.flatMap((each) => each?.bound ?? []))
  const named = [...bound].filter((address) => !EVERY_ADDRESS.has(address))
  const failed = new Set(made.flatMap((each) => each?.failed.map(({ address }) => address) ?? []))
  const covered = named.length < bound.size ? [...asked].filter((address) => !failed.has(address)) : []
  return [...new Set([...named, ...covered])].sort().map((value) => ({ type: "IPAddress", value }))
}
