/**
 * A function's processes, gateways and one store, stepped message by message. Time stands still unless a timer is
 * chosen; what happens next is always the caller's choice, so a list of numbers is a run.
 */
import { BusError } from "../../bus.ts"
import { memoryStore, type MemoryStore } from "../../memory.ts"
import { header, numberHeader } from "../../envelope.ts"
import { delay } from "../clock.ts"
import { readUnits } from "../reader.ts"
import { HigherEpochError, type StagedChange, type UnitChange, type UnitReader, type UnitWriter } from "../unit.ts"
import { openUnit } from "../writer.ts"
import { continued, lastCommit, storedState } from "./reference.ts"
import { Wire } from "./wire.ts"

export const unit = { plane: "default", fn: "routes" }
export const WINDOW = 60_000

export interface WorldOptions {
  /** Bytes of diff above which parts are used. */
  readonly partBytes: number
  /** Writers share the read of a reader of their process, which may wait for its lease for a while. */
  readonly sharesReader: boolean
  /** The number of the last edit is an entry, so that a step back shows; otherwise edits often undo each other. */
  readonly isNumbered: boolean
}

/** What the outside wants: entry → body. */
type Wanted = ReadonlyMap<string, string>

interface Writing {
  readonly wire: Wire
  /** 0 before it has the lease. */
  epoch: number
  writer: UnitWriter | undefined
  /** Edits it has seen. */
  knows: number
  /** Frozen when it was superseded: it learns of no edit after that. */
  isDeaf: boolean
  isOver: boolean
}

interface Reading {
  readonly wire: Wire
  reader: UnitReader
  readonly shown: UnitChange[]
  caughtUp: number
  isLost: boolean
}

export const subjectOf = (key: string): string => `config.default.route.${key}`

export class World {
  readonly store: MemoryStore = memoryStore()
  readonly writings: Writing[] = []
  readonly readings: Reading[] = []
  readonly inputs: Wanted[]
  /** State named by each commit of this incarnation, by sequence. */
  readonly states = new Map<number, ReadonlyMap<string, string>>()
  readonly failures: unknown[] = []
  wipes = 0
  #epoch = 0
  #fence = 0
  /** No commit of an epoch below this may be stored any more. */
  #fenced = 0
  #checked = 0
  #last: { rev: number; state: ReadonlyMap<string, string> } = { rev: 0, state: new Map() }
  readonly #options: WorldOptions
  #seed = 1

  constructor(options: WorldOptions) {
    this.#options = options
    this.inputs = [new Map([options.isNumbered ? ["edit", "0"] : ["always", "here"]])]
  }

