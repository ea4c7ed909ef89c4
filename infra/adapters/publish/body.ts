/** The canonical body of a resource's value, as `readResource` gives it. */
import { canonical } from "../../../bus/canonical.ts"
import { isJson } from "../../../bus/kinds/json.ts"

/** Uid and generation travel in the envelope, so that equal configuration is equal bytes. */
export const bodyOfResource = (value: unknown): string => {
  if (!isJson(value) || !isJson(value["metadata"])) return canonical(value)
  const { uid: _uid, generation: _generation, ...metadata } = value["metadata"]
  return canonical({ ...value, metadata })
}
