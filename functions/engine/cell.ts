import type { Note } from "../../bus/kinds/config.ts"
import type { Key } from "../reconcile.ts"
import { mergeTriggers, type Trail, type Triggers } from "./causes.ts"
import type { Scope } from "./scope.ts"
import type { Dependent, Input, Slot } from "./table.ts"

interface Home extends Dependent {
  readonly input: Input<unknown>
}

/** One derivation for one key: what its last run made, read and said. */
export class Cell<O> {
  readonly node: Home
  readonly key: Key
  /** Of the last run that returned; undefined: none has. */
  output: O | undefined = undefined
  /** What the last run read: a change of any of it runs the cell again. */
  reads: readonly Slot[] = []
  /** What the last run that returned read: `output` was made from it. */
  madeFrom: readonly Slot[] = []
  /** Said by the last run that returned. */
  notes: readonly Note[] = []
  /** Why the last run threw. */
  parked: string | undefined = undefined

  constructor(node: Home, key: Key) {
    this.node = node
    this.key = key
  }

  trace(trail: Trail): void {
    if (!trail.enter(this)) return
    this.node.input.trace(this.key, trail)
    for (const slot of this.madeFrom) slot.of.trace(slot.key, trail)
  }

  subscribe(reads: readonly Slot[]): void {
    const before = this.reads
    this.reads = reads
    if (before.length === reads.length && before.every((slot, i) => slot === reads[i])) return
    for (const slot of reads) slot.add(this)
    if (before.length === 0) return
    const kept = new Set(reads)
    for (const slot of before) if (!kept.has(slot)) slot.delete(this)
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Runs a derivation for every key of its input that is stale, and keeps what it made. */
export abstract class CellNode<I, O> implements Home {
  readonly order: number
  readonly input: Input<I>
  protected readonly scope: Scope
  readonly #cells = new Map<Key, Cell<O>>()
  #stale = new Map<Key, Triggers>()

  constructor(scope: Scope, input: Input<I>) {
    this.scope = scope
    this.input = input
    this.order = scope.add(this)
    input.feed(this)
  }

  stale(key: Key, triggers: Triggers): void {
    this.#stale.set(key, mergeTriggers(this.#stale.get(key), triggers))
  }

  run(): void {
    if (this.#stale.size === 0) return
    const stale = this.#stale
    this.#stale = new Map()
    for (const [key, triggers] of stale) this.#runKey(key, triggers)
    this.settle()
  }

  trace(key: Key, trail: Trail): void {
    this.cellOf(key)?.trace(trail)
  }

  origin(key: Key) {
    const cell = this.cellOf(key)
    return cell === undefined ? undefined : this.input.origin(cell.key)
  }

  protected cell(key: Key): Cell<O> | undefined {
    return this.#cells.get(key)
  }

  /** Which cell made the output `key`. */
  protected abstract cellOf(key: Key): Cell<O> | undefined
  /** The derivation itself; may throw. */
  protected abstract derive(input: I, key: Key): O
  /** A run returned, or the input is gone (`after` undefined). */
  protected abstract replace(cell: Cell<O>, after: O | undefined, triggers: Triggers): void
  /** Every stale key has run: what changed may be told on. */
  protected abstract settle(): void

  #runKey(key: Key, triggers: Triggers): void {
    const input = this.input.get(key)
    let cell = this.#cells.get(key)
    if (input === undefined) {
      if (cell !== undefined) this.#drop(cell, triggers)
      return
    }
    if (cell === undefined) {
      cell = new Cell<O>(this, key)
      this.#cells.set(key, cell)
    }
    const { tracker } = this.scope
    let after: O
    tracker.begin(this.order, this.scope)
    try {
      after = this.derive(input, key)
    } catch (error) {
      cell.subscribe(tracker.end().reads)
      cell.parked = reason(error)
      this.scope.say(cell, triggers)
      return
    }
    const { reads, notes } = tracker.end()
    cell.subscribe(reads)
    cell.madeFrom = reads
    const saidAnything = cell.notes.length > 0 || notes.length > 0 || cell.parked !== undefined
    cell.notes = notes
    cell.parked = undefined
    if (saidAnything) this.scope.say(cell, triggers)
    this.replace(cell, after, triggers)
    cell.output = after
  }

  #drop(cell: Cell<O>, triggers: Triggers): void {
    this.#cells.delete(cell.key)
    cell.subscribe([])
    cell.notes = []
    cell.parked = undefined
    this.scope.say(cell, triggers)
    this.replace(cell, undefined, triggers)
    cell.output = undefined
  }
}
