/**
 * What one object or entry went through, found without reading the whole history: an entry's messages name the
 * revisions that changed it, and what a function answers it answers in the order in which it came.
 */
import type { Bus, Message } from "../bus.ts"
import { bodyText, header, isDeleted, numberHeader } from "../envelope.ts"
import { streams } from "../streams.ts"
import { historySubject, parseSubject } from "../subject.ts"
import { decodeCommit, unitKey } from "../unit/commit.ts"
import { unitOfTokens } from "../unit/fold.ts"
import type { UnitId } from "../unit/unit.ts"
import { Copies, type CopiedCommit } from "./commits.ts"
import { readLog } from "./read.ts"

/** A moment after which the next question begins anew rather than reading on, ms. */
const NEAR = 5000

/** A sequence of the stream up to which all of these subjects was stored before `time`. */
export const positionBefore = async (bus: Bus, stream: "HISTORY" | "APPLIED", subject: string, time: number): Promise<number> => {
  if (time <= 0) return 0
  const { messages } = await bus.asOf(stream, [subject], { time: time - 1 })
  return messages.reduce((last, { seq }) => Math.max(last, seq), 0)
}

/** `<kind>/<key>@<sequence>`: how commits name this message of RESOURCES. */
export const causeOf = (subject: string, seq: number): string => {
  const parsed = parseSubject(subject)
  return parsed?.is === "resource" ? `${parsed.kind}/${parsed.key}@${seq}` : `${subject}@${seq}`
}

/** Commits are made whole from their copies, wherever these are met. */
export class CopyReader {
  readonly #bus: Bus
  readonly #incarnation: string

  /** `incarnation` is CONFIG's. */
  constructor(bus: Bus, incarnation: string) {
    this.#bus = bus
    this.#incarnation = incarnation
  }

  isOurs({ headers }: Message): boolean {
    return headers[header.incarnation] === this.#incarnation
  }

