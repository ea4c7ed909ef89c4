/**
 * The status of a GatewayClass or Gateway, which is this controller's alone. It is applied, not replaced: conditions and
 * listeners are lists by name (x-kubernetes-list-type: map), in which somebody else's are left alone. Pure.
 */
import { isDeepStrictEqual } from "node:util"
import type { Condition, ListenerStatus, Status } from "../../../../bus/kinds/status.ts"
import { conditionsStand, hasOtherConditions, timed } from "./conditions.ts"
import { list, member, text } from "./paths.ts"

export interface WholeStatus {
  /** To be applied to the status subresource. */
  readonly body: Readonly<Record<string, unknown>>
  /**
   * Of what is read: `other`: it has not all that is wanted; `more`: it has, and conditions, listeners or features
   * besides, which may be somebody else's or ours from before; `same`: nothing else, of times nothing is asked.
   */
  readonly is: "same" | "more" | "other"
}

/** @param before the object's status as read */
export const wholeStatus = ({ conditions = [], addresses, listeners, supportedFeatures }: Status, before: unknown, now: string): WholeStatus => {
  const listenersBefore = list(before, "listeners")
  const listenerBefore = (name: string): unknown => listenersBefore.find((each) => text(each, "name") === name)
  const body = {
    conditions: timed(conditions, member(before, "conditions"), now),
    ...(addresses === undefined ? {} : { addresses }),
    ...(listeners === undefined ? {} : { listeners: listeners.map((each) => ({ ...each, conditions: timed(each.conditions, member(listenerBefore(each.name), "conditions"), now) })) }),
    ...(supportedFeatures === undefined ? {} : { supportedFeatures }),
  }
  const stands =
    conditionsStand(conditions, member(before, "conditions")) &&
    (addresses === undefined || isDeepStrictEqual(list(before, "addresses"), [...addresses])) &&
    (listeners ?? []).every((each) => listenerStands(each, listenerBefore(each.name))) &&
    (supportedFeatures ?? []).every(({ name }) => list(before, "supportedFeatures").some((each) => text(each, "name") === name))
  if (!stands) return { body, is: "other" }
  const hasMore =
    hasOtherConditions(conditions, member(before, "conditions")) ||
    listenersBefore.length > (listeners ?? []).length ||
    (listeners ?? []).some((each) => hasOtherConditions(each.conditions, member(listenerBefore(each.name), "conditions"))) ||
    list(before, "supportedFeatures").length > (supportedFeatures ?? []).length
  return { body, is: hasMore ? "more" : "same" }
}

const listenerStands = ({ attachedRoutes, supportedKinds, conditions }: ListenerStatus, before: unknown): boolean =>
  before !== undefined && member(before, "attachedRoutes") === attachedRoutes && isDeepStrictEqual(list(before, "supportedKinds"), [...supportedKinds]) && conditionsStand(conditions, member(before, "conditions"))

/** All conditions, of listeners too, as read. */
export const allConditions = (before: unknown): readonly unknown[] => [...list(before, "conditions"), ...list(before, "listeners").flatMap((each) => list(each, "conditions"))]

/** All conditions that are wanted, each with what it is a condition of: "" for the object itself. */
export const wantedConditions = ({ conditions = [], listeners = [] }: Status): readonly (readonly [listener: string, condition: Condition])[] => [
  ...conditions.map((condition) => ["", condition] as const),
  ...listeners.flatMap(({ name, conditions: own }) => own.map((condition) => [name, condition] as const)),
]
