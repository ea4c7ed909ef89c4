/**
 * A route's status.parents: one list for all controllers, replaced as a whole (the API makes it atomic). Own entries are
 * those with a controllerName of ours; everybody else's stay as they were read, in their places. Pure.
 */
import { isDeepStrictEqual } from "node:util"
import type { ParentStatus } from "../../../../bus/kinds/status.ts"
import { conditionsStand, hasOtherConditions, timed } from "./conditions.ts"
import { list, member, text } from "./paths.ts"

const REF_FIELDS = ["group", "kind", "namespace", "name", "sectionName", "port"]

const isOf = ({ parentRef }: ParentStatus, before: unknown): boolean => REF_FIELDS.every((field) => isDeepStrictEqual(member(parentRef, field), member(before, "parentRef", field)))

const stands = (wanted: ParentStatus, before: unknown): boolean => text(before, "controllerName") === wanted.controllerName && conditionsStand(wanted.conditions, member(before, "conditions")) && !hasOtherConditions(wanted.conditions, member(before, "conditions"))

/**
 * The whole list as it should be; undefined: it is, but for times.
 *
 * @param wanted of this controller; an own entry that is not among them goes
 * @param before status.parents as read
 * @param isOwn by controllerName
 */
export const mergedParents = (wanted: readonly ParentStatus[], before: unknown, isOwn: (controllerName: string) => boolean, now: string): readonly unknown[] | undefined => {
  const left = [...wanted]
  let isSame = true
  const kept = list(before).flatMap((entry) => {
    if (!isOwn(text(entry, "controllerName"))) return [entry]
    const at = left.findIndex((each) => isOf(each, entry))
    const [own] = at < 0 ? [] : left.splice(at, 1)
    if (own === undefined || !stands(own, entry)) isSame = false
    return own === undefined ? [] : [withTimes(own, member(entry, "conditions"), now)]
  })
  if (isSame && left.length === 0) return undefined
  return [...kept, ...left.map((own) => withTimes(own, undefined, now))]
}

const withTimes = (own: ParentStatus, before: unknown, now: string): unknown => ({ ...own, conditions: timed(own.conditions, before, now) })

/** The conditions of own entries, as read. */
export const ownConditions = (before: unknown, isOwn: (controllerName: string) => boolean): readonly unknown[] =>
  list(before).flatMap((entry) => (isOwn(text(entry, "controllerName")) ? list(entry, "conditions") : []))
