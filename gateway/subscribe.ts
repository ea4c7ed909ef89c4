/**
 * From commits on the bus to what the workers serve: fold (bus/unit/reader.ts verifies), hold back what is not ready
 * (barrier.ts), swap, remember (snapshot.ts), acknowledge.
 *
 * Two folds can exist: the live one, whose commits go through the barrier one by one, and the next one, which is
 * being read (at start, after the loss of the store, on reload). The next takes the place of the live one only when
 * it is complete: caught up, and every function its `plan` names has a verified commit. The step from what is served
 * to it then goes through the barrier like any other. Until then, what is served stays.
 */
import type { Bus } from "../bus/bus.ts"
import { configSubject, encodeToken, parseSubject } from "../bus/subject.ts"
import { readUnits } from "../bus/unit/reader.ts"
import type { Row, UnitChange, UnitReader } from "../bus/unit/unit.ts"
import { Barrier, isPresent, PATIENCE, type Offer, type Referents, type Step } from "./barrier.ts"
import { decodeRows, UNSPOKEN } from "./entries.ts"
import { Lacking } from "./lacking.ts"
import type { Notes } from "./notes.ts"
import type { LoadedSnapshot, UnitHead, Units } from "./snapshot.ts"
import type { TableNote } from "./table/compile.ts"
import { decodeEntry } from "./table/entry.ts"
import type { SwapTraces, TracedCommit } from "./telemetry/swap-trace.ts"
import type { Worker } from "./workers.ts"

/** A commit as it waits in the barrier. */
interface Pending {
  /** undefined: the unit is gone. */
  readonly head: UnitHead | undefined
  readonly rows: readonly Row[]
  readonly trace?: TracedCommit | undefined
}

export interface SubscribeOptions {
  readonly plane: string
  readonly workers: readonly Worker[]
  readonly notes: Notes
  /** In the tick of the swap. `rows` since the unit's last step. */
  readonly onStep: (fn: string, head: UnitHead, rows: readonly Row[]) => void
  /** Another fold took the place of the one before; its steps were not told one by one. */
  readonly onReplaced: () => void
  /** All workers serve what was handed to them; also when readiness changed. */
  readonly onApplied: () => void
  /** The bus is back, or another store took the place of the one before: what was told to it may be gone. */
  readonly onRestored: () => void
  /** Undefined: tracing is off. */
  readonly traces?: SwapTraces | undefined
  /** Milliseconds, monotonic. */
  readonly now?: () => number
  readonly patience?: number
}

interface Reading {
  readonly reader: UnitReader
  /** By function: the commit `reader.state` is of. */
  readonly heads: Map<string, UnitHead>
  /** Once caught up. */
  incarnation: string | undefined
}

const RETRY_MS = 200

export class Subscription {
  readonly #options: SubscribeOptions
  readonly #now: () => number
  readonly #barrier: Barrier<Pending>
  readonly #lacking: Lacking
  readonly #units = new Map<string, { head: UnitHead; entries: Map<string, string> }>()
  #live: Reading | undefined
  #next: Reading | undefined
  #bus: Bus | undefined
  #timer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #isStalled = false
  #isStopped = false
  #isReady = false
  /** Workers that are threads of their own have been handed a batch that not all serve yet. */
  #isSwapping = false
  #whenSwapped: (() => void)[] = []
  #incarnation = ""
  /** Functions whose commits must be served before this gateway is ready. */
  #required: readonly string[] | undefined
  #waiters: (() => void)[] = []

  constructor(options: SubscribeOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    const { notes, patience = PATIENCE } = options
    this.#barrier = new Barrier(patience)
    this.#lacking = new Lacking(notes, patience)
  }

  /** What is served, as verified states. */
  get units(): Units {
    return this.#units
  }

  get incarnation(): string {
    return this.#incarnation
  }

  /** True once a complete configuration was handed to the workers, from the bus or from disk; then for good. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** What is served is what the log says, as far as it has been read. */
  get isCurrent(): boolean {
    return this.#isReady && this.#live !== undefined && !this.#isSwapping && this.#barrier.held === 0
  }

  /** Commits that wait for clusters or certificates. */
  get held(): number {
    return this.#barrier.held
  }

  /** The bus cannot be reached, or was never. */
  get isStalled(): boolean {
    return this.#bus === undefined || this.#isStalled
  }

