/**
 * Makes RESOURCES hold what is desired, and publishes nothing else: only differences, each fenced on the last
 * message of its subject, so that an adapter that was frozen and thaws overwrites nobody. One message in flight a
 * subject; what changes meanwhile follows with its newest value.
 */
import { hash } from "node:crypto"
import { type Bus, BusError, type Headers, type Message } from "../../../bus/bus.ts"
import { canonical } from "../../../bus/canonical.ts"
import { decodeHeader, encodeHeader, header, isDeleted, numberHeader } from "../../../bus/envelope.ts"
import { parseSubject } from "../../../bus/subject.ts"
import { backoff, delay, systemClock } from "../../../bus/unit/clock.ts"
import type { Desired } from "./desired.ts"
import type { Edit } from "./edit.ts"

/** The last message of one subject. */
export interface Held {
  readonly seq: number
  /** The server's, ms. */
  readonly time: number
  /** undefined: a tombstone. */
  readonly body: string | undefined
  readonly generation: number
  readonly epoch: number
  /** Published by this adapter, in whatever life. */
  readonly own: boolean
  readonly source: string
  /** "" where the message has none. */
  readonly uid: string
}

const utf8 = new TextDecoder()

/** `writer`: of the adapter that asks. */
export const heldOf = (message: Message, writer: string): Held => ({
  seq: message.seq,
  time: message.time,
  body: isDeleted(message.headers) ? undefined : utf8.decode(message.data),
  generation: numberHeader(message.headers, header.generation) ?? 0,
  epoch: numberHeader(message.headers, header.epoch) ?? 0,
  own: message.headers[header.writer] === writer,
  source: decodeHeader(message.headers[header.source] ?? ""),
  uid: message.headers[header.uid] ?? "",
})

export interface PublisherOptions {
  readonly bus: Bus
  /** `Hg-Writer` of what this adapter publishes, `adapter.files`; resources of others are left alone. */
  readonly writer: string
  /** Of the lease. */
  readonly epoch: number
  readonly desired: ReadonlyMap<string, Desired>
  /** Subject → last message, as read at the start; kept up to date from here on. */
  readonly held: Map<string, Held>
  /** Why a subject cannot be as it is desired; undefined: that is over. */
  onTrouble(subject: string, trouble: Trouble | undefined): void
  /** Once: somebody with a higher epoch publishes, or the bus is closed. Nothing more is sent. */
  onOver(reason: string): void
}

export interface Trouble {
  /** `Rejected` for its size is not tried again before it is another; for anything else it is. */
  readonly reason: "OwnedByAnotherAdapter" | "Rejected"
  /** What the server said. */
  readonly message: string
}

const IN_FLIGHT = 2_000

export class Publisher {
  readonly #options: PublisherOptions
  readonly #dirty = new Set<string>()
  readonly #flying = new Set<string>()
  /** Subject → the traced change that made it differ; empty while tracing is off. */
  readonly #edits = new Map<string, Edit>()
  /** Subjects in trouble; the body that is too large to be sent. */
  readonly #troubled = new Map<string, string | undefined>()
  readonly #session = hash("sha256", `${process.pid}/${performance.timeOrigin}/${performance.now()}`).slice(0, 12)
  #counter = 0
  #over = false
  #published = 0
  #idle: (() => void)[] = []

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Messages stored since the start. */
  get published(): number {
    return this.#published
  }

