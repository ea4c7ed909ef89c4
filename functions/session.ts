/**
 * A set of functions on one store, from the first replay until it is over: the store is lost, or somebody else may
 * write. Reads and derives from the start, so that who waits for a lease is warm; publishes once it has a mandate.
 */
import type { Bus, Following, StreamName } from "../bus/bus.ts"
import { AWAY_AFTER } from "../bus/presence.ts"
import { CONTROL_PLANE, kinds } from "../bus/kinds/config.ts"
import { commitSubject } from "../bus/subject.ts"
import type { UnitChange, UnitReader } from "../bus/unit/unit.ts"
import { readUnits } from "../bus/unit/reader.ts"
import { createEngine, type Engine, type Ran } from "./engine/engine.ts"
import { aboutResource, Inputs } from "./inputs.ts"
import { type Mandate, Outputs } from "./outputs.ts"
import type { PassTraces } from "./pass-trace.ts"
import { ProgressHints, type Reached } from "./progress.ts"
import type { Reconciler } from "./reconcile.ts"

export type Log = (level: "info" | "warning" | "error", message: string, more?: Readonly<Record<string, unknown>>) => void

export interface SessionOptions {
  readonly bus: Bus
  readonly functions: readonly Reconciler[]
  /** Names this process in its commits. */
  readonly writer: string
  readonly log: Log
  /** Undefined: tracing is off. */
  readonly traces?: PassTraces | undefined
  /** Once or more: stop, and begin anew. */
  onOver(error: unknown): void
}

/** How long inputs may be missing before it is worth a line, and how often it is said again, ms. */
const PATIENCE = 2_000
const REMIND = 30_000
/** How often pods that say nothing any more are looked for, ms; and how long after the bus was away they are given to say something. */
const ROLL_CALL = 60_000

/** How often functions declared `later` are derived while changes come without end, ms; at once where it was quiet. */
const LATER_EVERY = 20

interface Waiter {
  readonly until: () => boolean
  readonly resolve: () => void
}

export class Session {
  readonly functions: readonly Reconciler[]
  readonly #options: SessionOptions
  readonly #engine: Engine
  readonly #inputs: Inputs
  readonly #outputs: Outputs
  readonly #reader: UnitReader
  readonly #following: Following
  /** Of acks, where some function reads them. */
  readonly #acks: Following | undefined
  readonly #own: ReadonlySet<string>
  #progress: ProgressHints | undefined
  #flush: NodeJS.Immediate | undefined
  #cancelLater: (() => void) | undefined
  #laterAt = Number.NEGATIVE_INFINITY
  /** It has its leases and is about to publish: what is derived later waits until what gateways wait for is on its way. */
  #isTakingOver = false
  /** What functions declared `later` are still to be derived from: since the first of it, up to the last. */
  #postponed: { readonly ran: Ran | undefined; readonly traceparent: string | undefined; readonly reached: Reached } | undefined
  #remind: NodeJS.Timeout
  #rollCall: NodeJS.Timeout | undefined
  /** Since when every ack arrives here. */
  #heardSince = Number.POSITIVE_INFINITY
  #waiters: Waiter[] = []
  #isReady = false
  #isOver = false

