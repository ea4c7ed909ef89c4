/**
 * Keeps who asked for it up to date with one collection of the API server, for ever: a list in pages, then watches that
 * go on where the last one ended. Every failure is met by trying again. What is handed on converges on what the API
 * server holds: events in its order, and after a list only what differs from what was handed on before.
 */
import { backoff, delay, systemClock } from "../../../bus/unit/clock.ts"
import type { Clock } from "../../../bus/unit/unit.ts"
import { ApiError } from "./api-error.ts"
import type { ApiClient } from "./client.ts"
import { isJson, listOf, memberOf, type RawObject, rawObject, textOf } from "./raw.ts"

/** Synchronous; what one throws is a bug and ends the process. */
export interface ReflectorEvents {
  /** It is there, new or changed. An object that took the place of another of its name comes after `gone`. */
  put(object: RawObject): void
  gone(key: string, uid: string): void
  /** After all that one page or one piece of a watch brought. */
  batch(): void
  /** Once: everything that is there has been handed on. */
  synced(): void
  /** Why the API server gives nothing at the moment; undefined: it does again. */
  trouble(error: ApiError | undefined): void
}

export interface ReflectorTiming {
  /** A watch on which nothing comes for so long is begun anew, ms. The API server sends a bookmark a minute, give or take a quarter, of what has changed since it runs. */
  readonly quiet: number
  /** Waits between attempts, ms. */
  readonly first: number
  readonly max: number
  /** How long the API server may take to begin with a page, ms. */
  readonly answer: number
}

export interface ReflectorOptions {
  readonly api: ApiClient
  /** Of the collection. */
  readonly path: string
  /** Names, labels and annotations alone: nothing of the content comes over the wire. */
  readonly metadataOnly?: boolean
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly events: ReflectorEvents
  readonly timing?: Partial<ReflectorTiming>
  readonly clock?: Clock
  /** One of the same objects in another version of their API, which has been stopped: what it handed on is not handed on again. */
  readonly before?: Reflector
}

/** Since the start. */
export interface ReflectorCounts {
  lists: number
  watches: number
  /** Lines of a watch, and answers, that were not what they should be. */
  undecoded: number
}

const TIMING: ReflectorTiming = { quiet: 100_000, first: 500, max: 10_000, answer: 60_000 }
const PAGE = 500
/** Seconds after which the API server ends a watch, and how much more by chance: so that not all begin anew together. */
const WATCH_FOR = { least: 240, more: 240 }
/** A watch that ended sooner, ms, and brought nothing did not go well. */
const SHORT = 1_000
/** Answers that refuse to go on from a version, in a row, after which the collection is listed anew. */
const REFUSALS = 3
const METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
const METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

interface Known {
  readonly uid: string
  readonly resourceVersion: string
}

export class Reflector {
  readonly counts: ReflectorCounts = { lists: 0, watches: 0, undecoded: 0 }
  readonly #options: ReflectorOptions
  readonly #timing: ReflectorTiming
  readonly #clock: Clock
  readonly #known: Map<string, Known>
  readonly #end = new AbortController()
  /** To go on from; undefined: a list is next. */
  #version: string | undefined
  #isSynced = false
  #isInTrouble = false
  #failures = 0
  #refusals = 0
  /** Monotonic ms: from when on the last watch has gone well. */
  #wellFrom = Number.POSITIVE_INFINITY

  constructor(options: ReflectorOptions) {
    this.#options = options
    this.#timing = { ...TIMING, ...options.timing }
    this.#clock = options.clock ?? systemClock
    this.#known = new Map(options.before?.known)
  }

  /** What it has handed on. */
  get known(): ReadonlyMap<string, { readonly uid: string; readonly resourceVersion: string }> {
    return this.#known
  }

  get isSynced(): boolean {
    return this.#isSynced
  }

  start(): void {
    void this.#run()
  }

  /** Nothing more is handed on. */
  stop(): void {
    this.#end.abort()
  }

  /** The kind is known to be there no more: so is every object of it. */
  clear(): void {
    for (const [key, { uid }] of [...this.#known]) this.#gone(key, uid)
    this.#version = undefined
    this.#options.events.batch()
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    while (!signal.aborted) {
      const failure = await this.#next().then(() => undefined, (error: unknown) => {
        if (error instanceof ApiError) return error
        throw error
      })
      if (signal.aborted) return
      await delay(this.#clock, failure === undefined ? this.#afterWatch() : this.#afterFailure(failure), signal)
    }
  }

  async #next(): Promise<void> {
    if (this.#version === undefined) {
      this.#version = await this.#list()
      this.#refusals = 0
      this.#well()
      if (!this.#isSynced) {
        this.#isSynced = true
        this.#options.events.synced()
      }
    }
    this.#wellFrom = Number.POSITIVE_INFINITY
    await this.#watch(this.#version)
  }

