/** What this gateway has to say about what it was given: one note a key, until it no longer holds. */
import type { TableNote } from "./table/compile.ts"

/** Acks and pages stay small whatever is wrong; how many were left out is said. */
const SHOWN = 100

export class Notes {
  readonly #notes = new Map<string, TableNote>()
  readonly #onChange: () => void

  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange
  }

  set(key: string, note: TableNote): void {
    if (this.#notes.get(key)?.message === note.message) return
    this.#notes.set(key, note)
    this.#onChange()
  }

  clear(key: string): void {
    if (this.#notes.delete(key)) this.#onChange()
  }

  /** By key. */
  get all(): ReadonlyMap<string, TableNote> {
    return this.#notes
  }

  get(key: string): TableNote | undefined {
    return this.#notes.get(key)
  }

  /** Sorted by key; the first 100, with `others` after them. */
  list(others: ReadonlyMap<string, TableNote> = new Map()): readonly TableNote[] {
    const all = [...this.#notes, ...others].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, note]) => note)
    if (all.length <= SHOWN) return all
    return [...all.slice(0, SHOWN), { severity: "info", reason: "MoreNotes", message: `${all.length - SHOWN} more notes are not shown.` }]
  }
}
