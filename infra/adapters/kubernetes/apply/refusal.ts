/** What the API server refused, for people; undefined for what is no fault of what was asked. Pure. */
import type { ApiError } from "../api-error.ts"

export interface Refusal {
  /** CamelCase, stable. */
  readonly reason: "QuotaExceeded" | "AdmissionRefused" | "Forbidden" | "Invalid" | "Conflict" | "NoSuchNamespace" | "NamespaceTerminating" | "NoSuchApi" | "Refused"
  readonly fix: string
}

/** 429, 5xx and no answer are the system's: they are tried again, and nobody is told. */
export const refusalOf = ({ status, reason, message }: ApiError): Refusal | undefined => {
  if (status < 400 || status === 401 || status === 408 || status === 429) return undefined
  if (/admission webhook ".*" denied|ValidatingAdmissionPolicy|violates PodSecurity/.test(message)) return { reason: "AdmissionRefused", fix: "Ask who keeps the policy that refused it." }
  if (status >= 500) return undefined
  if (/exceeded quota|maximum .* usage per|failed quota/.test(message)) return { reason: "QuotaExceeded", fix: "Raise the namespace's quota, or remove what uses it." }
  if (/because it is being terminated/.test(message)) return { reason: "NamespaceTerminating", fix: "Wait until the namespace is gone." }
  if (status === 403) return { reason: "Forbidden", fix: "Give the adapter's service account the permission (headgate install renders it)." }
  if (status === 404 && message.startsWith("namespaces ")) return { reason: "NoSuchNamespace", fix: "Create the namespace." }
  if (status === 404) return { reason: "NoSuchApi", fix: "Install the API in the cluster." }
  if (status === 409) return { reason: "Conflict", fix: "See who else changes the object." }
  if (status === 422 || status === 400) return { reason: "Invalid", fix: "Correct the object it is made from." }
  return { reason: "Refused", fix: reason === "" ? "See the message." : `See the message (${reason}).` }
}
