/**
 * metadata.managedFields: which fields of an object its last apply by one manager set, and still has
 * (structured-merge-diff, FieldsV1). A field that somebody else has changed since is no longer among them: so an object
 * is as it was applied when every field of what was applied is. No values are compared, which the API server writes in
 * its own way (`1000m` is `1`), and no schema is needed. Pure.
 */
import { isJson, type Json } from "../raw.ts"
import { list, text } from "./paths.ts"

/** Members `f:<name>`, `k:{…keys of an item}`, `v:<value>`, `.`; empty: all there is below. */
export type Fields = Json

/** Undefined: this manager has applied nothing, or all of it is somebody else's by now. */
export const appliedFields = (metadata: unknown, manager: string, subresource = ""): Fields | undefined => {
  const entry = list(metadata, "managedFields").find((each) => text(each, "manager") === manager && text(each, "operation") === "Apply" && text(each, "subresource") === subresource)
  const fields = isJson(entry) ? entry["fieldsV1"] : undefined
  return isJson(fields) ? fields : undefined
}

const isWhole = (fields: Fields): boolean => Object.keys(fields).every((key) => key === ".")

/** Every field of the value is among them. */
export const covers = (fields: Fields, value: unknown): boolean => {
  if (isWhole(fields)) return true
  if (Array.isArray(value)) return value.every((item) => itemsOf(fields).some((each) => isItem(each, item) && covers(each.fields, item)))
  if (!isJson(value)) return true
  return Object.entries(value).every(([name, each]) => {
    const below = fields[`f:${name}`]
    return each === undefined || (isJson(below) && covers(below, each))
  })
}

/** They name something that is not in the value: it was applied once, and is wanted no longer. */
export const goBeyond = (fields: Fields, value: unknown): boolean =>
  Object.entries(fields).some(([key, below]) => {
    if (key.startsWith("f:")) {
      const each = isJson(value) ? value[key.slice(2)] : undefined
      return each === undefined || (isJson(below) && goBeyond(below, each))
    }
    const item = itemOf(key, below)
    if (item === undefined) return false
    const own = Array.isArray(value) ? value.find((each) => isItem(item, each)) : undefined
    return own === undefined || goBeyond(item.fields, own)
  })

interface Item {
  /** What its keys are, or, in a set, what it is. */
  readonly keys: unknown
  readonly isValue: boolean
  readonly fields: Fields
}

const itemOf = (key: string, fields: unknown): Item | undefined => {
  if (!key.startsWith("k:") && !key.startsWith("v:")) return undefined
  const keys: unknown = JSON.parse(key.slice(2))
  return { keys, isValue: key.startsWith("v:"), fields: isJson(fields) ? fields : {} }
}

const itemsOf = (fields: Fields): readonly Item[] => Object.entries(fields).flatMap(([key, below]) => itemOf(key, below) ?? [])

/** A key that the value leaves out has a default. */
const isItem = ({ keys, isValue }: Item, value: unknown): boolean =>
  isValue ? keys === value : isJson(keys) && isJson(value) && Object.entries(keys).every(([name, key]) => value[name] === undefined || value[name] === key)
