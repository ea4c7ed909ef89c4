/**
 * Watches of different kinds are not in step: an object may come before what it names, though that was made first.
 * What is named and not here is looked for; who names it waits until it is here, or is known not to be.
 */
import type { ResourceApi } from "../../../bus/kinds/all.ts"
import { ApiError } from "./api-error.ts"
import { type ApiClient, resourcePath } from "./client.ts"

export interface LookupsOptions {
  readonly api: ApiClient
  /** `by` waits no longer. */
  done(by: string): void
}

/** An event that is on its way takes milliseconds; a watch that has failed is not waited for. */
const PATIENCE = 1_000
const AT_ONCE = 16
const METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

interface Lookup {
  readonly by: Set<string>
  timer: NodeJS.Timeout | undefined
}

export class Lookups {
  readonly #options: LookupsOptions
  readonly #open = new Map<string, Lookup>()
  /** Who waits → for how many. */
  readonly #waiting = new Map<string, number>()
  readonly #queue: (() => Promise<void>)[] = []
  #asked = 0
  readonly #end = new AbortController()

  constructor(options: LookupsOptions) {
    this.#options = options
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0
  }

  stop(): void {
    this.#end.abort()
    for (const { timer } of this.#open.values()) clearTimeout(timer)
  }

  /** `by` names these, which are not here. */
  look({ kind, group, versions: [version = "v1"], plural }: ResourceApi, keys: readonly string[], by: string): void {
    this.#waiting.set(by, (this.#waiting.get(by) ?? 0) + keys.length)
    for (const key of keys) {
      const id = `${kind.name}/${key}`
      const open = this.#open.get(id)
      if (open !== undefined) {
        if (open.by.has(by)) this.#less(by)
        open.by.add(by)
        continue
      }
      this.#open.set(id, { by: new Set([by]), timer: undefined })
      const [namespace = "", name = ""] = key.split("/")
      this.#queue.push(() => this.#ask(id, name === "" ? undefined : resourcePath({ group, version, plural, namespace, name })))
    }
    this.#pump()
  }

  /** It is here. */
  arrived(kind: string, key: string): void {
    if (this.#open.size > 0) this.#close(`${kind}/${key}`)
  }

  #pump(): void {
    while (this.#asked < AT_ONCE) {
      const ask = this.#queue.shift()
      if (ask === undefined) return
      this.#asked++
      void ask().finally(() => {
        this.#asked--
        this.#pump()
      })
    }
  }

  async #ask(id: string, path: string | undefined): Promise<void> {
    // Who asks is not told before it knows that it waits.
    await Promise.resolve()
    if (path === undefined || !this.#open.has(id)) return this.#close(id)
    try {
      await this.#options.api.request({ path, headers: { accept: METADATA }, timeout: PATIENCE, signal: this.#end.signal })
      const lookup = this.#open.get(id)
      if (lookup !== undefined && !this.#end.signal.aborted) lookup.timer = setTimeout(() => this.#close(id), PATIENCE)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      this.#close(id)
    }
  }

  #close(id: string): void {
    const lookup = this.#open.get(id)
    if (lookup === undefined || !this.#open.delete(id)) return
    clearTimeout(lookup.timer)
    for (const by of lookup.by) this.#less(by)
  }

  #less(by: string): void {
    const left = (this.#waiting.get(by) ?? 0) - 1
    if (left > 0) return void this.#waiting.set(by, left)
    this.#waiting.delete(by)
    if (!this.#end.signal.aborted) this.#options.done(by)
  }
}
