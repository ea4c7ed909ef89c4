/**
 * `headgate wait <object>…`: until every gateway serves what follows from the newest version of the objects. First
 * everything is subscribed to, then looked at, so that nothing is missed; then only what arrives is looked at again:
 *
 *   published   the version in the files is the one on the bus          → its sequence (wait-files.ts)
 *   answered    every function that has to do with it has answered that → what they have committed (wait-functions.ts)
 *   served      every gateway has acked the last commits of that moment (wait-gateways.ts)
 */
import type { Bus, Following, Message } from "../../bus/bus.ts"
import { decodeHeader, header, isDeleted, numberHeader } from "../../bus/envelope.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { commitSubject, encodeToken, parseSubject, resourceSubject } from "../../bus/subject.ts"
import { decodeCommit } from "../../bus/unit/commit.ts"
import { builtIn } from "../../functions/list.ts"
import { ASK_PROGRESS, type Progress, progressSubject, readProgress } from "../../functions/progress.ts"
import { appliedIn } from "./applied-message.ts"
import { exit } from "./command.ts"
import { at, list } from "./field.ts"
import { nameText, type ObjectName } from "./object-name.ts"
import { isSame, type Manifests } from "./wait-files.ts"
import { Answering, type Declared } from "./wait-functions.ts"
import { type Ack, standing, type Standing, type Target } from "./wait-gateways.ts"

export interface WaitOptions {
  /** None: everything. */
  readonly objects: readonly ObjectName[]
  readonly for: "live" | "delete"
  /** ms */
  readonly timeout: number
  /** Of the `up` on this machine; undefined: what is on the bus is the newest there is. */
  readonly manifests: Manifests | undefined
}

export interface Waited {
  readonly status: 0 | 1 | 3
  /** For people: stdout with status 0, else stderr. Lines. */
  readonly text: string
}

/** Hints can be lost, files change without an event on the bus, and pods go silent: how often that is looked at, ms. */
const AGAIN = 250

/** Without these a gateway has nothing to serve; others may be left out of an installation. */
const GATEWAYS_NEED = builtIn.filter(({ writes }) => writes.some(({ name }) => name === "route" || name === "cluster" || name === "certificate"))

/** Kinds whose edits may want a Secret, or be one. */
const OF_CERTIFICATES: ReadonlySet<string> = new Set(["gateway", "secret", "referencegrant"])

/** Rejects when the bus cannot be read. */
export const wait = async (bus: Bus, options: WaitOptions): Promise<Waited> => {
  const waiting = new Waiting(bus, options)
  try {
    return await waiting.outcome
  } finally {
    await waiting.stop()
  }
}

class Waiting {
  readonly outcome: Promise<Waited>
  readonly #bus: Bus
  readonly #options: WaitOptions
  readonly #began = performance.now()
  readonly #done = Promise.withResolvers<Waited>()
  readonly #followings: Following[] = []
  readonly #stopHints: () => void
  readonly #tick: NodeJS.Timeout
  readonly #limit: NodeJS.Timeout
  #missing = 0
  #isDue = false
  #isOver = false

  readonly #wanted: ReadonlyMap<string, ObjectName>
  /** Last message of each object, or of everything. */
  readonly #last = new Map<string, Message>()
  /** What the file adapter has to say. */
  readonly #notes = new Map<string, string>()
  readonly #declared = new Map<string, Declared>()
  readonly #heard = new Map<string, Progress>()
  readonly #commits = new Map<string, Message>()
  readonly #plans = new Set<string>()
  /** Certificate entries: whether the Secret has not been read yet, and the commit that said so. */
  readonly #certificates = new Map<string, { readonly id: string; readonly isUnread: boolean; readonly commit: string; readonly rev: number }>()
  readonly #acks = new Map<string, Ack>()
  #resources: Following | undefined
  #config: Following | undefined
  #filesReadAt = Number.NEGATIVE_INFINITY
  #filesCost = 0

  /** Highest sequence in RESOURCES of the versions waited for, once they are known. */
  #version: { readonly seq: number; readonly time: number } | undefined
  #answering: Answering | undefined
  #targets: readonly Target[] | undefined

