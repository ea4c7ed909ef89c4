import type { Note } from "../../bus/kinds/config.ts"
import type { Collection, Index, Key, Member, Read } from "../reconcile.ts"
import { lookupOf, tableOf } from "./operators.ts"
import type { Slot, Tracked } from "./table.ts"

/** What one run of a derivation read and said. */
export interface Tracks {
  readonly reads: readonly Slot[]
  readonly notes: readonly Note[]
}

const nothing: readonly never[] = []

/** Watches the derivation that is running. One for the whole graph: derivations never nest. */
export class Tracker {
  /** Derivations run so far: what O(change) is measured by. */
  runs = 0
  readonly read: Read
  /** Where the running node stands in the order, and which function it belongs to; -1: none runs. */
  #order = -1
  #scope: object | undefined
  #reads: Slot[] = []
  #notes: Note[] = []

  constructor() {
    const all = <T>(collection: Collection<T>): readonly Member<T>[] => {
      const table = tableOf(collection, this.#scope)
      this.#track(table, table.slots.at(undefined))
      return table.all()
    }
    const note = (said: Omit<Note, "schema">): void => {
      this.#mustRun()
      this.#notes.push({ schema: 1, ...said })
    }
    this.read = Object.assign(this.#reader(), { all, note })
  }

  begin(order: number, scope: object): void {
    this.runs++
    this.#order = order
    this.#scope = scope
    this.#reads = []
    this.#notes = []
  }

  end(): Tracks {
    this.#order = -1
    return { reads: this.#reads.length === 0 ? nothing : this.#reads, notes: this.#notes.length === 0 ? nothing : this.#notes }
  }

  #reader() {
    const track = (tracked: Tracked, slot: Slot) => this.#track(tracked, slot)
    const scope = () => this.#scope
    function read<T>(from: Collection<T>, key: Key): T | undefined
    function read<T>(from: Index<T>, by: string): readonly Member<T>[]
    function read<T>(from: Collection<T> | Index<T>, key: string): T | undefined | readonly Member<T>[] {
      if ("of" in from) {
        const lookup = lookupOf(from, scope())
        track(lookup, lookup.slots.at(key))
        return lookup.get(key) ?? nothing
      }
      const table = tableOf(from, scope())
      track(table, table.slots.at(key))
      return table.get(key)
    }
    return read
  }

  #mustRun(): void {
    if (this.#order < 0) throw new TypeError("read is only there while the derivation it was given to runs")
  }

  #track(tracked: Tracked, slot: Slot): void {
    this.#mustRun()
    if (tracked.order >= this.#order) throw new TypeError("a derivation reads a collection that is made after it: declare what is read first")
    if (slot.run === this.runs) return
    slot.run = this.runs
    this.#reads.push(slot)
  }
}
