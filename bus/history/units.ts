/** Every unit at a moment: a checkpoint's, and the copies of commits that came after it. */
import type { Bus, Message } from "../bus.ts"
import { decodeCommit, unitKey } from "../unit/commit.ts"
import { unitOfTokens } from "../unit/fold.ts"
import type { MutableState, StoredCheckpoint } from "./checkpoint.ts"
import { Copies, UnitPast, type CopiedCommit } from "./commits.ts"
import { PATIENCE, readLog, within } from "./read.ts"
import type { PastUnit } from "./state.ts"

/** Copies are usually stored so soon after their originals, ms; what comes later is looked for unit by unit. */
const USUAL_LAG = 1000

export interface FoldedUnits {
  /** By unitKey. */
  readonly units: ReadonlyMap<string, PastUnit>
  /** A sequence of HISTORY after which every copy comes of a commit that is not in them. */
  readonly position: number
}

/**
 * Folds every unit up to and with `time` into the maps of `base`, and proves of each that no further commit belongs to
 * it. `incarnation` is CONFIG's. Rejects with BusError.
 */
export const foldUnits = async (bus: Bus, { head, state }: Pick<StoredCheckpoint, "head"> & { readonly state: MutableState }, time: number, incarnation: string, doubts: string[]): Promise<FoldedUnits> => {
  const units = new Map<string, UnitPast>([...state.units].map(([key, base]) => [key, new UnitPast(base.unit, base)]))
  const unitOf = (key: string, copy: Pick<CopiedCommit, "unit">): UnitPast => {
    const unit = units.get(key) ?? new UnitPast(copy.unit)
    units.set(key, unit)
    return unit
  }
  /** Units of which a commit after the moment was seen. */
  const closed = new Set<string>()
  const copies = new Copies(incarnation)
  let position = head.positions.HISTORY
  const take = (message: Message): void => {
    const copy = copies.take(message)
    if (copy === undefined) return
    const key = unitKey(copy.unit)
    if (closed.has(key)) return
    if (copy.time > time) closed.add(key)
    else unitOf(key, copy).apply(copy)
  }
  const readOn = async (until: number): Promise<void> => {
    if ((await bus.info("HISTORY")).lastSeq <= position) return
    await readLog(bus, "HISTORY", "history.>", { after: position }, (message) => {
      if (message.time > until) return "enough"
      position = message.seq
      take(message)
      return undefined
    })
  }
  // What CONFIG says now, asked after the moment.
  const lasts = new Map<string, Message>()
  await Promise.all([readOn(time + USUAL_LAG), readLog(bus, "CONFIG", "config.*.commit.*", "state", (message) => void lasts.set(keyOfCommit(message.subject), message))])
  const isProven = (key: string): boolean => {
    const last = lasts.get(key)
    const unit = units.get(key)
    if (last === undefined || closed.has(key) || last.seq <= (unit?.seq ?? 0)) return true
    return last.time > time && decodeCommit(last.data).prev === (unit?.head?.rev ?? 0)
  }
  const open = (): readonly string[] => [...lasts.keys()].filter((key) => !isProven(key))
  // Seldom: copies that came late, and units that rest for long. Those are asked for one by one.
  for (const key of open()) {
    await readLog(bus, "HISTORY", planeOf(key), { after: position }, (message) => (take(message), closed.has(key) ? "enough" : undefined))
  }
  if (open().length > 0) {
    const waiting = new Map(open().map((key) => [key, position]))
    await within(PATIENCE, async () => {
      for (const [key, after] of waiting) {
        await readLog(bus, "HISTORY", planeOf(key), { after }, (message) => {
          waiting.set(key, message.seq)
          take(message)
          return closed.has(key) ? "enough" : undefined
        })
        if (isProven(key)) waiting.delete(key)
      }
      return waiting.size === 0 || undefined
    })
  }
  for (const key of open()) {
    const unit = unitOfTokens(...tokensOf(key))
    doubts.push(`the history of the unit ${unit?.plane ?? "?"}/${unit?.fn ?? "?"} is not complete yet: commits after revision ${units.get(key)?.head?.rev ?? 0} have not been copied`)
  }
  for (const { doubt } of units.values()) if (doubt !== undefined) doubts.push(doubt)
  const folded = new Map([...units].flatMap(([key, { value }]) => (value === undefined ? [] : [[key, value] as const])))
  // Parts whose commit is still to be copied have to be read again with it.
  return { units: folded, position: Math.min(position, copies.pendingFrom - 1) }
}

/** Of `config.<plane>.commit.<fn>`: `<plane>.<fn>`. */
const keyOfCommit = (subject: string): string => {
  const [, plane = "", , fn = ""] = subject.split(".")
  return `${plane}.${fn}`
}
/** Commits and parts of the unit's plane: parts have a token more than commits, so that no filter has those of one unit alone. */
const planeOf = (key: string): string => `history.*.${key.slice(0, key.indexOf("."))}.>`
const tokensOf = (key: string): [string, string] => {
  const [plane = "", fn = ""] = key.split(".")
  return [plane, fn]
}
