/**
 * Writes one unit. One commit at a time: commit → ack → its entries → acks → the next; what is staged meanwhile
 * coalesces. Whenever it is not certain what is stored (refused, no answer in time, a foreign commit), the last
 * commit decides: a higher epoch ends this writer, its own means the ack was lost, and over a lower one it commits
 * again.
 */
import type { Bus, Following, Headers, Message, Outgoing } from "../bus.ts"
import { header, numberHeader } from "../envelope.ts"
import { commitSubject } from "../subject.ts"
import { backoff, delay, systemClock } from "./clock.ts"
import { readUnit, type ColdRead } from "./cold.ts"
import { chunkRows } from "./commit.ts"
import { Committer } from "./committer.ts"
import { History, type HistoryItem } from "./history.ts"
import { judge } from "./last-commit.ts"
import { commitHeaders, entryMessage, traced } from "./messages.ts"
import { publishAll, reasonOf } from "./publish.ts"
import { Staging, type Pending } from "./staging.ts"
import { Tombstones } from "./tombstones.ts"
import { HigherEpochError, type Clock, type ClaimedUnit, type Row, type StagedChange, type StageOptions, type UnitId, type UnitWriter, type UnitWriterOptions } from "./unit.ts"

const DAY = 86_400_000
/** Unanswered at a time: few enough that none waits a second behind the others. */
const ENTRY_WINDOW = 1024

/**
 * Reads the unit, then stores the entries its last commit left out, in the background. Rejects with HigherEpochError,
 * and with BusError "no-stream" or "closed". Until the first `stage`, `state()` is what is stored.
 */
export const openUnit = async (bus: Bus, options: UnitWriterOptions): Promise<UnitWriter> => {
  const writer = new Writer(bus, options)
  await writer.open()
  return writer
}

class Writer implements UnitWriter {
  readonly unit: UnitId
  readonly #bus: Bus
  readonly #options: UnitWriterOptions
  readonly #clock: Clock
  readonly #staging: Staging
  readonly #committer: Committer
  readonly #history: History
  readonly #tombstones: Tombstones
  readonly #subject: string
  readonly #over = new AbortController()
  #isOpen = false
  #incarnation = ""
  /** Sequence of the last commit, 0: none. What every message of ours expects. */
  #seq = 0
  /** Highest sequence of a commit of somebody else. */
  #foreign = 0
  /** Of the last commit: rows not stored as entries yet, and the headers they get. */
  #unstored: readonly Row[] = []
  #headers: Headers = {}
  /** The last commit, until it is copied to the history: once readers have it and its entries are stored. */
  #uncopied: HistoryItem | undefined
  #following: Following | undefined
  #working: Promise<void> | undefined
  #waiters: PromiseWithResolvers<void>[] = []
  /** Of these all that was staged is in the commit under way. */
  #covered: PromiseWithResolvers<void>[] = []

  constructor(bus: Bus, options: UnitWriterOptions) {
    this.unit = options.unit
    this.#bus = bus
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#staging = new Staging(options)
    this.#committer = new Committer(bus, options.unit)
    this.#history = new History({
      bus, unit: options.unit, clock: this.#clock,
      onNote: (reason, message) => this.#note(reason, message),
      onIdle: () => { if (this.#committer.hasParts) this.#work() },
    })
    this.#tombstones = new Tombstones(bus, this.#clock, options.tombstoneWindow ?? 7 * DAY)
    this.#subject = commitSubject(options.unit.plane, options.unit.fn)
  }