  /** Why not ready, as a sentence; undefined when ready. */
  get waiting(): string | undefined {
    if (this.#isReady) return undefined
    if (this.#bus === undefined) return "The bus has not been reached yet."
    if (this.#required !== undefined) return "Routes wait for their clusters, or listeners for their certificates."
    if (this.#next?.incarnation === undefined) return "The configuration is being read."
    const functions = this.#planned(this.#next)
    if (functions === undefined) return `Nothing is configured for data plane ${this.#options.plane} yet: is there a Gateway?`
    const missing = functions.filter((fn) => this.#next?.heads.has(fn) !== true)
    return missing.length > 0 ? `Waiting for the first commit of ${missing.join(", ")}.` : "The configuration is being read."
  }

  /** Serves what was on disk, before or without a bus. Once, before `attach`. */
  restore(snapshot: LoadedSnapshot): void {
    this.#incarnation = snapshot.incarnation
    this.#replace(snapshot.units)
  }

  /** Begins to read; again and again until stopped. */
  attach(bus: Bus): void {
    this.#bus = bus
    this.#read()
  }

  /** Reads everything again from the log and swaps the difference in. Rejects when that is not done in `within` ms. */
  async reload(within = 5000): Promise<void> {
    if (this.#bus === undefined) throw new Error("The bus has not been reached yet.")
    const done = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`The configuration was not complete within ${within} ms; what is served stays.`)), within)
      this.#waiters.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.#read()
    await done
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retry)
    await Promise.all([this.#live?.reader.stop(), this.#next?.reader.stop()])
  }

  #read(): void {
    if (this.#bus === undefined || this.#isStopped) return
    void this.#next?.reader.stop()
    const isCurrent = (): boolean => reading !== undefined && (this.#live === reading || this.#next === reading)
    let reading: Reading | undefined
    const heads = new Map<string, UnitHead>()
    const { traces } = this.#options
    const reader = readUnits(this.#bus, {
      ...(traces === undefined ? {} : { onTaken: () => traces.taken() }),
      filter: `config.${encodeToken(this.#options.plane)}.>`,
      onChange: (change) => {
        heads.set(change.unit.fn, headOf(change))
        if (!isCurrent()) return
        if (this.#live === reading) this.#offer(change)
        else this.#promoteIfComplete()
      },
      onCaughtUp: (incarnation) => {
        if (reading === undefined) return
        reading.incarnation = incarnation
        if (this.#next === reading) this.#promoteIfComplete()
      },
      onLost: (reason) => {
        if (isCurrent()) this.#lost(reason)
      },
      onStalled: (isStalled) => {
        if (!isCurrent()) return
        this.#isStalled = isStalled
        if (isStalled) this.#note("bus", { severity: "warning", reason: "BusAway", message: "The bus cannot be reached; what is served stays." })
        else {
          this.#options.notes.clear("bus")
          this.#options.onRestored()
        }
      },
      onNote: (reason, message) => this.#note(`reader/${reason}`, { severity: "warning", reason, message }),
    })
    reading = { reader, heads, incarnation: undefined }
    this.#next = reading
  }

  /** Keeps serving; folds afresh, and again until it is complete. */
  #lost(reason: string): void {
    this.#note("store", { severity: "warning", reason: "StoreLost", message: `The store was lost (${reason}); what is served stays until the new one is complete.` })
    this.#live = undefined
    this.#next = undefined
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#read(), RETRY_MS * (0.5 + Math.random()))
  }

  #promoteIfComplete(): void {
    const next = this.#next
    // The step to it begins where all workers are.
    if (next?.incarnation === undefined || this.#isSwapping) return
    const functions = this.#planned(next)
    if (functions === undefined || functions.some((fn) => !next.heads.has(fn))) return
    void this.#live?.reader.stop()
    this.#live = next
    this.#next = undefined
    this.#incarnation = next.incarnation
    this.#replace(this.#statesOf(next))
    this.#options.notes.clear("store")
    this.#options.onRestored()
    const waiters = this.#waiters.splice(0)
    this.#onceSwapped(() => {
      for (const resolve of waiters) resolve()
    })
  }

  /** The functions the plan of a fold names; undefined: it has none. */
  #planned({ reader, heads }: Reading): readonly string[] | undefined {
    const { plane } = this.#options
    const subject = configSubject(plane, "plan", "plan")
    for (const fn of heads.keys()) {
      const body = reader.state({ plane, fn })?.get(subject)
      if (body === undefined) continue
      const [change] = decodeRows([[subject, body, []]], this.#options.notes)
      return change?.entry?.section === "plan" ? change.entry.value.functions : undefined
    }
    return undefined
  }

  #statesOf({ reader, heads }: Reading): Units {
    const { plane } = this.#options
    return new Map([...heads].map(([fn, head]) => [fn, { head, entries: reader.state({ plane, fn }) ?? new Map<string, string>() }]))
  }

  /** Goes from what is served to another fold, through the barrier. */
  #replace(target: Units): void {
    const hadHeld = this.#barrier.held > 0
    const offers: Offer<Pending>[] = []
    for (const [fn, { head, entries }] of target) {
      const rows = difference(this.#units.get(fn)?.entries ?? NO_ENTRIES, entries, hadHeld)
      offers.push({ unit: fn, commit: { head, rows }, changes: decodeRows(rows, this.#options.notes) })
    }
    for (const [fn, { entries }] of this.#units) {
      if (target.has(fn)) continue
      const rows = difference(entries, NO_ENTRIES, false)
      offers.push({ unit: fn, commit: { head: undefined, rows }, changes: decodeRows(rows, this.#options.notes) })
    }
    this.#barrier.reset(this.#presentIn(target))
    const now = this.#now()
    for (const offer of offers) this.#barrier.offer(offer, now)
    this.#required = [...target.keys()]
    this.#advance()
    this.#onceSwapped(this.#options.onReplaced)
  }

  /** Parked ones do not count, nor do certificates that have not been read. */
  #presentIn(units: Units): Referents<ReadonlySet<string>> {
    const present = { clusters: new Set<string>(), certificates: new Set<string>() }
    for (const { entries } of units.values()) {
      for (const [subject, body] of entries) {
        const parsed = appliesAtOnce(subject) ? parseSubject(subject) : undefined
        const noted = this.#options.notes.get(`entry/${subject}`)
        if (parsed?.is !== "entry" || (noted !== undefined && noted.reason !== UNSPOKEN)) continue
        if (parsed.section === "cluster") present.clusters.add(parsed.id)
        else if (isPresent(decodeEntry("certificate", parsed.id, body))) present.certificates.add(parsed.id)
      }
    }
    return present
  }

  #offer(change: UnitChange): void {
    const changes = decodeRows(change.rows, this.#options.notes)
    const trace = this.#options.traces?.offered(change)
    this.#barrier.offer({ unit: change.unit.fn, commit: { head: headOf(change), rows: change.rows, trace }, changes }, this.#now())
    this.#advance()
    if (trace?.compiling === 0) trace.waitsFor = this.#barrier.waitedFor(change.unit.fn)
  }

  #advance(): void {
    if (this.#isSwapping) return
    const step = this.#barrier.advance(this.#now())
    if (step !== undefined) this.#take(step)
    clearTimeout(this.#timer)
    const { deadline } = this.#barrier
    if (deadline === undefined || this.#isStopped) return
    // A timer may fire a fraction of a millisecond early.
    this.#timer = setTimeout(() => this.#advance(), Math.max(1, Math.ceil(deadline - this.#now())))
  }

  /** One swap. */
  #take(step: Step<Pending>): void {
    const { clusters, certificates, listeners, routes, commits } = step
    const { workers, onApplied, traces } = this.#options
    traces?.compiling(commits.map(({ commit }) => commit.trace))
    const swapping = workers.map((worker) => worker.apply({ clusters, certificates, listeners, routes })).filter((one) => one !== null)
    if (swapping.length === 0) {
      this.#served(step)
      queueMicrotask(onApplied)
      return
    }
    // What comes meanwhile gathers in the barrier and goes as one batch.
    this.#isSwapping = true
    Promise.all(swapping).then(() => {
      this.#isSwapping = false
      this.#served(step)
      onApplied()
      for (const run of this.#whenSwapped.splice(0)) run()
      if (this.#isStopped) return
      this.#promoteIfComplete()
      this.#advance()
    }, (error: unknown) => {
      throw error
    })
  }

  /** Now, or when what is being swapped to is served. */
  #onceSwapped(run: () => void): void {
    if (this.#isSwapping) this.#whenSwapped.push(run)
    else run()
  }

  /** In the tick of the swap; of the last one, where there are several workers. */
  #served(step: Step<Pending>): void {
    const { onStep, traces } = this.#options
    traces?.swapped()
    this.#lacking.update(step)
    const { commits } = step
    for (const { unit, commit } of commits) {
      this.#record(unit, commit)
      if (commit.head !== undefined) onStep(unit, commit.head, commit.rows)
    }
    if (!this.#isReady && this.#required?.every((fn) => this.#units.has(fn)) === true) this.#isReady = true
  }

  #record(fn: string, { head, rows }: Pending): void {
    if (head === undefined) {
      this.#units.delete(fn)
      return
    }
    let unit = this.#units.get(fn)
    if (unit === undefined) this.#units.set(fn, (unit = { head, entries: new Map() }))
    unit.head = head
    for (const [subject, body] of rows) {
      if (body === null) unit.entries.delete(subject)
      else unit.entries.set(subject, body)
    }
  }

  #note(key: string, note: TableNote): void {
    this.#options.notes.set(key, note)
  }
}

const NO_ENTRIES: ReadonlyMap<string, string> = new Map()

const headOf = ({ commit: { rev, epoch, digest, count }, seq }: UnitChange): UnitHead => ({ rev, epoch, seq, digest, count })

/** Clusters and certificates: the barrier lets them in without waiting. */
const appliesAtOnce = (subject: string): boolean => {
  const section = subject.split(".", 3)[2]
  return section === "cluster" || section === "certificate"
}

/** `withThoseAtOnce`: also where nothing differs, because a held commit may have changed them at once. */
const difference = (from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>, withThoseAtOnce: boolean): Row[] => {
  const rows: Row[] = []
  for (const [subject, body] of to) if (from.get(subject) !== body || (withThoseAtOnce && appliesAtOnce(subject))) rows.push([subject, body, []])
  for (const subject of from.keys()) if (!to.has(subject)) rows.push([subject, null, []])
  return rows
}
