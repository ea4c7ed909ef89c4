/**
 * `headgate validate DIR`: every problem of a folder of manifests without starting anything. Files are read by the
 * file adapter's own catalog; the functions themselves then run on what it would publish, so that what `headgate get
 * notes` would say about attachment, grants, backends and certificates is said here too.
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { kinds, type Note } from "../../bus/kinds/config.ts"
import { OWN_CONTROLLER } from "../../bus/kinds/installation.ts"
import { clock } from "../../bus/kinds/ours.ts"
import { identityOf, readFile, statOf } from "../adapters/files/read.ts"
import { OfflineDerivation } from "./derive-offline.ts"
import { fieldBeside } from "./field.ts"
import { placer } from "./placed-notes.ts"

export interface Validation {
  /** Sorted by file, line, severity. */
  readonly notes: readonly Note[]
  readonly files: number
  readonly objects: number
}

/** Throws when `folder` is none. Reads files and nothing else. */
export const validate = (folder: string, controllerNames: readonly string[] = [OWN_CONTROLLER]): Validation => {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw new Error(`${folder} is not a folder`)
  const derivation = new OfflineDerivation({ controllerNames: controllerNames.includes("*") ? "any" : new Set(controllerNames) })
  const { catalog } = derivation
  const texts = new Map<string, string>()
  for (const file of manifestsIn(folder)) {
    const read = readFile(join(folder, file), undefined)
    if (read.is === "fault") catalog.fail(file, read.fault)
    if (read.is !== "text") continue
    texts.set(file, read.text)
    catalog.put(file, read.text)
  }
  const found = derivation.notes()
  const all = [...catalog.desired.values()]
  const own = all.filter(({ kind }) => kind === "note").map(({ body }) => decodeNote(JSON.parse(body)))
  const objects = all.filter(({ kind }) => kind !== "note" && kind !== clock.name)
  const placed = found.flatMap(placer(objects.map(({ kind, key, body, source }) => ({ kind, key, value: JSON.parse(body), file: source })), (file) => texts.get(file)))
  const notes = [...own, ...placed]
  return { notes: notes.sort(byPlace), files: catalog.files, objects: objects.filter(({ source }) => source !== "").length }
}

const decodeNote = Schema.decodeUnknownSync(kinds.note.schema)

/** As the adapter finds them: hidden names are left out, links are followed, a folder is read once under its first name. */
export const manifestsIn = (folder: string, prefix = "", seen = new Set<string>()): readonly string[] => {
  const identity = identityOf(statSync(folder, { bigint: true }))
  if (seen.has(identity)) return []
  seen.add(identity)
  return readdirSync(folder).filter((name) => !name.startsWith(".")).flatMap((name) => {
    const stat = statOf(join(folder, name))
    if (stat?.isDirectory() === true) return manifestsIn(join(folder, name), `${prefix}${name}/`, seen)
    return /\.(?:ya?ml|json)$/.test(name) && stat?.isFile() !== false ? [`${prefix}${name}`] : []
  })
}

const weight = { error: 0, warning: 1, info: 2 } as const
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const byPlace = (a: Note, b: Note): number =>
  compare(a.file ?? "", b.file ?? "") || (a.line ?? 0) - (b.line ?? 0) || weight[a.severity] - weight[b.severity] || compare(a.message, b.message)

/** For people: each problem as `file:line`, what is wrong, and what to do. */
export const validationText = ({ notes, files, objects }: Validation): string => {
  const blocks = notes.map(({ file, line, severity, reason, field, message, fix }) => {
    const place = `${file ?? "-"}${line === undefined ? "" : `:${line}`}`
    return `${place}: ${severity}: ${reason}${fieldBeside({ field, message }) === "" ? "" : ` at ${field}`}\n    ${message}\n${fix === undefined ? "" : `    ${fix}\n`}`
  })
  const count = (severity: Note["severity"], one: string): string => {
    const found = notes.filter((note) => note.severity === severity).length
    return `${found === 0 ? "no" : found} ${one}${found === 1 ? "" : "s"}`
  }
  return `${[...blocks, `${files} ${files === 1 ? "file" : "files"}, ${objects} ${objects === 1 ? "object" : "objects"}: ${count("error", "error")}, ${count("warning", "warning")}`].join("\n")}\n`
}
