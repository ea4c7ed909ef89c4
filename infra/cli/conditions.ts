/** What function `status` says of objects, for people. */
import { at, list, textIn } from "./field.ts"
import type { Observed } from "./observe.ts"

export interface Shown {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

/** The status of an object by its kind's token and key, undefined where there is none. */
export const statuses = ({ entries }: Pick<Observed, "entries">): ((kind: string, key: string) => unknown) => {
  const byId = new Map(entries.flatMap(({ kind, key, value }) => (kind === "status" ? [[key, value] as const] : [])))
  return (kind, key) => byId.get(`${kind}/${key}`)
}


export const conditionsIn = (holder: unknown): readonly Shown[] =>
  list(at(holder, "conditions")).map((each) => ({ type: textIn(at(each, "type")), status: textIn(at(each, "status")), reason: textIn(at(each, "reason")), message: textIn(at(each, "message")) }))

/** Conditions that say something is wrong when they are True. */
const TROUBLES: ReadonlySet<string> = new Set(["Conflicted", "OverlappingTLSConfig", "PartiallyInvalid"])

export const isGood = ({ type, status }: Shown): boolean => (TROUBLES.has(type) ? status === "False" : status === "True")

/** `True`, or why not; "-" where it is not said. */
export const verdict = (holder: unknown, type: string): string => {
  const found = conditionsIn(holder).find((each) => each.type === type)
  return found === undefined ? "-" : found.status === "True" ? "True" : found.reason
}

/** Why a listener is not served, where that is known: the reason of what is wrong besides. */
export const trouble = (holder: unknown): string | undefined => {
  const wrong = conditionsIn(holder).filter((each) => !isGood(each))
  if (!wrong.some(({ type }) => type === "Programmed" || type === "Accepted" || type === "Conflicted")) return undefined
  return (wrong.find(({ type }) => type !== "Programmed") ?? wrong[0])?.reason
}
