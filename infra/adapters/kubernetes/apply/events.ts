/**
 * Events (events.k8s.io/v1) for people who describe an object. One for each thing that is said of an object; said again
 * it is a series, written at most once a minute. Lost ones are lost: what stands is in conditions and notes.
 */
import { hash } from "node:crypto"
import type { Clock } from "../../../../bus/unit/unit.ts"
import { ApiError } from "../api-error.ts"
import { resourcePath, type ApiClient } from "../client.ts"
import { microTimestamp } from "./conditions.ts"

export interface Regarding {
  readonly apiVersion: string
  readonly kind: string
  /** "" where it has none: the Event is in `default`, as the API server wants it. */
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export interface Told {
  readonly regarding: Regarding
  readonly type: "Normal" | "Warning"
  /** CamelCase. */
  readonly reason: string
  /** What was done when it was found. */
  readonly action: "UpdateStatus" | "Apply" | "Delete"
  readonly note: string
}

interface Series {
  count: number
  /** Monotonic ms, of the last write. */
  written: number
  cancel: (() => void) | undefined
}

const SERIES_EVERY = 60_000
/** An API server forgets Events after an hour. */
const FORGET_AFTER = 3_000_000
/** More at a time are left out. */
const WAITING = 1_000
const AT_ONCE = 2
/** events.k8s.io/v1. */
const [LONGEST_NOTE, LONGEST_NAME] = [1024, 128]
const ELLIPSIS = Buffer.byteLength("…")

export interface EventsOptions {
  readonly api: ApiClient
  /** Of the process. */
  readonly holder: string
  readonly controller: string
  /** In which Events may be written; undefined: in all. */
  readonly namespaces: readonly string[] | undefined
  mayWrite(): boolean
  readonly clock: Clock
  readonly log: (line: Readonly<Record<string, unknown>> & { readonly message: string }) => void
}

export class Events {
  readonly #options: EventsOptions
  /** The one that was written longest ago first. */
  readonly #series = new Map<string, Series>()
  readonly #waiting: (() => Promise<void>)[] = []
  #flying = 0

  constructor(options: EventsOptions) {
    this.#options = options
  }

  tell(told: Told): void {
    const { clock, namespaces, log } = this.#options
    const id = idOf(told)
    const known = this.#series.get(id)
    const now = clock.monotonic()
    const { regarding: { kind, namespace, name }, reason, note } = told
    const isAllowed = namespaces === undefined || namespaces.includes(namespaceOf(told.regarding))
    if (known === undefined || now - known.written > FORGET_AFTER) {
      this.#forget(now)
      this.#written(id, { count: 1, written: now, cancel: undefined })
      if (!isAllowed) return log({ level: "info", message: "an Event is left out: there is no right to write it where it belongs", namespace: namespaceOf(told.regarding), object: `${kind} ${namespace}/${name}`, reason, note })
      return this.#enqueue(() => this.#create(id, told))
    }
    if (!isAllowed) return
    known.count++
    known.cancel ??= clock.after(Math.max(0, known.written + SERIES_EVERY - now), () => {
      known.cancel = undefined
      known.written = clock.monotonic()
      this.#written(id, known)
      this.#enqueue(() => this.#repeat(id, told, known.count))
    })
  }

  #written(id: string, series: Series): void {
    this.#series.delete(id)
    this.#series.set(id, series)
  }

  #forget(now: number): void {
    for (const [id, { written, cancel }] of this.#series) {
      if (now - written <= FORGET_AFTER) return
      cancel?.()
      this.#series.delete(id)
    }
  }

  stop(): void {
    for (const { cancel } of this.#series.values()) cancel?.()
    this.#waiting.length = 0
  }

  #enqueue(write: () => Promise<void>): void {
    if (this.#waiting.length >= WAITING) return
    this.#waiting.push(write)
    this.#pump()
  }

  #pump(): void {
    while (this.#flying < AT_ONCE) {
      const write = this.#waiting.shift()
      if (write === undefined) return
      this.#flying++
      void write().finally(() => {
        this.#flying--
        this.#pump()
      })
    }
  }

  async #send(write: () => Promise<unknown>): Promise<void> {
    if (!this.#options.mayWrite()) return
    try {
      await write()
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // It is there, from a process before this one.
      if (error.status !== 409 && error.status !== 404) this.#options.log({ level: "warn", message: "an Event was not written", reason: error.message })
    }
  }

  #create(id: string, { regarding, type, reason, action, note }: Told): Promise<void> {
    const { api, holder, controller, clock } = this.#options
    const now = microTimestamp(clock.wall())
    const namespace = namespaceOf(regarding)
    return this.#send(() => api.request({
      method: "POST", path: pathOf(namespace),
      body: {
        apiVersion: "events.k8s.io/v1", kind: "Event", metadata: { name: id, namespace }, eventTime: now,
        reportingController: controller, reportingInstance: holder.slice(0, LONGEST_NAME), type, reason: reason.slice(0, LONGEST_NAME), action, note: shortened(note),
        regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name: regarding.name, uid: regarding.uid, ...(regarding.namespace === "" ? {} : { namespace: regarding.namespace }) },
      },
    }))
  }

  #repeat(id: string, { regarding }: Told, count: number): Promise<void> {
    const { api, clock } = this.#options
    return this.#send(() => api.request({
      method: "PATCH", path: `${pathOf(namespaceOf(regarding))}/${id}`, headers: { "content-type": "application/merge-patch+json" },
      body: { series: { count, lastObservedTime: microTimestamp(clock.wall()) } },
    }))
  }
}

const namespaceOf = ({ namespace }: Regarding): string => (namespace === "" ? "default" : namespace)
const pathOf = (namespace: string): string => resourcePath({ group: "events.k8s.io", version: "v1", namespace, plural: "events" })

/** Octets of UTF-8 count, and a character is not cut in two. */
const shortened = (note: string): string => {
  const octets = Buffer.from(note)
  return octets.length <= LONGEST_NOTE ? note : `${octets.subarray(0, LONGEST_NOTE - ELLIPSIS).toString("utf8").replace(/\uFFFD+$/, "")}…`
}

/** The same for what is the same; a name in the API (RFC 1123 subdomain). */
const idOf = ({ regarding: { kind, namespace, name, uid }, type, reason, note }: Told): string =>
  `${name.slice(0, 200).replace(/[^a-z0-9]+$/, "")}.${hash("sha256", JSON.stringify([kind, namespace, name, uid, type, reason, note])).slice(0, 16)}`
