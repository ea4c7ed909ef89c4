/**
 * Copies a unit's commits to HISTORY, where they are kept by age: in order, each once, behind the writer's back, with
 * the sequence and time they have in CONFIG. What a writer that died left out is copied at open, from the 64 that are
 * kept; what is not there either stays missing, and shows as a gap between two revisions.
 */
import { BusError, type Bus, type Message } from "../bus.ts"
import { bodyText, header, numberHeader } from "../envelope.ts"
import { commitSubject, encodeToken, historySubject } from "../subject.ts"
import { backoff, delay } from "./clock.ts"
import { chunkRows, decodeCommit, encodeCommit, headOf, unitKey } from "./commit.ts"
import { publishAll, reasonOf } from "./publish.ts"
import type { Clock, Commit, CommitHead, UnitId } from "./unit.ts"

export interface HistoryItem {
  readonly head: CommitHead
  /** Of the commit in CONFIG. */
  readonly seq: number
  /** The encoded diff: one chunk stands in the commit, more become parts whose sequences are HISTORY's. */
  readonly chunks: readonly string[]
  readonly headers: Readonly<Record<string, string>>
}

export interface HistoryOptions {
  readonly bus: Bus
  readonly unit: UnitId
  readonly clock: Clock
  onNote(reason: string, message: string): void
  /** Nothing is left to copy for now. */
  onIdle(): void
}

/** Copies that may wait behind the writer's back; then it waits for them. */
const MAX_WAITING = 256
/** Parts of one commit unanswered at a time. */
const PART_WINDOW = 16

export class History {
  readonly #options: HistoryOptions
  readonly #waiting: HistoryItem[] = []
  /** Server's times of commits seen in CONFIG and not copied yet, by sequence. */
  readonly #times = new Map<number, number>()
  readonly #stop = new AbortController()
  readonly #rooms: (() => void)[] = []
  #isFailing = false
  #incarnation = ""
  #isKept = true
  /** Of a last commit that was found, until all up to it is copied. */
  #foundAt: number | undefined
  #working: Promise<void> | undefined

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  /** Nothing waits to be copied, or there is no history. */
  get isIdle(): boolean {
    return this.#working === undefined
  }

  /** The unit's last commit, of whatever writer, has sequence `seq` (0: none) in this incarnation of CONFIG: up to it, what is not in the history is copied first. */
  open(incarnation: string, seq: number): void {
    this.#incarnation = incarnation
    this.#foundAt = seq
    this.#working ??= this.#work()
  }

