/** What every object made for a data plane has: name, labels, owner. */
import { hash } from "node:crypto"
import { CONTROL_PLANE, type Source } from "../../bus/kinds/config.ts"
import type { Desired } from "../../bus/kinds/desired.ts"
import type { Member } from "../reconcile.ts"

type Texts = Readonly<Record<string, string>>

/** With it goes what it owns: of the same namespace, or of any where it is in none itself. */
export interface Owner {
  readonly kind: "Gateway" | "GatewayClass"
  readonly name: string
  /** Undefined: not known, so nothing can be owned. */
  readonly uid: string | undefined
}

/** Whom things are made for, and what is on all of them. */
export interface Made {
  readonly source: Source
  readonly owner: Owner
  readonly plane: string
  readonly namespace: string
  readonly name: string
  /** The owner's own words (Gateway API, GatewayInfrastructure); ours come before them. */
  readonly labels: Texts
  readonly annotations: Texts
}

/** By which pods of a data plane are found. */
export const selectorOf = (plane: string): Texts => ({ "app.kubernetes.io/name": "headgate-gateway", "headgate.dev/plane": plane })

const GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
const LONGEST_LABEL = 63
const labelValue = (name: string): string => (name.length <= LONGEST_LABEL ? name : `${name.slice(0, LONGEST_LABEL - 9)}-${hash("sha256", name).slice(0, 8)}`)

/** @param gateway its name, where there is one */
export const labelsOf = (plane: string, gateway: string | undefined): Texts => ({
  ...selectorOf(plane),
  "app.kubernetes.io/managed-by": "headgate",
  ...(gateway === undefined ? {} : { [GATEWAY_NAME]: labelValue(gateway) }),
})

const API: Readonly<Record<string, string>> = { ServiceAccount: "v1", Secret: "v1", Service: "v1", Deployment: "apps/v1", PodDisruptionBudget: "policy/v1" }

/** `more`: all of the object but its metadata; `secret`: what only the adapter makes of it. */
export const object = (kind: string, { source, owner, namespace, name, labels, annotations }: Made, more: Readonly<Record<string, unknown>>, secret: Pick<Desired, "generated" | "certificate"> = {}): Member<Desired> => {
  const references = owner.uid === undefined ? {} : { ownerReferences: [{ apiVersion: "gateway.networking.k8s.io/v1", kind: owner.kind, name: owner.name, uid: owner.uid, controller: true }] }
  const metadata = { labels, ...(Object.keys(annotations).length === 0 ? {} : { annotations }), ...references }
  return [
    `${CONTROL_PLANE}/${kind.toLowerCase()}/${namespace}/${name}`,
    { schema: 1, source, apiVersion: API[kind] ?? "v1", kind, namespace, name, body: { metadata, ...more }, ...secret },
  ]
}