  #wire(): Wire {
    return new Wire(this.store.bus(), () => (this.#seed = (this.#seed * 48_271) % 2_147_483_647) / 2_147_483_647)
  }

  /** Few where edits are to undo each other. */
  get keys(): number {
    return this.#options.isNumbered ? 5 : 2
  }

  get wires(): Wire[] {
    return [...this.writings, ...this.readings].map(({ wire }) => wire)
  }

  edit(key: string, body: string | null): void {
    const next = new Map(this.inputs.at(-1))
    if (this.#options.isNumbered) next.set("edit", String(this.inputs.length))
    if (body === null) next.delete(key)
    else next.set(key, body)
    this.inputs.push(next)
  }

  /** A process for the function: after a crash of the one before (same holder), or beside it (take-over). */
  startWriter({ isTakeover }: { isTakeover: boolean }): void {
    const writing: Writing = { wire: this.#wire(), epoch: 0, writer: undefined, knows: 0, isDeaf: false, isOver: false }
    this.writings.push(writing)
    this.#run(this.#open(writing, isTakeover))
  }

  /** Gets the lease, whatever the others think. */
  #lease(writing: Writing, isTakeover: boolean): void {
    writing.epoch = ++this.#epoch
    if (isTakeover) this.#fence = writing.epoch
    for (const other of this.writings) {
      if (other === writing || other.epoch === 0) continue
      other.isDeaf = true
      if (!isTakeover) this.kill(other)
    }
  }

  async #open(writing: Writing, isTakeover: boolean): Promise<void> {
    const { wire } = writing
    const over = (): void => { writing.isOver = true }
    let reader: UnitReader | undefined
    if (this.#options.sharesReader) {
      reader = await this.#caughtUpReader(wire, over)
      if (isTakeover) await delay(wire.clock, 100)
    }
    if (writing.isOver) return
    this.#lease(writing, isTakeover)
    const { epoch } = writing
    // Its own: another one's take-over, begun meanwhile, is not done when this writer has settled.
    const fence = this.#fence
    const hadCommit = this.lastEpoch > 0
    try {
      writing.writer = await openUnit(wire.bus, {
        unit, epoch, fence, writer: `writer-${epoch}`, version: "1", clock: wire.clock, partBytes: this.#options.partBytes,
        tombstoneWindow: WINDOW, ...(reader === undefined ? {} : { reader }),
        onSteppedDown: (reason, message) => {
          if (reason === "store-lost" && this.wipes === 0) this.failures.push(new Error(`I8: the writer says "${message}", and the store is the same`))
          over()
        },
      })
      if (hadCommit) writing.writer.settled().then(() => { this.#fenced = Math.max(this.#fenced, fence) }, () => undefined)
    } catch (error) {
      if (error instanceof HigherEpochError || error instanceof BusError || (error instanceof Error && /CONFIG was made anew/.test(error.message))) return over()
      throw error
    }
    // It reads its inputs like anybody else, to their end; but not if it was superseded while it opened.
    if (writing.isDeaf) return this.kill(writing)
    writing.knows = this.inputs.length - 1
    writing.writer.stage(changesTo(this.inputs[writing.knows] ?? new Map()), { complete: true, force: true, causes: [`edit@${writing.knows}`] })
  }

  #caughtUpReader(wire: Wire, over: () => void): Promise<UnitReader> {
    return new Promise((resolve) => {
      const reader: UnitReader = readUnits(wire.bus, {
        filter: "config.>", claimable: true, clock: wire.clock, onChange: () => undefined, onCaughtUp: () => queueMicrotask(() => resolve(reader)), onLost: over,
      })
    })
  }

  /** The next edit reaches a function: it derives and stages. */
  hear(writing: Writing): void {
    const before = this.inputs[writing.knows] ?? new Map<string, string>()
    const after = this.inputs[++writing.knows] ?? before
    const removed = [...before.keys()].filter((key) => !after.has(key)).map((key): StagedChange => ({ subject: subjectOf(key), body: null, causes: [] }))
    writing.writer?.stage([...changesTo(after), ...removed], { causes: [`edit@${writing.knows}`] })
  }

  kill(writing: Writing): void {
    writing.isOver = true
    writing.wire.die()
  }

  startReader(): Reading {
    const wire = this.#wire()
    const reading: Reading = { wire, reader: this.#read(wire, () => reading), shown: [], caughtUp: 0, isLost: false }
    this.readings.push(reading)
    return reading
  }

  #read(wire: Wire, reading: () => Reading): UnitReader {
    return readUnits(wire.bus, {
      filter: "config.default.>", clock: wire.clock,
      onChange: (change) => this.#shown(reading(), change),
      onCaughtUp: () => void reading().caughtUp++,
      onLost: () => void (reading().isLost = true),
    })
  }

  /** Every step shown is exactly the state of a commit, later than the one before, and never of an older edit. */
  #shown(reading: Reading, change: UnitChange): void {
    const before = reading.shown.at(-1)
    reading.shown.push(change)
    const state = reading.reader.state(unit) ?? new Map<string, string>()
    const expected = this.states.get(change.seq)
    if (expected === undefined || !isSame(state, expected)) throw new Error(`I2: shown ${JSON.stringify([...state])} at sequence ${change.seq}, committed was ${JSON.stringify([...(expected ?? [])])}`)
    if (before === undefined) return
    if (change.seq <= before.seq || change.commit.epoch < before.commit.epoch) throw new Error(`I4: revision ${change.commit.rev} of epoch ${change.commit.epoch} shown after ${before.commit.rev} of ${before.commit.epoch}`)
    const [now, then] = [change, before].map(({ seq }) => Number(this.states.get(seq)?.get(subjectOf("edit")) ?? -1))
    if (now !== undefined && then !== undefined && now < then) throw new Error(`an answer of edit ${now} was shown after one of edit ${then}`)
  }

  wipe(): void {
    this.wipes++
    for (const wire of this.wires) wire.disconnect()
    this.store.wipe()
    this.states.clear()
    this.#fenced = 0
    this.#last = { rev: 0, state: new Map() }
    this.#checked = 0
  }

  /** The server is back, empty: processes of the function start over, gateways read afresh. */
  reconnect(): void {
    for (const wire of this.wires) if (!wire.isConnected) wire.reconnectToNewStore()
    for (const writing of this.writings) if (writing.isOver) writing.wire.die()
    for (const reading of this.readings) {
      if (!reading.isLost) continue
      reading.isLost = false
      reading.shown.length = 0
      reading.caughtUp = 0
      void reading.reader.stop()
      reading.reader = this.#read(reading.wire, () => reading)
    }
  }

  #run(work: Promise<void>): void {
    work.catch((error: unknown) => this.failures.push(error))
  }

  /** After every step: I1 for what is stored now, I9 for each new commit. */
  check(): void {
    if (this.failures.length > 0) throw this.failures[0]
    const messages = this.store.messages("CONFIG")
    const commit = lastCommit(messages)
    if (commit !== undefined && commit.seq > this.#checked) {
      if (commit.epoch < this.#fenced) throw new Error(`I4: revision ${commit.rev} of epoch ${commit.epoch} was stored after ${this.#fenced} had taken over`)
      const state = continued(this.#last, commit, messages)
      this.#checked = commit.seq
      this.#last = { rev: commit.rev, state }
      this.states.set(commit.seq, state)
    }
    storedState(messages)
  }

  get lastEpoch(): number {
    return numberHeader(this.store.messages("CONFIG").findLast(({ subject }) => subject.includes(".commit."))?.headers ?? {}, header.epoch) ?? 0
  }
}

const changesTo = (wanted: Wanted): StagedChange[] => [...wanted].map(([key, body]) => ({ subject: subjectOf(key), body, causes: [`input/${key}@1`] }))

export const isSame = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean => a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)
