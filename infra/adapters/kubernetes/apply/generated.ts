/** Values that nobody chooses: made by chance when a Secret has none of that name, and never changed. */
import { randomBytes } from "node:crypto"
import type { Desired } from "../../../../bus/kinds/desired.ts"
import { isJson, type Json } from "../raw.ts"
import { text } from "./paths.ts"

/**
 * The Secret with them in its data, base64 as the API has it. Each stands for itself: text in the encoding that was asked for.
 *
 * @param there the Secret that exists, whole; undefined: none does
 */
export const withGenerated = (wanted: Json, generated: Desired["generated"], there: unknown): Json => {
  if (generated === undefined) return wanted
  const values = Object.entries(generated).map(([key, { as, bytes }]) => {
    const before = text(there, "data", key)
    return [key, before === "" ? Buffer.from(randomBytes(bytes).toString(as)).toString("base64") : before] as const
  })
  return { ...wanted, data: { ...(isJson(wanted["data"]) ? wanted["data"] : {}), ...Object.fromEntries(values) } }
}
