/** One kind, watched in the whole cluster or in some namespaces, once the API server has it, in the version that it has. */
import type { ResourceApi } from "../../../bus/kinds/all.ts"
import { type ApiError, REFUSALS } from "./api-error.ts"
import { type ApiClient, resourcePath } from "./client.ts"
import type { RawObject } from "./raw.ts"
import { Reflector, type ReflectorTiming } from "./reflector.ts"

export interface KindWatchOptions {
  readonly api: ApiClient
  readonly of: ResourceApi
  /** Undefined: the whole cluster. */
  readonly namespaces: readonly string[] | undefined
  readonly metadataOnly: boolean
  readonly timing?: Partial<ReflectorTiming> | undefined
  put(object: RawObject): void
  gone(key: string): void
  batch(): void
  /** `state` may be another. */
  changed(): void
}

export type KindState =
  /** Nobody knows yet. */
  | { readonly is: "waiting" }
  /** The API server has no such kind: there is nothing of it. */
  | { readonly is: "absent" }
  /** It may not be read, and never was. */
  | { readonly is: "refused"; readonly error: ApiError }
  /** All there is has been handed on; `error`: why it does not go on at the moment. */
  | { readonly is: "synced"; readonly error: ApiError | undefined }

export class KindWatch {
  readonly of: ResourceApi
  readonly #options: KindWatchOptions
  #version: string | undefined
  #isAbsent = false
  #reflectors: Reflector[] = []
  readonly #errors = new Map<Reflector, ApiError>()

  constructor(options: KindWatchOptions) {
    this.#options = options
    this.of = options.of
  }

  /** In which it is watched; undefined: it is not. */
  get version(): string | undefined {
    return this.#version
  }

  /** Why it does not go on at the moment; tried again. */
  get error(): ApiError | undefined {
    const [error] = this.#errors.values()
    return error
  }

  get state(): KindState {
    if (this.#isAbsent) return { is: "absent" }
    const { error } = this
    if (this.#reflectors.length > 0 && this.#reflectors.every(({ isSynced }) => isSynced)) return { is: "synced", error }
    return error !== undefined && REFUSALS.includes(error.status) ? { is: "refused", error } : { is: "waiting" }
  }

  get isKnown(): boolean {
    const { is } = this.state
    return is === "synced" || is === "absent"
  }

  /** How many times anything was listed, watched, or not understood. */
  get counts(): { readonly lists: number; readonly watches: number; readonly undecoded: number } {
    const total = { lists: 0, watches: 0, undecoded: 0 }
    for (const { counts } of this.#reflectors) for (const name of ["lists", "watches", "undecoded"] as const) total[name] += counts[name]
    return total
  }

  /** The version that the API server has of it; undefined: it has none. */
  serve(version: string | undefined): void {
    if (version === this.#version && this.#isAbsent === (version === undefined)) return
    const before = this.#reflectors
    for (const reflector of before) reflector.stop()
    this.#errors.clear()
    this.#version = version
    this.#isAbsent = version === undefined
    if (version === undefined) for (const reflector of before) reflector.clear()
    this.#reflectors = version === undefined ? [] : this.#collections(version).map((collection, index) => this.#reflect(collection, before[index]))
    for (const reflector of this.#reflectors) reflector.start()
    this.#options.changed()
  }

  stop(): void {
    for (const reflector of this.#reflectors) reflector.stop()
  }

  #collections(version: string): readonly { readonly path: string; readonly fieldSelector?: string }[] {
    const { of: { group, plural, namespaced, kindName }, namespaces } = this.#options
    if (namespaces === undefined) return [{ path: resourcePath({ group, version, plural }) }]
    if (namespaced) return namespaces.map((namespace) => ({ path: resourcePath({ group, version, plural, namespace }) }))
    // Who may see these Namespaces alone may list them by name.
    return kindName === "Namespace" ? namespaces.map((name) => ({ path: resourcePath({ group, version, plural }), fieldSelector: `metadata.name=${name}` })) : [{ path: resourcePath({ group, version, plural }) }]
  }

  /** `before`: of another version; what it handed on is known. */
  #reflect({ path, fieldSelector }: { readonly path: string; readonly fieldSelector?: string }, before: Reflector | undefined): Reflector {
    const { api, metadataOnly, timing, put, gone, batch, changed } = this.#options
    const reflector: Reflector = new Reflector({
      api, path, metadataOnly, ...(fieldSelector === undefined ? {} : { fieldSelector }), ...(timing === undefined ? {} : { timing }), ...(before === undefined ? {} : { before }),
      events: {
        put, gone, batch,
        synced: changed,
        trouble: (error) => {
          if (error === undefined) this.#errors.delete(reflector)
          else this.#errors.set(reflector, error)
          changed()
        },
      },
    })
    return reflector
  }
}
