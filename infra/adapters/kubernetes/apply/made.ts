/** What has been made, as the API server has it: metadata alone, of all objects that carry our label, whoever changes them. */
import type { ApiError } from "../api-error.ts"
import { resourcePath, type ApiClient } from "../client.ts"
import { Reflector } from "../reflector.ts"
import { member } from "./paths.ts"
import { madeKinds } from "./made-kinds.ts"
import { MANAGER } from "./writing.ts"

export const MANAGED_BY = "app.kubernetes.io/managed-by"

/** metadata, as it came, and what of it is compared often. */
export interface MadeObject {
  readonly uid: string
  readonly resourceVersion: string
  readonly metadata: unknown
}

export interface MadeOptions {
  readonly api: ApiClient
  /** Undefined: all. */
  readonly namespaces: readonly string[] | undefined
  /** By `<kind in lower case>/<namespace>/<name>`; "" in place of namespace and name: everything of the kind is known now. */
  onChange(id: string): void
  /** Why changes of a kind (plural) are not heard of at the moment; undefined: they are. */
  onTrouble(plural: string, error: ApiError | undefined): void
}

export class Made {
  readonly #objects = new Map<string, MadeObject>()
  readonly #reflectors: readonly (readonly [token: string, reflector: Reflector])[]

  constructor({ api, namespaces, onChange, onTrouble }: MadeOptions) {
    this.#reflectors = madeKinds.flatMap(({ group, version, kind, plural }) => {
      const token = kind.toLowerCase()
      return (namespaces ?? [""]).map((namespace) => [token, new Reflector({
        api, path: resourcePath({ group, version, plural, namespace }), metadataOnly: true, labelSelector: `${MANAGED_BY}=${MANAGER}`,
        events: {
          put: ({ key, uid, resourceVersion, object }) => {
            this.#objects.set(`${token}/${key}`, { uid, resourceVersion, metadata: member(object, "metadata") })
            onChange(`${token}/${key}`)
          },
          gone: (key) => {
            this.#objects.delete(`${token}/${key}`)
            onChange(`${token}/${key}`)
          },
          batch: () => undefined,
          synced: () => { if (this.isSynced(token)) onChange(`${token}/`) },
          trouble: (error) => onTrouble(plural, error),
        },
      })] as const)
    })
  }

  start(): void {
    for (const [, reflector] of this.#reflectors) reflector.start()
  }

  stop(): void {
    for (const [, reflector] of this.#reflectors) reflector.stop()
  }

  get(id: string): MadeObject | undefined {
    return this.#objects.get(id)
  }

  /** By kind in lower case. */
  isSynced(token: string): boolean {
    return this.#reflectors.every(([of, reflector]) => of !== token || reflector.isSynced)
  }
}
