/**
 * A copy of a request's body as its head of HTTP/1.1 frames it, for who sends the request once more: a mirror, a
 * retry. Up to a size for one request and for all together; beyond either there is no copy, and nothing else changes.
 */
import { BodyReader } from "../http1/body.ts"
import type { Settings } from "../settings.ts"
import { HeldContent } from "../http2/held-content.ts"
import type { UpstreamStream } from "../upstream/http2-stream.ts"

export type KeptLimits = Pick<Settings, "keptBodyBytes" | "keptBytes">

/** Why there is no copy. */
export type NotKept = "body-too-large" | "body-incomplete"

/** Octets kept by all requests of this thread. */
let held = 0

export class KeptBody {
  readonly #limits: KeptLimits
  /** null: too much of it came. Octets, because a string that grew by small pieces is many times as large. */
  #content: HeldContent | null = new HeldContent()
  /** Told once: the whole body, or why not. */
  #onEnd: ((body: string | null, why: NotKept) => void) | null

  constructor(limits: KeptLimits, onEnd: ((body: string | null, why: NotKept) => void) | null) {
    this.#limits = limits
    this.#onEnd = onEnd
  }

  /** Somebody waits for the whole. */
  get isAwaited(): boolean {
    return this.#onEnd !== null
  }

  /** `spans` of `buffer`, then `after`. */
  add(buffer: Buffer, spans: readonly number[], after: string): void {
    const content = this.#content
    if (content === null) return
    let size = after.length
    for (let i = 0; i < spans.length; i += 2) size += (spans[i + 1] ?? 0) - (spans[i] ?? 0)
    if (content.length + size > this.#limits.keptBodyBytes || held + size > this.#limits.keptBytes) {
      this.#forget()
      this.#end("body-too-large")
      return
    }
    held += size
    for (let i = 0; i < spans.length; i += 2) content.add(buffer, spans[i] ?? 0, spans[i + 1] ?? 0)
    if (after !== "") content.add(Buffer.from(after, "latin1"), 0, after.length)
  }

  /** All that came is here. */
  get isWhole(): boolean {
    return this.#content !== null
  }

  /** latin1; null: not all of it is here. */
  get text(): string | null {
    return this.#content === null ? null : this.#content.octets.toString("latin1", 0, this.#content.length)
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
    held -= this.#content?.length ?? 0
    this.#content = null
  }

  #end(why: NotKept): void {
    const onEnd = this.#onEnd
    this.#onEnd = null
    onEnd?.(this.text, why)
  }
}

/** Sends a body that is framed as HTTP/1.1 does over a stream. `isEnd`: it is all of it. `kind`, `length`: as its head says (http1/head.ts). */
export const sendFramed = (stream: UpstreamStream, kind: number, length: number, text: string, isEnd: boolean): void => {
  const octets = Buffer.from(text, "latin1")
  const body = new BodyReader()
  body.start(kind, length, true)
  body.read(octets, 0, octets.length)
  for (let i = 0; i < body.spans.length; i += 2) stream.send(octets, body.spans[i] ?? 0, body.spans[i + 1] ?? 0, false)
  if (isEnd) stream.finish(body.trailers ?? "")
}

/** A piece of content as a chunk: what stands before it, if there is any, and after it. */
export const chunkStart = (octets: number): string => `${octets.toString(16)}\r\n`
export const CHUNK_END = "\r\n"
export const lastChunk = (trailers: string): string => `0\r\n${trailers}\r\n`
