/** certificateRefs of a listener → the certificates it may present, each reference judged by itself. */
import { GATEWAY_GROUP, type GatewayListener, type ReferenceGrant } from "../../bus/kinds/gateway-api.ts"
import { isGranted } from "./grants.ts"
import { secretCertificateId } from "./names.ts"

/** `reason`: ListenerConditionReason of ResolvedRefs=False. Whether the Secret exists and holds a certificate is another question: its `certificate` entry tells. */
export type CertificateRef =
  | { readonly ok: true; readonly field: string; readonly namespace: string; readonly name: string; /** Of the `certificate` and its demand. */ readonly id: string }
  | { readonly ok: false; readonly field: string; readonly reason: "RefNotPermitted" | "InvalidCertificateRef"; readonly message: string; readonly fix: string }

/**
 * One for each reference, in the user's order; one that is not ok where there is none at all.
 *
 * @param gatewayNamespace of the Gateway that has the listener
 * @param field of the listener in the Gateway: `spec.listeners[0]`
 * @param grantsIn the ReferenceGrants of a namespace
 */
export const certificateRefs = (gatewayNamespace: string, { tls }: GatewayListener, field: string, grantsIn: (namespace: string) => readonly ReferenceGrant[]): readonly CertificateRef[] => {
  const refs = tls?.certificateRefs ?? []
  if (refs.length === 0) {
    return [{ ok: false, field: `${field}.tls.certificateRefs`, reason: "InvalidCertificateRef", message: "There is no certificateRef.", fix: "Name a Secret of type kubernetes.io/tls." }]
  }
  return refs.map((ref, i): CertificateRef => {
    const at = `${field}.tls.certificateRefs[${i}]`
    if (ref.group !== "" || ref.kind !== "Secret") {
      return { ok: false, field: `${at}.kind`, reason: "InvalidCertificateRef", message: `A certificate of kind ${ref.group === "" ? "" : `${ref.group}/`}${ref.kind} is not known.`, fix: "Refer to a Secret." }
    }
    const namespace = ref.namespace ?? gatewayNamespace
    const reference = { from: { group: GATEWAY_GROUP, kind: "Gateway", namespace: gatewayNamespace }, to: { group: "", kind: "Secret", namespace, name: ref.name } }
    if (namespace !== gatewayNamespace && !isGranted(reference, grantsIn(namespace))) {
      return { ok: false, field: `${at}.namespace`, reason: "RefNotPermitted", message: `No ReferenceGrant in namespace ${namespace} lets Gateways of ${gatewayNamespace} refer to Secret ${ref.name}.`, fix: `Create a ReferenceGrant in ${namespace}.` }
    }
    return { ok: true, field: at, namespace, name: ref.name, id: secretCertificateId(namespace, ref.name) }
  })
}
