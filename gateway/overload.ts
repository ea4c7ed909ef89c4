/**
 * Whether this thread has more to do than it can, and what it does not take on then. What is measured is how late the
 * event loop is, which is what everything that arrives waits before it is even looked at, and how near the process is to
 * the memory its container may have. From the first samples that say so a growing share of new requests is answered 503
 * with Retry-After, which costs a fraction of proxying them; the share falls more slowly than it grows. Where even that
 * is not enough, new connections are closed. What is under way goes on, and probes have a port of their own.
 *
 * No timer: samples come with the checks of connections that servers make anyhow (server.ts).
 */
import type { Notes } from "./notes.ts"
import type { Settings } from "./settings.ts"
import type { LimitMetrics } from "./telemetry/limit-metrics.ts"

export interface OverloadOptions {
  readonly settings: Pick<Settings, "overloadDelay" | "overloadMemory">
  readonly notes: Notes
  readonly metrics: LimitMetrics
  /** Requests being answered, and handshakes. */
  readonly underWay: () => number
  /** Octets; `limit` 0: there is none. */
  readonly memory: () => { readonly used: number; readonly limit: number }
}

/** A delay counts when so many samples in a row have it: a collection of garbage or a swap of a large table is one. */
const SAMPLES = 4
/** So many are always let in: it is not these that the loop is late for, and nothing would be won by sending some away. */
const LEAST_UNDER_WAY = 64
/** Of several servers that look at the same moment one counts; ms. */
const APART_MS = 20
const GROWS = 0.1
const FALLS = 0.05
/** With all but these shed, four times what can be done can be borne: a request sent away costs a fifth of one that is served. */
const MOST = 0.95
/** Times `overloadDelay`: new connections are closed, until it is half of that. */
const CONNECTIONS_AT = 4
const MEMORY_MS = 500
/** Without a sample. */
const RESTS_MS = 2_000
/** Percent of the limit between where shedding begins and where it ends. */
const MEMORY_BACK = 5
/** The note stays so long after the share was last above nothing, ms: it does not come and go. */
const NOTED_MS = 10_000

export class Overload {
  /** Of new requests that are one too many; 0 to 1. */
  share = 0
  /** New connections are closed. */
  isRefusing = false
  readonly #options: OverloadOptions
  readonly #delays = new Float64Array(SAMPLES)
  #turn = 0
  #sampled = -Infinity
  #memoryAt = -Infinity
  #isFull = false
  /** Adds up shares: exact, whatever the share. */
  #owed = 0
  #lastOver = -Infinity
  #isNoted = false

  constructor(options: OverloadOptions) {
    this.#options = options
  }

  /** The event loop came `late` milliseconds after it was due. */
  sample(late: number, now: number): void {
    if (now - this.#sampled < APART_MS) return
    this.#sampled = now
    const delay = Math.max(0, late)
    this.#delays[this.#turn++ % SAMPLES] = delay
    this.#options.metrics.loopDelay = delay
    this.#lookAtMemory(now)
    const least = this.#options.settings.overloadDelay === 0 ? Infinity : this.#options.settings.overloadDelay
    const standing = Math.min(...this.#delays)
    const isBusy = this.#options.underWay() >= LEAST_UNDER_WAY
    if (isBusy && (standing >= least || this.#isFull)) this.#set(Math.min(MOST, this.share + (standing >= 2 * least ? 2 * GROWS : GROWS)), now)
    else if (!isBusy || (delay < least / 2 && !this.#isFull)) this.#set(this.share <= FALLS ? 0 : this.share - FALLS, now)
    if (!isBusy || standing < (least * CONNECTIONS_AT) / 2) this.isRefusing = false
    else if (standing >= least * CONNECTIONS_AT) this.isRefusing = true
  }

  /** Called now and then: servers without connections take no samples, and have nothing to do. */
  rest(now: number): void {
    if (now - this.#sampled < RESTS_MS) return
    this.isRefusing = false
    this.#delays.fill(0)
    this.#set(0, now)
  }

  #set(share: number, now: number): void {
    this.share = this.#options.metrics.shedRatio = share
    if (share > 0) this.#lastOver = now
    else this.#owed = 0
    this.#note(now)
  }

  #lookAtMemory(now: number): void {
    const { overloadMemory } = this.#options.settings
    if (overloadMemory === 0 || now - this.#memoryAt < MEMORY_MS) return
    this.#memoryAt = now
    const { used, limit } = this.#options.memory()
    const percent = limit === 0 ? 0 : (100 * used) / limit
    this.#isFull = percent >= (this.#isFull ? overloadMemory - MEMORY_BACK : overloadMemory)
  }

  /** Asked once for each new request. True: it is to be answered 503. */
  sheds(): boolean {
    if (this.share === 0 || this.#options.underWay() < LEAST_UNDER_WAY) return false
    this.#owed += this.share
    if (this.#owed < 1) return false
    this.#owed -= 1
    return true
  }

  #note(now: number): void {
    const isNoted = now - this.#lastOver < NOTED_MS
    if (isNoted === this.#isNoted) return
    this.#isNoted = isNoted
    const { notes } = this.#options
    if (!isNoted) notes.clear("overload")
    else
      notes.set("overload", {
        severity: "error", reason: "Overloaded",
        message: `This gateway has more to do than it can: ${this.#isFull ? "its memory is nearly used up" : "its event loop is late"}. New requests are answered 503 in part, so that the others are served.`,
        fix: "Give it more processors and workers, more memory, or more replicas; headgate_overload_shed_ratio says how much is too much.",
      })
  }
}

/** Of this process in its container; `limit` 0 where there is none but the machine's. */
export const processMemory = (): { readonly used: number; readonly limit: number } => {
  const limit = process.constrainedMemory()
  return { used: process.memoryUsage.rss(), limit: limit > 0 && limit < Number.MAX_SAFE_INTEGER ? limit : 0 }
}
