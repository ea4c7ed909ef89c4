/**
 * Follows one filter of CONFIG and hands on verified steps of its units. Cold: everything stored is folded, overlaid
 * with the last commit's diff and checked. Live: only commits count; each must continue the last one and give the
 * digest it names, else the unit is read again, and what arrives meanwhile waits.
 */
import type { Bus, Message } from "../bus.ts"
import { header } from "../envelope.ts"
import { backoff, delay, systemClock } from "./clock.ts"
import { readUnit, type ColdRead } from "./cold.ts"
import { decodeCommit, headOf, unitKey } from "./commit.ts"
import { Digest } from "./digest.ts"
import { Folds, rowsOf, unitOfTokens, unitSubject, type UnitSnapshot } from "./fold.ts"
import type { ClaimedUnit, Clock, Commit, CommitHead, Row, UnitId, UnitReader, UnitReaderOptions } from "./unit.ts"

interface Unit {
  readonly id: UnitId
  /** What was handed on last. */
  state: Map<string, string>
  digest: Digest
  rev: number
  epoch: number
  seq: number
  /** Part messages since the last commit, newest of each subject. */
  parts: Map<string, Message>
  /** While the unit is read again: what arrived. */
  rereading: { readonly queue: Message[]; readonly wake: AbortController } | undefined
  /** The cold read, while nothing was committed since (option `claimable`). */
  fresh: UnitSnapshot | undefined
  claimed: ((message: Message) => void) | undefined
}

const emptyUnit = (id: UnitId): Unit => ({ id, state: new Map(), digest: new Digest(), rev: 0, epoch: 0, seq: 0, parts: new Map(), rereading: undefined, fresh: undefined, claimed: undefined })

export const readUnits = (bus: Bus, options: UnitReaderOptions): UnitReader => new Reader(bus, options)

class Reader implements UnitReader {
  readonly #bus: Bus
  readonly #options: UnitReaderOptions
  readonly #clock: Clock
  readonly #units = new Map<string, Unit>()
  readonly #following
  readonly #ended = new AbortController()
  /** Undefined once caught up. */
  #folds: Folds | undefined = new Folds()
  /** Units with a commit at attach that could not be handed on at once; undefined before that is known. */
  #awaited: Set<Unit> | undefined
  #incarnation = ""