  /** Publishes what differs among these; what can be sent is sent before this returns. */
  touch(subjects: Iterable<string>, edit?: Edit): void {
    if (this.#over) return
    for (const subject of subjects) {
      this.#dirty.add(subject)
      if (edit === undefined) continue
      this.#edits.get(subject)?.settled(subject, undefined)
      this.#edits.set(subject, edit)
    }
    this.#pump()
  }

  /** Resolves when nothing differs any more, or the publisher is over. */
  settled(): Promise<void> {
    if (this.#over || (this.#dirty.size === 0 && this.#flying.size === 0)) return Promise.resolve()
    return new Promise((resolve) => { this.#idle.push(resolve) })
  }

  /** Sends nothing more; what is on its way is waited for. */
  async stop(): Promise<void> {
    this.#dirty.clear()
    await this.settled()
    this.#end()
  }

  #end(): void {
    this.#over = true
    for (const [subject, edit] of this.#edits) edit.settled(subject, undefined)
    this.#edits.clear()
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #pump(): void {
    for (const subject of this.#dirty) {
      if (this.#flying.size >= IN_FLIGHT) break
      if (this.#flying.has(subject)) continue
      this.#dirty.delete(subject)
      const message = this.#difference(subject)
      const edit = this.#edits.get(subject)
      if (edit !== undefined) this.#edits.delete(subject)
      if (message === undefined) {
        edit?.settled(subject, undefined)
        continue
      }
      this.#flying.add(subject)
      void this.#send(subject, message, edit)
    }
    if (this.#dirty.size === 0 && this.#flying.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #difference(subject: string): Difference | undefined {
    const { desired, held, epoch } = this.#options
    const want = desired.get(subject)
    const have = held.get(subject)
    const isForeign = have !== undefined && have.body !== undefined && !have.own
    if (isForeign && want !== undefined) return this.#trouble(subject, { reason: "OwnedByAnotherAdapter", message: "" })
    if (isForeign || isSame(want, have)) return this.#well(subject)
    if (want !== undefined && this.#troubled.get(subject) === want.body) return undefined
    return difference(subject, want, have, epoch, this.#options.writer)
  }

  #trouble(subject: string, trouble: Trouble, tooLarge?: string): undefined {
    const isNew = !this.#troubled.has(subject)
    this.#troubled.set(subject, tooLarge)
    if (isNew) this.#options.onTrouble(subject, trouble)
  }

  #well(subject: string): undefined {
    if (this.#troubled.delete(subject)) this.#options.onTrouble(subject, undefined)
  }

  async #send(subject: string, { body, headers: untraced, generation, source, uid, expect }: Difference, edit: Edit | undefined): Promise<void> {
    const { bus, held, epoch } = this.#options
    const headers = edit === undefined ? untraced : { ...untraced, [header.traceparent]: edit.publishing(subject) }
    let stored: number | undefined
    const msgId = `${this.#session}:${++this.#counter}`
    for (let attempt = 0; !this.#over; attempt++) {
      try {
        const { seq } = await bus.publish({ subject, data: body ?? "", headers, msgId, expect: { seq: expect } })
        stored = seq
        held.set(subject, { seq, time: Date.now(), body, generation, epoch, own: true, source, uid })
        this.#published++
        break
      } catch (error) {
        if (!(error instanceof BusError)) throw error
        if (error.reason === "conflict") {
          if (await this.#adopt(subject)) break
        } else if (error.reason === "closed") this.#giveUp(error.message)
        else if (error.reason === "too-large" || error.reason === "rejected") {
          this.#trouble(subject, { reason: "Rejected", message: error.message }, error.reason === "too-large" ? body : undefined)
          // A server that is out of storage refuses too: only what is too large stays so.
          if (error.reason === "too-large") break
        }
      }
      await delay(systemClock, backoff(systemClock, attempt))
    }
    edit?.settled(subject, stored)
    this.#flying.delete(subject)
    if (!this.#over) this.touch([subject])
  }

  /** Somebody published this subject, perhaps this very message with its ack lost. False: not known yet, ask again. */
  async #adopt(subject: string): Promise<boolean> {
    const { bus, held, epoch, writer } = this.#options
    try {
      const last = await bus.last("RESOURCES", subject)
      if (last === undefined) held.delete(subject)
      else {
        const now = heldOf(last, writer)
        held.set(subject, now)
        if (now.own && now.epoch > epoch) this.#giveUp(`another ${writer} publishes`)
      }
      return true
    } catch (error) {
      if (error instanceof BusError && error.reason === "closed") this.#giveUp(error.message)
      return false
    }
  }

  /** Forgets what was deleted more than `window` ms ago: the whole subject, up to its tombstone. */
  async forget(window: number): Promise<void> {
    const { bus, held, desired } = this.#options
    for (const [subject, have] of [...held]) {
      if (this.#over) return
      if (have.body !== undefined || !have.own || desired.has(subject) || Date.now() - have.time < window) continue
      await bus.purge("RESOURCES", subject, have.seq)
      if (held.get(subject) === have) held.delete(subject)
    }
  }

  #giveUp(reason: string): void {
    if (this.#over) return
    this.#end()
    this.#options.onOver(reason)
  }
}

interface Difference {
  /** undefined: a tombstone. */
  readonly body: string | undefined
  readonly headers: Headers
  readonly generation: number
  readonly source: string
  readonly uid: string
  /** Sequence of the subject's last message, 0: none. */
  readonly expect: number
}

/** The outside may say that an object of the same content is another, or another version of it. */
const isSame = (want: Desired | undefined, have: Held | undefined): boolean =>
  want?.body === have?.body && (want === undefined || (want.source === have?.source && (want.uid ?? have.uid) === have.uid && (want.generation ?? have.generation) === have.generation))

const difference = (subject: string, want: Desired | undefined, have: Held | undefined, epoch: number, writer: string): Difference => {
  const parsed = parseSubject(subject)
  const { kind, key } = parsed?.is === "resource" ? parsed : { kind: "", key: "" }
  const generation = want === undefined ? (have?.generation ?? 0) : generationOf(kind, want, have)
  const source = want?.source ?? have?.source ?? ""
  const uid = want === undefined ? have?.uid || uidOf(kind, key) : (want.uid ?? uidOf(kind, key))
  return {
    body: want?.body,
    generation,
    source,
    uid,
    expect: have?.seq ?? 0,
    headers: {
      [header.kind]: kind,
      [header.key]: encodeHeader(key),
      [header.uid]: uid,
      [header.generation]: String(generation),
      [header.time]: new Date().toISOString(),
      [header.writer]: writer,
      [header.epoch]: String(epoch),
      ...(want === undefined ? { [header.deleted]: "1" } : want.version === "" ? {} : { [header.version]: want.version }),
      ...(source === "" ? {} : { [header.source]: encodeHeader(source) }),
    },
  }
}

/** As an API server counts, where it does not: 1 at first, one more whenever anything but metadata changes; never lower than it was. */
const generationOf = (kind: string, { body, generation }: Desired, have: Held | undefined): number => {
  if (generation !== undefined) return generation
  if (have === undefined || have.body === undefined || kind === "note" || kind === "sync") return (have?.generation ?? 0) + 1
  return specOf(have.body) === specOf(body) ? have.generation : have.generation + 1
}

const specOf = (body: string): string => {
  const value: unknown = JSON.parse(body)
  return typeof value === "object" && value !== null ? canonical({ ...value, metadata: undefined }) : body
}

/** The same object has the same uid in every store. A version 8 UUID (RFC 9562 §5.8) over kind and key. */
const uidOf = (kind: string, key: string): string => {
  const hex = hash("sha256", `${kind}/${key}`)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
