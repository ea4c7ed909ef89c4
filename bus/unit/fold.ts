/**
 * The cold read: messages of CONFIG in stream order, last per subject at least, folded into units. At every sequence
 * of the stream the entries, overlaid with the last commit's diff, are exactly the state that commit's digest names
 * (I1), so one pass over what is stored is enough wherever it ends. Pure.
 */
import type { Message } from "../bus.ts"
import { bodyText, header, isDeleted } from "../envelope.ts"
import { decodeToken } from "../subject.ts"
import { decodeCommit, decodeRows, headOf, strayRow } from "./commit.ts"
import { Digest } from "./digest.ts"
import type { Commit, CommitHead, Row, UnitId } from "./unit.ts"

/** A verified unit as of its last commit. */
export interface UnitSnapshot {
  readonly commit: CommitHead
  /** Of the commit message. */
  readonly seq: number
  readonly time: number
  readonly traceparent: string | undefined
  readonly state: Map<string, string>
  readonly digest: Digest
  /** Causes of an entry, comma-separated as in its header. */
  readonly causes: ReadonlyMap<string, string>
  /** Rows of the commit that are not stored as entries yet. */
  readonly unstored: readonly Row[]
  /** Removed entries still in the stream. */
  readonly tombstones: ReadonlyMap<string, { readonly seq: number; readonly time: number }>
  /** Whether part messages are still in the stream. */
  readonly hasParts: boolean
}

export type Verdict =
  | { readonly is: "verified"; readonly snapshot: UnitSnapshot }
  | { readonly is: "uncommitted" }
  /** Parts to fetch (cold.ts) and give to `part`. */
  | { readonly is: "incomplete"; readonly parts: NonNullable<Commit["parts"]> }
  | { readonly is: "mismatch"; readonly message: string }

export interface UnitSubject {
  readonly is: "entry" | "commit" | "part"
  readonly plane: string
  /** The function's token; undefined for an entry, whose header names it. */
  readonly fn: string | undefined
}

/** Tokens of a CONFIG subject, without decoding: it runs for every message of a replay. */
export const unitSubject = (subject: string): UnitSubject => {
  const [, plane = "", section = "", fn] = subject.split(".", 4)
  if (section === "commit" || section === "part") return { is: section, plane, fn }
  return { is: "entry", plane, fn: undefined }
}

/** Undefined for tokens that no name gives. */
export const unitOfTokens = (plane: string, fn: string): UnitId | undefined => {
  try {
    return { plane: decodeToken(plane), fn: decodeToken(fn) }
  } catch {
    return undefined
  }
}

/** Folds of all units under one filter, by `<plane token>.<function token>`. */
export class Folds {
  readonly units = new Map<string, UnitFold>()
  /** Messages that name no function: nobody's. */
  strays = 0

  take(message: Message): void {
    const { is, plane, fn = message.headers[header.writer] ?? "" } = unitSubject(message.subject)
    const fold = this.#of(plane, fn)
    if (fold === undefined) this.strays++
    else if (is === "entry") fold.entry(message)
    else if (is === "commit") fold.lastCommit = message
    else fold.part(message)
  }

  #of(plane: string, fn: string): UnitFold | undefined {
    const key = `${plane}.${fn}`
    const known = this.units.get(key)
    if (known !== undefined) return known
    const unit = fn === "" ? undefined : unitOfTokens(plane, fn)
    if (unit === undefined) return undefined
    const fold = new UnitFold(unit)
    this.units.set(key, fold)
    return fold
  }
}

export class UnitFold {
  readonly unit: UnitId
  lastCommit: Message | undefined
  readonly state = new Map<string, string>()
  readonly digest = new Digest()
  readonly #causes = new Map<string, string>()
  readonly #tombstones = new Map<string, { seq: number; time: number }>()
  readonly #parts = new Map<number, Uint8Array>()

  constructor(unit: UnitId) {
    this.unit = unit
  }

  entry({ subject, seq, time, headers, data }: Message): void {
    const before = this.state.get(subject)
    if (isDeleted(headers)) {
      this.#tombstones.set(subject, { seq, time })
      this.#set(subject, before, undefined, "")
    } else {
      this.#tombstones.delete(subject)
      this.#set(subject, before, bodyText(data), headers[header.causes] ?? "")
    }
  }

  part({ seq, data }: Pick<Message, "seq" | "data">): void {
    this.#parts.set(seq, data)
  }

  #set(subject: string, before: string | undefined, after: string | undefined, causes: string): void {
    this.digest.change(subject, before, after)
    if (after === undefined) {
      this.state.delete(subject)
      this.#causes.delete(subject)
    } else {
      this.state.set(subject, after)
      if (causes !== "") this.#causes.set(subject, causes)
      else this.#causes.delete(subject)
    }
  }

  /** Whether the fold is the state of the last commit. Uses the fold up, unless it answers "incomplete". */
  verify(): Verdict {
    const message = this.lastCommit
    if (message === undefined) return { is: "uncommitted" }
    try {
      const commit = decodeCommit(message.data)
      // Entries that are all stored need no diff: its parts may be gone.
      if (this.#agrees(commit)) return this.#verified(commit, message, [])
      const missing = (commit.parts ?? []).filter(({ seq }) => !this.#parts.has(seq))
      if (missing.length > 0) return { is: "incomplete", parts: missing }
      const unstored = this.#overlay(rowsOf(commit, (seq) => this.#parts.get(seq), this.unit.plane))
      if (this.#agrees(commit)) return this.#verified(commit, message, unstored)
      return { is: "mismatch", message: `stored entries and diff of revision ${commit.rev} (sequence ${message.seq}) give ${this.digest.count} entries, digest ${this.digest.hex().slice(0, 12)}, the commit says ${commit.count}, ${commit.digest.slice(0, 12)}` }
    } catch (error) {
      return { is: "mismatch", message: `the commit at sequence ${message.seq} is unreadable: ${String(error)}` }
    }
  }

  #agrees(commit: Commit): boolean {
    return this.digest.count === commit.count && this.digest.hex() === commit.digest
  }

  /** Puts the diff over the entries; returns the rows that were not there. */
  #overlay(rows: readonly Row[]): readonly Row[] {
    return rows.filter(([subject, body, causes]) => {
      const before = this.state.get(subject)
      const after = body ?? undefined
      if (before === after) return false
      this.#set(subject, before, after, causes.join(","))
      return true
    })
  }

  #verified(commit: Commit, { seq, time, headers }: Message, unstored: readonly Row[]): Verdict {
    return { is: "verified", snapshot: {
      commit: headOf(commit), seq, time, traceparent: headers[header.traceparent], state: this.state, digest: this.digest,
      causes: this.#causes, unstored, tombstones: this.#tombstones, hasParts: this.#parts.size > 0,
    } }
  }
}

/** A commit's rows, from itself or its parts. Throws when a part is missing or a row is not of this plane. */
export const rowsOf = (commit: Commit, part: (seq: number) => Uint8Array | undefined, plane: string): readonly Row[] => {
  const rows = commit.diff ?? (commit.parts ?? []).flatMap(({ k, seq }) => {
    const data = part(seq)
    if (data === undefined) throw new RangeError(`part ${k} (sequence ${seq}) is missing`)
    return decodeRows(data)
  })
  const stray = strayRow(plane, rows)
  if (stray !== undefined) throw new RangeError(`row ${stray} is not of plane ${plane}`)
  return rows
}
