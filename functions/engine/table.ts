import type { Key, Member } from "../reconcile.ts"
import type { Trail, Triggers } from "./causes.ts"
import { equal } from "./equal.ts"
import { Members } from "./members.ts"

/** What runs again when something it is made from changes. */
export interface Dependent {
  stale(key: Key, triggers: Triggers): void
}

/** An input member of the whole graph. */
export interface Origin {
  readonly kind: string
  readonly key: Key
}

/** What a derivation runs over, one run a key: a table, or an index (a key is then one value of the index). */
export interface Input<I> {
  readonly order: number
  get(key: Key): I | undefined
  /** Told of every change from now on; wired before the first value arrives. */
  feed(dependent: Dependent): void
  trace(key: Key, trail: Trail): void
  /** The one input member this key comes from, where there is one. */
  origin(key: Key): Origin | undefined
}

/** Where a tracked read can land. */
export interface Tracked {
  /** Of the node that fills it: reads look back only, so one pass in order is enough. */
  readonly order: number
  trace(key: Key | undefined, trail: Trail): void
  /** Nobody reads `key` any more. */
  release(key: Key | undefined): void
}

/** A derivation for one key that has read something. */
export interface Reader {
  readonly node: Dependent
  readonly key: Key
}

/** One thing derivations have read: a key (present or not), one value of an index, or everything (undefined). */
export class Slot {
  readonly of: Tracked
  readonly key: Key | undefined
  /** A Set only where several read: most things are read by one. */
  #readers: Reader | Set<Reader> | undefined
  /** The run that last read it, so that a run lists it once. */
  run = 0

  constructor(of: Tracked, key: Key | undefined) {
    this.of = of
    this.key = key
  }

  add(reader: Reader): void {
    if (this.#readers === undefined) this.#readers = reader
    else if (this.#readers instanceof Set) this.#readers.add(reader)
    else if (this.#readers !== reader) this.#readers = new Set([this.#readers, reader])
  }

  delete(reader: Reader): void {
    if (this.#readers instanceof Set) this.#readers.delete(reader)
    else if (this.#readers === reader) this.#readers = undefined
    if (this.#readers === undefined || (this.#readers instanceof Set && this.#readers.size === 0)) this.of.release(this.key)
  }

  fire(triggers: Triggers): void {
    if (this.#readers instanceof Set) for (const reader of this.#readers) reader.node.stale(reader.key, triggers)
    else this.#readers?.node.stale(this.#readers.key, triggers)
  }
}

/** The slots of one table or index, there only while somebody reads them. */
export class Slots {
  readonly #of: Tracked
  readonly #byKey = new Map<Key | undefined, Slot>()

  constructor(of: Tracked) {
    this.#of = of
  }

  at(key: Key | undefined): Slot {
    let slot = this.#byKey.get(key)
    if (slot === undefined) {
      slot = new Slot(this.#of, key)
      this.#byKey.set(key, slot)
    }
    return slot
  }

  fire(key: Key | undefined, triggers: Triggers): void {
    this.#byKey.get(key)?.fire(triggers)
  }

  release(key: Key | undefined): void {
    this.#byKey.delete(key)
  }
}

/** Where the members of a table come from. */
export interface Provenance {
  trace(key: Key, trail: Trail): void
  origin(key: Key): Origin | undefined
}

/** The current members of one collection. Only the node that fills it calls `set`, once a key and pass. */
export class Table<T> implements Input<T>, Tracked {
  readonly order: number
  readonly slots: Slots = new Slots(this)
  readonly #from: Provenance
  readonly #members = new Members<T>()
  readonly #dependents: Dependent[] = []

  constructor(order: number, from: Provenance) {
    this.order = order
    this.#from = from
  }

  get size(): number {
    return this.#members.size
  }

  get(key: Key): T | undefined {
    return this.#members.get(key)
  }

  all(): readonly Member<T>[] {
    return this.#members.all()
  }

  /** Undefined removes. Equal to what is there: no change, and nobody hears of it. */
  set(key: Key, value: T | undefined, triggers: Triggers): void {
    if (equal(this.#members.get(key), value)) return
    if (value === undefined) this.#members.delete(key)
    else this.#members.set(key, value)
    for (const dependent of this.#dependents) dependent.stale(key, triggers)
    this.slots.fire(key, triggers)
    this.slots.fire(undefined, triggers)
  }

  feed(dependent: Dependent): void {
    this.#dependents.push(dependent)
  }

  trace(key: Key | undefined, trail: Trail): void {
    if (key !== undefined) {
      if (this.#members.get(key) !== undefined) this.#from.trace(key, trail)
      return
    }
    for (const [each] of this.#members.all()) {
      if (trail.full) return
      this.#from.trace(each, trail)
    }
  }

  origin(key: Key): Origin | undefined {
    return this.#from.origin(key)
  }

  release(key: Key | undefined): void {
    this.slots.release(key)
  }
}
