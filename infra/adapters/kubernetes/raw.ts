/** Objects as the API server sends them: of these, only what says which object it is has been looked at. */
import { isJson, type Json } from "../../../bus/kinds/json.ts"

export { isJson, type Json }

export interface RawObject {
  /** `<namespace>/<name>`; `/<name>` where it has no namespace. */
  readonly key: string
  readonly uid: string
  /** Opaque: equal or not. */
  readonly resourceVersion: string
  /** As it came; items of a list have neither apiVersion nor kind. */
  readonly object: Json
}

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

/** A member that is an object; an empty one where it is none. */
export const memberOf = (value: unknown, name: string): Json => {
  const member = isJson(value) ? value[name] : undefined
  return isJson(member) ? member : NOTHING
}
const NOTHING: Json = {}

/** A member that is a list; an empty one where it is none. */
export const listOf = (value: unknown, name: string): readonly unknown[] => {
  const member = isJson(value) ? value[name] : undefined
  return Array.isArray(member) ? member : []
}

/** Undefined for what has no name or version. */
export const rawObject = (value: unknown): RawObject | undefined => {
  const metadata = memberOf(value, "metadata")
  const [namespace, name, uid, resourceVersion] = ["namespace", "name", "uid", "resourceVersion"].map((field) => textOf(metadata[field]))
  return !isJson(value) || name === undefined || name === "" || resourceVersion === undefined || resourceVersion === "" ? undefined : { key: `${namespace}/${name}`, uid: uid ?? "", resourceVersion, object: value }
}

/** `metadata.labels[name]`, "" where there is none. */
export const labelOf = (object: Json, name: string): string => textOf(memberOf(memberOf(object, "metadata"), "labels")[name])
