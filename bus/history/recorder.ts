/**
 * Makes checkpoints, so that a question about the past reads a bounded piece of the log. It holds no state between two:
 * it looks at the positions of the streams now and then, and reads the state when there is enough behind the newest
 * checkpoint. So it costs nothing an edit, and several may run.
 */
import type { Bus } from "../bus.ts"
import { backoff, delay } from "../unit/clock.ts"
import { reasonOf } from "../unit/publish.ts"
import type { Clock } from "../unit/unit.ts"
import { lastHead, storeCheckpoint, type CheckpointHead } from "./checkpoint.ts"
import { past, type Present } from "./past.ts"
import { readPresent } from "./present.ts"

/** How often it looks, ms: seldom while little comes, in time for the next checkpoint while much does. */
const LOOK = 3000
const SOONEST = 250
/** Messages of all streams behind a checkpoint that make the next one due. A question about the past reads no more than these. */
export const EVENTS = 5000
/** A checkpoint so old, ms, is followed by another where nothing else asks for one: the window begins at the oldest that is kept. */
const OLDEST = 12 * 3_600_000

export interface RecorderOptions {
  readonly bus: Bus
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Default EVENTS. */
  readonly events?: number
  onCheckpoint?(made: Checkpoint): void
  onTrouble?(message: string): void
}

export interface Checkpoint {
  readonly head: Pick<CheckpointHead, "positions">
  /** From the checkpoint before and the log since, or read anew. */
  readonly from: "checkpoint" | "streams"
  readonly records: number
  /** Compressed, and before that. */
  readonly bytes: number
  readonly raw: number
  /** ms */
  readonly took: number
}

/** Runs until the signal. Resolves at once in a store without a history. */
export const recordCheckpoints = async ({ bus, clock, signal, events = EVENTS, onCheckpoint, onTrouble }: RecorderOptions): Promise<void> => {
  let before = { behind: 0, at: clock.monotonic() }
  for (let attempt = 0; !signal.aborted; ) {
    try {
      const { behind, isDue } = await look(bus, clock, events)
      if (isDue) onCheckpoint?.(await checkpoint(bus, clock))
      attempt = 0
      const at = clock.monotonic()
      const rate = Math.max(0, behind - before.behind) / Math.max(1, at - before.at)
      before = { behind: isDue ? 0 : behind, at }
      await delay(clock, Math.min(LOOK, Math.max(SOONEST, (events - before.behind) / rate)) * (0.75 + clock.random() / 4), signal)
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === "closed" || (reason === "no-stream" && (await hasNone(bus)))) return
      onTrouble?.(String(error))
      await delay(clock, backoff(clock, attempt++, { first: 1000, max: 60_000 }), signal)
    }
  }
}

/**
 * Makes one now: from the one before and what has come since, which is exact by its sequences and digests; read anew
 * where there is none or anything is missing. Rejects with BusError.
 */
export const checkpoint = async (bus: Bus, clock: Clock): Promise<Checkpoint> => {
  const since = clock.monotonic()
  const missing = missingIn(await bus.info("RESOURCES_HISTORY"))
  const folded = await foldPresent(bus)
  const { state, head } = folded ?? (await readPresent(bus))
  const stored = await storeCheckpoint(bus, state, { ...head, missing })
  return { head, from: folded === undefined ? "streams" : "checkpoint", records: state.resources.size + state.acks.size, ...stored, took: clock.monotonic() - since }
}

/** Undefined when there is none to go on from, or it would not be exact. */
const foldPresent = async (bus: Bus): Promise<Present | undefined> => {
  const folded = await past(bus).present()
  return folded?.doubts.length === 0 ? folded.value : undefined
}

const missingIn = ({ firstSeq, lastSeq, messages }: { readonly firstSeq: number; readonly lastSeq: number; readonly messages: number }): number => Math.max(0, lastSeq - firstSeq + 1 - messages)

/** How many messages have come behind the newest checkpoint, and whether the next one is due: for that, or because the newest says nothing of what is there now. */
const look = async (bus: Bus, clock: Clock, events: number): Promise<{ readonly behind: number; readonly isDue: boolean }> => {
  const [resources, config, applied, history, mirror, last] = await Promise.all([bus.info("RESOURCES"), bus.info("CONFIG"), bus.info("APPLIED"), bus.info("HISTORY"), bus.info("RESOURCES_HISTORY"), lastHead(bus, Infinity)])
  const now = { RESOURCES: resources, CONFIG: config, APPLIED: applied, HISTORY: history }
  if (last === undefined || STREAMS.some((stream) => last.head.incarnations[stream] !== now[stream].incarnation)) return { behind: resources.lastSeq, isDue: resources.lastSeq > 0 }
  const { positions, missing } = last.head
  const behind = resources.lastSeq - positions.RESOURCES + (history.lastSeq - positions.HISTORY) + (applied.lastSeq - positions.APPLIED)
  // Missing messages make every answer inexact until a checkpoint knows better.
  return { behind, isDue: behind >= events || clock.wall() - last.time > OLDEST || missingIn(mirror) > missing }
}

const STREAMS = ["RESOURCES", "CONFIG", "APPLIED", "HISTORY"] as const

const hasNone = async (bus: Bus): Promise<boolean> => bus.info("CHECKPOINTS").then(() => false, (error: unknown) => reasonOf(error) === "no-stream")
