/**
 * `headgate wait <object>…`: until every gateway serves what follows from the newest version of the objects. First
 * everything is subscribed to, then looked at, so that nothing is missed; then only what arrives is looked at again:
 *
 *   published   the version in the files is the one on the bus          → its sequence (wait-published.ts)
 *   answered    every function that has to do with it has answered that → what they have committed (wait-functions.ts)
 *   served      every gateway has acked the last commits of that moment (wait-gateways.ts)
 */
import type { Bus, Following, Message } from "../../bus/bus.ts"
import { bodyText, header, isDeleted, numberHeader } from "../../bus/envelope.ts"
import { ASK_PROGRESS, progressSubject } from "../../bus/hints.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { commitSubject, encodeToken, parseSubject } from "../../bus/subject.ts"
import { decodeCommit } from "../../bus/unit/commit.ts"
import { builtIn } from "../../functions/list.ts"
import type { Reconciler } from "../../functions/reconcile.ts"
import { type Progress, readProgress } from "../../functions/progress.ts"
import { appliedIn } from "./applied-message.ts"
import { exit } from "./command.ts"
import { clock, seconds } from "./explain-layout.ts"
import { at, jsonIn, list } from "./field.ts"
import { nameText, type ObjectName } from "./object-name.ts"
import type { Manifests } from "./wait-files.ts"
import { Answering, type Declared } from "./wait-functions.ts"
import { Published, type Version } from "./wait-published.ts"
import { type Ack, standing, type Standing, type Wanted } from "./wait-gateways.ts"

export interface WaitOptions {
  /** None: everything. */
  readonly objects: readonly ObjectName[]
  readonly for: "live" | "delete"
  /** ms */
  readonly timeout: number
  /** Of the `up` on this machine; undefined: what is on the bus is the newest there is. */
  readonly manifests: Manifests | undefined
  /** With no objects: what is in RESOURCES up to this sequence, and nothing after it. */
  readonly upTo?: number
}

export interface Waited {
  readonly status: 0 | 1 | 3
  /** For people: stdout with status 0, else stderr. Lines. */
  readonly text: string
}

/** Hints can be lost, files change without an event on the bus, and pods go silent: how often that is looked at, ms. */
const AGAIN = 250

