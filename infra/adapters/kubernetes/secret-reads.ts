/**
 * Contents of Secrets, got from the API server one by one when somebody wants them, and again when they change: the
 * watch brings metadata alone. Who has no use for a content any more forgets it.
 */
import { backoff, systemClock } from "../../../bus/unit/clock.ts"
import { ApiError } from "./api-error.ts"
import { type ApiClient, resourcePath } from "./client.ts"
import { isJson, type Json, memberOf, textOf } from "./raw.ts"

export interface SecretReadsOptions<T> {
  readonly api: ApiClient
  /** What is kept of a Secret as the API server gives it. */
  keep(key: string, secret: Json): T
  /** Another answer can be had. */
  changed(key: string): void
}

export interface SecretRead<T> {
  /** Of the version asked for, or, while that is on its way, of the one before. */
  readonly value: T | undefined
  /** Why it cannot be read; tried again. */
  readonly fault: string | undefined
}

interface Entry<T> {
  /** That the watch told of, when this was asked for. */
  asked: string | undefined
  /** Of the answer, which may be of a version that the watch is about to tell of. */
  got: string | undefined
  value: T | undefined
  fault: string | undefined
  failures: number
  timer: NodeJS.Timeout | undefined
}

export class SecretReads<T> {
  readonly #options: SecretReadsOptions<T>
  readonly #entries = new Map<string, Entry<T>>()
  readonly #end = new AbortController()

  constructor(options: SecretReadsOptions<T>) {
    this.#options = options
  }

  stop(): void {
    this.#end.abort()
    for (const { timer } of this.#entries.values()) clearTimeout(timer)
  }

  /** `resourceVersion`: the last that the watch has told of. */
  read(key: string, resourceVersion: string): SecretRead<T> {
    const entry = this.#entries.get(key) ?? { asked: undefined, got: undefined, value: undefined, fault: undefined, failures: 0, timer: undefined }
    this.#entries.set(key, entry)
    if (entry.asked !== resourceVersion && entry.got !== resourceVersion) {
      entry.asked = resourceVersion
      void this.#get(key, entry, resourceVersion)
    }
    return entry
  }

  forget(key: string): void {
    clearTimeout(this.#entries.get(key)?.timer)
    this.#entries.delete(key)
  }

  async #get(key: string, entry: Entry<T>, resourceVersion: string): Promise<void> {
    const isCurrent = (): boolean => !this.#end.signal.aborted && this.#entries.get(key) === entry && entry.asked === resourceVersion
    const [namespace = "", name = ""] = key.split("/")
    try {
      const secret = await this.#options.api.request({ path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace, name }), signal: this.#end.signal })
      if (!isCurrent() || !isJson(secret)) return
      entry.value = this.#options.keep(key, secret)
      entry.fault = undefined
      entry.failures = 0
      entry.got = textOf(memberOf(secret, "metadata")["resourceVersion"])
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // Gone: the watch will say so.
      if (!isCurrent() || error.status === 404) return
      entry.fault = error.message
      entry.timer = setTimeout(() => {
        if (isCurrent()) void this.#get(key, entry, resourceVersion)
      }, backoff(systemClock, entry.failures++, { first: 500, max: 30_000 }))
    }
    this.#options.changed(key)
  }
}
