import { hash } from "node:crypto"
import type { Note } from "../../bus/kinds/config.ts"
import type { Trail, Triggers } from "./causes.ts"
import { mergeTriggers } from "./causes.ts"
import { type Provenance, Table } from "./table.ts"

export interface Sayer {
  trace(trail: Trail): void
}

interface Said {
  readonly note: Note
  readonly sayers: Set<Sayer>
}

const content = (note: Note): string =>
  JSON.stringify([note.reason, note.field, note.about?.kind, note.about?.namespace, note.about?.name, note.severity, note.message, note.fix, note.file, note.line])

/** What a note is about, so that new words for an old trouble replace the old ones; a note about nothing is its words. */
const subject = (note: Note): string =>
  note.about === undefined ? content(note) : JSON.stringify([note.reason, note.field, note.about.kind, note.about.namespace, note.about.name])

const shortHash = (text: string): string => hash("sha256", text, "hex").slice(0, 20)

/**
 * What the derivations of one function say now, as rows `<plane>/<function>/<hash of the subject>`. Several different
 * notes on one subject are numbered in the order of their content; the same note said by many is one row.
 */
export class Notes implements Provenance {
  readonly out: Table<Note> = new Table<Note>(Number.POSITIVE_INFINITY, this)
  readonly #prefix: string
  readonly #bySayer = new Map<Sayer, readonly Note[]>()
  readonly #bySubject = new Map<string, Map<string, Said>>()
  readonly #touched = new Map<string, Triggers>()
  /** Row key to what it shows. */
  readonly #rows = new Map<string, Said>()

  constructor(plane: string, fn: string) {
    this.#prefix = `${plane}/${fn}/`
  }

  get isStale(): boolean {
    return this.#touched.size > 0
  }

  /** Everything `sayer` says from now on. */
  say(sayer: Sayer, notes: readonly Note[], triggers: Triggers): void {
    for (const note of this.#bySayer.get(sayer) ?? []) {
      const said = this.#bySubject.get(subject(note))?.get(content(note))
      said?.sayers.delete(sayer)
      this.#touch(note, triggers)
    }
    if (notes.length === 0) this.#bySayer.delete(sayer)
    else this.#bySayer.set(sayer, notes)
    for (const note of notes) {
      const about = subject(note)
      const contents = this.#bySubject.get(about) ?? new Map<string, Said>()
      this.#bySubject.set(about, contents)
      const said = contents.get(content(note)) ?? { note, sayers: new Set() }
      contents.set(content(note), said)
      said.sayers.add(sayer)
      this.#touch(note, triggers)
    }
  }

  settle(): void {
    for (const [about, triggers] of this.#touched) {
      const contents = this.#bySubject.get(about) ?? new Map<string, Said>()
      const before = contents.size
      for (const [text, said] of contents) if (said.sayers.size === 0) contents.delete(text)
      const key = this.#prefix + shortHash(about)
      const shown = [...contents].sort(([a], [b]) => (a < b ? -1 : 1))
      for (let i = 0; i < Math.max(before, shown.length); i++) this.#show(i === 0 ? key : `${key}-${i}`, shown[i]?.[1], triggers)
      if (contents.size === 0) this.#bySubject.delete(about)
    }
    this.#touched.clear()
  }

  trace(key: string, trail: Trail): void {
    for (const sayer of this.#rows.get(key)?.sayers ?? []) {
      if (trail.full) return
      sayer.trace(trail)
    }
  }

  origin(): undefined {
    return undefined
  }

  #show(key: string, said: Said | undefined, triggers: Triggers): void {
    if (said === undefined) this.#rows.delete(key)
    else this.#rows.set(key, said)
    this.out.set(key, said?.note, triggers)
  }

  #touch(note: Note, triggers: Triggers): void {
    const about = subject(note)
    this.#touched.set(about, mergeTriggers(this.#touched.get(about), triggers))
  }
}
