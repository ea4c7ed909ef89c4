/**
 * Functions know objects and no files. Here a note finds its place again: the file its object came from, the line of
 * its field; and what is about an object that does not exist is shown where it is referred to.
 */
import type { Note, Source } from "../../bus/kinds/config.ts"
import { type Locator, locator } from "../adapters/files/locate.ts"
import { at, list, textIn } from "./field.ts"

export interface PlacedObject {
  /** Subject token: `httproute`. */
  readonly kind: string
  /** `<namespace>/<name>` */
  readonly key: string
  readonly value: unknown
  /** File it came from, "" when that is not known. */
  readonly file: string
}

/** Says where a note belongs, once for each place. `textOf` gives a file's text, undefined when it cannot be read; each is asked for once. */
export const placer = (objects: readonly PlacedObject[], textOf: (file: string) => string | undefined): ((note: Note) => readonly Note[]) => {
  const byId = new Map(objects.map((object) => [`${object.kind}/${object.key}`, object]))
  const locators = new Map<string, Locator | undefined>()
  const locatorOf = (file: string): Locator | undefined => {
    if (!locators.has(file)) {
      const content = file === "" ? undefined : textOf(file)
      locators.set(file, content === undefined ? undefined : locator(content))
    }
    return locators.get(file)
  }
  const place = (note: Note, about: Source, { file }: PlacedObject): Note => {
    const line = locatorOf(file)?.(about, note.field)
    return { ...note, ...(file === "" ? {} : { file }), ...(line === undefined ? {} : { line }) }
  }
  let referrers: ReadonlyMap<string, readonly Referrer[]> | undefined
  return (note) => {
    const { about } = note
    if (about === undefined || note.file !== undefined) return [note]
    const object = byId.get(`${about.kind.toLowerCase()}/${about.namespace}/${about.name}`)
    if (object !== undefined) return [place(note, about, object)]
    if (about.kind !== "Service" && about.kind !== "Secret") return [note]
    referrers ??= Map.groupBy(objects.flatMap((each) => [...backendRefs(each), ...certificateRefs(each)]), ({ to }) => to)
    const found = referrers.get(`${about.kind} ${about.namespace}/${about.name}`) ?? []
    if (found.length === 0) return [note]
    return found.map(({ from, kind, field }) => {
      const [namespace = "", name = ""] = from.key.split("/")
      const referrer = { kind, namespace, name }
      return place({ ...note, about: referrer, field }, referrer, from)
    })
  }
}


interface Referrer {
  readonly from: PlacedObject
  readonly kind: string
  readonly field: string
  /** `Service <namespace>/<name>` */
  readonly to: string
}

const ROUTES: Readonly<Record<string, string>> = { httproute: "HTTPRoute", grpcroute: "GRPCRoute" }

/** Fields of a route that refer to Services. */
const backendRefs = (from: PlacedObject): readonly Referrer[] =>
  ROUTES[from.kind] === undefined ? [] : list(at(from.value, "spec", "rules")).flatMap((rule, i) =>
    list(at(rule, "backendRefs")).flatMap((ref, j) => referrer(from, ROUTES[from.kind] ?? "", `spec.rules[${i}].backendRefs[${j}].name`, "Service", ref)))

/** Fields of a Gateway that refer to Secrets. */
const certificateRefs = (from: PlacedObject): readonly Referrer[] =>
  from.kind !== "gateway" ? [] : list(at(from.value, "spec", "listeners")).flatMap((listener, i) =>
    list(at(listener, "tls", "certificateRefs")).flatMap((ref, j) => referrer(from, "Gateway", `spec.listeners[${i}].tls.certificateRefs[${j}].name`, "Secret", ref)))

const referrer = (from: PlacedObject, kind: string, field: string, toKind: string, ref: unknown): readonly Referrer[] => {
  const own = from.key.slice(0, from.key.indexOf("/"))
  return at(ref, "kind") === toKind ? [{ from, kind, field, to: `${toKind} ${textIn(at(ref, "namespace")) || own}/${textIn(at(ref, "name"))}` }] : []
}
