/**
 * The trace of one outside change: from when a file changed, over what was read of it, to the ack of every object it
 * led to. Folder and handover tell what becomes of a file, the publisher what becomes of an object.
 */
import type { BigIntStats } from "node:fs"
import { attribute, spanName } from "../../../bus/trace/names.ts"
import { wallNow } from "../../../bus/trace/span.ts"
import { tell, type Tracing } from "../../../bus/trace/tracing.ts"
import { Edit, nameOf } from "../publish/edit.ts"

/** A change time further back than this, ms, is of another event than the one that came. */
const NOTICED_WITHIN = 1_000

/** What becomes of files. */
export interface FileTraces {
  /** An event of the system names it. */
  noticed(file: string): void
  reads(file: string): void
  /** What was read of it is handed on. */
  parses(file: string, stat: BigIntStats): void
  /** It was taken over, or is known to be gone. */
  taken(file: string): void
  /** Nothing is waited for any more. */
  done(file: string): void
}

interface Seen {
  readonly noticed: number
  /** When it changed, as its inode says; 0: not known. */
  changed: number
  reads: number
  parses: number
  taken: number
}

export class EditTraces implements FileTraces {
  readonly #tracing: Tracing
  readonly #seen = new Map<string, Seen>()
  /** Taken over since the last edit. */
  #taken: [string, Seen][] = []

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  noticed(file: string): void {
    this.#seen.set(file, { noticed: wallNow(), changed: 0, reads: 0, parses: 0, taken: 0 })
  }

  reads(file: string): void {
    const seen = this.#seen.get(file)
    if (seen !== undefined) seen.reads = wallNow()
  }

  parses(file: string, { ctimeNs }: BigIntStats): void {
    const seen = this.#seen.get(file)
    if (seen === undefined) return
    seen.parses = wallNow()
    const changed = Number(ctimeNs) / 1e6
    if (changed < seen.noticed && changed > seen.noticed - NOTICED_WITHIN) seen.changed = changed
  }

  taken(file: string): void {
    const seen = this.#seen.get(file)
    if (seen === undefined) return
    seen.taken = wallNow()
    this.#taken.push([file, seen])
  }

  done(file: string): void {
    this.#seen.delete(file)
  }

  /** What the files taken over since the last call led to. Undefined: no file was. */
  edit(subjects: ReadonlySet<string>): Edit | undefined {
    const taken = this.#taken
    const [first] = taken
    if (first === undefined) return undefined
    this.#taken = []
    return subjects.size === 0 ? undefined : this.#begin(subjects, first, taken)
  }

  #begin(subjects: ReadonlySet<string>, [file, seen]: readonly [string, Seen], taken: readonly (readonly [string, Seen])[]): Edit {
    let start = startOf(seen)
    for (const [, other] of taken) start = Math.min(start, startOf(other))
    const tracing = this.#tracing
    const name = nameOf(subjects)
    const root = tracing.begin({
      name: `${spanName.edit} ${name}`, start,
      attributes: { [attribute.file]: taken.length === 1 ? file : `${file} and ${taken.length - 1} more`, [attribute.objects]: subjects.size },
    })
    const parsed = wallNow()
    tracing.later(() => {
      if (start < seen.noticed) tell(tracing, { name: spanName.notice, start, parent: root }, seen.noticed)
      // A file is looked at in the turn it is noticed, unless it has to be quiet first.
      const looked = seen.reads === 0 ? seen.taken : seen.reads
      if (looked - seen.noticed > 1) tell(tracing, { name: spanName.settle, start: seen.noticed, parent: root }, looked)
      if (seen.parses === 0) return
      tell(tracing, { name: spanName.read, start: seen.reads, parent: root }, seen.parses)
      tell(tracing, { name: spanName.parse, start: seen.parses, parent: root }, parsed)
    })
    return new Edit(tracing, root, subjects.size, name)
  }
}

const startOf = ({ changed, noticed }: Seen): number => (changed === 0 ? noticed : changed)
