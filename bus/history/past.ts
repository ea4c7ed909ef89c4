/**
 * What was, at any moment of the kept window: the newest checkpoint before it and the log from there on. Every answer
 * says whether it is exact, and why not: nothing is guessed.
 *
 * Exact means: of resources and acks, no message between the base and the moment is missing; of a unit, the folded
 * entries give the digest of its last commit up to the moment, and that it is the last is proven by the next one or by
 * CONFIG, since copies come late.
 */
import { BusError, type Bus, type Message, type StreamInfo } from "../bus.ts"
import { bodyText, isDeleted } from "../envelope.ts"
import { parseSubject } from "../subject.ts"
import { unitKey } from "../unit/commit.ts"
import { firstHead, lastHead, loadCheckpoint, type CheckpointHead, type MutableState, type StoredCheckpoint } from "./checkpoint.ts"
import { Copies, type CopiedCommit } from "./commits.ts"
import { PATIENCE, readLog, within } from "./read.ts"
import { HistoryError, type Answer, type Moment, type PastAck, type PastResource, type PastState } from "./state.ts"
import { foldUnits } from "./units.ts"
import { commitsAnswering, commitsOfEntry, CopyReader, positionBefore, type ResourceVersion } from "./versions.ts"

export interface Window {
  /** First and last moment that can be asked for, ms. */
  readonly from: number
  readonly to: number
  /** First and last sequence of RESOURCES. */
  readonly fromSeq: number
  readonly toSeq: number
}

/** One state a subject has had. */
export interface Version {
  /** In RESOURCES; of an entry, of the commit in CONFIG. */
  readonly seq: number
  readonly time: number
  /** Undefined: deleted. */
  readonly body: string | undefined
  /** Of a resource. */
  readonly message: Pick<Message, "headers"> | undefined
  /** Of an entry: the commit that made it so, and what the entry was made from. Undefined where only a checkpoint has it. */
  readonly commit: CopiedCommit | undefined
  readonly causes: readonly string[]
}

/** Which parts of a state are wanted: each costs a read. Default: all. */
export interface Wanted {
  readonly resources?: boolean
  readonly units?: boolean
  readonly acks?: boolean
}

/** What a checkpoint is made of. */
export interface Present {
  readonly state: PastState
  readonly head: Pick<CheckpointHead, "incarnations" | "positions">
}

export interface Past {
  /** Throws HistoryError "off" in a store without a history. */
  window(): Promise<Window>
  /** Throws HistoryError for a moment outside the window, BusError for a bus that is away. */
  stateAt(moment: Moment, wanted?: Wanted): Promise<Answer<PastState>>
  /** Everything stored when asked, and up to where, from the newest checkpoint on; undefined when there is none that reaches. Throws as stateAt does. */
  present(): Promise<Answer<Present> | undefined>
  /** One resource by its subject; undefined: there was none. Throws as stateAt does. */
  resourceAt(subject: string, moment: Moment): Promise<Answer<PastResource | undefined>>
  /** Every version of a resource or of an entry in the window, oldest first; where it begins later, the one that was before it too. */
  versionsOf(subject: string): Promise<Answer<readonly Version[]>>
  /** Commits that name any of these versions of a resource, oldest first, among their causes. */
  commitsCausedBy(subject: string, versions: readonly ResourceVersion[]): Promise<readonly CopiedCommit[]>
  /** The subjects of all pods that have ever acked. */
  pods(): Promise<readonly string[]>
  /** Acks of one pod stored at `since` (ms) or later that are kept, in order, until `take` has enough. */
  acksSince(pod: string, since: number, take: (ack: PastAck) => "enough" | undefined): Promise<void>
}

export const past = (bus: Bus): Past => new Log(bus)

/** A moment as bounds: of commits and acks by time, of resources by sequence where there is one, else by time too. */
interface Bounds {
  readonly time: number
  readonly seq: number
}

interface Streams {
  readonly RESOURCES: StreamInfo
  readonly CONFIG: StreamInfo
  readonly APPLIED: StreamInfo
  readonly HISTORY: StreamInfo
  readonly RESOURCES_HISTORY: StreamInfo
}

class Log implements Past {
  readonly #bus: Bus

