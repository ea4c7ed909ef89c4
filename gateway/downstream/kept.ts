/**
 * A copy of a request's body as it was framed on its way upstream, for who sends the request once more: a mirror, a
 * retry. Up to a size for one request and for all together; beyond either there is no copy, and nothing else changes.
 */
import type { Settings } from "../settings.ts"

export type KeptLimits = Pick<Settings, "keptBodyBytes" | "keptBytes">

/** Why there is no copy. */
export type NotKept = "body-too-large" | "body-incomplete"

/** Octets kept by all requests of this thread. */
let held = 0

export class KeptBody {
  /** latin1; null: too much of it came. */
  text: string | null = ""
  readonly #limits: KeptLimits
  /** Told once: the whole body, or why not. */
  #onEnd: ((body: string | null, why: NotKept) => void) | null

  constructor(limits: KeptLimits, onEnd: ((body: string | null, why: NotKept) => void) | null) {
    this.#limits = limits
    this.#onEnd = onEnd
  }

  /** `spans` of `buffer`, then `after`. */
  add(buffer: Buffer, spans: readonly number[], after: string): void {
    if (this.text === null) return
    let size = after.length
    for (let i = 0; i < spans.length; i += 2) size += (spans[i + 1] ?? 0) - (spans[i] ?? 0)
    if (this.text.length + size > this.#limits.keptBodyBytes || held + size > this.#limits.keptBytes) {
      this.#forget()
      this.#end("body-too-large")
      return
    }
    held += size
    for (let i = 0; i < spans.length; i += 2) this.text += buffer.toString("latin1", spans[i], spans[i + 1])
    this.text += after
  }

  /** The body is complete. */
  complete(): void {
    this.#end("body-incomplete")
  }

  /** The request is over. */
  release(): void {
    this.#forget()
    this.#end("body-incomplete")
  }

  #forget(): void {
    held -= this.text?.length ?? 0
    this.text = null
  }

  #end(why: NotKept): void {
    const onEnd = this.#onEnd
    this.#onEnd = null
    onEnd?.(this.text, why)
  }
}
