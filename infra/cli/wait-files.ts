/**
 * What the manifests on this machine ask for of one object, read as the file adapter reads them: between saving a file
 * and its event on the bus, the bus does not know of the edit. A file that cannot hold the name is not parsed.
 */
import type { BigIntStats } from "node:fs"
import { join } from "node:path"
import { Catalog, type SecretBodies } from "../adapters/files/catalog.ts"
import { readFile } from "../adapters/files/read.ts"
import { splitDocuments } from "../adapters/files/split.ts"
import { readKeyPair } from "../adapters/wanted/key-pair.ts"
import { canonical } from "../../bus/canonical.ts"
import { resourceSubject } from "../../bus/subject.ts"
import type { ObjectName } from "./object-name.ts"
import { at } from "./field.ts"
import { manifestsIn } from "./validate.ts"

export type Asked =
  /** Canonical body, as it will be published. */
  | { readonly is: "present"; readonly body: string; readonly file: string }
  /** Its file has a version that cannot be taken; `notes` are what the adapter says of it: subject → body. */
  | { readonly is: "refused"; readonly notes: ReadonlyMap<string, string>; readonly file: string }
  | { readonly is: "absent" }

interface Known {
  readonly text: string
  readonly stat: BigIntStats
}

export class Manifests {
  readonly folder: string
  readonly #known = new Map<string, Known>()
  /** Of this reading; by subject and source. */
  readonly #asked = new Map<string, Asked>()
  #all: ReadonlyMap<string, string> | undefined

  /** Absolute path. */
  constructor(folder: string) {
    this.folder = folder
  }

  /** As the files are now. Those that did not change since the last time are not read again. */
  read(): void {
    const names = manifestsIn(this.folder)
    const there = new Set(names)
    let isSameAsBefore = true
    for (const name of this.#known.keys()) if (!there.has(name) && this.#known.delete(name)) isSameAsBefore = false
    for (const name of names) {
      const read = readFile(join(this.folder, name), this.#known.get(name)?.stat)
      if (read.is === "same") continue
      if (read.is === "text") this.#known.set(name, { text: read.text, stat: read.stat })
      else this.#known.delete(name)
      isSameAsBefore = false
    }
    if (isSameAsBefore) return
    this.#asked.clear()
    this.#all = undefined
  }

  /** By `read`. `source`: the file that its last version came from. */
  asked(object: ObjectName, source: string): Asked {
    const known = `${resourceSubject(object.kind, object.key)} ${source}`
    const asked = this.#asked.get(known) ?? this.#look(object, source)
    this.#asked.set(known, asked)
    return asked
  }

  #look({ kind, key }: ObjectName, source: string): Asked {
    const name = key.slice(key.indexOf("/") + 1)
    const subject = resourceSubject(kind, key)
    // Other letters can stand for a name only with an escape, which begins with a backslash.
    const mayName = (text: string): boolean => text.includes(name) || text.includes("\\")
    const few = this.#catalog((text, file) => (!mayName(text) ? undefined : file.endsWith(".json") ? text : splitDocuments(text).flatMap((piece) => (mayName(piece.text) ? [piece.text] : [])).join("\n...\n")))
    const found = few.desired.get(subject)
    if (found !== undefined) return { is: "present", body: found.body, file: found.source }
    // Then what is wrong matters, in whole files: notes name their places.
    const { desired } = this.#catalog((text, file) => (file === source || mayName(text) ? text : undefined))
    const notes = new Map<string, string>()
    let file = ""
    for (const [subject, { kind: of, body }] of desired) {
      const note: unknown = of === "note" ? JSON.parse(body) : undefined
      if (!isAbout(note, kind, key)) continue
      notes.set(subject, body)
      file ||= typeof note === "object" && note !== null && "file" in note && typeof note.file === "string" ? note.file : ""
    }
    return notes.size === 0 ? { is: "absent" } : { is: "refused", notes, file }
  }

  /** Every object, by subject: canonical body. By `read`. */
  all(): ReadonlyMap<string, string> {
    this.#all ??= new Map([...this.#catalog((text) => text).desired].flatMap(([subject, { kind, body }]) => (kind === "note" ? [] : [[subject, body]])))
    return this.#all
  }

  /** `part`: what is read of a file, undefined: nothing. */
  #catalog(part: (text: string, file: string) => string | undefined): Catalog {
    // Which GatewayClasses are ours is the adapter's to know; another's is never published, and waiting says so.
    const catalog = new Catalog({ controllerNames: "any" }, PUBLIC)
    for (const [name, { text }] of this.#known) {
      const read = part(text, name)
      if (read !== undefined) catalog.put(name, read)
    }
    catalog.settle()
    return catalog
  }
}

/** Of a Secret what is public: for which data planes its key is sealed only the adapter knows. */
const PUBLIC: SecretBodies = {
  bodyOf: (_key, body, content) => {
    const read = readKeyPair(content)
    const secret: unknown = JSON.parse(body)
    const found = read.ok ? { tls: { chain: read.pair.chain, keyDigest: read.pair.keyDigest } } : { problem: { reason: read.problem.reason } }
    return canonical(typeof secret === "object" && secret !== null ? { ...secret, ...found } : secret)
  },
  bodyKept: (_key, body) => body,
  forget: () => undefined,
}

/** Whether what is published is what the files ask for; of a Secret whose content nobody wants the names alone. */
export const isSame = (kind: string, published: string, asked: string): boolean => {
  if (published === asked) return true
  if (kind !== "secret") return false
  const [have, want]: readonly unknown[] = [published, asked].map((body): unknown => JSON.parse(body))
  const names = (value: unknown): string => canonical(typeof value === "object" && value !== null ? { ...value, tls: undefined, problem: undefined } : value)
  if (names(have) !== names(want)) return false
  if (at(have, "tls") === undefined && at(have, "problem") === undefined) return true
  const content = (value: unknown): string => JSON.stringify(at(value, "problem") === undefined ? [at(value, "tls", "chain"), at(value, "tls", "keyDigest")] : at(value, "problem", "reason"))
  return content(have) === content(want)
}

/** An error about this object, or about a whole document, of which nobody knows what it holds. */
const isAbout = (note: unknown, kind: string, key: string): boolean => {
  if (typeof note !== "object" || note === null || !("severity" in note) || note.severity !== "error") return false
  if (!("about" in note)) return true
  const { about } = note
  return typeof about === "object" && about !== null && "kind" in about && "namespace" in about && "name" in about &&
    String(about.kind).toLowerCase() === kind && `${String(about.namespace)}/${String(about.name)}` === key
}
