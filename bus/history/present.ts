/**
 * The state of the log now, read from the streams that hold it and not folded from the history: for the first
 * checkpoint, and for one that ends a gap in the history.
 */
import { BusError, type Bus, type Message, type StreamName } from "../bus.ts"
import { isDeleted } from "../envelope.ts"
import { unitKey } from "../unit/commit.ts"
import { readUnits } from "../unit/reader.ts"
import type { UnitChange } from "../unit/unit.ts"
import { ackOf, resourceOf, type Present } from "./past.ts"
import { readLog } from "./read.ts"
import type { PastAck, PastEntry, PastResource, PastUnit } from "./state.ts"

/** How long a busy stream is followed for a moment at which nothing is under way, ms. */
const PATIENCE = 60_000

/** Rejects with BusError; "timeout" when there was no moment at which it was all there, or something was passed over. */
export const readPresent = async (bus: Bus): Promise<Present> => {
  const [config, history] = await Promise.all([bus.info("CONFIG"), bus.info("HISTORY")])
  const [resources, units, acks] = await Promise.all([lastOf(bus, "RESOURCES", "resource.>", resourceOf), unitsOf(bus), lastOf(bus, "APPLIED", "applied.>", ackOf)])
  let missing: string | undefined
  // A unit that a replay passed over would be missing from every answer until the next checkpoint.
  await readLog(bus, "CONFIG", "config.*.commit.*", "state", ({ subject }) => {
    const [, plane = "", , fn = ""] = subject.split(".")
    if (!units.has(`${plane}.${fn}`)) missing = `${plane}.${fn}`
    return undefined
  })
  if (missing !== undefined) throw new BusError("timeout", `the unit ${missing} was passed over by the read`)
  return {
    state: { seq: resources.seq, resources: resources.found, units, acks: acks.found },
    head: {
      incarnations: { RESOURCES: resources.incarnation, CONFIG: config.incarnation, APPLIED: acks.incarnation, HISTORY: history.incarnation },
      positions: { RESOURCES: resources.seq, HISTORY: history.lastSeq, APPLIED: acks.seq },
    },
  }
}

interface Last<T> {
  readonly found: Map<string, T>
  readonly seq: number
  readonly incarnation: string
}

/**
 * The last message of each subject as of one sequence. While older ones come in, a subject may be changed so often that
 * what it was is dropped before it is delivered; at the end of the stream that is made up for, so it is read to its
 * end. There as many subjects must have been delivered as the server says there are.
 */
const lastOf = <T extends PastResource | PastAck>(bus: Bus, stream: StreamName, filter: string, valueOf: (message: Message) => T): Promise<Last<T>> =>
  new Promise((resolve, reject) => {
    const found = new Map<string, T>()
    const timer = setTimeout(() => finish(() => reject(new BusError("timeout", `${stream} never rests`))), PATIENCE)
    /** What comes in the same tick as the last that counts must not get into the answer. */
    let isDone = false
    const finish = (settle: () => void): void => {
      isDone = true
      clearTimeout(timer)
      queueMicrotask(() => void following.stop())
      settle()
    }
    let seq = 0
    /** All that were delivered, of what is deleted too. */
    const subjects = new Set<string>()
    const look = async (): Promise<void> => {
      const before = seq
      const { lastSeq, incarnation, subjects: there } = await bus.info(stream)
      if (isDone) return
      // The last one may have been purged; then nothing more is delivered.
      const isGone = seq < lastSeq && seq === before && (await bus.at(stream, lastSeq)) === undefined && seq === before
      if (isDone) return
      if ((seq === lastSeq || isGone) && subjects.size !== there) finish(() => reject(new BusError("timeout", `${stream} has ${there} subjects, of which ${subjects.size} were read`)))
      else if (seq === lastSeq || isGone) finish(() => resolve({ found, seq: lastSeq, incarnation }))
      else setTimeout(() => void look().catch((error: unknown) => finish(() => reject(error))), 1)
    }
    const following = bus.follow({
      stream, filter, from: "state",
      onMessage: (message) => {
        if (isDone) return
        seq = Math.max(seq, message.seq)
        subjects.add(message.subject)
        if (isDeleted(message.headers)) found.delete(message.subject)
        else found.set(message.subject, valueOf(message))
      },
      onCaughtUp: () => void look().catch((error: unknown) => finish(() => reject(error))),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `${stream} was lost: ${reason}`))),
    })
  })

const unitsOf = (bus: Bus): Promise<ReadonlyMap<string, PastUnit>> =>
  new Promise((resolve, reject) => {
    const units = new Map<string, PastUnit & { readonly entries: Map<string, PastEntry> }>()
    const timer = setTimeout(() => finish(() => reject(new BusError("timeout", "the units of CONFIG cannot be verified"))), PATIENCE)
    let isDone = false
    const finish = (settle: () => void): void => {
      isDone = true
      clearTimeout(timer)
      queueMicrotask(() => void reader.stop())
      settle()
    }
    const take = ({ unit, commit, seq, time, rows }: UnitChange): void => {
      if (isDone) return
      const key = unitKey(unit)
      const entries = units.get(key)?.entries ?? new Map<string, PastEntry>()
      for (const [subject, body, causes] of rows) {
        if (body === null) entries.delete(subject)
        else entries.set(subject, { body, causes: causes.join(",") })
      }
      units.set(key, { unit, commit, seq, time, entries })
    }
    const reader = readUnits(bus, {
      filter: "config.>", onChange: take,
      onCaughtUp: () => finish(() => resolve(new Map(units))),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `CONFIG was lost: ${reason}`))),
    })
  })
