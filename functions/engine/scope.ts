import type { Note } from "../../bus/kinds/config.ts"
import type { Triggers } from "./causes.ts"
import type { Cell } from "./cell.ts"
import { Notes } from "./notes.ts"
import type { Tracker } from "./tracker.ts"

/** Something that catches up with its inputs when its turn in the order comes. */
export interface Node {
  run(): void
}

/** One function's part of the graph. */
export class Scope {
  readonly name: string
  readonly tracker: Tracker
  readonly notes: Notes
  /** Derivations whose last run threw. */
  readonly parked = new Set<Cell<unknown>>()
  readonly #nodes: Node[]
  #wiring = true

  constructor(name: string, plane: string, tracker: Tracker, nodes: Node[]) {
    this.name = name
    this.tracker = tracker
    this.notes = new Notes(plane, name)
    this.#nodes = nodes
  }

  /** The node's place in the order: after everything wired before. */
  add(node: Node): number {
    return this.#nodes.push(node) - 1
  }

  /** Throws TypeError once `derive` has returned: the graph is fixed from then on. */
  mustWire(): void {
    if (!this.#wiring) throw new TypeError(`${this.name}: collections are wired in derive, not while a derivation runs`)
  }

  wired(): void {
    this.#wiring = false
  }

  /** What a cell says after a run, the reason it is parked included. */
  say(cell: Cell<unknown>, triggers: Triggers): void {
    if (cell.parked === undefined) this.parked.delete(cell)
    else this.parked.add(cell)
    this.notes.say(cell, cell.parked === undefined ? cell.notes : [...cell.notes, this.#parkedNote(cell, cell.parked)], triggers)
  }

  #parkedNote(cell: Cell<unknown>, reason: string): Note {
    const origin = cell.node.input.origin(cell.key)
    const what = origin === undefined ? cell.key : `${origin.kind}/${origin.key}`
    const slash = origin?.key.indexOf("/") ?? -1
    return {
      schema: 1,
      severity: "error",
      reason: "Parked",
      message: `${this.name} failed on ${what}: ${reason}. What it last made of it stays.`,
      ...(origin === undefined || slash < 0 ? {} : { about: { kind: origin.kind, namespace: origin.key.slice(0, slash), name: origin.key.slice(slash + 1) } }),
    }
  }
}