  constructor(bus: Bus, options: WaitOptions) {
    this.#bus = bus
    this.#options = options
    this.outcome = this.#done.promise
    this.#wanted = new Map(options.objects.map((object) => [resourceSubject(object.kind, object.key), object]))
    this.#stopHints = bus.onHint(progressSubject(">"), (_subject, data) => {
      const progress = readProgress(data)
      if (progress === undefined) return
      this.#heard.set(progress.function, progress)
      this.#look()
    })
    bus.hint(ASK_PROGRESS, "")
    const subjects = this.#wanted.size === 0 ? ["resource.>"] : [...this.#wanted.keys()]
    for (const subject of subjects) this.#resources = this.#follow("RESOURCES", subject, (message) => this.#last.set(message.subject, message))
    if (options.manifests !== undefined) this.#follow("RESOURCES", "resource.note.files.*", (message) => void (isDeleted(message.headers) ? this.#notes.delete(message.subject) : this.#notes.set(message.subject, text(message))))
    this.#follow("CONFIG", `config.${encodeToken(CONTROL_PLANE)}.function.*`, (message) => this.#declare(message))
    this.#follow("CONFIG", "config.*.plan.*", (message) => {
      const parsed = parseSubject(message.subject)
      if (parsed?.is !== "entry") return
      if (isDeleted(message.headers)) this.#plans.delete(parsed.plane)
      else this.#plans.add(parsed.plane)
    })
    this.#follow("CONFIG", "config.*.certificate.*", (message) => this.#certificate(message))
    this.#config = this.#follow("CONFIG", "config.*.commit.*", (message) => this.#commits.set(message.subject, message))
    this.#follow("APPLIED", "applied.>", (message) => {
      const applied = appliedIn(message)
      if (applied !== undefined) this.#acks.set(message.subject, { applied, time: message.time })
    })
    this.#tick = setInterval(() => {
      if (this.#version !== undefined && this.#targets === undefined) bus.hint(ASK_PROGRESS, "")
      this.#look()
    }, AGAIN)
    this.#limit = setTimeout(() => this.#timeOut(), options.timeout)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    clearInterval(this.#tick)
    clearTimeout(this.#limit)
    this.#stopHints()
    await Promise.all(this.#followings.map((following) => following.stop()))
  }

  #follow(stream: "RESOURCES" | "CONFIG" | "APPLIED", filter: string, take: (message: Message) => void): Following {
    this.#missing++
    const following = this.#bus.follow({
      stream, filter, from: "state",
      onMessage: (message) => {
        take(message)
        this.#look()
      },
      onCaughtUp: () => {
        this.#missing--
        this.#look()
      },
      onLost: (reason) => this.#done.reject(new Error(`the store was lost while waiting (${reason})`)),
    })
    this.#followings.push(following)
    return following
  }

  #declare(message: Message): void {
    const parsed = parseSubject(message.subject)
    if (parsed?.is !== "entry") return
    const names = (value: unknown): readonly string[] => list(value).filter((each) => typeof each === "string")
    const value = isDeleted(message.headers) ? undefined : parse(text(message))
    if (value === undefined) this.#declared.delete(parsed.id)
    else this.#declared.set(parsed.id, { reads: names(at(value, "reads")), writes: names(at(value, "writes")) })
  }

  #certificate(message: Message): void {
    const parsed = parseSubject(message.subject)
    if (parsed?.is !== "entry") return
    const { subject, headers } = message
    if (isDeleted(headers)) this.#certificates.delete(subject)
    else this.#certificates.set(subject, { id: parsed.id, isUnread: at(parse(text(message)), "empty") === "NotRead", commit: commitSubject(parsed.plane, headers[header.writer] ?? ""), rev: numberHeader(headers, header.rev) ?? 0 })
  }

  /** What goes by way of an adapter: the content of Secrets, which it publishes once it is wanted. */
  #unread(): readonly string[] {
    return [...this.#certificates.values()].flatMap(({ id, isUnread, commit, rev }) => {
      if (isUnread) return [`the content of ${id.replace("/", " ")} is wanted, and no adapter has published it`]
      return (numberHeader(this.#commits.get(commit)?.headers ?? {}, header.rev) ?? rev) < rev ? [`a commit of ${id} has not arrived here`] : []
    })
  }

  /** Once for all that arrives together. */
  #look(): void {
    if (this.#isDue || this.#isOver || this.#missing > 0) return
    this.#isDue = true
    queueMicrotask(() => {
      this.#isDue = false
      if (this.#isOver) return
      try {
        const lacking = this.#lacking()
        if (!Array.isArray(lacking)) this.#end(lacking)
      } catch (error) {
        this.#done.reject(error)
      }
    })
  }

  #end(outcome: Waited): void {
    this.#isOver = true
    this.#done.resolve(outcome)
  }

  #timeOut(): void {
    if (this.#isOver) return
    const lacking = this.#missing > 0 ? ["the bus has not shown what it holds"] : this.#lacking()
    if (!Array.isArray(lacking)) return this.#end(lacking)
    this.#end({ status: exit.failed, text: [`${this.#what()} ${this.#options.for === "delete" ? "is not gone" : "is not live"} after ${seconds(this.#options.timeout)}:`, ...lacking.map((one) => `  ${one}`)].join("\n") })
  }

  #what(): string {
    return this.#wanted.size === 0 ? "everything" : [...this.#wanted.values()].map(nameText).join(", ")
  }

  /** What is waited for, as sentences, or how it ends. */
  #lacking(): string[] | Waited {
    if (this.#version === undefined) {
      const found = this.#published()
      if ("status" in found || Array.isArray(found)) return found
      this.#version = found
      this.#bus.hint(ASK_PROGRESS, "")
    }
    if (this.#targets === undefined) {
      const kinds = this.#wanted.size === 0 ? this.#allKinds() : [...new Set([...this.#wanted.values()].map(({ kind }) => kind))]
      // Functions that declare themselves meanwhile count too.
      if (this.#answering === undefined || new Answering(kinds, 0, this.#declared, this.#heard).functions.length !== this.#answering.functions.length) {
        this.#answering = new Answering(kinds, this.#version.seq, new Map(this.#declared), this.#heard)
      }
      const lacking = [...this.#answering.lacking()]
      for (const { name } of GATEWAYS_NEED) {
        if (!this.#declared.has(name) && builtIn.some((fn) => fn.name === name && fn.reads.some((kind) => kinds.includes(kind.name)))) lacking.push(`function ${name} has not committed yet what it derives on this bus`)
      }
      // Hints and commits travel on ways of their own.
      if (lacking.length === 0 && (this.#config?.seen ?? 0) < this.#answering.committed) lacking.push(`commits up to ${this.#answering.committed} of CONFIG have not arrived here`)
      if (lacking.length === 0 && kinds.some((kind) => OF_CERTIFICATES.has(kind))) lacking.push(...this.#unread())
      if (lacking.length > 0) return lacking
      this.#targets = this.#lastCommits()
    }
    const now = standing(this.#targets, this.#plans, this.#acks.values(), Date.now())
    return now.lacking.length > 0 ? [...now.lacking] : { status: 0, text: this.#success(now) }
  }

  #allKinds(): readonly string[] {
    return [...new Set([...this.#declared.values(), ...GATEWAYS_NEED.map(({ reads }) => ({ reads: reads.map(({ name }) => name) }))].flatMap(({ reads }) => reads))]
  }

  #lastCommits(): readonly Target[] {
    return [...this.#commits.values()].flatMap((message) => {
      const parsed = parseSubject(message.subject)
      if (parsed?.is !== "commit" || parsed.plane === CONTROL_PLANE || message.subject !== commitSubject(parsed.plane, parsed.fn)) return []
      const { rev, epoch, digest } = decodeCommit(message.data)
      return [{ plane: parsed.plane, fn: parsed.fn, rev, epoch, digest }]
    })
  }

  /** The version to wait for. Files are looked at again only when that costs little of the time. */
  #published(): string[] | Waited | { readonly seq: number; readonly time: number } {
    const { manifests } = this.#options
    if (manifests !== undefined) {
      const now = performance.now()
      // What arrives from the bus is compared at once, with files read a moment ago.
      if (now - this.#filesReadAt > Math.min(AGAIN, 5 + this.#filesCost * 10)) {
        manifests.read()
        this.#filesReadAt = performance.now()
        this.#filesCost = this.#filesReadAt - now
      }
    }
    if (this.#wanted.size === 0) return this.#allPublished()
    const lacking: string[] = []
    let newest = { seq: 0, time: 0 }
    for (const [subject, object] of this.#wanted) {
      const last = this.#last.get(subject)
      const found = this.#options.for === "delete" ? this.#gone(object, last) : this.#there(object, last)
      if (typeof found === "string") lacking.push(found)
      else if (found !== undefined) return found
      if (last !== undefined && last.seq > newest.seq) newest = { seq: last.seq, time: last.time }
    }
    return lacking.length > 0 ? lacking : newest
  }

  /** Undefined: it is published as it should be. A sentence: not yet. */
  #there(object: ObjectName, last: Message | undefined): string | Waited | undefined {
    const asked = this.#options.manifests?.asked(object, last === undefined ? "" : sourceOf(last))
    const isThere = last !== undefined && !isDeleted(last.headers)
    if (asked?.is === "present") return isThere && isSame(object.kind, text(last), asked.body) ? undefined : `the file adapter has not published ${nameText(object)} as it is in ${asked.file}${this.#saidOf(object)}`
    if (asked?.is === "refused" && (!isThere || asked.file === sourceOf(last))) {
      const judged = [...asked.notes].filter(([subject, body]) => this.#notes.get(subject) === body)
      if (judged.length === 0) return `the file adapter has not judged ${asked.file}`
      return { status: exit.failed, text: [`${nameText(object)} is not taken as it is in ${asked.file}${isThere ? ", its last good version stays" : ""}:`, ...judged.map(([, body]) => `  ${noteText(body)}`)].join("\n") }
    }
    // Its file is gone, or does not name it any more: the adapter has the last word.
    if (isThere) return asked?.is === "absent" && sourceOf(last) !== "" ? `the file adapter has not said that ${nameText(object)} is gone, which no file names any more` : undefined
    return { status: exit.notFound, text: last === undefined ? this.#unknown(object) : `${nameText(object)} was deleted at ${clock(last.time)} (sequence ${last.seq}); "headgate wait --for delete" waits until nobody serves it` }
  }

  #gone(object: ObjectName, last: Message | undefined): string | Waited | undefined {
    const asked = this.#options.manifests?.asked(object, last === undefined ? "" : sourceOf(last))
    if (asked?.is === "present") return `${nameText(object)} is still in ${asked.file}`
    if (last === undefined) return { status: exit.notFound, text: this.#unknown(object) }
    return isDeleted(last.headers) ? undefined : `${nameText(object)} has not been deleted`
  }

  #unknown(object: ObjectName): string {
    return `there is no ${nameText(object)}`
  }

  /** What the adapter has to say about an object that it does not publish. */
  #saidOf({ kind, key }: ObjectName): string {
    const about = [...this.#notes.values()].filter((body) => {
      const value = parse(body)
      return String(at(value, "about", "kind")).toLowerCase() === kind && `${String(at(value, "about", "namespace"))}/${String(at(value, "about", "name"))}` === key
    })
    return about.map((body) => `: ${noteText(body)}`).join("")
  }

  #allPublished(): string[] | { readonly seq: number; readonly time: number } {
    const lacking: string[] = []
    const all = this.#options.manifests?.all()
    for (const [subject, body] of all ?? []) {
      const last = this.#last.get(subject)
      if (last !== undefined && !isDeleted(last.headers) && isSame(subject.split(".", 2)[1] ?? "", text(last), body)) continue
      lacking.push(`the file adapter has not published ${subject.slice("resource.".length)} as it is in the files`)
      if (lacking.length > 4) break
    }
    if (all !== undefined && lacking.length === 0) {
      for (const [subject, message] of this.#last) {
        if (sourceOf(message) !== "" && !isDeleted(message.headers) && !all.has(subject) && !this.#isKept(message)) lacking.push(`the file adapter has not said that ${subject.slice("resource.".length)} is gone, which no file names any more`)
      }
    }
    // What is in trouble is no reason to wait: notes say what, and everything else goes on.
    return lacking.length > 0 ? lacking : { seq: this.#resources?.seen ?? 0, time: 0 }
  }

  /** Its file has something the adapter cannot take. */
  #isKept(message: Message): boolean {
    const file = sourceOf(message)
    return [...this.#notes.values()].some((body) => at(parse(body), "file") === file && at(parse(body), "severity") === "error")
  }

  #success({ serving, away }: Standing): string {
    const took = performance.now() - this.#began
    const since = Math.max(0, ...serving.map((pod) => pod.since))
    const gateways = serving.length === 0 ? "no gateway has anything to serve" : `${serving.length === 1 ? `gateway ${serving[0]?.pod}` : `all ${serving.length} gateways`} said so last at ${clock(since)}`
    const version = this.#wanted.size === 0 ? `up to sequence ${this.#version?.seq}` : this.#options.for === "delete" ? `deleted at ${clock(this.#version?.time ?? 0)}` : `version of ${clock(this.#version?.time ?? 0)}, sequence ${this.#version?.seq}`
    const generation = this.#wanted.size === 1 ? numberHeader([...this.#last.values()][0]?.headers ?? {}, header.generation) : undefined
    const line = `${this.#what()} is ${this.#options.for === "delete" ? "gone" : "live"}: ${version}${generation === undefined ? "" : `, generation ${generation}`}; ${gateways}; waited ${seconds(took)}`
    return [line, ...away.map((one) => `  ${one}`)].join("\n")
  }
}

const text = ({ data }: Message): string => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8")
const sourceOf = (message: Message): string => decodeHeader(message.headers[header.source] ?? "")

const parse = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const noteText = (body: string): string => {
  const value = parse(body)
  const field = (name: string, before: string, after: string): string => {
    const found = at(value, name)
    return typeof found === "string" || typeof found === "number" ? `${before}${found}${after}` : ""
  }
  return `${field("file", "", "")}${field("line", ":", "")} ${field("reason", "", ": ")}${field("message", "", "")}${field("fix", " ", "")}`.trim()
}

const clock = (time: number): string => new Date(time).toISOString().slice(11, 23)
const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1).replace(/\.0$/, "")} s`)