  /** Throws TypeError for functions that do not fit together. */
  constructor(options: SessionOptions) {
    const { bus, functions, writer, log, traces } = options
    const changed = () => this.#changed()
    const onNote = (reason: string, message: string) => log("warning", message, { reason })
    this.#options = options
    this.#engine = createEngine({ functions, notes: { kind: kinds.note, plane: CONTROL_PLANE }, about: aboutResource })
    this.functions = this.#engine.functions
    this.#own = new Set(functions.map(({ name }) => name))
    this.#inputs = new Inputs(this.#engine, changed, traces)
    // Before the followers: on some buses they speak before they are there.
    this.#outputs = new Outputs({ bus, reader: () => this.#reader, engine: this.#engine, writer, unreadable: this.#inputs.unreadable, onOver: (error) => this.#over(error), onNote, traces })
    this.#reader = readUnits(bus, {
      filter: "config.>",
      claimable: true,
      onChange: (change) => this.#unit(change),
      onCaughtUp: () => this.#inputs.unitsRead(),
      onLost: (reason) => this.#over(new Error(`CONFIG was lost: ${reason}`)),
      onNote,
    })
    this.#following = bus.follow({
      stream: "RESOURCES",
      filter: "resource.>",
      from: "state",
      onMessage: (message) => {
        this.#inputs.resource(message)
        this.#changed()
      },
      onCaughtUp: (info) => this.#inputs.resourcesRead(info),
      onLost: (reason) => this.#over(new Error(`RESOURCES was lost: ${reason}`)),
    })
    if (this.#inputs.wantsAcks) {
      this.#acks = bus.follow({
        stream: "APPLIED",
        filter: "applied.>",
        from: "state",
        onMessage: (message) => this.#inputs.ack(message),
        onCaughtUp: () => {
          this.#heardSince = performance.now()
          this.#inputs.acksRead()
        },
        onStalled: (stalled) => {
          this.#heardSince = stalled ? Number.POSITIVE_INFINITY : performance.now()
        },
        onLost: (reason) => this.#over(new Error(`APPLIED was lost: ${reason}`)),
      })
      this.#rollCall = setInterval(() => this.#callRoll(), ROLL_CALL)
    }
    this.#remind = setTimeout(() => this.#sayWhatIsMissing(), PATIENCE)
  }

  /**
   * Ready, and nothing stored before now is still on its way: the process whose lease this one takes over may have published
   * what follows from it, and must not be answered with something older. Rejects with BusError.
   */
  async upToDate(): Promise<void> {
    const { bus } = this.#options
    this.#isTakingOver = true
    await this.#until(() => this.#isReady)
    await this.#caughtUp("RESOURCES", this.#following)
    if (this.#acks !== undefined) await this.#caughtUp("APPLIED", this.#acks)
    for (const { plane, fn } of this.#reader.units()) {
      if (this.#own.has(fn)) continue
      const last = await bus.last("CONFIG", commitSubject(plane, fn))
      if (last !== undefined) await this.#until(() => this.#inputs.commitOf(plane, fn) >= last.seq)
    }
  }

  /** From now on what is derived is published; resolves when the first of it is staged. Once, and after `upToDate`. */
  async publish(mandates: ReadonlyMap<string, Mandate>): Promise<void> {
    await this.#outputs.start(mandates)
    if (this.#isOver) return
    this.#isTakingOver = false
    this.#progress = new ProgressHints(this.#options.bus, this.functions.map(({ name }) => name), () => this.#outputs.committed)
    this.#deriveLater()
    this.#changed()
  }

  /** Everything derived so far is committed and stored, as far as this process may still write. */
  async settled(): Promise<void> {
    this.#deriveLater()
    if (!this.#isOver) await this.#outputs.settled().catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    clearTimeout(this.#remind)
    clearInterval(this.#rollCall)
    clearImmediate(this.#flush)
    this.#cancelLater?.()
    this.#progress?.stop()
    await this.#outputs.stop()
    await Promise.all([this.#following.stop(), this.#acks?.stop(), this.#reader.stop()])
  }

  async #caughtUp(stream: StreamName, following: Following): Promise<void> {
    const { bus } = this.#options
    const { lastSeq } = await bus.info(stream)
    // What was purged is delivered to nobody.
    if (following.seen < lastSeq && (await bus.at(stream, lastSeq)) !== undefined) await this.#until(() => following.seen >= lastSeq)
  }

  /** Silence counts while it can be heard only: a bus that was away takes no pod with it. */
  #callRoll(): void {
    if (performance.now() - this.#heardSince >= ROLL_CALL) this.#inputs.acksSince(Date.now() - AWAY_AFTER)
  }

  #over(error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#options.onOver(error)
  }

  #unit(change: UnitChange): void {
    if (this.#own.has(change.unit.fn)) this.#outputs.stored(change)
    else this.#inputs.unit(change)
    this.#changed()
  }

  /** One pass for all that arrives in one turn of the event loop: at once when idle, together while busy. */
  #changed(): void {
    if (!this.#isOver) this.#flush ??= setImmediate(() => this.#derive())
  }

  #derive(): void {
    this.#flush = undefined
    if (this.#isOver) return
    if (!this.#isReady && this.#inputs.missing().length === 0) {
      this.#isReady = true
      clearTimeout(this.#remind)
    }
    if (this.#isReady) {
      const reached = { resources: this.#following.seen, config: this.#reader.seen }
      // Most turns bring only what these functions themselves have said.
      if (this.#engine.isStale) this.#deriveUrgent(reached)
      else if (this.#postponed === undefined) this.#progress?.reached(reached, () => this.#outputs.settled())
      else this.#postponed = { ...this.#postponed, reached }
    } else if (this.#inputs.isRead) {
      // An adapter publishes its first list: what it takes to derive from it is done by its end. Nobody sees it before.
      this.#engine.pass(undefined, "urgent")
    }
    this.#waiters = this.#waiters.filter(({ until, resolve }) => {
      if (!until()) return true
      resolve()
      return false
    })
  }

  #deriveUrgent(reached: Reached): void {
    const pass = this.#options.traces?.begin()
    const traceparent = this.#inputs.takeTraceparent()
    const context = this.#options.traces === undefined ? traceparent : pass?.traceparent
    // What cannot be published is noted, and a note is derived too: twice at most.
    do this.#outputs.publish(this.#engine.pass(pass?.ran, "urgent"), context)
    while (this.#engine.isStale)
    pass?.end()
    const { ran, traceparent: first } = this.#postponed ?? {}
    this.#postponed = { ran: ran ?? pass?.ran, traceparent: first ?? context, reached }
    if (!this.#engine.hasLater) this.#deriveLater()
    else if (this.#cancelLater === undefined) this.#scheduleLater(this.#laterAt + LATER_EVERY - performance.now())
  }

  #scheduleLater(wait: number): void {
    const derive = () => this.#deriveLater()
    if (wait > 0) {
      const timer = setTimeout(derive, wait)
      this.#cancelLater = () => clearTimeout(timer)
    } else {
      const turn = setImmediate(derive)
      this.#cancelLater = () => clearImmediate(turn)
    }
  }

  /** The functions nobody waits for, in a turn of their own: what others wait for is on its way. */
  #deriveLater(): void {
    this.#cancelLater?.()
    this.#cancelLater = undefined
    const postponed = this.#postponed
    if (this.#isOver || this.#isTakingOver || postponed === undefined) return
    this.#postponed = undefined
    this.#laterAt = performance.now()
    if (this.#engine.hasLater) this.#outputs.publish(this.#engine.pass(postponed.ran, "later"), postponed.traceparent)
    // What of it cannot be published is noted.
    if (this.#engine.isStale) this.#changed()
    this.#progress?.reached(postponed.reached, () => this.#outputs.settled())
  }

  #until(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ until, resolve }))
  }

  #sayWhatIsMissing(): void {
    const missing = this.#inputs.missing()
    if (missing.length > 0) this.#options.log("info", `waiting: ${missing.join("; ")}`, { functions: this.functions.map(({ name }) => name) })
    this.#remind = setTimeout(() => this.#sayWhatIsMissing(), REMIND)
  }
}
