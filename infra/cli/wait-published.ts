/**
 * Whether what is waited for has been published: the newest message of each object, and, where the manifests are on
 * this machine, whether it is what the files ask for. The adapter has the last word on what cannot be taken.
 */
import type { Message } from "../../bus/bus.ts"
import { bodyText, decodeHeader, header, isDeleted, numberHeader } from "../../bus/envelope.ts"
import { parseSubject, resourceSubject } from "../../bus/subject.ts"
import { exit } from "./command.ts"
import { clock } from "./explain-layout.ts"
import { at, jsonIn } from "./field.ts"
import { nameText, type ObjectName } from "./object-name.ts"
import { isSame, type Manifests } from "./wait-files.ts"

/** The newest of the versions waited for. */
export interface Version {
  /** In RESOURCES. */
  readonly seq: number
  readonly time: number
  /** Of a single object. */
  readonly generation: number | undefined
}

export type Found =
  | { readonly is: "published"; readonly version: Version }
  /** Sentences. */
  | { readonly is: "lacking"; readonly lacking: readonly string[] }
  /** Waiting is of no use. */
  | Never

interface Never {
  readonly is: "never"
  readonly status: 1 | 3
  readonly text: string
}

export interface PublishedOptions {
  /** None: everything. */
  readonly objects: readonly ObjectName[]
  readonly for: "live" | "delete"
  readonly manifests: Manifests | undefined
}

/** Files are read again at most so often, ms, or a tenth of the time where that takes long. */
const READ_AGAIN = 5
const SELDOM = 250
/** Sentences on what is missing among everything. */
const FEW = 5

export class Published {
  readonly #options: PublishedOptions
  readonly #wanted: ReadonlyMap<string, ObjectName>
  readonly #last = new Map<string, Message>()
  /** What the file adapter has to say: subject → body. */
  readonly #notes = new Map<string, string>()
  #readAt = Number.NEGATIVE_INFINITY
  #cost = 0

  constructor(options: PublishedOptions) {
    this.#options = options
    this.#wanted = new Map(options.objects.map((object) => [resourceSubject(object.kind, object.key), object]))
  }

  /** Of RESOURCES: what `take` has to see, in state and live. */
  get filters(): readonly string[] {
    return this.#wanted.size === 0 ? ["resource.>"] : [...this.#wanted.keys()]
  }

  take(message: Message): void {
    this.#last.set(message.subject, message)
  }

  /** Of `resource.note.files.*`. */
  note(message: Message): void {
    if (isDeleted(message.headers)) this.#notes.delete(message.subject)
    else this.#notes.set(message.subject, bodyText(message.data))
  }

