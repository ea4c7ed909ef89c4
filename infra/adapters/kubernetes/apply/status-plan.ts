/** What an object's status needs to say what it should. Pure. */
import type { Status } from "../../../../bus/kinds/status.ts"
import { observedGenerationOf } from "./conditions.ts"
import type { ObservedObject } from "./observer.ts"
import { mergedParents, ownConditions } from "./parents.ts"
import { list, member } from "./paths.ts"
import { allConditions, wantedConditions, wholeStatus } from "./whole-status.ts"
import { worse, type Worse } from "./worse.ts"

export type StatusPlan =
  | { readonly is: "nothing" }
  /** Status of one controller alone; `unless`: nobody else's conditions are all that is there besides. */
  | { readonly is: "apply"; readonly status: unknown; readonly unless?: "foreign" }
  /** Status of several: the list as it should be, in place of the one that was read. */
  | { readonly is: "replace"; readonly parents: readonly unknown[] }

const NOTHING: StatusPlan = { is: "nothing" }

/** Kinds whose status is one controller's alone. */
export const isWhole = (kind: string): boolean => kind === "gateway" || kind === "gatewayclass"

/**
 * @param wanted undefined: the object has nothing to do with this controller any more
 * @param isOwn by controllerName
 * @param now RFC 3339
 */
export const statusPlan = (kind: string, wanted: Status | undefined, object: ObservedObject, isOwn: (controllerName: string) => boolean, now: string): StatusPlan => {
  const before = isWhole(kind) ? allConditions(object.status) : ownConditions(member(object.status, "parents"), isOwn)
  // Somebody else's by now, and what it says is for them to replace.
  if (wanted === undefined && isWhole(kind)) return NOTHING
  if (wanted !== undefined && !isMeant(wanted, object, before)) return NOTHING
  if (!isWhole(kind)) {
    const parents = mergedParents(wanted?.parents ?? [], member(object.status, "parents"), isOwn, now)
    return parents === undefined ? NOTHING : { is: "replace", parents }
  }
  if (wanted === undefined) return NOTHING
  const { body, is } = wholeStatus(wanted, object.status, now)
  return is === "same" ? NOTHING : { is: "apply", status: body, ...(is === "more" ? { unless: "foreign" } : {}) }
}

/** It was derived from this very object, and not from an older version of it than what is said of it already. */
const isMeant = ({ uid, observedGeneration }: Status, object: ObservedObject, before: readonly unknown[]): boolean =>
  (uid === undefined || uid === object.uid) && observedGeneration <= object.generation && observedGenerationOf(before) <= observedGeneration

/** What becomes worse by it. */
export const worsened = (kind: string, wanted: Status | undefined, { status }: ObservedObject): readonly Worse[] => {
  if (wanted === undefined) return []
  if (!isWhole(kind)) {
    return (wanted.parents ?? []).flatMap(({ parentRef, controllerName, conditions }) => {
      const own = list(status, "parents").find((each) => member(each, "controllerName") === controllerName && member(each, "parentRef", "name") === parentRef.name && member(each, "parentRef", "sectionName") === parentRef.sectionName)
      return worse(`${parentRef.kind} ${parentRef.name}${parentRef.sectionName === undefined ? "" : `, listener ${parentRef.sectionName}`}: `, conditions, member(own, "conditions"))
    })
  }
  return [...Map.groupBy(wantedConditions(wanted), ([listener]) => listener)].flatMap(([listener, conditions]) => {
    const own = listener === "" ? status : list(status, "listeners").find((each) => member(each, "name") === listener)
    return worse(listener === "" ? "" : `Listener ${listener}: `, conditions.map(([, condition]) => condition), member(own, "conditions"))
  })
}

/** Of conditions, reasons that say no more than that no pod has been heard. */
const UNHEARD: ReadonlySet<string> = new Set(["NoResources", "Pending"])

/**
 * Something served is said to be so no longer because no pod has been heard: undefined: nothing is; "same": of the
 * generation that was served; "newer": of one that pods may not have had time to serve.
 */
export const losesPods = (wanted: Status, { status }: ObservedObject): "same" | "newer" | undefined => {
  let loses: "newer" | undefined
  for (const [listener, { type, status: is, reason, observedGeneration = 0 }] of wantedConditions(wanted)) {
    if (type !== "Programmed" || is !== "False" || !UNHEARD.has(reason)) continue
    const own = listener === "" ? status : list(status, "listeners").find((each) => member(each, "name") === listener)
    const before = list(own, "conditions").find((each) => member(each, "type") === type && member(each, "status") === "True")
    if (before === undefined) continue
    if (member(before, "observedGeneration") === observedGeneration) return "same"
    loses = "newer"
  }
  return loses
}
