/** What is found out about objects: said by one function as notes, by another as conditions. */
import type { Note, Source } from "../../bus/kinds/config.ts"
import type { Collection, Read } from "../reconcile.ts"

export type Severity = Note["severity"]

/** What became of one field; `fix` is what the user can do. */
export interface Finding {
  readonly severity: Severity
  readonly reason: string
  /** JSON path in the object. */
  readonly field: string
  readonly message: string
  readonly fix: string
}

export type Report = (severity: Severity, reason: string, field: string, message: string, fix: string) => void

/** Says findings about one object as notes, as they come. */
export const reporter =
  (read: Read, about: Source): Report =>
  (severity, reason, field, message, fix) =>
    read.note({ severity, reason, message, about, field, fix })

/** Keeps what is reported, in order. */
export const collector = (): { readonly report: Report; readonly findings: readonly Finding[] } => {
  const findings: Finding[] = []
  return { report: (severity, reason, field, message, fix) => void findings.push({ severity, reason, field, message, fix }), findings }
}

/** What came of looking at an object, and everything found on the way. */
export interface Judged<T> {
  readonly about: Source
  readonly findings: readonly Finding[]
  /** Undefined: nothing that could be used. */
  readonly value: T | undefined
}

/** Goes on with what can be used, and says everything that was found as notes. */
export const noted = <T>(judged: Collection<Judged<T>>): Collection<T> =>
  judged.map(({ about, findings, value }, read) => {
    for (const finding of findings) read.note({ ...finding, about })
    return value
  })