  get #wentWell(): boolean {
    return this.#clock.monotonic() >= this.#wellFrom
  }

  /** A watch ended as it should, or was cut. */
  #afterWatch(): number {
    if (this.#wentWell) this.#failures = 0
    else this.#failures++
    return this.#failures === 0 ? 0 : this.#wait()
  }

  #afterFailure(error: ApiError): number {
    const { status, retryAfter } = error
    if (error.reason === "Undecoded") this.counts.undecoded++
    const isStale = status === 410
    // It only has been away for too long.
    if (!isStale) {
      this.#isInTrouble = true
      this.#options.events.trouble(error)
    }
    const isRefused = status >= 400 && ![401, 403, 429, 500, 503].includes(status)
    this.#refusals = isRefused ? this.#refusals + 1 : 0
    if (isStale || this.#refusals >= REFUSALS || error.reason === "Undecoded" || error.reason === "LineTooLong") this.#version = undefined
    // What went well for a while is tried again at once: its server may only have been replaced.
    const wentWell = this.#wentWell
    if (wentWell) this.#failures = 0
    this.#wellFrom = Number.POSITIVE_INFINITY
    if (isStale && wentWell) return 0
    return Math.max(this.#wait(), retryAfter === undefined ? 0 : retryAfter * (1 + this.#clock.random() / 4))
  }

  #wait(): number {
    return backoff(this.#clock, this.#failures++, this.#timing)
  }

  #well(): void {
    if (!this.#isInTrouble) return
    this.#isInTrouble = false
    this.#options.events.trouble(undefined)
  }

  /** Hands on what differs; the version that the whole list is of. */
  async #list(): Promise<string> {
    this.counts.lists++
    const seen = new Set<string>()
    let from: string | undefined
    for (;;) {
      const page = await this.#page(from)
      const version = textOf(memberOf(page, "metadata")["resourceVersion"])
      // An empty list of metadata alone has null for items.
      if (!isJson(page) || version === "" || !Array.isArray(page["items"] ?? [])) throw new ApiError({ status: 0, reason: "Undecoded", message: `${this.#options.path} answered with something that is no list` })
      for (const item of listOf(page, "items")) {
        const object = rawObject(item)
        if (object === undefined) throw new ApiError({ status: 0, reason: "Undecoded", message: `${this.#options.path} lists something that is no object` })
        seen.add(object.key)
        this.#put(object)
      }
      this.#options.events.batch()
      from = textOf(memberOf(page, "metadata")["continue"])
      if (from !== "") continue
      for (const [key, { uid }] of [...this.#known]) if (!seen.has(key)) this.#gone(key, uid)
      this.#options.events.batch()
      return version
    }
  }

  #page(from: string | undefined): Promise<unknown> {
    const { api, path, metadataOnly } = this.#options
    return api.request({
      path, signal: this.#end.signal, timeout: this.#timing.answer,
      query: { ...this.#selectors(), limit: PAGE, continue: from },
      ...(metadataOnly === true ? { headers: { accept: METADATA_LIST } } : {}),
    })
  }

  #selectors(): { readonly labelSelector: string | undefined; readonly fieldSelector: string | undefined } {
    const { labelSelector, fieldSelector } = this.#options
    return { labelSelector, fieldSelector }
  }

  async #watch(version: string): Promise<void> {
    this.counts.watches++
    const { api, path, metadataOnly } = this.#options
    let failure: ApiError | undefined
    const cut = new AbortController()
    const fail = (error: ApiError): void => {
      failure ??= error
      cut.abort()
    }
    const query = { ...this.#selectors(), watch: true, allowWatchBookmarks: true, resourceVersion: version, timeoutSeconds: Math.round(WATCH_FOR.least + this.#clock.random() * WATCH_FOR.more) }
    const headers = metadataOnly === true ? { headers: { accept: METADATA } } : {}
    try {
      let isNews = false
      await api.lines({ path, query, ...headers, signal: AbortSignal.any([this.#end.signal, cut.signal]), timeout: this.#timing.quiet }, {
        opened: () => {
          this.#refusals = 0
          this.#wellFrom = this.#clock.monotonic() + SHORT
          this.#well()
        },
        line: (line) => {
          // What comes after something that could not be understood is not handed on before it.
          if (failure === undefined && !this.#end.signal.aborted && this.#event(line, fail)) isNews = true
        },
        batch: () => {
          if (isNews && !this.#end.signal.aborted) this.#options.events.batch()
          isNews = false
        },
      })
    } catch (error) {
      // Of a kind that never changes no bookmark comes either: whether it is dead, the next one will show.
      const isQuiet = failure === undefined && error instanceof ApiError && error.reason === "Quiet"
      if (!isQuiet) throw failure ?? error
    }
    if (failure !== undefined) throw failure
  }

  /** Whether something was handed on. */
  #event(line: string, fail: (error: ApiError) => void): boolean {
    const event = parsed(line)
    const type = isJson(event) ? event["type"] : undefined
    const value = isJson(event) ? event["object"] : undefined
    if (type === "ERROR") {
      fail(ApiError.ofStatus(value))
      return false
    }
    if (type === "BOOKMARK") {
      const version = textOf(memberOf(value, "metadata")["resourceVersion"])
      if (version !== "") this.#version = version
      this.#wellFrom = 0
      return false
    }
    const object = rawObject(value)
    if (object === undefined || (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED")) {
      fail(new ApiError({ status: 0, reason: "Undecoded", message: `a line of the watch on ${this.#options.path} cannot be understood: the collection is listed anew` }))
      return false
    }
    if (type === "DELETED") this.#gone(object.key, object.uid)
    else this.#put(object)
    // Only now: what was not handed on would not come again.
    this.#version = object.resourceVersion
    this.#wellFrom = 0
    return true
  }

  #put(object: RawObject): void {
    const known = this.#known.get(object.key)
    if (known?.resourceVersion === object.resourceVersion && known.uid === object.uid) return
    if (known !== undefined && known.uid !== object.uid) this.#gone(object.key, known.uid)
    this.#known.set(object.key, { uid: object.uid, resourceVersion: object.resourceVersion })
    this.#options.events.put(object)
  }

  #gone(key: string, uid: string): void {
    if (this.#known.delete(key)) this.#options.events.gone(key, uid)
  }
}

const parsed = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
