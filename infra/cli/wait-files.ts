/**
 * What the manifests on this machine ask for of one object, read as the file adapter reads them: between saving a file
 * and its event on the bus, the bus does not know of the edit. A file that cannot hold the name is not parsed.
 */
import type { BigIntStats } from "node:fs"
import { join } from "node:path"
import { Catalog } from "../adapters/files/catalog.ts"
import { readFile } from "../adapters/files/read.ts"
import { resourceSubject } from "../../bus/subject.ts"
import type { ObjectName } from "./object-name.ts"
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

  /** Absolute path. */
  constructor(folder: string) {
    this.folder = folder
  }

  /** As the files are now. Those that did not change since the last time are not read again. */
  read(): void {
    const names = manifestsIn(this.folder)
    const there = new Set(names)
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name)
    for (const name of names) {
      const read = readFile(join(this.folder, name), this.#known.get(name)?.stat)
      if (read.is === "text") this.#known.set(name, { text: read.text, stat: read.stat })
      else if (read.is !== "same") this.#known.delete(name)
    }
  }

  /** By `read`. */
  asked({ kind, key }: ObjectName): Asked {
    const name = key.slice(key.indexOf("/") + 1)
    // Other letters can stand for a name only with an escape, which begins with a backslash.
    const { desired } = this.#catalog((text) => text.includes(name) || text.includes("\\"))
    const found = desired.get(resourceSubject(kind, key))
    if (found !== undefined) return { is: "present", body: found.body, file: found.source }
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
    const { desired } = this.#catalog(() => true)
    return new Map([...desired].flatMap(([subject, { kind, body }]) => (kind === "note" ? [] : [[subject, body]])))
  }

  #catalog(isRead: (text: string) => boolean): Catalog {
    // Which GatewayClasses are ours is the adapter's to know; another's is never published, and waiting says so.
    const catalog = new Catalog({ controllerNames: "any" })
    for (const [name, { text }] of this.#known) if (isRead(text)) catalog.put(name, text)
    catalog.settle()
    return catalog
  }
}

/** An error about this object, or about a whole document, of which nobody knows what it holds. */
const isAbout = (note: unknown, kind: string, key: string): boolean => {
  if (typeof note !== "object" || note === null || !("severity" in note) || note.severity !== "error") return false
  if (!("about" in note)) return true
  const { about } = note
  return typeof about === "object" && about !== null && "kind" in about && "namespace" in about && "name" in about &&
    String(about.kind).toLowerCase() === kind && `${String(about.namespace)}/${String(about.name)}` === key
}
