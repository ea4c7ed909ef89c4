/** A desired object as it is applied, and whether one that is there still is as it was applied. Pure. */
import { hash } from "node:crypto"
import { canonical } from "../../../../bus/canonical.ts"
import { busCertificate, type Desired } from "../../../../bus/kinds/desired.ts"
import type { Json } from "../raw.ts"
import { CERTIFICATE } from "./certified.ts"
import { MANAGED_BY } from "./made.ts"
import { appliedFields, covers } from "./owned-fields.ts"
import { object, text } from "./paths.ts"
import { MANAGER } from "./writing.ts"

/** A digest of all that was applied: with it, and with all fields still ours (owned-fields.ts), nothing has to be applied. */
const APPLIED = "headgate.dev/applied"

/** Without what is generated and the certificate. */
export const desiredObject = ({ apiVersion, kind, namespace, name, body, generated, certificate }: Desired): Json => {
  const labels = { ...object(body, "metadata", "labels"), [MANAGED_BY]: MANAGER }
  const metadata = { ...object(body, "metadata"), name, namespace, labels }
  const digest = hash("sha256", canonical({ ...body, apiVersion, kind, metadata, generated, certificate })).slice(0, 32)
  return { ...body, apiVersion, kind, metadata: { ...metadata, annotations: { ...object(body, "metadata", "annotations"), [APPLIED]: digest } } }
}

/** @param metadata as the API server has it */
export const isAsApplied = (wanted: Json, { generated, certificate }: Pick<Desired, "generated" | "certificate">, metadata: unknown): boolean => {
  if (text(metadata, "annotations", APPLIED) !== text(wanted, "metadata", "annotations", APPLIED)) return false
  const fields = appliedFields(metadata, MANAGER)
  if (fields === undefined) return false
  const { apiVersion: _version, kind: _kind, metadata: _metadata, ...content } = wanted
  const { name: _name, namespace: _namespace, ...said } = object(wanted, "metadata")
  const keys = [...Object.keys(generated ?? {}), ...(certificate === undefined ? [] : Object.values(busCertificate))]
  const annotations = certificate === undefined ? {} : { annotations: { ...object(said, "annotations"), [CERTIFICATE]: "" } }
  return covers(fields, { ...content, metadata: { ...said, ...annotations }, ...(keys.length === 0 ? {} : { data: { ...object(content, "data"), ...Object.fromEntries(keys.map((key) => [key, ""])) } }) })
}

/** Owners that an object is to go with. */
export const ownersOf = (wanted: Json): readonly { readonly kind: string; readonly name: string; readonly uid: string }[] => {
  const owners: unknown = object(wanted, "metadata")["ownerReferences"]
  return Array.isArray(owners) ? owners.map((owner: unknown) => ({ kind: text(owner, "kind"), name: text(owner, "name"), uid: text(owner, "uid") })) : []
}
