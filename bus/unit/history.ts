/**
 * Copies a unit's commits to HISTORY, where they are kept by age: in order, each once, behind the writer's back. A
 * commit is missing there only when its writer died before the copy was sent; the last one is then copied at open.
 */
import type { Bus, Message } from "../bus.ts"
import { header, numberHeader } from "../envelope.ts"
import { encodeToken, historySubject } from "../subject.ts"
import { backoff, delay } from "./clock.ts"
import { chunkRows, decodeCommit, encodeCommit, headOf, unitKey } from "./commit.ts"
import { reasonOf } from "./publish.ts"
import type { Clock, CommitHead, UnitId } from "./unit.ts"

export interface HistoryItem {
  readonly head: CommitHead
  /** The encoded diff: one chunk stands in the commit, more become parts whose sequences are HISTORY's. */
  readonly chunks: readonly string[]
  readonly headers: Readonly<Record<string, string>>
}

const MAX_WAITING = 256

export class History {
  readonly #bus: Bus
  readonly #unit: UnitId
  readonly #clock: Clock
  readonly #note: (reason: string, message: string) => void
  readonly #waiting: HistoryItem[] = []
  readonly #stop = new AbortController()
  #working: Promise<void> | undefined

  constructor(bus: Bus, unit: UnitId, clock: Clock, note: (reason: string, message: string) => void) {
    this.#bus = bus
    this.#unit = unit
    this.#clock = clock
    this.#note = note
  }

  add(item: HistoryItem): void {
    this.#waiting.push(item)
    if (this.#waiting.length > MAX_WAITING) this.#note("HistoryGap", `revision ${this.#waiting.shift()?.head.rev} will be missing in the history: the server does not answer`)
    this.#working ??= this.#work()
  }

  /** Adds the unit's last commit if the writer before left it out. `seq` is its sequence in CONFIG. */
  async mend(head: CommitHead, seq: number): Promise<void> {
    try {
      const last = await this.#bus.last("HISTORY", historySubject(this.#unit.plane, this.#unit.fn))
      const lastRev = last === undefined ? 0 : numberHeader(last.headers, header.rev)
      // Nothing there and not the first: it is older than the window.
      if (lastRev === undefined || lastRev >= head.rev || (last === undefined && head.rev > 1)) return
      const stored = await this.#bus.at("CONFIG", seq)
      const chunks = stored && (await this.#chunksOf(stored))
      if (stored === undefined || chunks === undefined) return this.#note("HistoryGap", `revision ${head.rev} will be missing in the history: its diff is no longer kept`)
      this.add({ head, chunks, headers: { ...stored.headers, [header.time]: new Date(stored.time).toISOString() } })
    } catch (error) {
      reasonOf(error)
    }
  }

  /** Waits for the copy that is under way and tries no others again. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#working
  }

  async #chunksOf(stored: Message): Promise<readonly string[] | undefined> {
    const { diff, parts = [] } = decodeCommit(stored.data)
    if (diff !== undefined) return chunkRows(diff)
    const found = await Promise.all(parts.map((part) => this.#bus.at("CONFIG", part.seq)))
    return found.every((part) => part !== undefined) ? found.map(({ data }) => Buffer.from(data).toString("utf8")) : undefined
  }

  async #work(): Promise<void> {
    for (let attempt = 0; this.#waiting.length > 0; ) {
      const item = this.#waiting[0]
      if (item === undefined) break
      try {
        await this.#publish(item)
        attempt = 0
        if (this.#waiting[0] === item) this.#waiting.shift()
      } catch (error) {
        const reason = reasonOf(error)
        if (this.#stop.signal.aborted || reason === "closed" || reason === "no-stream") break
        await delay(this.#clock, backoff(this.#clock, attempt++), this.#stop.signal)
      }
    }
    this.#working = undefined
  }

  async #publish({ head, chunks, headers }: HistoryItem): Promise<void> {
    const { plane, fn } = this.#unit
    const id = `${unitKey(this.#unit)}/${head.epoch}/${head.rev}`
    const parts: { k: number; seq: number }[] = []
    if (chunks.length > 1) {
      for (const [k, data] of chunks.entries()) {
        const { seq } = await this.#bus.publish({ subject: `history.part.${encodeToken(plane)}.${encodeToken(fn)}.${k}`, data, headers, msgId: `${id}/${k}` })
        parts.push({ k, seq })
      }
    }
    const data = encodeCommit(headOf(head), parts.length > 0 ? { parts } : { diff: chunks[0] ?? "[]" })
    await this.#bus.publish({ subject: historySubject(plane, fn), data, headers, msgId: id })
  }
}
