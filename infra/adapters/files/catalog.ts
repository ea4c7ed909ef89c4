/**
 * What the files ask for, object by object, kept up to date file by file. Holds documents by their text, so a new
 * version of a file reads only the documents that changed. No I/O: Folder feeds it, Publisher publishes `desired`.
 */
import type { SecretContent } from "../../../bus/kinds/secret-content.ts"
import { Redacted } from "../../../bus/redacted.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import type { Desired } from "../publish/desired.ts"
import { byPrecedence, identityOfText, isBroken, precedes, type Claim, type Document, type FileFault, type SourceFile } from "./claims.ts"
import { type ManifestOptions, namespaceBody, readManifest } from "./manifest.ts"
import { duplicateNotes, fileNotes } from "./notes.ts"
import { splitDocuments } from "./split.ts"

/** What is published of Secrets, by `<namespace>/<name>` (wanted/secrets.ts). */
export interface SecretBodies {
  bodyOf(key: string, body: string, content: SecretContent): string
  bodyKept(key: string, body: string): string
  forget(key: string): void
}

/** For who reads manifests and publishes nothing. */
const NAMES_ONLY: SecretBodies = { bodyOf: (_key, body) => body, bodyKept: (_key, body) => body, forget: () => undefined }

export class Catalog {
  readonly #options: Omit<ManifestOptions, "json">
  readonly #secrets: SecretBodies
  readonly #files = new Map<string, SourceFile>()
  readonly #claims = new Map<string, Claim[]>()
  /** Subjects claimed more than once. */
  readonly #contested = new Set<string>()
  /** Subject → documents that name it and are invalid. */
  readonly #blocked = new Map<string, Set<Document>>()
  /** Objects per namespace, for the Namespaces nobody declares. */
  readonly #namespaces = new Map<string, number>()
  /** By file name, and by subject. */
  readonly #fileNotes = new Map<string, ReadonlyMap<string, Desired>>()
  readonly #duplicateNotes = new Map<string, ReadonlyMap<string, Desired>>()
  readonly #desired = new Map<string, Desired>()
  /** Folders that cannot be read now → which files come from there. */
  readonly #unreadable = new Map<string, (file: string) => boolean>()
  #touched = new Set<string>()
  #changed = new Set<string>()

  constructor(options: Omit<ManifestOptions, "json">, secrets: SecretBodies = NAMES_ONLY) {
    this.#options = options
    this.#secrets = secrets
  }

  /** Subject → what should stand there. */
  get desired(): ReadonlyMap<string, Desired> {
    return this.#desired
  }

  get files(): number {
    return this.#files.size
  }

