/** Rows of a commit as entries a table can use. What cannot be used is parked with a note and changes nothing. */
import type { Row } from "../bus/unit/unit.ts"
import { parseSubject } from "../bus/subject.ts"
import type { TableNote } from "./table/compile.ts"
import { certificatesNamed, clustersNamed, decodeEntry, sectionOf, type Entry, type Section } from "./table/entry.ts"
import { EntryFault } from "./table/fault.ts"
import { checkRoute } from "./table/rule.ts"
import type { Notes } from "./notes.ts"

/** One change of one entry. */
export interface EntryChange {
  readonly section: Section
  readonly id: string
  /** null: removed. */
  readonly entry: Entry | null
  /** Cluster ids a route names, certificate ids a listener names; empty for others. */
  readonly named: readonly string[]
}

/**
 * Decodes rows; order kept. A parked entry keeps the key `entry/<subject>` in `notes` until a later row replaces or
 * removes it; the last good version of it stays in force. Sections no gateway reads are passed over; unknown ones
 * too, with one note a section.
 */
export const decodeRows = (rows: readonly Row[], notes: Notes): EntryChange[] => {
  const changes: EntryChange[] = []
  for (const [subject, body] of rows) {
    const parsed = parseSubject(subject)
    if (parsed?.is !== "entry") continue
    const section = sectionOf(parsed.section)
    if (section === "for-others") continue
    if (section === "unknown") {
      notes.set(`section/${parsed.section}`, { severity: "info", reason: "UnknownSection", message: `Entries of section ${parsed.section} are ignored: this gateway does not know it.` })
      continue
    }
    notes.clear(`entry/${subject}`)
    if (body === null) {
      changes.push({ section, id: parsed.id, entry: null, named: [] })
      continue
    }
    try {
      const entry = decodeEntry(section, parsed.id, body)
      if (entry.section === "route") checkRoute(entry.value)
      if (entry.section === "cluster" && entry.unspoken !== undefined) notes.set(`entry/${subject}`, unspoken(parsed.id, entry.unspoken))
      changes.push({ section, id: parsed.id, entry, named: namedBy(entry) })
    } catch (error) {
      if (!(error instanceof EntryFault)) throw error
      notes.set(`entry/${subject}`, parked(section, parsed.id, error))
    }
  }
  return changes
}

const namedBy = (entry: Entry): readonly string[] => {
  if (entry.section === "route") return clustersNamed(entry.value)
  return entry.section === "listener" ? certificatesNamed(entry.value) : []
}

/** Reason of the only note on an entry that is in force all the same. */
export const UNSPOKEN = "UnsupportedProtocol"

const unspoken = (cluster: string, protocol: string): TableNote => ({
  severity: "error",
  reason: UNSPOKEN,
  message: `Cluster ${cluster} speaks ${protocol}, which this gateway does not: what goes to it answers 500.`,
  field: "protocol",
  fix: "Update this gateway.",
})

const parked = (section: Section, id: string, fault: EntryFault): TableNote => ({
  severity: "error",
  reason: fault.reason,
  message: `The ${section} entry ${id} is parked, the last good version of it stays in force: ${fault.message}.`,
  ...(fault.field === "" ? {} : { field: fault.field }),
  ...(fault.reason === "NewerSchema" ? { fix: "Update this gateway." } : {}),
})