  /** With its parts, asked for one by one. */
  async whole(message: Message): Promise<CopiedCommit | undefined> {
    const copies = new Copies(this.#incarnation)
    for (const { seq } of decodeCommit(message.data).parts ?? []) {
      const part = await this.#bus.at("HISTORY", seq)
      if (part !== undefined) copies.take(part)
    }
    return copies.take(message)
  }

  /** Of a revision, by a moment at or after which it was copied; undefined where it is not found so. */
  async revision(unit: UnitId, rev: number, time: number): Promise<CopiedCommit | undefined> {
    const subject = historySubject(unit.plane, unit.fn)
    const [before] = (await this.#bus.asOf("HISTORY", [subject], { time })).messages
    if (before !== undefined && this.isOurs(before) && decodeCommit(before.data).rev >= rev) return decodeCommit(before.data).rev === rev ? this.whole(before) : undefined
    let found: Message | undefined
    await readLog(this.#bus, "HISTORY", subject, { after: before?.seq ?? 0 }, (message) => {
      if (!this.isOurs(message) || decodeCommit(message.data).rev < rev) return undefined
      found = message
      return "enough"
    })
    return found !== undefined && decodeCommit(found.data).rev === rev ? this.whole(found) : undefined
  }
}

/**
 * Commits that changed an entry, oldest first, of revisions after those in `revs` (by unitKey). Undefined where the
 * messages under its subject do not tell: more changes than are kept, a copy that is missing.
 */
export const commitsOfEntry = async (bus: Bus, reader: CopyReader, subject: string, revs: ReadonlyMap<string, number>): Promise<readonly CopiedCommit[] | undefined> => {
  const [, plane = ""] = subject.split(".")
  const stored: Message[] = []
  const lasts: Message[] = []
  // Commits first: what is committed and not stored as an entry yet is in the last one.
  await readLog(bus, "CONFIG", `config.${plane}.commit.*`, "state", (message) => void lasts.push(message))
  await readLog(bus, "CONFIG", subject, { after: 0 }, (message) => void stored.push(message))
  const found = new Map<string, CopiedCommit>()
  const known = new Map(revs)
  let isBeyond = false
  for (const message of stored) {
    const unit = unitOfTokens(plane, message.headers[header.writer] ?? "")
    const rev = numberHeader(message.headers, header.rev)
    if (unit === undefined || rev === undefined) return undefined
    const key = unitKey(unit)
    if (rev <= (revs.get(key) ?? 0)) isBeyond = true
    else if (rev > (known.get(key) ?? 0)) {
      const copy = await reader.revision(unit, rev, message.time)
      const row = copy?.rows.find(([of]) => of === subject)
      if (copy === undefined || row?.[1] !== (isDeleted(message.headers) ? null : bodyText(message.data))) return undefined
      found.set(`${key}/${rev}`, copy)
      known.set(key, rev)
    }
  }
  if (stored.length >= streams.CONFIG.perSubject && !isBeyond) return undefined
  for (const message of lasts) {
    const copy = await unstored(reader, message, subject, known)
    if (copy === "missing") return undefined
    if (copy !== undefined) found.set(`${unitKey(copy.unit)}/${copy.commit.rev}`, copy)
  }
  return [...found.values()].sort((a, b) => a.seq - b.seq)
}

/** The copy of a unit's last commit, where it is newer than what is known and has the entry. */
const unstored = async (reader: CopyReader, { subject: of, data, time }: Message, subject: string, known: ReadonlyMap<string, number>): Promise<CopiedCommit | "missing" | undefined> => {
  const [, plane = "", , fn = ""] = of.split(".")
  const unit = unitOfTokens(plane, fn)
  const { rev, diff } = decodeCommit(data)
  if (unit === undefined || rev <= (known.get(unitKey(unit)) ?? 0) || diff?.some(([entry]) => entry === subject) === false) return undefined
  const copy = await reader.revision(unit, rev, time)
  if (copy === undefined) return "missing"
  return copy.rows.some(([entry]) => entry === subject) ? copy : undefined
}

/** One message of a resource. */
export interface ResourceVersion {
  /** In RESOURCES. */
  readonly seq: number
  readonly time: number
}

/**
 * Commits that name any of these versions of a resource among their causes, as they were copied. Of each unit only what
 * lies between a version and the first commit that answers something newer: functions take up resources in order.
 */
export const commitsAnswering = async (bus: Bus, reader: CopyReader, subject: string, versions: readonly ResourceVersion[]): Promise<readonly CopiedCommit[]> => {
  const wanted = new Set(versions.map(({ seq }) => causeOf(subject, seq)))
  const resources = new ResourceKinds(bus)
  const units: UnitId[] = []
  await readLog(bus, "CONFIG", "config.*.commit.*", "state", ({ subject: of }) => {
    const [, plane = "", , fn = ""] = of.split(".")
    const unit = unitOfTokens(plane, fn)
    if (unit !== undefined) units.push(unit)
    return undefined
  })
  const answering = async (unit: UnitId): Promise<readonly Message[]> => {
    const filter = historySubject(unit.plane, unit.fn)
    const found: Message[] = []
    let position = 0
    /** The highest sequence of RESOURCES that the unit has answered. */
    let answered = 0
    for (const [i, version] of versions.entries()) {
      if (answered > version.seq) continue
      position = Math.max(position, await positionBefore(bus, "HISTORY", filter, version.time))
      for (let isOpen = true; isOpen;) {
        /** Causes of a kind that has not been seen yet. */
        let unknown: readonly string[] = []
        const end = await readLog(bus, "HISTORY", filter, { after: position }, (message) => {
          position = message.seq
          if (!reader.isOurs(message)) return undefined
          const { causes } = decodeCommit(message.data)
          if (causes.some((cause) => wanted.has(cause))) found.push(message)
          unknown = causes.filter((cause) => resources.has(cause) === undefined)
          if (unknown.length > 0) return "enough"
          answered = Math.max(answered, ...causes.filter((cause) => resources.has(cause)).map(seqOf))
          const next = versions.slice(i).find(({ seq }) => seq >= answered)
          return answered > version.seq && (next === undefined || next.time > message.time + NEAR) ? "enough" : undefined
        })
        if (end !== undefined) return found
        for (const cause of unknown) await resources.learn(cause)
        answered = Math.max(answered, ...unknown.filter((cause) => resources.has(cause)).map(seqOf))
        isOpen = unknown.length > 0 && answered <= version.seq
      }
    }
    return found
  }
  const found = (await Promise.all(units.map(answering))).flat().sort((a, b) => a.seq - b.seq)
  const copies = await Promise.all(found.map((message) => reader.whole(message)))
  return copies.filter((copy) => copy !== undefined)
}

const seqOf = (cause: string): number => Number(cause.slice(cause.lastIndexOf("@") + 1))
const kindOf = (cause: string): string => cause.slice(0, cause.indexOf("/"))

/** Which causes are sequences of RESOURCES, by looking at one of each kind. */
class ResourceKinds {
  readonly #bus: Bus
  readonly #known = new Map<string, boolean>()

  constructor(bus: Bus) {
    this.#bus = bus
  }

  /** Undefined: not known yet. */
  has(cause: string): boolean | undefined {
    return cause === "…" ? false : this.#known.get(kindOf(cause))
  }

  async learn(cause: string): Promise<void> {
    const kind = kindOf(cause)
    if (this.#known.has(kind)) return
    const message = await this.#bus.at("RESOURCES_HISTORY", seqOf(cause))
    this.#known.set(kind, message !== undefined && causeOf(message.subject, message.seq) === cause)
  }
}
