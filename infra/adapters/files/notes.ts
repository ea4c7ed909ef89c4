/** What the adapter has to say about files, as resources of kind note. Pure. */
import type { Note } from "../../../bus/kinds/config.ts"
import type { Desired } from "../publish/desired.ts"
import { adapterNote } from "../publish/note.ts"
import { lineOf, type Claim, type SourceFile } from "./claims.ts"

/** Problems of one file that become notes of their own; the rest is counted in one more. */
const NOTES_PER_FILE = 50

/** Why the file cannot be read, and the problems of its documents, in their order. */
export const fileNotes = (file: SourceFile): ReadonlyMap<string, Desired> => {
  const notes = new Map<string, Desired>()
  if (file.fault !== undefined) notes.set(...asNote(file.name, file.fault.reason, { severity: "error", ...file.fault, file: file.name }))
  const wrong = [...file.documents.values()].flatMap((list) => list.filter(({ problems }) => problems.length > 0)).sort((a, b) => a.index - b.index)
  const problems = wrong.flatMap((document) => document.problems.map((problem, n) => ({ ...problem, document, n })))
  const room = NOTES_PER_FILE - notes.size
  for (const { note, line, document, n } of problems.slice(0, room)) {
    const id = note.about === undefined ? `${note.reason}/${document.index}/${n}` : `${note.reason}/${note.about.kind}/${note.about.namespace}/${note.about.name}/${note.field ?? n}`
    const placed = { ...note, file: file.name, line: document.line + line - 1 }
    const made = asNote(file.name, id, placed)
    notes.set(...(notes.has(made[0]) ? asNote(file.name, `${id}/${document.index}/${n}`, placed) : made))
  }
  const more = problems.length - room
  if (more > 0) notes.set(...asNote(file.name, "More", { severity: "warning", reason: "MoreProblems", message: `${more} more problems in this file are not listed.`, fix: "Correct the listed ones first.", file: file.name }))
  return notes
}

/** Of claims to one name, the one that stands first. */
export const duplicateNotes = ([winner, ...losers]: readonly Claim[]): ReadonlyMap<string, Desired> => {
  const notes = new Map<string, Desired>()
  for (const { document, object } of losers) {
    if (winner === undefined || document.file.missing) continue
    const { kindName: kind, namespace, name } = object
    const first = `${winner.document.file.name} line ${lineOf(winner.document, winner.object)}`
    const duplicate = asNote(document.file.name, `DuplicateName/${kind}/${namespace}/${name}/${document.index}`, {
      severity: "error",
      reason: "DuplicateName",
      message: `${kind} ${namespace === "" ? name : `${namespace}/${name}`} is also in ${first}, which stands (the first file in byte order, then the first in the file).`,
      about: { kind, namespace, name },
      field: "metadata.name",
      fix: "Rename or remove one of the two.",
      file: document.file.name,
      line: lineOf(document, object),
    })
    notes.set(...duplicate)
  }
  return notes
}

export const asNote = (file: string, id: string, note: Omit<Note, "schema">): readonly [string, Desired] => adapterNote("files", `${file}/${id}`, note)
