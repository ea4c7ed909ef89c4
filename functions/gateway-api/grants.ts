import type { ReferenceGrant } from "../../bus/kinds/gateway-api.ts"

export interface Reference {
  readonly from: { readonly group: string; readonly kind: string; readonly namespace: string }
  readonly to: { readonly group: string; readonly kind: string; readonly namespace: string; readonly name: string }
}

/**
 * Whether a reference across namespaces is permitted: one grant in the target's namespace lists both ends. Within a
 * namespace no grant is needed.
 *
 * @param grants of the target's namespace
 */
export const isGranted = (reference: Reference, grants: readonly ReferenceGrant[]): boolean =>
  reference.from.namespace === reference.to.namespace ||
  grants.some(
    ({ metadata, spec }) =>
      metadata.namespace === reference.to.namespace &&
      spec.from.some((from) => from.group === reference.from.group && from.kind === reference.from.kind && from.namespace === reference.from.namespace) &&
      spec.to.some((to) => to.group === reference.to.group && to.kind === reference.to.kind && (to.name === undefined || to.name === "" || to.name === reference.to.name)),
  )
