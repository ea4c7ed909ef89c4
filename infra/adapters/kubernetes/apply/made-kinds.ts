/** Kinds of objects that functions may have made (kind `desired`): what is not here is refused, and the adapter has no right to it. */
import type { Desired } from "../../../../bus/kinds/desired.ts"

export interface MadeKind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
}

/** All of them are of a namespace. */
export const madeKinds: readonly MadeKind[] = [
  { group: "", version: "v1", kind: "Secret", plural: "secrets" },
  { group: "", version: "v1", kind: "Service", plural: "services" },
  { group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts" },
  { group: "apps", version: "v1", kind: "Deployment", plural: "deployments" },
  { group: "policy", version: "v1", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets" },
]

export const apiVersionOf = ({ group, version }: MadeKind): string => (group === "" ? version : `${group}/${version}`)

export const madeKindOf = ({ apiVersion, kind }: Desired): MadeKind | undefined => madeKinds.find((each) => each.kind === kind && apiVersionOf(each) === apiVersion)

const byToken = new Map(madeKinds.map((each) => [each.kind.toLowerCase(), each]))

/** By the first part of an entry's id: the kind in lower case. */
export const madeKindByToken = (token: string): MadeKind | undefined => byToken.get(token)
