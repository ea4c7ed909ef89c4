/** What changed for the worse between what an object's status said and what it is about to say: what people are told by an Event. Pure. */
import type { Condition } from "../../../../bus/kinds/status.ts"
import { list, text } from "./paths.ts"

export interface Worse {
  /** That of the condition. */
  readonly reason: string
  /** A sentence. */
  readonly message: string
}

/** True is the trouble (Gateway API, GEP-1364); of all others it is False. */
const NEGATIVE: ReadonlySet<string> = new Set(["Conflicted", "OverlappingTLSConfig", "PartiallyInvalid"])
/** What everything goes through on its way to being served. */
const PASSING: ReadonlySet<string> = new Set(["Pending"])

/**
 * @param of what has the condition, for the message: "", or `listener web: `
 * @param before conditions as read
 */
export const worse = (of: string, wanted: readonly Condition[], before: unknown): readonly Worse[] =>
  wanted.flatMap(({ type, status, reason, message }): readonly Worse[] => {
    const bad = NEGATIVE.has(type) ? "True" : "False"
    if (status !== bad || PASSING.has(reason)) return []
    const own = list(before).find((each) => text(each, "type") === type)
    const [had, why] = [text(own, "status"), text(own, "reason")]
    if (had === bad && why === reason) return []
    // An object that begins without a gateway pod is about to get one.
    if (reason === "NoResources" && had !== "True") return []
    return [{ reason, message: `${of}${type} is ${status}: ${message}` }]
  })
