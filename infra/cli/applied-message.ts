import type { Message } from "../../bus/bus.ts"
import type { Applied } from "../../bus/kinds/applied.ts"

const isApplied = (value: unknown): value is Applied =>
  typeof value === "object" && value !== null && "schema" in value && value.schema === 1 && "plane" in value && "pod" in value && "ready" in value &&
  "listeners" in value && Array.isArray(value.listeners) && "units" in value && typeof value.units === "object" && "notes" in value && Array.isArray(value.notes)

/** What an ack says; undefined for what no gateway of this version writes. */
export const appliedIn = ({ data }: Message): Applied | undefined => {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(data))
    return isApplied(value) ? value : undefined
  } catch {
    return undefined
  }
}
