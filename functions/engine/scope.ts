import type { Note } from "../../bus/kinds/config.ts"
import type { Triggers } from "./causes.ts"
import type { Cell } from "./cell.ts"
import { Notes, type Sayer } from "./notes.ts"
import type { Origin } from "./table.ts"
import type { Tracker } from "./tracker.ts"

/** Something that catches up with its inputs when its turn in the order comes. */
export interface Node {
  run(): void
  /** What it runs over, if that is another node's. */
  readonly input?: { readonly order: number }
}

/** Whom a note about an input member is about, in the outside's own words. */
export type About = (member: Origin) => Note["about"]

export interface ScopeOptions {
  readonly name: string
  /** Of its notes. */
  readonly plane: string
  readonly about: About
}

/** One function's part of the graph. */
export class Scope {
  readonly name: string
  readonly tracker: Tracker
  readonly notes: Notes
  /** Derivations whose last run threw. */
  readonly parked = new Set<Cell<unknown>>()
  /** What collections are called, by their place in the order. */
  readonly names = new Map<number, string>()
  readonly #nodes: Node[]
  readonly #about: About
  /** In whose name the host speaks, by `<kind>/<key>`. */
  readonly #members = new Map<string, Sayer>()
  #wiring = true

  constructor({ name, plane, about }: ScopeOptions, tracker: Tracker, nodes: Node[]) {
    this.name = name
    this.tracker = tracker
    this.notes = new Notes(plane, name)
    this.#nodes = nodes
    this.#about = about
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

  /** What the host says about a member, in place of what it said before. */
  sayFor({ kind, key }: Origin, notes: readonly Note[]): void {
    const ref = `${kind}/${key}`
    const sayer = this.#members.get(ref) ?? { trace: () => undefined }
    if (notes.length === 0) this.#members.delete(ref)
    else this.#members.set(ref, sayer)
    this.notes.say(sayer, notes, undefined)
  }

  #parkedNote(cell: Cell<unknown>, reason: string): Note {
    const origin = cell.node.input.origin(cell.key)
    const about = origin && this.#about(origin)
    return {
      schema: 1,
      severity: "error",
      reason: "Parked",
      message: `${this.name} failed on ${origin === undefined ? cell.key : `${origin.kind}/${origin.key}`}: ${reason}. What it last made of it stays.`,
      ...(about === undefined ? {} : { about }),
    }
  }
}
