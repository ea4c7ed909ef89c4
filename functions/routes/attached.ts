/** HTTPRoute → where it is reachable. */
import type { Listener } from "../../bus/kinds/config.ts"
import type { Gateway, HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import type { Namespace } from "../../bus/kinds/core.ts"
import { attach, isGatewayRef, type Refusal } from "../gateway-api/attachment.ts"
import type { Collection, Read } from "../reconcile.ts"
import type { ServedGateway } from "../gateway-api/listeners.ts"
import type { Report } from "../gateway-api/report.ts"

export interface Attached {
  readonly plane: string
  /** `<namespace>/<name>` of the Gateway. */
  readonly gateway: string
  readonly listener: string
  readonly hostnames: readonly string[]
}

export interface Parents {
  readonly gateways: Collection<Gateway>
  readonly served: Collection<ServedGateway>
  readonly listeners: Collection<Listener>
  readonly namespaces: Collection<Namespace>
}

/** Every listener that takes the route, hostnames intersected. A parentRef that leads nowhere is in a note. */
export const attachedTo = ({ metadata, spec }: HTTPRoute, parents: Parents, read: Read, report: Report): readonly Attached[] => {
  const found = new Map<string, { readonly plane: string; readonly gateway: string; readonly hostnames: Set<string> }>()
  if ((spec.parentRefs ?? []).length === 0) report("warning", "NoMatchingParent", "spec.parentRefs", "The route has no parentRef: nothing sends it requests.", "Name a Gateway in spec.parentRefs.")
  for (const [i, ref] of (spec.parentRefs ?? []).entries()) {
    const field = `spec.parentRefs[${i}]`
    if (!isGatewayRef(ref)) {
      report("warning", "UnsupportedParent", `${field}.kind`, `A parent of kind ${ref.group === "" ? "" : `${ref.group}/`}${ref.kind} is not supported.`, "Refer to a Gateway.")
      continue
    }
    const key = `${ref.namespace ?? metadata.namespace}/${ref.name}`
    const gateway = read(parents.served, key)
    if (gateway === undefined) {
      const exists = read(parents.gateways, key) !== undefined
      report("error", "NoMatchingParent", `${field}.name`, exists ? `Gateway ${key} is not served: its GatewayClass is missing.` : `There is no Gateway ${key}.`, exists ? `Mend Gateway ${key}.` : "Create the Gateway, or correct name and namespace.")
      continue
    }
    const labels = () => read(parents.namespaces, `/${metadata.namespace}`)?.metadata.labels ?? labelsOfMissing(metadata.namespace)
    const result = attach(ref, gateway.namespace, gateway.listeners, { kind: "HTTPRoute", namespace: metadata.namespace, hostnames: spec.hostnames }, labels)
    if (!result.ok) {
      reportRefusal(result.refusal, field, key, report)
      continue
    }
    let isServed = false
    for (const { listener, hostnames } of result.attached) {
      const entry = read(parents.listeners, `${gateway.plane}/${listener.id}`)
      if (entry === undefined) continue
      isServed = true
      const known = found.get(listener.id)
      if (known === undefined) found.set(listener.id, { plane: gateway.plane, gateway: key, hostnames: new Set(hostnames) })
      else for (const hostname of hostnames) known.hostnames.add(hostname)
    }
    if (!isServed) report("error", "ListenerNotServed", field, `The route attaches to ${result.attached.map(({ listener }) => listener.id).join(", ")}, which cannot be served.`, `See the notes of Gateway ${key}.`)
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([listener, { plane, gateway, hostnames }]) => ({ plane, gateway, listener, hostnames: [...hostnames].sort() }))
}

/** An API server puts this label on every Namespace; files may leave the Namespace itself out. */
const labelsOfMissing = (namespace: string): Readonly<Record<string, string>> => ({ "kubernetes.io/metadata.name": namespace })

/** `field`: of the parent reference. */
const reportRefusal = (refusal: Refusal, field: string, gateway: string, report: Report): void => {
  switch (refusal.reason) {
    case "NoMatchingParent": {
      const { field: part } = refusal
      report("error", refusal.reason, part === "" ? field : `${field}.${part}`, `No listener of Gateway ${gateway} has this ${part === "" ? "name" : part}.`, `Name a listener's ${part === "port" ? "port" : "name"}, or leave it out.`)
      return
    }
    case "NotAllowedByListeners":
      if (refusal.by === "namespaces") report("error", refusal.reason, field, `No listener of Gateway ${gateway} allows HTTPRoutes of this namespace (allowedRoutes).`, "Allow the namespace in the listener's allowedRoutes, or move the route.")
      else report("error", refusal.reason, field, `No listener of Gateway ${gateway} takes HTTPRoutes: ${kindsText(refusal.takes)} (protocol and allowedRoutes.kinds).`, "Add HTTPRoute to allowedRoutes.kinds of a listener with protocol HTTP, or attach to another listener.")
      return
    case "NoMatchingListenerHostname":
      report("error", refusal.reason, "spec.hostnames", `The route has no hostname in common with a listener of Gateway ${gateway}.`, "Use a hostname the listener covers.")
      return
  }
}

const kindsText = (takes: ReadonlyMap<string, readonly string[]>): string =>
  [...takes].map(([listener, kinds]) => `listener ${listener} takes ${kinds.length === 0 ? "no route" : kinds.map((kind) => `${kind}s`).join(" and ")}`).join(", ")
