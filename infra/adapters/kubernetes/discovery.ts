/** Which kinds of some API groups the API server has, asked again and again: definitions come late, and in other versions. */
import { delay, systemClock } from "../../../bus/unit/clock.ts"
import { ApiError } from "./api-error.ts"
import type { ApiClient } from "./client.ts"
import { isJson, listOf, textOf } from "./raw.ts"

export interface DiscoveredKind {
  readonly group: string
  readonly plural: string
  /** Those that can be read, the best first. */
  readonly versions: readonly string[]
}

export interface DiscoveryOptions<T extends DiscoveredKind> {
  readonly api: ApiClient
  readonly kinds: readonly T[]
  /** After each answer: the best version that there is; undefined: there is none. */
  onFound(kind: T, version: string | undefined): void
  /** ms between answers while a kind is absent, and while none is. */
  readonly every?: { readonly absent: number; readonly present: number }
}

/**
 * An API server that starts has not read all definitions yet. So a kind counts as absent when it was so this many times
 * in a row, and the API server said each time, afterwards, that it is ready.
 */
const CERTAIN = { first: 2, later: 3 }
/** ms between answers while that is not certain. */
const UNCERTAIN = 500

export class Discovery<T extends DiscoveredKind> {
  readonly #options: DiscoveryOptions<T>
  readonly #end = new AbortController()
  readonly #found = new Map<T, string | undefined>()
  readonly #missed = new Map<T, number>()
  #sooner: AbortController | undefined

  constructor(options: DiscoveryOptions<T>) {
    this.#options = options
  }

  start(): void {
    void this.#run()
  }

  stop(): void {
    this.#end.abort()
  }

  /** Something says that a kind is there no more. */
  askAgain(): void {
    this.#sooner?.abort()
  }

  async #run(): Promise<void> {
    const { kinds, every = { absent: 2_000, present: 30_000 } } = this.#options
    const { signal } = this.#end
    while (!signal.aborted) {
      for (const group of new Set(kinds.map((kind) => kind.group))) await this.#ask(group)
      const isCertain = kinds.every((kind) => this.#found.has(kind) && !this.#missed.has(kind))
      const isAllThere = isCertain && kinds.every((kind) => this.#found.get(kind) !== undefined)
      this.#sooner = new AbortController()
      await delay(systemClock, isCertain ? every.absent : Math.min(UNCERTAIN, every.absent), signal)
      if (isAllThere) await delay(systemClock, every.present - every.absent, AbortSignal.any([signal, this.#sooner.signal]))
    }
  }

  /** What cannot be learnt is as it was. */
  async #ask(group: string): Promise<void> {
    const kinds = this.#options.kinds.filter((kind) => kind.group === group)
    const plurals = new Map<string, ReadonlySet<string>>()
    const isThere = ({ plural, versions }: T): boolean => versions.some((version) => plurals.get(version)?.has(plural) === true)
    try {
      const versions = (await this.#names(`/apis/${group}`, "versions", "version")) ?? new Set()
      for (const version of new Set(kinds.flatMap((kind) => kind.versions))) if (versions.has(version)) plurals.set(version, (await this.#names(`/apis/${group}/${version}`, "resources", "name")) ?? new Set())
      if (!kinds.every(isThere)) await this.#whenReady()
    } catch (error) {
      if (error instanceof ApiError) return
      throw error
    }
    if (this.#end.signal.aborted) return
    for (const kind of kinds) this.#take(kind, kind.versions.find((version) => plurals.get(version)?.has(kind.plural) === true))
  }

  #take(kind: T, version: string | undefined): void {
    const isKnownAbsent = this.#found.has(kind) && this.#found.get(kind) === undefined
    if (version === undefined && !isKnownAbsent) {
      const missed = (this.#missed.get(kind) ?? 0) + 1
      this.#missed.set(kind, missed)
      if (missed < (this.#found.has(kind) ? CERTAIN.later : CERTAIN.first)) return
    }
    this.#missed.delete(kind)
    this.#found.set(kind, version)
    this.#options.onFound(kind, version)
  }

  /** Rejects while the API server is not ready. Who may not ask is not told. */
  async #whenReady(): Promise<void> {
    try {
      await this.#options.api.request({ path: "/readyz", headers: { accept: "*/*" }, signal: this.#end.signal })
    } catch (error) {
      if (error instanceof ApiError && ([403, 404].includes(error.status) || error.reason === "NotJson")) return
      throw error
    }
  }

  /** `field` of each of the list; undefined: the API server has no such path. */
  async #names(path: string, list: string, field: string): Promise<ReadonlySet<string> | undefined> {
    try {
      const answer = await this.#options.api.request({ path, signal: this.#end.signal })
      return new Set(listOf(answer, list).map((each) => (isJson(each) ? textOf(each[field]) : "")))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }
}