  async open(): Promise<void> {
    const { signal } = this.#options
    const giveUp = (): void => this.#finish(new Error(`the writer of ${this.#name()} was stopped`))
    if (signal?.aborted === true) giveUp()
    else signal?.addEventListener("abort", giveUp, { once: true })
    const claimed = this.#options.reader?.claim(this.unit, (message) => this.#noticed(message))
    if (claimed !== undefined && (await this.#isCurrent(claimed))) this.#adopt(claimed)
    else await this.#readAgain()
    if (this.#over.signal.aborted) throw this.#over.signal.reason
    this.#isOpen = true
    if (this.#options.reader === undefined) {
      this.#following = this.#bus.follow({
        stream: "CONFIG", filter: this.#subject, from: { after: this.#seq },
        onMessage: (message) => this.#noticed(message),
        onLost: (reason) => this.#end("store-lost", `CONFIG was lost: ${reason}`),
      })
    }
    this.#work()
  }

  /** What a reader has may be behind: messages on their way to it. */
  async #isCurrent({ snapshot }: ClaimedUnit): Promise<boolean> {
    try {
      return ((await this.#bus.last("CONFIG", this.#subject))?.seq ?? 0) === (snapshot?.seq ?? 0)
    } catch (error) {
      reasonOf(error)
      return false
    }
  }

  get seq(): number {
    return this.#seq
  }

  state(): ReadonlyMap<string, string> {
    return this.#staging.state
  }

  stage(changes: Iterable<StagedChange>, options: StageOptions = {}): void {
    this.#staging.stage(changes, options)
    this.#work()
  }

  settled(): Promise<void> {
    if (this.#over.signal.aborted) return Promise.reject(this.#over.signal.reason)
    if (this.#working === undefined) return Promise.resolve()
    const waiter = Promise.withResolvers<void>()
    this.#waiters.push(waiter)
    return waiter.promise
  }

  /** Finishes the message under way; what is staged and not committed is dropped: `settled` first. */
  async stop(): Promise<void> {
    this.#finish(new Error(`the writer of ${this.#name()} was stopped`))
    await Promise.all([this.#working, this.#history.stop(), this.#following?.stop()])
  }

  #name(): string {
    return `unit ${this.unit.plane}/${this.unit.fn}`
  }

  #note(reason: string, message: string): void {
    this.#options.onNote?.(reason, `${this.#name()}: ${message}`)
  }

  #finish(reason: Error): void {
    if (this.#over.signal.aborted) return
    this.#over.abort(reason)
    this.#tombstones.stop()
    for (const waiter of [...this.#covered.splice(0), ...this.#waiters.splice(0)]) waiter.reject(reason)
  }

  #end(reason: "higher-epoch" | "store-lost", message: string, error = new Error(`${this.#name()}: ${message}`)): void {
    if (this.#over.signal.aborted) return
    this.#finish(error)
    void this.#following?.stop()
    // Before that, `open` rejects.
    if (this.#isOpen) this.#options.onSteppedDown(reason, message)
  }

  #noticed(message: Message): void {
    const isOwn = numberHeader(message.headers, header.epoch) === this.#options.epoch
    if (isOwn) this.#history.noticed(message)
    if (isOwn || message.seq <= this.#seq) return
    this.#foreign = Math.max(this.#foreign, message.seq)
    this.#work()
  }

  /** Starts, in a microtask so that all that is staged in one go is one commit. */
  #work(): void {
    if (this.#over.signal.aborted || !this.#isOpen) return
    this.#working ??= Promise.resolve().then(() => this.#untilNothingIsLeft())
  }

  /** In the tick that found nothing left: what is staged a microtask later is work of its own. */
  #rest(): void {
    this.#working = undefined
    for (const waiter of this.#waiters.splice(0)) waiter.resolve()
  }

  async #untilNothingIsLeft(): Promise<void> {
    while (!this.#over.signal.aborted) {
      if (this.#foreign > this.#seq) await this.#resolve()
      else if (this.#unstored.length > 0) await this.#storeEntries()
      else {
        this.#copy()
        const room = this.#history.room()
        if (room !== undefined) {
          await room
          continue
        }
        if (this.#history.isIdle) this.#committer.forgetParts(this.#seq)
        // Before what was staged since: under constant change nobody would ever be told.
        for (const waiter of this.#covered.splice(0)) waiter.resolve()
        const pending = this.#staging.take()
        if (pending === undefined) return this.#rest()
        this.#covered = this.#waiters.splice(0)
        await this.#commit(pending)
      }
    }
  }

  async #commit(pending: Pending): Promise<void> {
    const { head, rows } = pending
    const traceparent = this.#options.onCommitting?.(head, rows.length, pending.traceparent) ?? pending.traceparent
    const chunks = chunkRows(rows, this.#options.partBytes)
    const headers = commitHeaders(this.unit, head)
    let message: Outgoing | undefined
    for (let attempt = 0; ; attempt++) {
      let seq: number | undefined
      try {
        message ??= await this.#committer.prepare(head, chunks, traced(headers, traceparent), this.#seq)
        const ack = await this.#bus.publish(message)
        if (!ack.duplicate) seq = ack.seq
      } catch (error) {
        const reason = reasonOf(error)
        // The next attempts meet the same, for as long as it lasts.
        if (reason !== "conflict" && attempt === 0) this.#note("CommitUncertain", `revision ${head.rev}: ${String(error)}`)
      }
      if (this.#over.signal.aborted && seq === undefined) return
      if (seq === undefined) {
        const found = await this.#resolve(pending)
        if (found === "moved") return
        if (typeof found === "number") seq = found
      }
      if (seq !== undefined) return this.#committed(pending, chunks, headers, seq, traceparent)
      await delay(this.#clock, backoff(this.#clock, attempt), this.#over.signal)
    }
  }

  #committed(pending: Pending, chunks: readonly string[], headers: Headers, seq: number, traceparent: string | undefined): void {
    const { head, rows } = pending
    this.#seq = seq
    this.#unstored = rows
    this.#headers = traced(headers, traceparent)
    this.#staging.committed(pending)
    this.#options.onCommitted?.(head, seq)
    this.#uncopied = { head, seq, chunks, headers }
  }

  #copy(): void {
    if (this.#uncopied !== undefined) this.#history.add(this.#uncopied)
    this.#uncopied = undefined
  }

  async #storeEntries(): Promise<void> {
    const left = new Set(this.#unstored)
    for (let attempt = 0; left.size > 0 && !this.#over.signal.aborted; attempt++) {
      try {
        await publishAll(this.#bus, [...left], ENTRY_WINDOW, (row) => entryMessage(this.unit, row, this.#headers, this.#seq), (row, { seq }) => {
          left.delete(row)
          if (row[1] === null) this.#tombstones.keep(row[0], seq, this.#clock.wall())
          else this.#tombstones.drop(row[0])
        })
      } catch (error) {
        const reason = reasonOf(error)
        if (reason !== "conflict" && attempt === 0) this.#note("EntriesUncertain", `${left.size} entries: ${String(error)}`)
        if ((await this.#resolve()) === "moved") return
        await delay(this.#clock, backoff(this.#clock, attempt), this.#over.signal)
      }
    }
    this.#unstored = []
  }

  /**
   * Looks what the last commit is. A number: it is the pending one, at that sequence. "same": the one we know.
   * "moved": somebody else's was taken over, or this writer is over.
   */
  async #resolve(pending?: Pending): Promise<number | "same" | "moved"> {
    for (let attempt = 0; !this.#over.signal.aborted; attempt++) {
      try {
        const [{ incarnation }, last] = await Promise.all([this.#bus.info("CONFIG"), this.#bus.last("CONFIG", this.#subject)])
        if (this.#over.signal.aborted) break
        const found = judge(incarnation, last, { incarnation: this.#incarnation, epoch: this.#options.epoch, seq: this.#seq, foreign: this.#foreign, pending: pending?.head })
        switch (found.is) {
          case "same":
            return "same"
          case "pending":
            return found.seq
          case "foreign":
            await this.#readAgain()
            return "moved"
          case "outranking":
            this.#outranked(found.epoch)
            return "moved"
          case "lost":
            this.#end("store-lost", "CONFIG was made anew")
            return "moved"
          case "behind":
            break
        }
      } catch (error) {
        if (this.#over.signal.aborted) break
        const reason = reasonOf(error)
        if (reason === "no-stream") this.#end("store-lost", String(error))
        if (reason === "closed") this.#finish(new Error(`${this.#name()}: the bus is closed`))
      }
      await delay(this.#clock, backoff(this.#clock, attempt), this.#over.signal)
    }
    return "moved"
  }

  async #readAgain(): Promise<void> {
    // What they wait for will be committed again, over what is found.
    this.#waiters.unshift(...this.#covered.splice(0))
    const { incarnation, verdict, fold } = await readUnit(this.#bus, this.unit, this.#clock, this.#over.signal)
    if (this.#over.signal.aborted) return
    if (verdict.is === "verified") return this.#adopt({ incarnation, snapshot: verdict.snapshot })
    if (verdict.is === "uncommitted" && this.#seq === 0) return this.#adopt({ incarnation, snapshot: undefined })
    if (verdict.is === "uncommitted" || (this.#incarnation !== "" && incarnation !== this.#incarnation)) return this.#end("store-lost", "CONFIG was made anew")
    this.#note("DigestMismatch", `${verdict.message}; what is wanted will be committed anew`)
    this.#repair(incarnation, fold)
  }

  /** The verified state becomes what the next commit continues. */
  #adopt({ incarnation, snapshot }: ClaimedUnit): void {
    if (this.#incarnation !== "" && incarnation !== this.#incarnation) return this.#end("store-lost", "CONFIG was made anew")
    const isFirst = this.#incarnation === ""
    this.#incarnation = incarnation
    if (snapshot === undefined || snapshot.commit.epoch <= this.#options.epoch) this.#history.open(incarnation, snapshot?.seq ?? 0)
    if (snapshot === undefined) return
    const { commit, seq, state, digest, unstored, tombstones, hasParts } = snapshot
    if (commit.epoch > this.#options.epoch) return this.#outranked(commit.epoch)
    if (!isFirst) this.#note("ForeignCommit", `revision ${commit.rev} of the writer ${commit.writer} (epoch ${commit.epoch}) is taken over`)
    this.#seq = seq
    this.#unstored = unstored
    this.#headers = commitHeaders(this.unit, commit)
    this.#committer.hasParts ||= hasParts
    for (const [subject, { seq: at, time }] of tombstones) this.#tombstones.keep(subject, at, time)
    this.#staging.continueFrom({ state, digest, rev: commit.rev, force: !isFirst || commit.epoch < (this.#options.fence ?? 0) })
  }

  /** The stored state is not what its commit says: the next commit says what is true, against what is stored. */
  #repair(incarnation: string, { lastCommit, state, digest }: ColdRead["fold"]): void {
    const known = lastCommit && { epoch: numberHeader(lastCommit.headers, header.epoch) ?? 0, rev: numberHeader(lastCommit.headers, header.rev) ?? 0 }
    if (lastCommit === undefined || known === undefined) return
    if (known.epoch > this.#options.epoch) return this.#outranked(known.epoch)
    this.#incarnation = incarnation
    this.#history.open(incarnation, lastCommit.seq)
    this.#seq = lastCommit.seq
    this.#unstored = []
    this.#staging.continueFrom({ state, digest, rev: known.rev, force: "with-next" })
  }

  #outranked(epoch: number): void {
    const error = new HigherEpochError(this.unit, epoch)
    this.#end("higher-epoch", error.message, error)
  }
}