  /**
   * A file's new content. With `settled` false the file may still be written to: when a document of it cannot be
   * read, nothing is taken over and the answer is false.
   */
  put(name: string, text: string, settled = true): boolean {
    const file = this.#files.get(name)
    const json = name.endsWith(".json")
    const pieces = json ? (text.trim() === "" ? [] : [{ text, line: 1 }]) : splitDocuments(text)
    const documents = new Map<string, Document[]>()
    const target = file ?? { name, documents: new Map(), missing: false, fault: undefined }
    const before = new Map([...target.documents].map(([key, list]) => [key, [...list]]))
    const added: Document[] = []
    const kept: [Document, number, number][] = []
    for (const [index, piece] of pieces.entries()) {
      const identity = identityOfText(piece.text)
      let document = before.get(identity)?.shift()
      if (document === undefined) {
        document = { ...readManifest(piece.text, { ...this.#options, json }), file: target, text: new Redacted(piece.text), index, line: piece.line }
        if (!settled && (document.broken || document.blocked.length > 0)) return false
        added.push(document)
      } else kept.push([document, index, piece.line])
      const same = documents.get(identity)
      if (same === undefined) documents.set(identity, [document])
      else same.push(document)
    }
    const wasBroken = isBroken(target)
    this.#files.set(name, target)
    for (const [document, index, line] of kept) {
      document.index = index
      document.line = line
    }
    target.documents = documents
    target.missing = false
    target.fault = undefined
    for (const gone of before.values()) for (const document of gone) this.#retract(document)
    for (const document of added) this.#assert(document)
    for (const subject of this.#contested) this.#touched.add(subject)
    if (wasBroken && !isBroken(target)) this.#touchSource(name)
    this.#noteFile(target)
    return true
  }

  /** The file is not there at the moment: its objects stay, but give way to others that claim the same name. */
  miss(name: string): void {
    const file = this.#files.get(name)
    if (file === undefined || file.missing) return
    file.missing = true
    for (const subject of this.#contested) this.#touched.add(subject)
  }

  remove(name: string): void {
    const file = this.#files.get(name)
    if (file === undefined) return
    this.#files.delete(name)
    for (const list of file.documents.values()) for (const document of list) this.#retract(document)
    file.documents = new Map()
    file.fault = undefined
    this.#touchSource(name)
    this.#noteFile(file)
  }

  /** The file is there and cannot be read: what came from it stays. */
  fail(name: string, fault: FileFault): void {
    const file = this.#files.get(name) ?? { name, documents: new Map(), missing: false, fault }
    file.fault = fault
    file.missing = false
    this.#files.set(name, file)
    this.#noteFile(file)
  }

  /** A folder cannot be read, and what came from its files stays; `isReadable`: it can again, and what is not in it goes. */
  folder(path: string, isReadable: boolean, holds: (file: string) => boolean): void {
    if (!isReadable) this.#unreadable.set(path, holds)
    else if (this.#unreadable.delete(path)) for (const [subject, { source }] of this.#desired) if (holds(source)) this.#touched.add(subject)
  }

  /** A resource of ours that the stream holds and no file claims: goes with the next `settle`, unless the file it came from is broken, or its folder cannot be read. */
  adopt(subject: string, held: Desired): void {
    if (this.#claims.has(subject) || this.#desired.has(subject)) return
    this.#desired.set(subject, held)
    this.#count(held, 1)
    this.#touched.add(subject)
  }

  /** Brings `desired` up to date; returns the subjects whose value, or the file it comes from, changed since the last call. */
  settle(): ReadonlySet<string> {
    while (this.#touched.size > 0) {
      const touched = this.#touched
      this.#touched = new Set()
      for (const subject of touched) this.#resolve(subject)
    }
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  /** What is published of these may be other, though no file has changed. */
  touch(subjects: Iterable<string>): void {
    for (const subject of subjects) this.#touched.add(subject)
  }

  /** Something the adapter itself has to say about a subject outside of files. */
  say(subject: string, desired: Desired | undefined): void {
    this.#set(subject, desired)
  }

  #assert(document: Document): void {
    for (const object of document.objects) {
      const claims = this.#claims.get(object.subject)
      if (claims === undefined) this.#claims.set(object.subject, [{ document, object }])
      else {
        claims.push({ document, object })
        this.#contested.add(object.subject)
      }
      this.#touched.add(object.subject)
    }
    for (const subject of document.blocked) {
      const documents = this.#blocked.get(subject) ?? new Set()
      documents.add(document)
      this.#blocked.set(subject, documents)
      this.#touched.add(subject)
    }
  }

  #retract(document: Document): void {
    for (const { subject } of document.objects) {
      const rest = (this.#claims.get(subject) ?? []).filter((claim) => claim.document !== document)
      if (rest.length === 0) this.#claims.delete(subject)
      else this.#claims.set(subject, rest)
      this.#touched.add(subject)
    }
    for (const subject of document.blocked) {
      const documents = this.#blocked.get(subject)
      documents?.delete(document)
      if (documents?.size === 0) this.#blocked.delete(subject)
      this.#touched.add(subject)
    }
  }

  /** What came from a file that was broken and may have been kept for that reason alone. */
  #touchSource(name: string): void {
    for (const [subject, desired] of this.#desired) if (desired.source === name) this.#touched.add(subject)
  }

  #resolve(subject: string): void {
    const claims = [...(this.#claims.get(subject) ?? [])].sort(byPrecedence)
    if (claims.length < 2) this.#contested.delete(subject)
    if (claims.length > 1 || this.#duplicateNotes.has(subject)) this.#replaceNotes(this.#duplicateNotes, subject, duplicateNotes(claims))
    const current = this.#desired.get(subject)
    // Of files that are all missing at the moment, the one that stood stays: what an older one said is over.
    const winner = (claims[0]?.document.file.missing === true ? claims.find(({ document }) => document.file.name === current?.source) : undefined) ?? claims[0]
    if (current !== undefined && current.kind !== "note" && this.#isGuarded(subject, current, winner)) {
      if (current.kind === "secret") this.#set(subject, { ...current, body: this.#secrets.bodyKept(current.key, current.body) })
      return
    }
    if (winner !== undefined) {
      const { object, document } = winner
      const key = `${object.namespace}/${object.name}`
      const body = object.secret === undefined ? object.body : this.#secrets.bodyOf(key, object.body, object.secret)
      this.#set(subject, { kind: object.kind, key, body, version: object.version, source: document.file.name })
      return
    }
    if (current?.kind === "secret") this.#secrets.forget(current.key)
    const undeclared = this.#undeclared.get(subject)
    const used = undeclared !== undefined && (this.#namespaces.get(undeclared) ?? 0) > 0
    this.#set(subject, used ? { kind: "namespace", key: `/${undeclared}`, body: namespaceBody(undeclared), version: "", source: "" } : undefined)
  }

  /** The last good version stands while the file it came from names it invalidly, or cannot be read as a whole. */
  #isGuarded(subject: string, current: Desired, winner: Claim | undefined): boolean {
    if (current.source === "" || winner?.document.file.name === current.source) return false
    const file = this.#files.get(current.source)
    if (file === undefined) return winner === undefined && [...this.#unreadable.values()].some((holds) => holds(current.source))
    const names = [...(this.#blocked.get(subject) ?? [])].some((document) => document.file === file)
    return (names || isBroken(file)) && (winner === undefined || precedes(file, winner.document.file))
  }

  /** Namespace subject → name, for every namespace ever used. */
  readonly #undeclared = new Map<string, string>()

  #count(desired: Desired, by: 1 | -1): void {
    const namespace = desired.key.slice(0, desired.key.indexOf("/"))
    if (namespace === "" || desired.kind === "note") return
    const used = (this.#namespaces.get(namespace) ?? 0) + by
    if (used === 0) this.#namespaces.delete(namespace)
    else this.#namespaces.set(namespace, used)
    if (used > 1 || (used === 1 && by === -1)) return
    const subject = resourceSubject("namespace", `/${namespace}`)
    this.#undeclared.set(subject, namespace)
    this.#touched.add(subject)
  }

  #set(subject: string, desired: Desired | undefined): void {
    const current = this.#desired.get(subject)
    if (desired === undefined) {
      if (current !== undefined && this.#desired.delete(subject)) this.#count(current, -1)
    } else {
      this.#desired.set(subject, desired)
      if (current === undefined) this.#count(desired, 1)
    }
    if (current?.body !== desired?.body || current?.source !== desired?.source) this.#changed.add(subject)
  }

  #noteFile(file: SourceFile): void {
    this.#replaceNotes(this.#fileNotes, file.name, fileNotes(file))
  }

  #replaceNotes(notes: Map<string, ReadonlyMap<string, Desired>>, of: string, after: ReadonlyMap<string, Desired>): void {
    for (const subject of notes.get(of)?.keys() ?? []) if (!after.has(subject)) this.#set(subject, undefined)
    for (const [subject, note] of after) this.#set(subject, note)
    if (after.size === 0) notes.delete(of)
    else notes.set(of, after)
  }
}
