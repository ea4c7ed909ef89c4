/**
 * Several workers, each a thread with tables, sockets and pools of its own; the main thread serves nobody. A batch is
 * served once every worker has swapped. One that ends by itself is started again with everything that is served, while
 * the others go on; one that does not answer is noted, and in the end ended.
 */
import type { Span } from "../../bus/trace/span.ts"
import type { Listener } from "../../bus/kinds/config.ts"
import type { Bound } from "../acceptor.ts"
import type { Log } from "../log.ts"
import type { Notes } from "../notes.ts"
import type { WorkersSocket } from "../restart/listening-socket.ts"
import type { Serves, ServingSettings } from "../serving.ts"
import type { Batch, TableNote } from "../table/compile.ts"
import { newTurn } from "../telemetry/output.ts"
import type { Sampler } from "../telemetry/sampler.ts"
import { countersOf, sumMetrics } from "../telemetry/sum.ts"
import { ROTATE_MS } from "../tls/certificates.ts"
import { newTicketKey } from "../tls/context.ts"
import { shareOf } from "./share.ts"
import { ServedState } from "./state.ts"
import { WorkerThread } from "./worker-thread.ts"

export interface ThreadsOptions extends ServingSettings {
  readonly count: number
  readonly notes: Notes
  readonly log: Log
  /** Descriptor for the access logs of all. */
  readonly output: number
  readonly sampler: Sampler | null
  readonly onSpan: (span: Span) => void
  /** Sockets, or notes. */
  readonly onChange: () => void
  /** All have swapped to a batch. */
  readonly onSwap: () => void
  /** Sockets of a predecessor's workers; held until release(). Undefined: there is none. */
  readonly handed?: readonly WorkersSocket[] | undefined
  /** How often each is asked whether it is there, ms. */
  readonly askEvery?: number
}

const ASK_MS = 1_000
/** Questions without an answer until it is noted, and until the worker is ended. Counted, not timed: while the whole process was stopped none was asked. */
const SILENT = 5
const LOST = 30
const RESTART_FIRST_MS = 50
const RESTART_MAX_MS = 5_000
/** A worker that has lived so long begins anew with waits and notes. */
const STABLE_MS = 30_000
/** For an answer to who asks for metrics. */
const ANSWER_MS = 500
/** For last words. */
const STOP_MS = 2_000

/** Place of a worker, whoever has it. */
interface Slot {
  readonly index: number
  thread: WorkerThread | undefined
  /** In a row. */
  failures: number
  timer: NodeJS.Timeout | undefined
}

export class Threads implements Serves {
  readonly #options: ThreadsOptions
  readonly #settings: ServingSettings
  readonly #slots: Slot[]
  /** They end what they are in the middle of; others have their places. */
  readonly #leaving = new Set<WorkerThread>()
  readonly #state = new ServedState()
  readonly #turn = newTurn()
  readonly #asking: NodeJS.Timeout
  readonly #rotation: NodeJS.Timeout
  #ticketKey = newTicketKey()
  /** Of the last batch. */
  #number = 0
  #swap: { readonly resolve: () => void } | undefined
  /** What those that are gone have counted. */
  #counted = ""
  #restarts = 0
  /** Started so far. */
  #writers = 0
  /** Sockets that workers are to have, while they are held. */
  #handed: readonly WorkersSocket[] | undefined
  #isLeaving = false
  #isEnding = false

