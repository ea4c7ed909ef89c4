/** One listener of a Gateway → its status. */
import type { Listener } from "../../bus/kinds/config.ts"
import { GATEWAY_GROUP } from "../../bus/kinds/gateway-api.ts"
import type { Condition, ListenerStatus } from "../../bus/kinds/status.ts"
import { isServedKind } from "../gateway-api/route-kinds.ts"
import { kindsTaken } from "../gateway-api/attachment.ts"
import type { ServedListener } from "../gateway-api/listeners.ts"
import type { Finding, Judged } from "../gateway-api/report.ts"
import type { Programmed } from "./acks.ts"
import { certificatesValid, unresolved, type CertificateFacts } from "./certificates.ts"
import { told, type Say } from "./condition.ts"

export interface ListenerFacts {
  readonly served: ServedListener
  /** What was found about it in the Gateway, before others were looked at. */
  readonly findings: readonly Finding[]
  /** Against others for its place; undefined: it did not come to that. */
  readonly contest: Judged<Listener> | undefined
  /** What ready pods have made of this generation; undefined: nothing yet. */
  readonly programmed: Programmed | undefined
  /** Its plane has a ready pod. */
  readonly hasPod: boolean
  readonly attachedRoutes: number
  /** Ids of HTTPS listeners of its port that can match the same hosts. */
  readonly overlaps: readonly string[]
  /** Of an HTTPS listener that is served; undefined: not known yet. */
  readonly certificates: readonly (CertificateFacts | undefined)[]
}

const SERVED_PROTOCOLS: ReadonlySet<string> = new Set(["HTTP", "HTTPS"])

/** Reasons of Accepted=False, and of ResolvedRefs=False (ListenerConditionReason). */
const NOT_ACCEPTED: ReadonlySet<string> = new Set(["UnsupportedProtocol", "UnsupportedValue"])
const NOT_RESOLVED: ReadonlySet<string> = new Set(["InvalidRouteKinds", "RefNotPermitted", "InvalidCertificateRef"])

export const listenerStatus = (facts: ListenerFacts, say: Say): ListenerStatus => {
  const { served: { listener }, attachedRoutes } = facts
  const kinds = SERVED_PROTOCOLS.has(listener.protocol) ? kindsTaken(listener).filter((kind) => isServedKind({ group: GATEWAY_GROUP, kind })) : []
  return {
    name: listener.name,
    supportedKinds: kinds.map((kind) => ({ group: GATEWAY_GROUP, kind })),
    attachedRoutes,
    conditions: [accepted(facts, say), conflicted(facts, say), ...overlappingTls(facts, say), programmed(facts, say), resolvedRefs(facts, say), ...certificatesValid(known(facts), say)],
  }
}

const known = ({ certificates }: ListenerFacts): readonly CertificateFacts[] => certificates.filter((each) => each !== undefined)

/** It terminates TLS and has nothing to present. */
export const isMute = (certificates: readonly (CertificateFacts | undefined)[]): boolean => certificates.length > 0 && certificates.every((each) => each?.empty !== undefined)

/** Of its conditions; undefined where it has none of that type. */
export const statusOf = ({ conditions }: { readonly conditions: readonly Condition[] }, type: string): Condition["status"] | undefined => conditions.find((each) => each.type === type)?.status

/** A place it wanted and another listener has; where that is every place, it is not served. */
const conflictOf = ({ contest }: ListenerFacts): Finding | undefined => contest?.findings[0]

const unavailable = ({ programmed: made }: ListenerFacts): string | undefined => {
  const ports = made === undefined || made.bound.length > 0 ? [] : made.failed.filter(({ reason }) => reason === undefined)
  return ports.length === 0 ? undefined : ports.map(({ address, error }) => `${address}: ${error}.`).join(" ")
}

const accepted = (facts: ListenerFacts, say: Say): Condition => {
  const refused = facts.findings.filter(({ severity, reason }) => severity === "error" && NOT_ACCEPTED.has(reason))
  const [first] = refused
  if (first !== undefined) return say("Accepted", "False", first.reason, told(refused))
  const conflict = conflictOf(facts)
  if (conflict !== undefined && facts.contest?.value === undefined) return say("Accepted", "False", conflict.reason, told([conflict]))
  const why = unavailable(facts)
  return why === undefined ? say("Accepted", "True", "Accepted", "The listener is accepted.") : say("Accepted", "False", "PortUnavailable", why)
}

const conflicted = (facts: ListenerFacts, say: Say): Condition => {
  const conflict = conflictOf(facts)
  return conflict === undefined ? say("Conflicted", "False", "NoConflicts", "No other listener wants its place.") : say("Conflicted", "True", conflict.reason, told(facts.contest?.findings ?? []))
}

/** Absent when there is none (ListenerConditionOverlappingTLSConfig). */
const overlappingTls = ({ overlaps }: ListenerFacts, say: Say): readonly Condition[] => {
  if (overlaps.length === 0) return []
  const more = overlaps.length > 3 ? ` and ${overlaps.length - 3} more` : ""
  return [say("OverlappingTLSConfig", "True", "OverlappingHostnames", `Its hostname and that of listener ${overlaps.slice(0, 3).join(", ")}${more} can match the same host.`)]
}

const programmed = (facts: ListenerFacts, say: Say): Condition => {
  const { contest, hasPod, programmed: made } = facts
  const conflict = conflictOf(facts)
  if (contest?.value === undefined) return say("Programmed", "False", conflict?.reason ?? "Invalid", "The listener cannot be served: see its other conditions, and the Gateway's.")
  if (isMute(facts.certificates)) return say("Programmed", "False", facts.certificates.some((each) => each?.empty === "NotRead") ? "Pending" : "Invalid", "There is no certificate to present.")
  if (!hasPod) return say("Programmed", "False", "Pending", "No gateway pod is ready.")
  if (made === undefined) return say("Programmed", "False", "Pending", "No gateway pod has said yet that it serves this.")
  const failed = made.failed.map(({ address, error }) => `${address}: ${error}.`)
  if (made.bound.length === 0) return say("Programmed", "False", "Invalid", failed.join(" "))
  return say("Programmed", "True", "Programmed", ["A gateway pod serves it.", ...failed].join(" "))
}

const resolvedRefs = (facts: ListenerFacts, say: Say): Condition => {
  const refused = facts.findings.filter(({ reason }) => NOT_RESOLVED.has(reason))
  const [first] = refused
  if (first !== undefined) return say("ResolvedRefs", "False", first.reason, told(refused))
  const troubles = known(facts).flatMap((each) => unresolved(each) ?? [])
  if (troubles.length === 0) return say("ResolvedRefs", "True", "ResolvedRefs", "All references are resolved.")
  const isWrong = troubles.some(({ status }) => status === "False")
  return say("ResolvedRefs", isWrong ? "False" : "Unknown", isWrong ? "InvalidCertificateRef" : "Pending", troubles.map(({ message }) => message).join(" "))
}
