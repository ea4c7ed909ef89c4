/** Conditions (metav1.Condition) against those an object has: times are kept while they tell the truth. Pure. */
import type { Condition } from "../../../../bus/kinds/status.ts"
import { list, member, number, text } from "./paths.ts"

export interface TimedCondition extends Condition {
  /** RFC 3339, whole seconds: since when it has had this status. */
  readonly lastTransitionTime: string
}

const ofType = (before: unknown, type: string): unknown => list(before).find((each) => text(each, "type") === type)

/** Each with the time of the object's own condition of that type where that has the same status, else `now`. `before`: as read. */
export const timed = (wanted: readonly Condition[], before: unknown, now: string): readonly TimedCondition[] =>
  wanted.map((condition) => {
    const own = ofType(before, condition.type)
    const since = text(own, "lastTransitionTime")
    return { ...condition, lastTransitionTime: text(own, "status") === condition.status && since !== "" ? since : now }
  })

const saysTheSame = (wanted: Condition, before: unknown): boolean =>
  text(before, "status") === wanted.status && text(before, "reason") === wanted.reason && text(before, "message") === wanted.message && member(before, "observedGeneration") === wanted.observedGeneration

/** All that is wanted is there; of times nothing is asked. What else is there is another question. */
export const conditionsStand = (wanted: readonly Condition[], before: unknown): boolean => wanted.every((condition) => saysTheSame(condition, ofType(before, condition.type)))

/** There are conditions of types that are not wanted. */
export const hasOtherConditions = (wanted: readonly Condition[], before: unknown): boolean => list(before).some((each) => !wanted.some(({ type }) => type === text(each, "type")))

/** The highest observedGeneration among conditions as read. */
export const observedGenerationOf = (conditions: readonly unknown[]): number => Math.max(0, ...conditions.map((each) => number(each, "observedGeneration")))

/** As an API server writes times of conditions. */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z")
/** metav1.MicroTime. */
export const microTimestamp = (ms: number): string => new Date(ms).toISOString().replace("Z", "000Z")