/** Where it has an entry there is a Gateway, and somebody has to serve it. */
const ROUTES = builtIn.find(({ writes }) => writes.some(({ name }) => name === "listener"))

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

  readonly #published: Published
  readonly #declared = new Map<string, Declared>()
  readonly #heard = new Map<string, Progress>()
  readonly #commits = new Map<string, Message>()
  /** Functions that gateways wait for. */
  readonly #plans = new Map<string, readonly string[]>()
  /** Certificate entries: whether the Secret has not been read yet, and the commit that said so. */
  readonly #certificates = new Map<string, { readonly id: string; readonly isUnread: boolean; readonly commit: string; readonly rev: number }>()
  readonly #acks = new Map<string, Ack>()
  #resources: Following | undefined
  #config: Following | undefined

  /** Highest sequence in RESOURCES of the versions waited for, once they are known. */
  #version: Version | undefined
  #answering: Answering | undefined
  #targets: readonly Wanted[] | undefined

  constructor(bus: Bus, options: WaitOptions) {
    this.#bus = bus
    this.#options = options
    this.outcome = this.#done.promise
    this.#published = new Published(options)
    this.#stopHints = bus.onHint(progressSubject(">"), (_subject, data) => {
      const progress = readProgress(data)
      if (progress === undefined) return
      this.#heard.set(progress.function, progress)
      this.#look()
    })
    bus.hint(ASK_PROGRESS, "")
    if (options.upTo !== undefined) this.#version = { seq: options.upTo, time: 0, generation: undefined }
    else for (const filter of this.#published.filters) this.#resources = this.#follow("RESOURCES", filter, (message) => this.#published.take(message))
    if (options.manifests !== undefined) this.#follow("RESOURCES", "resource.note.files.*", (message) => this.#published.note(message))
    this.#follow("CONFIG", `config.${encodeToken(CONTROL_PLANE)}.function.*`, (message) => this.#declare(message))
    this.#follow("CONFIG", "config.*.plan.*", (message) => {
      if (isDeleted(message.headers)) this.#plans.delete(message.subject)
      else this.#plans.set(message.subject, namesIn(at(jsonIn(bodyText(message.data)), "functions")))
    })
    if (options.objects.length === 0 || options.objects.some(({ kind }) => OF_CERTIFICATES.has(kind))) this.#follow("CONFIG", "config.*.certificate.*", (message) => this.#certificate(message))
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
    const value = isDeleted(message.headers) ? undefined : jsonIn(bodyText(message.data))
    if (value === undefined) this.#declared.delete(parsed.id)
    else this.#declared.set(parsed.id, { reads: namesIn(at(value, "reads")), writes: namesIn(at(value, "writes")) })
  }

  #certificate(message: Message): void {
    const parsed = parseSubject(message.subject)
    if (parsed?.is !== "entry") return
    const { subject, headers } = message
    if (isDeleted(headers)) this.#certificates.delete(subject)
    else this.#certificates.set(subject, { id: parsed.id, isUnread: at(jsonIn(bodyText(message.data)), "empty") === "NotRead", commit: commitSubject(parsed.plane, headers[header.writer] ?? ""), rev: numberHeader(headers, header.rev) ?? 0 })
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
    const { objects } = this.#options
    return objects.length === 0 ? "everything" : objects.map(nameText).join(", ")
  }

  /** What is waited for, as sentences, or how it ends. */
  #lacking(): string[] | Waited {
    if (this.#version === undefined) {
      const found = this.#published.find(this.#resources?.seen ?? 0)
      if (found.is === "lacking") return [...found.lacking]
      if (found.is === "never") return { status: found.status, text: found.text }
      this.#version = found.version
      this.#bus.hint(ASK_PROGRESS, "")
    }
    if (this.#targets === undefined) {
      const kinds = this.#kinds()
      // Functions that declare themselves meanwhile count too.
      if (this.#answering === undefined || new Answering(kinds, 0, this.#declared, this.#heard).functions.length !== this.#answering.functions.length) {
        this.#answering = new Answering(kinds, this.#version.seq, new Map(this.#declared), this.#heard)
      }
      const lacking = [...this.#answering.lacking()]
      for (const { name, reads } of this.#needed()) {
        if (!this.#declared.has(name) && reads.some((kind) => kinds.includes(kind.name))) lacking.push(`function ${name} has not committed yet what it derives on this bus`)
      }
      // Hints and commits travel on ways of their own.
      if (lacking.length === 0 && (this.#config?.seen ?? 0) < this.#answering.committed) lacking.push(`commits up to ${this.#answering.committed} of CONFIG have not arrived here`)
      if (lacking.length === 0) lacking.push(...this.#unread())
      if (lacking.length > 0) return lacking
      this.#targets = this.#lastCommits()
    }
    const now = standing(this.#targets, this.#acks.values(), Date.now())
    return now.lacking.length > 0 ? [...now.lacking] : { status: 0, text: this.#success(now) }
  }

  #kinds(): readonly string[] {
    const { objects } = this.#options
    if (objects.length > 0) return [...new Set(objects.map(({ kind }) => kind))]
    return [...new Set([...[...this.#declared.values()].flatMap(({ reads }) => reads), ...this.#needed().flatMap(({ reads }) => reads.map(({ name }) => name))])]
  }

  /** Functions without which a gateway has nothing to serve; others may be left out of an installation. */
  #needed(): readonly Reconciler[] {
    const planned = new Set([...this.#plans.values()].flat())
    return builtIn.filter((fn) => fn === ROUTES || planned.has(fn.name))
  }

  #lastCommits(): readonly Wanted[] {
    return [...this.#commits.values()].flatMap((message) => {
      const parsed = parseSubject(message.subject)
      if (parsed?.is !== "commit" || parsed.plane === CONTROL_PLANE) return []
      const { rev, epoch, digest, count } = decodeCommit(message.data)
      return [{ plane: parsed.plane, fn: parsed.fn, rev, epoch, digest, hasListeners: parsed.fn === ROUTES?.name && count > 0 }]
    })
  }

  #success({ serving, away }: Standing): string {
    const took = performance.now() - this.#began
    const since = Math.max(0, ...serving.map((pod) => pod.since))
    const gateways = serving.length === 0 ? "no gateway has anything to serve" : `${serving.length === 1 ? `gateway ${serving[0]?.pod}` : `all ${serving.length} gateways`} said so last at ${clock(since)}`
    const { seq = 0, time = 0, generation } = this.#version ?? {}
    const version = this.#options.objects.length === 0 ? `up to sequence ${seq}` : this.#options.for === "delete" ? `deleted at ${clock(time)}` : `version of ${clock(time)}, sequence ${seq}`
    const line = `${this.#what()} is ${this.#options.for === "delete" ? "gone" : "live"}: ${version}${generation === undefined ? "" : `, generation ${generation}`}; ${gateways}; waited ${seconds(took)}`
    return [line, ...away.map((one) => `  ${one}`)].join("\n")
  }
}

const namesIn = (value: unknown): readonly string[] => list(value).filter((each) => typeof each === "string")
