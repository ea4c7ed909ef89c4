/** Route → its parentRefs, each judged: what they lead to, and why to nothing. */
import type { Listener, Source } from "../../bus/kinds/config.ts"
import type { Namespace } from "../../bus/kinds/core.ts"
import type { AnyRoute, Gateway, GatewayListener, ParentRef } from "../../bus/kinds/gateway-api.ts"
import type { Collection, Read } from "../reconcile.ts"
import type { RouteKind } from "./route-kinds.ts"
import { attach, isGatewayRef, type Refusal } from "./attachment.ts"
import type { ServedGateway } from "./listeners.ts"
import type { Finding } from "./report.ts"

export interface Parent {
  readonly ref: ParentRef
  /** The Gateway and its plane; undefined: the reference leads to no Gateway of ours. */
  readonly gateway: { readonly key: string; readonly plane: string } | undefined
  /** Listeners that take the route, and the hostnames it has there (attachedHostnames); empty: `finding` has the reason (RouteConditionReason of Accepted=False). */
  readonly attached: readonly { readonly listener: string; readonly hostnames: ReadonlyMap<string, string>; readonly isServed: boolean }[]
  readonly finding: Finding | undefined
}

/** What of Gateways decides about routes: less than a Gateway has, so that most of its edits touch no route. */
export interface Places {
  /** Also those whose class is missing: that they exist. */
  readonly gateways: Collection<true>
  readonly attachable: Collection<Attachable>
  /** By `<plane>/<listener id>`. */
  readonly listeners: Collection<true>
  readonly namespaces: Collection<Namespace>
  /** Where a route gives way to one of the other kind, by `yieldKey`; absent: that is not looked at (yet). */
  readonly yields?: Collection<Yield>
}

/** A route that has a hostname of another on a listener both want to attach to. */
export interface Yield {
  readonly hostname: string
  readonly to: Source
}

/** @param listener `<plane>/<listener id>` */
export const yieldKey = (kind: RouteKind, { namespace, name }: { readonly namespace: string; readonly name: string }, listener: string): string => `${kind}/${namespace}/${name} ${listener}`

interface Attachable {
  readonly plane: string
  readonly namespace: string
  readonly listeners: readonly { readonly id: string; readonly listener: GatewayListener }[]
}

export const placesOf = (gateways: Collection<Gateway>, served: Collection<ServedGateway>, listeners: Collection<Listener>, namespaces: Collection<Namespace>): Places => ({
  gateways: gateways.map(() => true as const).named("gateways there are"),
  attachable: served.map(({ plane, namespace, listeners: all }) => ({ plane, namespace, listeners: all.map(({ id, listener }) => ({ id, listener })) })).named("attachable listeners"),
  listeners: listeners.map(() => true as const).named("served listeners"),
  namespaces,
})

