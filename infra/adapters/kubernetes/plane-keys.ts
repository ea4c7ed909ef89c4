/** The keys of data planes, from the Secrets that their labels say are theirs (kept by a gateway's pods, too). */
import { Redacted } from "../../../bus/redacted.ts"
import { type PlaneKey, planeKey } from "../../../bus/seal.ts"
import { isOfPlane, PLANE_LABEL } from "../nats/planes.ts"
import type { ApiClient } from "./client.ts"
import { type Json, labelOf, memberOf, type RawObject, textOf } from "./raw.ts"
import { SecretReads } from "./secret-reads.ts"

const DATA = "plane.key"

export interface PlaneKeysOptions {
  readonly api: ApiClient
  /** Namespace of the installation, where shared data planes have their Secrets. */
  readonly installation: string
  /** A key is there, is another, or is gone. */
  changed(): void
}

interface Owner {
  readonly plane: string
  readonly resourceVersion: string
}

export class PlaneKeys {
  readonly #options: PlaneKeysOptions
  readonly #reads: SecretReads<PlaneKey | undefined>
  /** Key of the Secret → the plane it is of. */
  readonly #secrets = new Map<string, Owner>()

  constructor(options: PlaneKeysOptions) {
    this.#options = options
    this.#reads = new SecretReads({ api: options.api, keep: (_key, secret) => keyIn(secret), changed: () => options.changed() })
  }

  stop(): void {
    this.#reads.stop()
  }

  /** Metadata of any Secret. */
  put({ key, resourceVersion, object }: RawObject): void {
    if (!isOfPlane(object, this.#options.installation)) return this.gone(key)
    this.#secrets.set(key, { plane: labelOf(object, PLANE_LABEL), resourceVersion })
    this.#reads.read(key, resourceVersion)
  }

  gone(key: string): void {
    if (!this.#secrets.delete(key)) return
    this.#reads.forget(key)
    this.#options.changed()
  }

  /** The key, or why there is none, as a sentence. Of two Secrets of one plane the first by namespace and name counts. */
  of(plane: string): PlaneKey | string {
    const [first] = [...this.#secrets].filter(([, owner]) => owner.plane === plane).map(([key]) => key).sort()
    const owner = first === undefined ? undefined : this.#secrets.get(first)
    if (first === undefined || owner === undefined) return `There is no Secret with the key of data plane ${plane} yet.`
    const { value, fault } = this.#reads.read(first, owner.resourceVersion)
    return value ?? (fault === undefined ? `Secret ${first} has no ${DATA} of 64 hexadecimal digits for data plane ${plane}.` : `Secret ${first} with the key of data plane ${plane} cannot be read: ${fault}.`)
  }
}

const keyIn = (secret: Json): PlaneKey | undefined => {
  const text = Buffer.from(textOf(memberOf(secret, "data")[DATA]), "base64").toString("utf8").trim()
  return /^[0-9a-fA-F]{64}$/.test(text) ? planeKey(new Redacted(Buffer.from(text, "hex"))) : undefined
}