  add(item: HistoryItem): void {
    if (!this.#isKept) return
    this.#waiting.push(item)
    this.#working ??= this.#work()
  }

  /** Undefined when more may be added; where commits come faster than copies are stored, resolves when it may. For copies that fail nobody waits: what does not fit is left out. */
  room(): Promise<void> | undefined {
    if (this.#waiting.length <= MAX_WAITING) return undefined
    if (this.#isFailing) {
      // The first may be on its way.
      this.#missing(this.#waiting.splice(1, 1)[0]?.head.rev, "it cannot be stored")
      return undefined
    }
    const room = Promise.withResolvers<void>()
    this.#rooms.push(room.resolve)
    return room.promise
  }

  #makeRoom(): void {
    if (this.#waiting.length <= MAX_WAITING || this.#isFailing || this.#stop.signal.aborted) for (const resolve of this.#rooms.splice(0)) resolve()
  }

  /** A commit of this writer came back from CONFIG. */
  noticed({ seq, time }: Message): void {
    if (this.#isKept) this.#times.set(seq, time)
  }

  /** Waits for the copy that is under way and tries no others again. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#makeRoom()
    await this.#working
  }

  #missing(rev: number | undefined, why: string): void {
    this.#options.onNote("HistoryGap", `revision ${rev} will be missing in the history: ${why}`)
  }

  async #work(): Promise<void> {
    const { clock, onIdle } = this.#options
    for (let attempt = 0; this.#isKept && (this.#foundAt !== undefined || this.#waiting.length > 0); ) {
      const found = this.#foundAt
      const item = this.#waiting[0]
      try {
        if (found !== undefined) {
          await this.#mend(found)
          if (this.#foundAt === found) this.#foundAt = undefined
          while ((this.#waiting[0]?.seq ?? Infinity) <= found) this.#waiting.shift()
        } else if (item !== undefined) {
          await this.#copy(item)
          if (this.#waiting[0] === item) this.#waiting.shift()
        }
        attempt = 0
        this.#isFailing = false
        this.#makeRoom()
      } catch (error) {
        const reason = reasonOf(error)
        this.#isFailing = true
        this.#makeRoom()
        if (this.#stop.signal.aborted || reason === "closed") break
        await delay(clock, backoff(clock, attempt++), this.#stop.signal)
      }
    }
    if (!this.#isKept) this.#waiting.length = 0
    this.#working = undefined
    onIdle()
  }

  async #mend(seq: number): Promise<void> {
    const { bus, unit } = this.#options
    const last = await bus.last("HISTORY", historySubject(unit.plane, unit.fn)).catch((error: unknown) => {
      // Asked once: the streams were made when the bus connected.
      if (reasonOf(error) !== "no-stream") throw error
      this.#isKept = false
    })
    const copied = last?.headers[header.incarnation] === this.#incarnation ? (numberHeader(last.headers, header.seq) ?? 0) : 0
    if (!this.#isKept || copied >= seq) return
    for (const stored of await this.#kept(copied, seq)) {
      this.#times.set(stored.seq, stored.time)
      const commit = this.#decoded(stored)
      const chunks = commit && (await this.#chunksOf(commit))
      if (commit === undefined) continue
      if (chunks === undefined) this.#missing(commit.rev, "its diff is no longer kept")
      else await this.#copy({ head: headOf(commit), seq: stored.seq, chunks, headers: stored.headers })
    }
  }

  /** Somebody may have written anything there: no reader has shown it either. */
  #decoded({ headers, data }: Message): Commit | undefined {
    try {
      return decodeCommit(data)
    } catch (error) {
      this.#missing(numberHeader(headers, header.rev), error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  /** Commits of the unit in CONFIG after one sequence, to and with another. */
  #kept(after: number, last: number): Promise<readonly Message[]> {
    const { bus, unit } = this.#options
    const { signal } = this.#stop
    return new Promise((resolve, reject) => {
      const found: Message[] = []
      const finish = (result: () => void): void => {
        signal.removeEventListener("abort", giveUp)
        // `follow` may call back before it returns.
        queueMicrotask(() => void following.stop())
        result()
      }
      // Some of them would do harm: what is copied after them would hide that the others are missing.
      const giveUp = (): void => finish(() => reject(new BusError("closed", "the copying was given up")))
      signal.addEventListener("abort", giveUp)
      const following = bus.follow({
        stream: "CONFIG", filter: commitSubject(unit.plane, unit.fn), from: { after },
        onMessage: (message) => { if (message.seq <= last) found.push(message) },
        onCaughtUp: () => finish(() => resolve(found)),
        // The writer learns it too, and ends.
        onLost: (reason) => finish(() => reject(new BusError("no-stream", `CONFIG was lost: ${reason}`))),
      })
      if (signal.aborted) giveUp()
    })
  }

  async #chunksOf({ diff, parts = [] }: Commit): Promise<readonly string[] | undefined> {
    if (diff !== undefined) return chunkRows(diff)
    const found = await Promise.all(parts.map((part) => this.#options.bus.at("CONFIG", part.seq)))
    return found.every((part) => part !== undefined) ? found.map(({ data }) => bodyText(data)) : undefined
  }

  async #copy({ head, seq, chunks, headers: own }: HistoryItem): Promise<void> {
    const { bus, unit } = this.#options
    // Usually it has come back by now: its entries are stored.
    const time = this.#times.get(seq) ?? (await bus.at("CONFIG", seq))?.time
    for (const seen of this.#times.keys()) if (seen <= seq) this.#times.delete(seen)
    if (time === undefined) return this.#missing(head.rev, "it is no longer kept")
    const id = `${unitKey(unit)}/${head.epoch}/${head.rev}/${seq}`
    const headers = { ...own, [header.seq]: String(seq), [header.stored]: String(time), [header.incarnation]: this.#incarnation }
    const parts: { k: number; seq: number }[] = []
    if (chunks.length > 1) {
      const part = (data: string, k: number) => ({ subject: `history.part.${encodeToken(unit.plane)}.${encodeToken(unit.fn)}.${k}`, data, headers, msgId: `${id}/${k}` })
      await publishAll(bus, chunks, PART_WINDOW, part, (_, ack, k) => (parts[k] = { k, seq: ack.seq }))
    }
    const data = encodeCommit(headOf(head), parts.length > 0 ? { parts } : { diff: chunks[0] ?? "[]" })
    await bus.publish({ subject: historySubject(unit.plane, unit.fn), data, headers, msgId: id })
  }
}
