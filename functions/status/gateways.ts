/** Gateway → its status: what is wrong with it as it is written, and what gateway pods have made of it. */
import type { Listener } from "../../bus/kinds/config.ts"
import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import type { Condition, ListenerStatus, Status } from "../../bus/kinds/status.ts"
import type { ServedGateway } from "../gateway-api/listeners.ts"
import type { Finding, Judged } from "../gateway-api/report.ts"
import type { Collection, Read } from "../reconcile.ts"
import { programmedBy, type Acked, type Programmed } from "./acks.ts"
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
}

/** Undefined: its class is not ours. */
export const gatewayStatus = ({ metadata, spec }: Gateway, { about, findings, value: served }: Judged<ServedGateway>, sources: GatewaySources, read: Read): Status | undefined => {
  if (served === undefined) return undefined
  const { plane } = served
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
  return {
    schema: 1,
    source: about,
    ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
    observedGeneration,
    conditions: [accepted(spec.infrastructure, findings, listeners, say), programmedCondition(made, hasPod, asked, say), resolvedRefs(listeners, say)],
    addresses: addressesOf(made, asked),
    listeners,
  }
}

const hasParameters = (infrastructure: unknown): boolean => typeof infrastructure === "object" && infrastructure !== null && "parametersRef" in infrastructure

const accepted = (infrastructure: unknown, findings: readonly Finding[], listeners: readonly ListenerStatus[], say: Say): Condition => {
  if (hasParameters(infrastructure)) return say("Accepted", "False", "InvalidParameters", "spec.infrastructure.parametersRef: Parameters are not supported; what can be served without is.")
  const unsupported = findings.filter(({ reason }) => reason === "UnsupportedAddress")
  if (unsupported.length > 0) return say("Accepted", "False", "UnsupportedAddress", told(unsupported))
  const bad = listeners.filter((listener) => statusOf(listener, "Accepted") === "False")
  if (bad.length === 0) return say("Accepted", "True", "Accepted", "The Gateway is accepted.")
  return say("Accepted", bad.length === listeners.length ? "False" : "True", "ListenersNotValid", `Not accepted: ${bad.length === 1 ? "listener" : "listeners"} ${bad.map(({ name }) => name).join(", ")}.`)
}

/**
 * Once one ready pod has acked this generation it stays True: pods that lag are no matter of the Gateway. A pod swaps a
 * generation in as a whole, so any listener of it speaks for all.
 *
 * @param made of the listeners that can be served
 * @param asked addresses of the spec
 */
const programmedCondition = (made: readonly (Programmed | undefined)[], hasPod: boolean, asked: ReadonlySet<string>, say: Say): Condition => {
  if (made.length === 0) return say("Programmed", "False", "Invalid", "None of its listeners can be served.")
  if (!hasPod) return say("Programmed", "False", "NoResources", "No gateway pod is ready.")
  const acked = made.filter((each) => each !== undefined)
  if (acked.length === 0) return say("Programmed", "False", "Pending", "No gateway pod has said yet that it serves this generation.")
  const bound = new Set(acked.flatMap((each) => each.bound))
  const failed = acked.flatMap((each) => each.failed)
  const unusable = [...new Map(failed.filter(({ address, reason }) => reason === "AddressNotUsable" && asked.has(address) && !bound.has(address)).map((place) => [place.address, place])).values()]
  if (unusable.length > 0) return say("Programmed", "False", "AddressNotUsable", unusable.map(({ address, error }) => `${address}: ${error}.`).join(" "))
  if (bound.size > 0) return say("Programmed", "True", "Programmed", "A gateway pod serves this generation.")
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