  constructor(options: ThreadsOptions) {
    this.#options = options
    const { plane, settings, bind, portOffset, planeKey, drain, count } = options
    this.#settings = { plane, settings: shareOf(settings, count), bind, portOffset, planeKey, drain }
    this.#handed = options.handed
    this.#slots = Array.from({ length: count }, (_, index) => ({ index, thread: undefined, failures: 0, timer: undefined }))
    for (const slot of this.#slots) this.#start(slot)
    this.#asking = setInterval(() => this.#ask(), options.askEvery ?? ASK_MS).unref()
    this.#rotation = setInterval(() => this.rotateTickets(), ROTATE_MS).unref()
  }

  apply(batch: Batch): Promise<void> {
    this.#number++
    this.#state.take(batch)
    for (const thread of this.#threads()) thread.tell({ is: "batch", number: this.#number, batch })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#swap = { resolve }
    this.#settle()
    return promise
  }

  get generation(): number {
    return Math.max(0, ...this.#threads().map(({ report }) => report?.generation ?? 0))
  }

  get clusters(): number {
    return this.#threads()[0]?.report?.clusters ?? 0
  }

  /** Of all; what several say of the same thing once. */
  get notes(): ReadonlyMap<string, TableNote> {
    const notes = new Map<string, TableNote>()
    for (const { report } of this.#threads()) for (const [key, note] of report?.notes ?? []) if (!notes.has(key)) notes.set(key, note)
    return notes
  }

  get listeners(): ReadonlyMap<string, Listener> {
    return this.#state.listeners
  }

  get isSettled(): boolean {
    const threads = this.#threads()
    return threads.length > 0 && threads.every(({ number, report }) => number === this.#number && report?.isSettled === true)
  }

  /** Where one could not, that; else where all have. */
  boundAt(key: string): Bound | undefined {
    let all: Bound | undefined
    for (const { report } of this.#threads()) {
      const bound = report?.bound.get(key)
      if (bound === undefined || bound.error !== undefined) return bound
      all ??= bound
    }
    return all
  }

  async metrics(): Promise<string> {
    const threads = [...this.#threads(), ...this.#leaving]
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS)
    })
    await Promise.race([Promise.all(threads.map((thread) => thread.count())), late])
    clearTimeout(timer)
    // One that went meanwhile is counted with those that are gone.
    const counted = threads.filter(({ isGone }) => !isGone).map((thread) => thread.counted?.metrics ?? "")
    return sumMetrics([...counted, this.#counted]) + this.#ownMetrics()
  }

  /** Sessions from before are resumed no more, by none. Happens every 12 h. */
  rotateTickets(): void {
    this.#ticketKey = newTicketKey()
    for (const thread of this.#threads()) thread.tell({ is: "ticket-key", octets: this.#ticketKey })
  }

  leave(): void {
    this.#isLeaving = true
    for (const thread of this.#threads()) thread.tell({ is: "leave" })
  }

  async hold(): Promise<readonly WorkersSocket[]> {
    // One that starts meanwhile waits too: the successor has the socket of the one before it.
    this.#handed = []
    const sockets = await Promise.all(this.#slots.map(async ({ index, thread }) => ((await thread?.hold()) ?? []).map((socket) => ({ ...socket, worker: index }))))
    return sockets.flat()
  }

  release(): void {
    this.#handed = undefined
    for (const thread of this.#threads()) thread.tell({ is: "release" })
  }

  drain(milliseconds: number): Promise<number> {
    return this.#drain(milliseconds, false)
  }

  handOver(milliseconds: number): Promise<number> {
    this.#isLeaving = true
    return this.#drain(milliseconds, true)
  }

  async #drain(milliseconds: number, isHandedOver: boolean): Promise<number> {
    this.#isEnding = true
    for (const { timer } of this.#slots) clearTimeout(timer)
    // Those that fail and leave have a limit of their own, from when they began.
    const cut = await Promise.all([...this.#threads().map((thread) => thread.drain(milliseconds, isHandedOver)), ...[...this.#leaving].map((thread) => thread.gone().then(() => 0))])
    return cut.reduce((sum, one) => sum + one, 0)
  }

  async stop(): Promise<void> {
    this.#isEnding = true
    clearInterval(this.#asking)
    clearInterval(this.#rotation)
    for (const { timer } of this.#slots) clearTimeout(timer)
    const threads = [...this.#threads(), ...this.#leaving]
    for (const thread of threads) thread.tell({ is: "stop" })
    const timer = setTimeout(() => {
      for (const thread of threads) if (!thread.isGone) thread.kill()
    }, STOP_MS)
    await Promise.all(threads.map((thread) => thread.gone()))
    clearTimeout(timer)
  }

  #threads(): WorkerThread[] {
    return this.#slots.flatMap(({ thread }) => thread ?? [])
  }

  #start(slot: Slot): void {
    const { output, sampler, onSpan, onChange } = this.#options
    slot.thread = new WorkerThread({
      beginning: { ...this.#settings, sampler, ticketKey: this.#ticketKey, output, turn: this.#turn, writer: ++this.#writers, batches: this.#state.batches(), number: this.#number, isLeaving: this.#isLeaving, handed: this.#handed?.filter(({ worker }) => worker === slot.index) },
      onSpan,
      onReport: () => {
        this.#settle()
        onChange()
      },
      onFailed: (thread, error) => {
        this.#leaving.add(thread)
        this.#replace(slot, error)
        this.#boundLeaving()
      },
      onExit: (thread, error) => {
        if (thread.counted !== undefined) this.#counted = sumMetrics([this.#counted, countersOf(thread.counted.metrics)])
        if (!this.#leaving.delete(thread) && slot.thread === thread) this.#replace(slot, error ?? "it ended")
      },
    })
    slot.timer = setTimeout(() => {
      slot.failures = 0
      this.#options.notes.clear(`worker/${slot.index}`)
    }, STABLE_MS).unref()
  }

  /** Its thread serves no more. */
  #replace(slot: Slot, error: string): void {
    slot.thread = undefined
    clearTimeout(slot.timer)
    if (this.#isEnding) {
      this.#settle()
      return
    }
    const { notes, log } = this.#options
    this.#restarts++
    slot.failures++
    log("error", "a worker ended and is started again", { worker: slot.index, error })
    const [first = ""] = error.split("\n", 1)
    notes.set(`worker/${slot.index}`, { severity: "error", reason: "WorkerEnded", message: `Worker ${slot.index} ended (${first}) and is started again; ${slot.failures === 1 ? "the others serve" : `${slot.failures} times in a row`}.` })
    const wait = Math.min(RESTART_MAX_MS, RESTART_FIRST_MS * 2 ** Math.min(slot.failures - 1, 10)) * (0.5 + Math.random())
    slot.timer = setTimeout(() => this.#start(slot), wait)
    this.#settle()
    this.#options.onChange()
  }

  /** As many as there are workers may be ending: who fails again and again must not gather. */
  #boundLeaving(): void {
    const [oldest] = this.#leaving
    if (oldest !== undefined && this.#leaving.size > this.#slots.length) oldest.kill()
  }

  /** The batch is served when those that serve have it; with none there, when the first is back. */
  #settle(): void {
    const threads = this.#threads()
    if (this.#swap === undefined || (threads.length === 0 && !this.#isEnding) || threads.some(({ number }) => number < this.#number)) return
    const { resolve } = this.#swap
    this.#swap = undefined
    this.#state.settle(threads[0]?.report?.notes ?? new Map())
    this.#options.onSwap()
    resolve()
  }

  #ask(): void {
    for (const { thread, index } of this.#slots) {
      if (thread === undefined) continue
      const { notes, log } = this.#options
      if (thread.unanswered === SILENT) {
        log("error", "a worker does not answer", { worker: index })
        notes.set(`worker/${index}/silent`, { severity: "error", reason: "WorkerSilent", message: `Worker ${index} has not answered for ${SILENT} s: what it has accepted waits. It is ended after ${LOST} s.` })
      } else if (thread.unanswered < SILENT) notes.clear(`worker/${index}/silent`)
    }
    // Those that end too: a drain waits for them.
    for (const thread of [...this.#threads(), ...this.#leaving]) {
      if (thread.unanswered >= LOST) thread.kill()
      else thread.ask()
    }
  }

  #ownMetrics(): string {
    const lines = [
      "# HELP headgate_workers Threads that serve.", "# TYPE headgate_workers gauge", `headgate_workers ${this.#threads().filter(({ report }) => report !== undefined).length}`,
      "# HELP headgate_worker_restarts_total Workers that ended and were started again.", "# TYPE headgate_worker_restarts_total counter", `headgate_worker_restarts_total ${this.#restarts}`,
      "# HELP headgate_worker_connections Client connections open, by worker.", "# TYPE headgate_worker_connections gauge",
      ...this.#slots.map(({ index, thread }) => `headgate_worker_connections{worker="${index}"} ${thread?.counted?.connections ?? 0}`),
    ]
    return `${lines.join("\n")}\n`
  }
}
