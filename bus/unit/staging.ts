/**
 * What a writer wants its unit to be, and how that differs from its last commit. Synchronous: the diff, its digest
 * and its count are taken in one step, so that no commit can name a state it does not carry.
 */
import { limitCauses, strayRow } from "./commit.ts"
import { Digest } from "./digest.ts"
import { MAX_BODY, type CommitHead, type Row, type StagedChange, type StageOptions, type UnitWriterOptions } from "./unit.ts"

/** A commit on its way; never changed, so that sending it again is safe. */
export interface Pending {
  readonly head: CommitHead
  readonly rows: readonly Row[]
  readonly traceparent: string | undefined
}

export interface Base {
  readonly state: Map<string, string>
  readonly digest: Digest
  readonly rev: number
  /** Whether to commit even if nothing differs: now, or with the next thing staged. */
  readonly force: boolean | "with-next"
}

export class Staging {
  /** As wanted. */
  readonly state = new Map<string, string>()
  readonly #options: UnitWriterOptions
  /** By subject: the body in the last commit (taken or acked), and what caused the wanted one. */
  #changed = new Map<string, { readonly base: string | undefined; readonly causes: readonly string[]; readonly triggers?: readonly string[] | undefined }>()
  /** Of the last commit taken. */
  #digest = new Digest()
  #rev = 0
  #causes = new Set<string>()
  #traceparent: string | undefined
  #force: Base["force"] = false
  /** Taken and not committed yet. */
  #pending: Pending | undefined
  #isStaged = false

  constructor(options: UnitWriterOptions) {
    this.#options = options
  }

  stage(changes: Iterable<StagedChange>, { causes = [], traceparent, force = false, complete = false }: StageOptions): void {
    const all = [...changes]
    this.#check(all)
    this.#isStaged = true
    const isFirst = force && this.#rev === 0 && this.#pending === undefined
    let differs = isFirst
    for (const { subject, body, causes: rowCauses, triggers } of all) differs = this.#want(subject, body ?? undefined, rowCauses, triggers) || differs
    if (complete) {
      const named = new Set(all.map(({ subject }) => subject))
      for (const subject of this.state.keys()) if (!named.has(subject)) differs = this.#want(subject, undefined, causes, undefined) || differs
    }
    if (isFirst || this.#force === "with-next") this.#force = true
    if (differs) this.#because(causes, traceparent)
  }

  #check(changes: readonly StagedChange[]): void {
    for (const { subject, body } of changes) {
      if (body !== null && body.length * 3 > MAX_BODY && Buffer.byteLength(body) > MAX_BODY) throw new RangeError(`${subject}: a body of ${Buffer.byteLength(body)} bytes is above the limit of ${MAX_BODY}`)
    }
    const stray = strayRow(this.#options.unit.plane, changes.map(({ subject, body }) => [subject, body, []]))
    if (stray !== undefined) throw new RangeError(`${stray} is not an entry of plane ${this.#options.unit.plane}`)
  }

  #want(subject: string, body: string | undefined, causes: readonly string[], triggers: readonly string[] | undefined): boolean {
    const now = this.state.get(subject)
    if (now === body) return false
    const changed = this.#changed.get(subject)
    // Of two changes on the way both are answered at once.
    const both = triggers === undefined || changed?.triggers === undefined ? triggers : [...new Set([...changed.triggers, ...triggers])]
    this.#changed.set(subject, { base: changed === undefined ? now : changed.base, causes, triggers: both })
    if (body === undefined) this.state.delete(subject)
    else this.state.set(subject, body)
    return true
  }

  #because(causes: readonly string[], traceparent: string | undefined): void {
    for (const cause of causes) if (this.#causes.size < 100) this.#causes.add(cause)
    this.#traceparent ??= traceparent
  }

  /** The next commit, or undefined when there is nothing to say. */
  take(): Pending | undefined {
    const rows: Row[] = []
    for (const [subject, { base, causes, triggers }] of this.#changed) {
      const body = this.state.get(subject)
      if (body === base) continue
      this.#digest.change(subject, base, body)
      const isAll = triggers === undefined || (triggers.length === this.#causes.size && triggers.every((trigger) => this.#causes.has(trigger)))
      rows.push(isAll ? [subject, body ?? null, limitCauses(causes)] : [subject, body ?? null, limitCauses(causes), limitCauses(triggers)])
    }
    this.#changed = new Map()
    const causes = limitCauses([...this.#causes])
    const traceparent = this.#traceparent
    // Also where all of it was taken back: the next commit has other causes.
    this.#causes = new Set()
    this.#traceparent = undefined
    if (rows.length === 0 && this.#force !== true) return undefined
    const { epoch, writer, version } = this.#options
    const head = { rev: this.#rev + 1, prev: this.#rev, epoch, writer, version, digest: this.#digest.hex(), count: this.#digest.count, causes }
    this.#pending = { head, rows, traceparent }
    this.#force = false
    return this.#pending
  }

  committed(pending: Pending): void {
    this.#rev = pending.head.rev
    this.#pending = undefined
  }

  /**
   * What is stored is this, whatever was sent: the difference to what is wanted is worked out anew. As long as
   * nothing was staged, what is stored is what is wanted.
   */
  continueFrom({ state, digest, rev, force }: Base): void {
    const reasons = new Map<string, Pick<StagedChange, "causes" | "triggers">>()
    for (const [subject, , causes, triggers = this.#pending?.head.causes ?? []] of this.#pending?.rows ?? []) reasons.set(subject, { causes, triggers })
    for (const [subject, { causes, triggers }] of this.#changed) reasons.set(subject, { causes, ...(triggers === undefined ? {} : { triggers }) })
    if (this.#pending !== undefined) this.#because(this.#pending.head.causes, this.#pending.traceparent)
    this.#pending = undefined
    this.#changed = new Map()
    if (!this.#isStaged) {
      this.state.clear()
      for (const [subject, body] of state) this.state.set(subject, body)
    } else {
      for (const subject of new Set([...state.keys(), ...this.state.keys()])) {
        const base = state.get(subject)
        if (base !== this.state.get(subject)) this.#changed.set(subject, { base, causes: [], ...reasons.get(subject) })
      }
    }
    this.#digest = new Digest(digest)
    this.#rev = rev
    if (this.#force !== true) this.#force = force === "with-next" && this.#isStaged ? true : force
  }
}
