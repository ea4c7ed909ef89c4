/** HTTPRoute → where it is reachable. */
import type { Listener } from "../../bus/kinds/config.ts"
import type { Gateway, HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import type { Namespace } from "../../bus/kinds/core.ts"
import { attach, isGatewayRef, type Refusal } from "../gateway-api/attachment.ts"
import type { Collection, Read } from "../reconcile.ts"
import type { ServedGateway } from "./listeners.ts"
import type { Report } from "./report.ts"

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
      const [message, fix] = refused(result.refusal, key, result.field)
      report("error", result.refusal, result.field === "hostnames" ? "spec.hostnames" : result.field === "" ? field : `${field}.${result.field}`, message, fix)
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

const refused = (refusal: Refusal, gateway: string, field: string): readonly [message: string, fix: string] => {
  switch (refusal) {
    case "NoMatchingParent":
      return [`No listener of Gateway ${gateway} has this ${field === "" ? "name" : field}.`, `Name a listener's ${field === "port" ? "port" : "name"}, or leave it out.`]
    case "NotAllowedByListeners":
      return [`No listener of Gateway ${gateway} allows HTTPRoutes of this namespace (allowedRoutes).`, "Allow the namespace in the listener's allowedRoutes, or move the route."]
    case "NoMatchingListenerHostname":
      return [`The route has no hostname in common with a listener of Gateway ${gateway}.`, "Use a hostname the listener covers."]
  }
}
