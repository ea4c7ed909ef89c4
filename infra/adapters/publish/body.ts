/** The canonical body of a resource's value, as `readResource` gives it. */
import { canonical } from "../../../bus/canonical.ts"

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value)

/** Uid and generation travel in the envelope, so that equal configuration is equal bytes. */
export const bodyOfResource = (value: unknown): string => {
  if (!isObject(value) || !isObject(value["metadata"])) return canonical(value)
  const { uid: _uid, generation: _generation, ...metadata } = value["metadata"]
  return canonical({ ...value, metadata })
}