  constructor(bus: Bus, options: UnitReaderOptions) {
    this.#bus = bus
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#following = bus.follow({
      stream: "CONFIG", filter: options.filter, from: "state",
      onMessage: (message) => this.#take(message),
      onCaughtUp: ({ incarnation }) => this.#caughtUp(incarnation),
      onLost: (reason) => this.#lost(reason),
      ...(options.onStalled === undefined ? {} : { onStalled: options.onStalled }),
    })
  }

  state(unit: UnitId): ReadonlyMap<string, string> | undefined {
    const found = this.#units.get(unitKey(unit))
    return found === undefined || found.seq === 0 ? undefined : found.state
  }

  units(): readonly UnitId[] {
    return [...this.#units.values()].filter((unit) => unit.seq > 0).map((unit) => unit.id)
  }

  get seen(): number {
    if (this.#awaited === undefined || this.#awaited.size > 0) return 0
    let { seen } = this.#following
    for (const { rereading, seq } of this.#units.values()) if (rereading !== undefined) seen = Math.min(seen, seq)
    return seen
  }

  claim(id: UnitId, onCommit: (message: Message) => void): ClaimedUnit | undefined {
    const unit = this.#unit(unitKey(id), id)
    const { fresh, seq, rereading } = unit
    this.#units.set(unitKey(id), { ...emptyUnit(id), claimed: onCommit })
    unit.rereading = undefined
    rereading?.wake.abort()
    if (this.#awaited === undefined) return undefined
    this.#handedOn(unit)
    if (rereading !== undefined || (seq > 0 && fresh === undefined)) return undefined
    return { incarnation: this.#incarnation, snapshot: fresh }
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    await this.#following.stop()
  }

  #unit(key: string, id: UnitId): Unit {
    let unit = this.#units.get(key)
    if (unit === undefined) {
      unit = emptyUnit(id)
      this.#units.set(key, unit)
    }
    return unit
  }

  #newUnit(plane: string, fn: string): Unit | undefined {
    const id = unitOfTokens(plane, fn)
    return id === undefined ? undefined : this.#unit(`${plane}.${fn}`, id)
  }

  #note(unit: UnitId | undefined, reason: string, message: string): void {
    this.#options.onNote?.(reason, unit === undefined ? message : `unit ${unit.plane}/${unit.fn}: ${message}`)
  }

  #take(message: Message): void {
    if (this.#ended.signal.aborted) return
    if (this.#folds !== undefined) return this.#folds.take(message)
    const { is, plane, fn } = unitSubject(message.subject)
    if (is === "entry" || fn === undefined) return
    const unit = this.#units.get(`${plane}.${fn}`) ?? this.#newUnit(plane, fn)
    if (unit === undefined) return this.#note(undefined, "StraySubject", `${message.subject} is no unit's`)
    if (is === "part") {
      if (unit.claimed === undefined) unit.parts.set(message.subject, message)
    } else if (unit.claimed !== undefined) unit.claimed(message)
    else if (unit.rereading !== undefined) {
      unit.rereading.queue.push(message)
      unit.rereading.wake.abort()
    } else this.#apply(unit, message)
  }

  #caughtUp(incarnation: string): void {
    const folds = this.#folds ?? new Folds()
    this.#folds = undefined
    this.#incarnation = incarnation
    if (folds.strays > 0) this.#note(undefined, "StrayEntry", `${folds.strays} entries name no function and are ignored`)
    const awaited = new Set<Unit>()
    for (const [key, fold] of folds.units) {
      const unit = this.#unit(key, fold.unit)
      if (fold.lastCommit === undefined) continue
      if (unit.claimed !== undefined) {
        unit.claimed(fold.lastCommit)
        continue
      }
      const verdict = fold.verify()
      if (verdict.is === "verified") {
        this.#replace(unit, verdict.snapshot)
        continue
      }
      awaited.add(unit)
      if (verdict.is === "mismatch") this.#note(unit.id, "DigestMismatch", `${verdict.message}; reading again`)
      void this.#reread(unit, verdict.is === "mismatch" ? 1000 : 0)
    }
    // Set last: what is handed on at once must not look like the end.
    this.#awaited = awaited
    if (awaited.size === 0) this.#options.onCaughtUp(incarnation)
  }

  /** Once nothing is awaited any more, the reader is caught up. */
  #handedOn(unit: Unit): void {
    if (this.#awaited?.delete(unit) === true && this.#awaited.size === 0) this.#options.onCaughtUp(this.#incarnation)
  }

  /** One commit while live. */
  #apply(unit: Unit, message: Message): void {
    if (message.seq <= unit.seq) return
    this.#options.onTaken?.()
    const parts = new Map<number, Uint8Array>()
    for (const [subject, { seq, data }] of unit.parts) {
      if (seq > message.seq) continue
      parts.set(seq, data)
      unit.parts.delete(subject)
    }
    let commit: Commit
    let rows: readonly Row[]
    try {
      commit = decodeCommit(message.data)
      if (commit.epoch < unit.epoch) return this.#note(unit.id, "LowerEpoch", `revision ${commit.rev} of the writer ${commit.writer} (epoch ${commit.epoch}) is ignored: epoch ${unit.epoch} has committed`)
      if (commit.prev !== unit.rev) throw new RangeError(`revision ${commit.rev} continues ${commit.prev}, not ${unit.rev}`)
      rows = rowsOf(commit, (seq) => parts.get(seq), unit.id.plane)
    } catch (error) {
      return this.#doubt(unit, message, "CommitGap", error instanceof Error ? error.message : String(error))
    }
    const digest = new Digest(unit.digest)
    for (const [subject, body] of rows) digest.change(subject, unit.state.get(subject), body ?? undefined)
    if (digest.count !== commit.count || digest.hex() !== commit.digest) {
      return this.#doubt(unit, message, "DigestMismatch", `revision ${commit.rev} gives ${digest.count} entries, digest ${digest.hex().slice(0, 12)}; it says ${commit.count}, ${commit.digest.slice(0, 12)}`)
    }
    for (const [subject, body] of rows) {
      if (body === null) unit.state.delete(subject)
      else unit.state.set(subject, body)
    }
    this.#advance(unit, digest, commit, message.seq)
    unit.fresh = undefined
    this.#options.onChange({ unit: unit.id, commit: headOf(commit), seq: message.seq, time: message.time, rows, traceparent: message.headers[header.traceparent] })
    this.#handedOn(unit)
  }

  #advance(unit: Unit, digest: Digest, { rev, epoch }: CommitHead, seq: number): void {
    unit.digest = digest
    unit.rev = rev
    unit.epoch = epoch
    unit.seq = seq
  }

  #doubt(unit: Unit, message: Message, reason: string, what: string): void {
    this.#note(unit.id, reason, `${what} (sequence ${message.seq}); reading again`)
    void this.#reread(unit, 0, message)
  }

  /**
   * Keeps what was handed on until a verified state that is not older takes its place. Tries again when the next
   * commit arrives, or after a while.
   */
  async #reread(unit: Unit, wait: number, first?: Message): Promise<void> {
    const queue = first === undefined ? [] : [first]
    const signal = this.#ended.signal
    const isOver = (): boolean => signal.aborted || unit.rereading?.queue !== queue
    for (let attempt = 0; ; attempt++) {
      const arrived = queue.length
      const wake = new AbortController()
      unit.rereading = { queue, wake }
      if (attempt > 0) await delay(this.#clock, backoff(this.#clock, attempt), signal)
      if (wait > 0 && queue.length === arrived) await delay(this.#clock, wait * (0.5 + this.#clock.random()), AbortSignal.any([signal, wake.signal]))
      if (isOver()) return
      const read = await readUnit(this.#bus, unit.id, this.#clock, signal).catch(() => undefined)
      if (isOver()) return
      const doubt = read === undefined ? "it cannot be read" : this.#takeAgain(unit, read.verdict)
      if (doubt === undefined) break
      this.#note(unit.id, "Unverified", `${doubt}; reading again`)
      wait = backoff(this.#clock, attempt, { first: 1000, max: 10_000 })
    }
    unit.rereading = undefined
    // A new doubt on the way reads again, and what is left of the queue waits for it.
    for (const message of queue) this.#take(message)
  }

  /** Why what was read does not do, or undefined when it took the place of what was handed on. */
  #takeAgain(unit: Unit, verdict: ColdRead["verdict"]): string | undefined {
    if (verdict.is === "mismatch") return verdict.message
    if (verdict.is === "uncommitted") return "its commit is gone"
    const { snapshot } = verdict
    if (snapshot.seq < unit.seq) return `sequence ${snapshot.seq} is older than ${unit.seq}`
    if (snapshot.commit.epoch < unit.epoch) return `revision ${snapshot.commit.rev} is of the lower epoch ${snapshot.commit.epoch}`
    if (snapshot.seq > unit.seq) this.#replace(unit, snapshot)
    return undefined
  }

  /** Takes a verified snapshot in place of what was handed on, and hands on the difference. */
  #replace(unit: Unit, snapshot: UnitSnapshot): void {
    const { commit, seq, time, traceparent, state, digest, causes } = snapshot
    const rows: Row[] = []
    for (const [subject, body] of state) if (unit.state.get(subject) !== body) rows.push([subject, body, causes.get(subject)?.split(",") ?? []])
    for (const subject of unit.state.keys()) if (!state.has(subject)) rows.push([subject, null, []])
    unit.state = state
    this.#advance(unit, digest, commit, seq)
    unit.fresh = this.#options.claimable === true ? snapshot : undefined
    this.#options.onChange({ unit: unit.id, commit, seq, time, rows, traceparent })
    this.#handedOn(unit)
  }

  #lost(reason: string): void {
    this.#ended.abort()
    this.#options.onLost(reason)
  }
}