/** One for each parentRef, in their order. */
export const parentsOf = (kind: RouteKind, { metadata, spec }: AnyRoute, places: Places, read: Read): readonly Parent[] =>
  (spec.parentRefs ?? []).map((ref, i): Parent => {
    const field = `spec.parentRefs[${i}]`
    const nowhere = (severity: Finding["severity"], reason: string, at: string, message: string, fix: string): Parent => ({ ref, gateway: undefined, attached: [], finding: { severity, reason, field: at, message, fix } })
    if (!isGatewayRef(ref)) return nowhere("warning", "UnsupportedParent", `${field}.kind`, `A parent of kind ${ref.group === "" ? "" : `${ref.group}/`}${ref.kind} is not supported.`, "Refer to a Gateway.")
    const key = `${ref.namespace ?? metadata.namespace}/${ref.name}`
    const gateway = read(places.attachable, key)
    if (gateway === undefined) {
      if (read(places.gateways, key) === true) return nowhere("error", "NoMatchingParent", `${field}.name`, `Gateway ${key} is not served: its GatewayClass is missing.`, `Mend Gateway ${key}.`)
      return nowhere("error", "NoMatchingParent", `${field}.name`, `There is no Gateway ${key}.`, "Create the Gateway, or correct name and namespace.")
    }
    const labels = () => read(places.namespaces, `/${metadata.namespace}`)?.metadata.labels ?? labelsOfMissing(metadata.namespace)
    const result = attach(ref, gateway.namespace, gateway.listeners, { kind, namespace: metadata.namespace, hostnames: spec.hostnames }, labels)
    const parent = { ref, gateway: { key, plane: gateway.plane } }
    if (!result.ok) return { ...parent, attached: [], finding: refusalFinding(result.refusal, field, key, kind) }
    const taken = result.attached.map(({ listener: { id }, hostnames }) => ({ listener: id, hostnames, isServed: read(places.listeners, `${gateway.plane}/${id}`) === true }))
    const yielded: string[] = []
    const attached = taken.filter(({ listener }) => {
      const to = places.yields && read(places.yields, yieldKey(kind, metadata, `${gateway.plane}/${listener}`))
      if (to !== undefined) yielded.push(`${to.to.kind} ${to.to.namespace}/${to.to.name} has hostname ${to.hostname} on listener ${listener}`)
      return to === undefined
    })
    if (yielded.length > 0) {
      const message = `${yielded.join(", ")}, and is older or comes first by name: HTTPRoutes and GRPCRoutes do not share a hostname of a listener.`
      const finding: Finding = { severity: attached.length === 0 ? "error" : "warning", reason: "HostnameConflict", field: "spec.hostnames", message, fix: "Give the routes hostnames of their own, or attach one of them to another listener." }
      return { ...parent, attached, finding }
    }
    if (attached.some(({ isServed }) => isServed)) return { ...parent, attached, finding: undefined }
    const message = `The route attaches to ${attached.map(({ listener }) => listener).join(", ")}, which cannot be served.`
    return { ...parent, attached, finding: { severity: "error", reason: "ListenerNotServed", field, message, fix: `See the notes of Gateway ${key}.` } }
  })

/** An API server puts this label on every Namespace; files may leave the Namespace itself out. */
const labelsOfMissing = (namespace: string): Readonly<Record<string, string>> => ({ "kubernetes.io/metadata.name": namespace })

/** `field`: of the parent reference. */
const refusalFinding = (refusal: Refusal, field: string, gateway: string, kind: RouteKind): Finding => {
  const { reason } = refusal
  const because = (at: string, message: string, fix: string): Finding => ({ severity: "error", reason, field: at, message, fix })
  switch (reason) {
    case "NoMatchingParent": {
      const { field: part } = refusal
      return because(part === "" ? field : `${field}.${part}`, `No listener of Gateway ${gateway} has this ${part === "" ? "name" : part}.`, `Name a listener's ${part === "port" ? "port" : "name"}, or leave it out.`)
    }
    case "NotAllowedByListeners":
      return refusal.by === "namespaces"
        ? because(field, `No listener of Gateway ${gateway} allows ${kind}s of this namespace (allowedRoutes).`, "Allow the namespace in the listener's allowedRoutes, or move the route.")
        : because(field, `No listener of Gateway ${gateway} takes ${kind}s: ${kindsText(refusal.takes)} (protocol and allowedRoutes.kinds).`, `Add ${kind} to allowedRoutes.kinds of a listener with protocol HTTP, or attach to another listener.`)
    case "NoMatchingListenerHostname":
      return because("spec.hostnames", `The route has no hostname in common with a listener of Gateway ${gateway}.`, "Use a hostname the listener covers.")
  }
}

const kindsText = (takes: ReadonlyMap<string, readonly string[]>): string =>
  [...takes].map(([listener, kinds]) => `listener ${listener} takes ${kinds.length === 0 ? "no route" : kinds.map((kind) => `${kind}s`).join(" and ")}`).join(", ")
