/**
 * Functions know objects and no files. Here a note finds its place again: the file its object came from, the line of
 * its field; and what is about an object that does not exist is shown where it is referred to.
 */
import type { Note, Source } from "../../bus/kinds/config.ts"
import { lineOf } from "../adapters/files/locate.ts"

export interface PlacedObject {
  /** Subject token: `httproute`. */
  readonly kind: string
  /** `<namespace>/<name>` */
  readonly key: string
  readonly value: unknown
  /** File it came from, "" when that is not known. */
  readonly file: string
}

/** `textOf` gives a file's text, undefined when it cannot be read. One note for each place. */
export const placedNotes = (notes: readonly Note[], objects: readonly PlacedObject[], textOf: (file: string) => string | undefined): readonly Note[] => {
  const byId = new Map(objects.map((object) => [`${object.kind}/${object.key}`, object]))
  return notes.flatMap((note): readonly Note[] => {
    const { about } = note
    if (about === undefined || note.file !== undefined) return [note]
    const object = byId.get(`${about.kind.toLowerCase()}/${about.namespace}/${about.name}`)
    if (object !== undefined) return [place(note, about, object, textOf)]
    const referrers = about.kind === "Service" ? objects.flatMap((each) => backendRefs(each, about).map((field) => ({ each, field }))) : []
    if (referrers.length === 0) return [note]
    return referrers.map(({ each, field }) => {
      const [namespace = "", name = ""] = each.key.split("/")
      const referrer = { kind: "HTTPRoute", namespace, name }
      return place({ ...note, about: referrer, field }, referrer, each, textOf)
    })
  })
}

const place = (note: Note, about: Source, { file }: PlacedObject, textOf: (file: string) => string | undefined): Note => {
  const text = file === "" ? undefined : textOf(file)
  const line = text === undefined ? undefined : lineOf(text, about, note.field)
  return { ...note, ...(file === "" ? {} : { file }), ...(line === undefined ? {} : { line }) }
}

const at = (value: unknown, name: string): unknown => (typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined)
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Fields of an HTTPRoute that refer to a Service. */
const backendRefs = ({ kind, key, value }: PlacedObject, service: Source): readonly string[] => {
  if (kind !== "httproute") return []
  const own = key.slice(0, key.indexOf("/"))
  return list(at(at(value, "spec"), "rules")).flatMap((rule, i) =>
    list(at(rule, "backendRefs")).flatMap((ref, j) =>
      at(ref, "kind") === "Service" && at(ref, "name") === service.name && (at(ref, "namespace") ?? own) === service.namespace ? [`spec.rules[${i}].backendRefs[${j}].name`] : []))
}
