/**
 * What is published of Secrets: names, until a function wants the content for a data plane; then the public chain, and
 * the private key sealed for that plane. What cannot be used leaves the last good content in place and says why.
 */
import { Schema } from "effect"
import { canonical } from "../../../bus/canonical.ts"
import { core, type Secret, TlsContent } from "../../../bus/kinds/core.ts"
import type { SecretContent } from "../../../bus/kinds/secret-content.ts"
import { seal } from "../../../bus/seal.ts"
import { type KeyPairRead, type Problem, readKeyPair } from "./key-pair.ts"
import type { PlaneKeyOf } from "./plane-keys.ts"

/** `<namespace>/<name>` → the data planes that want it. */
export type WantedSecrets = ReadonlyMap<string, ReadonlySet<string>>

export interface SecretsOptions {
  readonly planeKeyOf: PlaneKeyOf
  /** What is published of these Secrets may be other now. */
  onChange(keys: readonly string[]): void
}

/** How often a key that was not there is looked for, ms. */
const LOOK_AGAIN = 2_000

const decode = Schema.decodeUnknownSync(core.secret.schema)
const tlsIn = Schema.decodeUnknownOption(Schema.Struct({ tls: TlsContent }))

export class Secrets {
  readonly #options: SecretsOptions
  #wanted: WantedSecrets = new Map()
  /** Public or sealed, and so kept as it was published. */
  readonly #lastGood = new Map<string, TlsContent>()
  readonly #read = new WeakMap<SecretContent, KeyPairRead>()
  /** Whose plane's key is missing. */
  readonly #keyless = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: SecretsOptions) {
    this.#options = options
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  want(wanted: WantedSecrets): void {
    const before = this.#wanted
    this.#wanted = wanted
    const keys = new Set([...before.keys(), ...wanted.keys()])
    this.#options.onChange([...keys].filter((key) => !same(before.get(key), wanted.get(key))))
  }

  /** What the bus still holds from an earlier life of this adapter. */
  recall(key: string, body: string): void {
    const held = tlsIn(JSON.parse(body))
    if (held._tag === "Some" && !this.#lastGood.has(key)) this.#lastGood.set(key, held.value.tls)
  }

  isWanted(key: string): boolean {
    return this.#wanted.has(key)
  }

  /** The Secret is no more: nor is what was good of it. */
  forget(key: string): void {
    this.#lastGood.delete(key)
    this.#keyless.delete(key)
  }

  /** `body`: of a Secret, without content. Equal content gives equal bytes. */
  bodyOf(key: string, body: string, content: SecretContent): string {
    const planes = this.#wanted.get(key)
    this.#keyless.delete(key)
    return planes === undefined ? body : this.#bodyWith(body, this.#answer(key, planes, content))
  }

  /** `body`: of a Secret, without content, which will be known in a moment: what was good before stays until then. */
  bodyUnread(key: string, body: string): string {
    const planes = this.#wanted.get(key)
    return planes === undefined ? body : this.#bodyWith(body, { tls: this.#lastGoodFor(key, planes), problem: undefined })
  }

  /** `body`: as published; nobody can tell at the moment what the Secret holds. */
  bodyKept(key: string, body: string, why = "The manifest of the Secret cannot be read at the moment, so neither can its certificate."): string {
    const planes = this.#wanted.get(key)
    const { tls: _tls, problem, ...rest } = decode(JSON.parse(body))
    if (planes === undefined) return canonical(rest)
    const tls = this.#lastGoodFor(key, planes)
    const unknown: Problem = { reason: "Unreadable", field: "", message: why }
    return this.#bodyWith(body, { tls, problem: problem ?? (tls === undefined ? unknown : undefined) })
  }

  #bodyWith(body: string, { tls, problem }: Answer): string {
    const { tls: _tls, problem: _problem, ...secret } = decode(JSON.parse(body))
    return canonical({ ...secret, ...(tls === undefined ? {} : { tls }), ...(problem === undefined ? {} : { problem }) } satisfies Secret)
  }

  #answer(key: string, planes: ReadonlySet<string>, content: SecretContent): Answer {
    const read = this.#read.get(content) ?? readKeyPair(content)
    this.#read.set(content, read)
    if (!read.ok) return { tls: this.#lastGoodFor(key, planes), problem: read.problem }
    const sealed: Record<string, string> = {}
    let missing: string | undefined
    for (const plane of [...planes].sort()) {
      const planeKey = this.#options.planeKeyOf(plane)
      if (typeof planeKey === "string") missing ??= planeKey
      else sealed[plane] = seal(planeKey, `${plane}/${key}`, read.pair.key)
    }
    if (missing !== undefined) this.#lookAgain(key)
    const problem = missing === undefined ? undefined : { reason: "NoPlaneKey", field: "", message: missing }
    if (Object.keys(sealed).length === 0) return { tls: this.#lastGoodFor(key, planes), problem }
    const tls = { chain: read.pair.chain, keyDigest: read.pair.keyDigest, sealed }
    this.#lastGood.set(key, tls)
    return { tls, problem }
  }

  #lastGoodFor(key: string, planes: ReadonlySet<string>): TlsContent | undefined {
    const good = this.#lastGood.get(key)
    const sealed = Object.entries(good?.sealed ?? {}).filter(([plane]) => planes.has(plane))
    return good === undefined || sealed.length === 0 ? undefined : { ...good, sealed: Object.fromEntries(sealed) }
  }

  #lookAgain(key: string): void {
    this.#keyless.add(key)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#options.onChange([...this.#keyless])
    }, LOOK_AGAIN).unref()
  }
}

const same = (a: ReadonlySet<string> | undefined, b: ReadonlySet<string> | undefined): boolean => a?.size === b?.size && [...(a ?? [])].every((plane) => b?.has(plane))

interface Answer {
  readonly tls: TlsContent | undefined
  readonly problem: Problem | undefined
}
