/** Members of JSON that nobody has decoded, by any number of names in a row: what is not there, or is something else, is undefined or empty. */
import { isJson, type Json } from "../raw.ts"

export const member = (value: unknown, ...names: readonly string[]): unknown => names.reduce<unknown>((at, name) => (isJson(at) ? at[name] : undefined), value)

export const text = (value: unknown, ...names: readonly string[]): string => {
  const found = member(value, ...names)
  return typeof found === "string" ? found : ""
}

export const list = (value: unknown, ...names: readonly string[]): readonly unknown[] => {
  const found = member(value, ...names)
  return Array.isArray(found) ? found : []
}

export const object = (value: unknown, ...names: readonly string[]): Json => {
  const found = member(value, ...names)
  return isJson(found) ? found : {}
}

export const number = (value: unknown, ...names: readonly string[]): number => {
  const found = member(value, ...names)
  return typeof found === "number" ? found : 0
}