  constructor(bus: Bus) {
    this.#bus = bus
  }

  async window(): Promise<Window> {
    const streams = await this.#streams()
    const { lastSeq: toSeq } = streams.RESOURCES
    const to = Date.now()
    const { firstSeq } = streams.RESOURCES_HISTORY
    if (isWhole(streams)) {
      const first = firstSeq <= toSeq ? await this.#bus.at("RESOURCES_HISTORY", firstSeq) : undefined
      return { from: first?.time ?? to, to, fromSeq: 1, toSeq }
    }
    const first = await firstHead(this.#bus, (found) => reaches(found, streams))
    return first === undefined ? { from: to, to, fromSeq: toSeq + 1, toSeq } : { from: first.time, to, fromSeq: first.head.positions.RESOURCES, toSeq }
  }

  async stateAt(moment: Moment, { resources = true, units = true, acks = true }: Wanted = {}): Promise<Answer<PastState>> {
    const streams = await this.#streams()
    const doubts: string[] = []
    const bounds = await this.#bounds(moment, streams, doubts)
    const base = await this.#base(bounds, streams)
    const [read, past] = await Promise.all([
      resources ? this.#resources(base, bounds, doubts) : undefined,
      units ? foldUnits(this.#bus, base, bounds.time, streams.CONFIG.incarnation, doubts) : undefined,
      acks ? this.#acks(base, bounds) : undefined,
    ])
    return { value: { seq: read?.taken ?? base.head.positions.RESOURCES, resources: base.state.resources, units: past?.units ?? new Map(), acks: base.state.acks }, doubts }
  }

  async present(): Promise<Answer<Present> | undefined> {
    const streams = await this.#streams()
    const last = await lastHead(this.#bus, Infinity)
    const state = last !== undefined && reaches(last, streams) ? await loadCheckpoint(this.#bus, last.head) : undefined
    if (last === undefined || state === undefined) return undefined
    const { head: { incarnations } } = last
    const doubts: string[] = []
    const [base, bounds] = [{ ...last, state }, { time: Infinity, seq: Infinity }]
    const [{ taken, passed }, { units, position }, acked] = await Promise.all([this.#resources(base, bounds, doubts), foldUnits(this.#bus, base, Infinity, incarnations.CONFIG, doubts), this.#acks(base, bounds)])
    return { value: { state: { seq: taken, resources: state.resources, units, acks: state.acks }, head: { incarnations, positions: { RESOURCES: passed, HISTORY: position, APPLIED: acked } } }, doubts }
  }

  async resourceAt(subject: string, moment: Moment): Promise<Answer<PastResource | undefined>> {
    const streams = await this.#streams()
    const { firstSeq, lastSeq, messages } = streams.RESOURCES_HISTORY
    // One question is enough where nothing is missing that could be newer than its answer.
    if (messages !== lastSeq - firstSeq + 1) return this.#fromState(subject, moment)
    const doubts: string[] = []
    const bounds = await this.#bounds(moment, streams, doubts)
    if (!(await this.#isMirrored(bounds))) return this.#fromState(subject, moment)
    const upTo = bounds.seq !== Infinity ? { seq: bounds.seq } : bounds.time !== Infinity ? { time: bounds.time } : undefined
    const found = upTo === undefined ? await this.#bus.last("RESOURCES_HISTORY", subject) : (await this.#bus.asOf("RESOURCES_HISTORY", [subject], upTo)).messages[0]
    if (found === undefined && firstSeq > 1) return this.#fromState(subject, moment)
    return { value: found === undefined || isDeleted(found.headers) ? undefined : resourceOf(found), doubts }
  }

  async #fromState(subject: string, moment: Moment): Promise<Answer<PastResource | undefined>> {
    const { value, doubts } = await this.stateAt(moment, { units: false, acks: false })
    return { value: value.resources.get(subject), doubts }
  }

  async versionsOf(subject: string): Promise<Answer<readonly Version[]>> {
    const streams = await this.#streams()
    const versions: Version[] = []
    const doubts: string[] = []
    const parsed = parseSubject(subject)
    const first = isWhole(streams) ? undefined : await firstHead(this.#bus, (found) => reaches(found, streams))
    const base = first && (await loadCheckpoint(this.#bus, first.head))
    if (parsed?.is === "resource") {
      const before = base?.resources.get(subject)
      if (before !== undefined) versions.push({ ...before, message: before, commit: undefined, causes: [] })
      await readLog(this.#bus, "RESOURCES_HISTORY", subject, { after: 0 }, (message) => {
        if (message.seq > (before?.seq ?? 0)) versions.push({ seq: message.seq, time: message.time, body: isDeleted(message.headers) ? undefined : bodyText(message.data), message, commit: undefined, causes: [] })
        return undefined
      })
      const { firstSeq, lastSeq, messages } = streams.RESOURCES_HISTORY
      const missing = lastSeq - firstSeq + 1 - messages
      if (missing > 0) doubts.push(`${missing} messages of RESOURCES are not in the history: versions may be missing`)
      return { value: versions, doubts }
    }
    for (const { seq, time, entries } of base?.units.values() ?? []) {
      const before = entries.get(subject)
      if (before !== undefined) versions.push({ seq, time, body: before.body, message: undefined, commit: undefined, causes: splitCauses(before.causes) })
    }
    const revs = new Map<string, number>(first?.head.units.map(({ unit, commit }) => [unitKey(unit), commit.rev]))
    const add = (copy: CopiedCommit): void => {
      const row = copy.rows.find(([of]) => of === subject)
      if (row !== undefined) versions.push({ seq: copy.seq, time: copy.time, body: row[1] ?? undefined, message: undefined, commit: copy, causes: row[2] })
    }
    const found = await commitsOfEntry(this.#bus, new CopyReader(this.#bus, streams.CONFIG.incarnation), subject, revs)
    if (found !== undefined) for (const copy of found) add(copy)
    else await this.#copies(streams, `history.*.${subject.split(".")[1] ?? "*"}.>`, first?.head.positions.HISTORY ?? 0, (copy) => {
      const key = unitKey(copy.unit)
      const rev = revs.get(key) ?? 0
      if (copy.commit.rev <= rev) return
      if (copy.commit.prev > rev) doubts.push(`revisions ${rev + 1} to ${copy.commit.prev} of the unit ${copy.unit.plane}/${copy.unit.fn} are not in the history`)
      revs.set(key, copy.commit.rev)
      add(copy)
    })
    return { value: versions.sort((a, b) => a.seq - b.seq), doubts }
  }

  async commitsCausedBy(subject: string, versions: readonly ResourceVersion[]): Promise<readonly CopiedCommit[]> {
    const { CONFIG } = await this.#streams()
    return commitsAnswering(this.#bus, new CopyReader(this.#bus, CONFIG.incarnation), subject, versions)
  }

  async pods(): Promise<readonly string[]> {
    const found: string[] = []
    await readLog(this.#bus, "APPLIED", "applied.>", "state", ({ subject }) => void found.push(subject))
    return found
  }

  async acksSince(pod: string, since: number, take: (ack: PastAck) => "enough" | undefined): Promise<void> {
    const after = await positionBefore(this.#bus, "APPLIED", pod, since)
    await readLog(this.#bus, "APPLIED", pod, { after }, (message) => (message.time < since ? undefined : take(ackOf(message))))
  }

  async #copies({ CONFIG }: Streams, filter: string, after: number, take: (copy: CopiedCommit) => void): Promise<void> {
    const copies = new Copies(CONFIG.incarnation)
    await readLog(this.#bus, "HISTORY", filter, { after }, (message) => {
      const copy = copies.take(message)
      if (copy !== undefined) take(copy)
      return undefined
    })
  }

  async #streams(): Promise<Streams> {
    const info = (stream: keyof Streams): Promise<StreamInfo> => this.#bus.info(stream)
    try {
      const [RESOURCES, CONFIG, APPLIED, HISTORY, RESOURCES_HISTORY] = await Promise.all([info("RESOURCES"), info("CONFIG"), info("APPLIED"), info("HISTORY"), info("RESOURCES_HISTORY")])
      return { RESOURCES, CONFIG, APPLIED, HISTORY, RESOURCES_HISTORY }
    } catch (error) {
      if (error instanceof BusError && error.reason === "no-stream") throw new HistoryError("off", "this store keeps no history: it was made with HEADGATE_HISTORY=off")
      throw error
    }
  }

  async #bounds(moment: Moment, streams: Streams, doubts: string[]): Promise<Bounds> {
    if (moment === "now") return { time: Infinity, seq: Infinity }
    if ("time" in moment) {
      const ahead = moment.time - Date.now()
      if (ahead > PATIENCE) throw new HistoryError("outside-window", `${new Date(moment.time).toISOString()} is still to come`)
      // Of the millisecond that has just begun more may be stored.
      if (ahead >= 0) await new Promise((resolve) => setTimeout(resolve, ahead + 1))
      return { time: moment.time, seq: Infinity }
    }
    const { lastSeq } = streams.RESOURCES
    if (moment.seq > lastSeq) throw new HistoryError("outside-window", `sequence ${moment.seq} is still to come: the last of RESOURCES is ${lastSeq}`)
    if (moment.seq === lastSeq) return { time: Infinity, seq: moment.seq }
    let next: Message | undefined
    await this.#mirrored(moment.seq + 1)
    await readLog(this.#bus, "RESOURCES_HISTORY", "resource.>", { after: moment.seq }, (message) => ((next = message), "enough"))
    if (next === undefined) return { time: Infinity, seq: moment.seq }
    if (next.seq !== moment.seq + 1) doubts.push(`sequences ${moment.seq + 1} to ${next.seq - 1} of RESOURCES are not in the history, so that it is not known when the next one came`)
    return { time: next.time - 1, seq: moment.seq }
  }

  /** The history of resources has got so far. */
  #mirrored(seq: number): Promise<true | undefined> {
    return within(PATIENCE, async () => (await this.#bus.info("RESOURCES_HISTORY")).lastSeq >= seq || undefined)
  }

  /** All resources up to the bounds have been copied. */
  async #isMirrored({ time, seq }: Bounds): Promise<boolean> {
    const mirror = await this.#bus.info("RESOURCES_HISTORY")
    if (mirror.lastSeq >= seq) return true
    if (time !== Infinity && mirror.lastSeq >= mirror.firstSeq && ((await this.#bus.at("RESOURCES_HISTORY", mirror.lastSeq))?.time ?? 0) > time) return true
    const { lastSeq } = await this.#bus.info("RESOURCES")
    return (await this.#mirrored(Math.min(seq, lastSeq))) === true
  }

  /** The newest checkpoint up to the bounds, or the empty beginning. */
  async #base({ time, seq }: Bounds, streams: Streams): Promise<StoredCheckpoint & { readonly state: MutableState }> {
    const usable = async (found: StoredCheckpoint | undefined) => {
      if (found === undefined || !reaches(found, streams) || found.head.positions.RESOURCES > seq) return undefined
      const state = await loadCheckpoint(this.#bus, found.head)
      return state && { ...found, state }
    }
    const newest = await usable(await lastHead(this.#bus, time))
    if (newest !== undefined) return newest
    if (isWhole(streams)) {
      const { from } = await this.window()
      if (seq === Infinity ? time >= from : seq >= 1) return { ...beginning(streams), state: { resources: new Map(), units: new Map(), acks: new Map() } }
    }
    const { from, to, fromSeq, toSeq } = await this.window()
    const bounds = from >= to ? "nothing is kept yet" : `the history that is kept goes from ${new Date(from).toISOString()} (sequence ${fromSeq}) to now (sequence ${toSeq})`
    throw new HistoryError("outside-window", `${seq === Infinity ? new Date(time).toISOString() : `sequence ${seq}`} is outside the window: ${bounds}`)
  }

  async #resources({ head, state: { resources } }: { readonly head: StoredCheckpoint["head"]; readonly state: MutableState }, bounds: Bounds, doubts: string[]): Promise<{ readonly taken: number; readonly passed: number }> {
    const isComplete = await this.#isMirrored(bounds)
    let last = head.positions.RESOURCES
    let taken = last
    const gaps: string[] = []
    const passed = (seq: number): void => {
      if (seq > last + 1) gaps.push(seq === last + 2 ? String(last + 1) : `${last + 1} to ${seq - 1}`)
      last = seq
    }
    const { lastSeq } = await this.#bus.info("RESOURCES_HISTORY")
    let passedTo = last
    if (lastSeq > last) {
      const end = await readLog(this.#bus, "RESOURCES_HISTORY", "resource.>", { after: last }, (message) => {
        if (bounds.seq === Infinity ? message.time > bounds.time : message.seq > bounds.seq) {
          passed(Math.min(message.seq, bounds.seq === Infinity ? message.seq : bounds.seq + 1))
          return "enough"
        }
        passed(message.seq)
        taken = message.seq
        if (isDeleted(message.headers)) resources.delete(message.subject)
        else resources.set(message.subject, resourceOf(message))
        return message.seq === bounds.seq ? "enough" : undefined
      })
      if (end !== undefined) passed(Math.min(end.lastSeq, bounds.seq) + 1)
      passedTo = Math.max(taken, end === undefined ? 0 : Math.min(end.lastSeq, bounds.seq))
    }
    const several = gaps.length > 1 || gaps[0]?.includes(" ") === true
    if (gaps.length > 0) doubts.push(`${several ? "sequences" : "sequence"} ${gaps.slice(0, 3).join(", ")}${gaps.length > 3 ? ` and ${gaps.length - 3} more` : ""} of RESOURCES ${several ? "are" : "is"} not in the history`)
    if (!isComplete) doubts.push("the history of resources is not complete yet: the newest messages have not been copied")
    return { taken, passed: passedTo }
  }

  /** Up to which message of APPLIED it went. */
  async #acks({ head, state: { acks } }: { readonly head: StoredCheckpoint["head"]; readonly state: MutableState }, { time }: Bounds): Promise<number> {
    let last = head.positions.APPLIED
    if ((await this.#bus.info("APPLIED")).lastSeq <= last) return last
    await readLog(this.#bus, "APPLIED", "applied.>", { after: last }, (message) => {
      if (message.time > time) return "enough"
      last = message.seq
      if (isDeleted(message.headers)) acks.delete(message.subject)
      else acks.set(message.subject, ackOf(message))
      return undefined
    })
    return last
  }
}

/** Nothing was ever dropped: the beginning is known, it is empty. */
const isWhole = ({ RESOURCES_HISTORY, HISTORY, APPLIED }: Streams): boolean => RESOURCES_HISTORY.firstSeq <= 1 && HISTORY.firstSeq <= 1 && APPLIED.firstSeq <= 1

/** The checkpoint is of these streams, and all that came after it is kept. */
const reaches = ({ head: { incarnations, positions } }: StoredCheckpoint, streams: Streams): boolean =>
  incarnations.RESOURCES === streams.RESOURCES.incarnation && incarnations.CONFIG === streams.CONFIG.incarnation && incarnations.APPLIED === streams.APPLIED.incarnation && incarnations.HISTORY === streams.HISTORY.incarnation
  && positions.RESOURCES + 1 >= streams.RESOURCES_HISTORY.firstSeq && positions.HISTORY + 1 >= streams.HISTORY.firstSeq && positions.APPLIED + 1 >= streams.APPLIED.firstSeq

const beginning = ({ RESOURCES, CONFIG, APPLIED, HISTORY }: Streams): StoredCheckpoint => ({
  time: 0,
  head: {
    schema: 1, incarnations: { RESOURCES: RESOURCES.incarnation, CONFIG: CONFIG.incarnation, APPLIED: APPLIED.incarnation, HISTORY: HISTORY.incarnation },
    positions: { RESOURCES: 0, HISTORY: 0, APPLIED: 0 }, units: [], missing: 0, records: 0, raw: 0, chunks: [],
  },
})

export const resourceOf = (message: Message): PastResource => ({ subject: message.subject, seq: message.seq, time: message.time, headers: message.headers, body: bodyText(message.data) })
export const ackOf = (message: Message): PastAck => ({ subject: message.subject, seq: message.seq, time: message.time, body: bodyText(message.data) })
const splitCauses = (causes: string): readonly string[] => (causes === "" ? [] : causes.split(","))