  /** `seen`: sequence of RESOURCES up to which `take` has seen all. */
  find(seen: number): Found {
    this.#read()
    if (this.#wanted.size === 0) return this.#everything(seen)
    const lacking: string[] = []
    let version: Version = { seq: 0, time: 0, generation: undefined }
    for (const [subject, object] of this.#wanted) {
      const last = this.#last.get(subject)
      const found = this.#options.for === "delete" ? this.#gone(object, last) : this.#there(object, last)
      if (typeof found === "string") lacking.push(found)
      else if (found !== undefined) return found
      if (last !== undefined && last.seq > version.seq) version = { seq: last.seq, time: last.time, generation: this.#wanted.size === 1 ? numberHeader(last.headers, header.generation) : undefined }
    }
    return lacking.length > 0 ? { is: "lacking", lacking } : { is: "published", version }
  }

  /** What arrives from the bus is compared at once, with files read a moment ago. */
  #read(): void {
    const now = performance.now()
    if (this.#options.manifests === undefined || now - this.#readAt < Math.min(SELDOM, READ_AGAIN + this.#cost * 10)) return
    this.#options.manifests.read()
    this.#readAt = performance.now()
    this.#cost = this.#readAt - now
  }

  /** Undefined: it is published as it should be. A sentence: not yet. */
  #there(object: ObjectName, last: Message | undefined): string | Never | undefined {
    const name = nameText(object)
    const asked = this.#options.manifests?.asked(object, last === undefined ? "" : sourceOf(last))
    const isThere = last !== undefined && !isDeleted(last.headers)
    if (asked?.is === "present") return isThere && isSame(object.kind, bodyText(last.data), asked.body) ? undefined : `the file adapter has not published ${name} as it is in ${asked.file}${this.#saidOf(object)}`
    if (asked?.is === "refused" && (!isThere || asked.file === sourceOf(last))) {
      const judged = [...asked.notes].filter(([subject, body]) => this.#notes.get(subject) === body)
      if (judged.length === 0) return `the file adapter has not judged ${asked.file}`
      return { is: "never", status: exit.failed, text: [`${name} is not taken as it is in ${asked.file}${isThere ? ", its last good version stays" : ""}:`, ...judged.map(([, body]) => `  ${noteText(body)}`)].join("\n") }
    }
    // Its file is gone, or does not name it any more: the adapter has the last word.
    if (isThere) return asked?.is === "absent" && sourceOf(last) !== "" ? `the file adapter has not said that ${name} is gone, which no file names any more` : undefined
    return { is: "never", status: exit.notFound, text: last === undefined ? `there is no ${name}` : `${name} was deleted at ${clock(last.time)} (sequence ${last.seq}); "headgate wait --for delete" waits until nobody serves it` }
  }

  #gone(object: ObjectName, last: Message | undefined): string | Never | undefined {
    const name = nameText(object)
    const asked = this.#options.manifests?.asked(object, last === undefined ? "" : sourceOf(last))
    if (asked?.is === "present") return `${name} is still in ${asked.file}`
    if (last === undefined) return { is: "never", status: exit.notFound, text: `there is no ${name}` }
    return isDeleted(last.headers) ? undefined : `${name} has not been deleted`
  }

  /** What is in trouble is no reason to wait: notes say what, and everything else goes on. */
  #everything(seen: number): Found {
    const all = this.#options.manifests?.all() ?? new Map<string, string>()
    const lacking: string[] = []
    for (const [subject, body] of all) {
      if (lacking.length >= FEW) break
      const object = objectOf(subject)
      const last = this.#last.get(subject)
      if (last !== undefined && !isDeleted(last.headers) && isSame(object.kind, bodyText(last.data), body)) continue
      if (!this.#notesOn(object).some((note) => NEVER_PUBLISHED.has(note.reason))) lacking.push(`the file adapter has not published ${nameText(object)} as it is in the files`)
    }
    if (this.#options.manifests !== undefined && lacking.length === 0) {
      for (const [subject, message] of this.#last) {
        if (sourceOf(message) !== "" && !isDeleted(message.headers) && !all.has(subject) && !this.#isKept(sourceOf(message))) lacking.push(`the file adapter has not said that ${nameText(objectOf(subject))} is gone, which no file names any more`)
      }
    }
    return lacking.length > 0 ? { is: "lacking", lacking: lacking.slice(0, FEW) } : { is: "published", version: { seq: seen, time: 0, generation: undefined } }
  }

  /** The file has something the adapter cannot take: what came from it stays. */
  #isKept(file: string): boolean {
    return [...this.#notes.values()].some((body) => at(jsonIn(body), "file") === file && at(jsonIn(body), "severity") === "error")
  }

  /** What the adapter has to say about an object that it does not publish. */
  #saidOf(object: ObjectName): string {
    return this.#notesOn(object).map(({ body }) => `: ${noteText(body)}`).join("")
  }

  #notesOn({ kind, key }: ObjectName): readonly { readonly reason: string; readonly body: string }[] {
    return [...this.#notes.values()].flatMap((body) => {
      const note = jsonIn(body)
      const [of, namespace, name, reason] = [at(note, "about", "kind"), at(note, "about", "namespace"), at(note, "about", "name"), at(note, "reason")].map((value) => (typeof value === "string" ? value : ""))
      return of?.toLowerCase() === kind && `${namespace}/${name}` === key ? [{ reason: reason ?? "", body }] : []
    })
  }
}

/** Reasons of the adapter for never publishing what is in a file. */
const NEVER_PUBLISHED: ReadonlySet<string> = new Set(["OtherController", "OwnedByAnotherAdapter", "Rejected"])

const objectOf = (subject: string): ObjectName => {
  const parsed = parseSubject(subject)
  return parsed?.is === "resource" ? parsed : { kind: subject, key: "" }
}

const sourceOf = (message: Message): string => decodeHeader(message.headers[header.source] ?? "")

const noteText = (body: string): string => {
  const value = jsonIn(body)
  const field = (name: string, before: string, after: string): string => {
    const found = at(value, name)
    return typeof found === "string" || typeof found === "number" ? `${before}${found}${after}` : ""
  }
  return `${field("file", "", "")}${field("line", ":", "")} ${field("reason", "", ": ")}${field("message", "", "")}${field("fix", " ", "")}`.trim()
}
