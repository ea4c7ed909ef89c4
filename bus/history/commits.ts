/** Copies of commits in HISTORY, and what they make of the units they are of. */
import type { Message } from "../bus.ts"
import { header, numberHeader } from "../envelope.ts"
import { unitKey, decodeCommit, headOf } from "../unit/commit.ts"
import { Digest } from "../unit/digest.ts"
import { rowsOf, unitOfTokens } from "../unit/fold.ts"
import type { Commit, CommitHead, Row, UnitId } from "../unit/unit.ts"
import type { PastEntry, PastUnit } from "./state.ts"

/** A commit as its copy tells of it. */
export interface CopiedCommit {
  readonly unit: UnitId
  readonly commit: CommitHead
  /** Of the original in CONFIG. */
  readonly seq: number
  readonly time: number
  /** Empty when a part is missing. */
  readonly rows: readonly Row[]
  /** Why `rows` is not what was committed. */
  readonly defect: string | undefined
}

/** Puts commits together again from messages of HISTORY, in stream order. Copies of another incarnation of CONFIG are left out. */
export class Copies {
  readonly #incarnation: string
  readonly #parts = new Map<string, Map<number, Uint8Array>>()

  constructor(incarnation: string) {
    this.#incarnation = incarnation
  }

  /** Undefined for a part, and for what is no copy of this incarnation. */
  take(message: Message): CopiedCommit | undefined {
    const [, what, plane = "", fn = ""] = message.subject.split(".")
    const unit = unitOfTokens(plane, fn)
    if (unit === undefined || message.headers[header.incarnation] !== this.#incarnation) return undefined
    const key = unitKey(unit)
    if (what === "part") {
      const parts = this.#parts.get(key) ?? new Map<number, Uint8Array>()
      this.#parts.set(key, parts.set(message.seq, message.data))
      return undefined
    }
    const seq = numberHeader(message.headers, header.seq)
    const time = numberHeader(message.headers, header.stored)
    if (what !== "commit" || seq === undefined || time === undefined) return undefined
    const commit = decodeCommit(message.data)
    const { rows, defect } = this.#rows(key, commit, plane === "" ? "" : unit.plane)
    return { unit, commit: headOf(commit), seq, time, rows, defect }
  }

  /** The first part whose commit has not been seen; Infinity: there is none. */
  get pendingFrom(): number {
    return Math.min(Infinity, ...[...this.#parts.values()].flatMap((parts) => [...parts.keys()].slice(0, 1)))
  }

  #rows(key: string, commit: Commit, plane: string): { readonly rows: readonly Row[]; readonly defect: string | undefined } {
    const parts = this.#parts.get(key)
    this.#parts.delete(key)
    try {
      return { rows: rowsOf(commit, (seq) => parts?.get(seq), plane), defect: undefined }
    } catch (error) {
      return { rows: [], defect: error instanceof Error ? error.message : String(error) }
    }
  }
}

/** One unit, folded from a base on. */
export class UnitPast {
  readonly unit: UnitId
  readonly entries: Map<string, PastEntry>
  head: CommitHead | undefined
  seq = 0
  time = 0
  readonly #digest: Digest
  #gaps: string[] = []

  constructor(unit: UnitId, base?: PastUnit & { readonly entries: Map<string, PastEntry> }) {
    this.unit = unit
    this.entries = base?.entries ?? new Map()
    this.#digest = base === undefined ? new Digest() : Digest.parse(base.commit.digest, base.commit.count)
    if (base !== undefined) [this.head, this.seq, this.time] = [base.commit, base.seq, base.time]
  }

  /** The next commit; what is in the base already is passed over. */
  apply({ commit, seq, time, rows, defect }: CopiedCommit): void {
    if (seq <= this.seq) return
    const rev = this.head?.rev ?? 0
    if (commit.prev !== rev) this.#gaps.push(`revisions ${rev + 1} to ${commit.prev} of ${this.name} are not in the history`)
    if (defect !== undefined) this.#gaps.push(`revision ${commit.rev} of ${this.name} is not whole in the history: ${defect}`)
    for (const [subject, body, causes] of rows) {
      this.#digest.change(subject, this.entries.get(subject)?.body, body ?? undefined)
      if (body === null) this.entries.delete(subject)
      else this.entries.set(subject, { body, causes: causes.join(",") })
    }
    this.head = commit
    this.seq = seq
    this.time = time
  }

  get name(): string {
    return `the unit ${this.unit.plane}/${this.unit.fn}`
  }

  /** Why the entries are not what the last commit says; an equal digest excuses every gap. */
  get doubt(): string | undefined {
    if (this.head === undefined || (this.#digest.count === this.head.count && this.#digest.hex() === this.head.digest)) return undefined
    return this.#gaps.at(-1) ?? `what is kept of ${this.name} does not give the digest of its revision ${this.head.rev}`
  }

  get value(): PastUnit | undefined {
    return this.head === undefined ? undefined : { unit: this.unit, commit: this.head, seq: this.seq, time: this.time, entries: this.entries }
  }
}
