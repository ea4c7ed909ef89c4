/** The request on its way upstream: head and first octets of the body in one write, then the body as it comes. */
import { BodyReader } from "../http1/body.ts"
import type { Fault } from "../http1/fault.ts"
import { CHUNKED } from "../http1/head.ts"
import type { RequestHead } from "../http1/request.ts"
import type { KeptBody } from "./kept.ts"
import type { UpstreamConnection } from "../upstream/connection.ts"

/**
 * Up to here what was read of a body goes on as text: in one write with the head where that still waits, and without
 * keeping a read buffer, many times as large, until a backend takes a few octets.
 */
const AS_TEXT = 8_192

export class RequestRelay {
  /** Why the body cannot go on. */
  refusal: Fault | "body-too-large" | null = null
  readonly #body = new BodyReader()
  #upstream: UpstreamConnection | null = null
  /** Not yet written. */
  #text = ""
  #isSent = false
  #limit = 0
  #kept: KeptBody | null = null

  /** The head is read. `limit`: octets of content, 0: any number. */
  start(head: RequestHead, limit: number): void {
    this.#body.start(head.body, head.length, false, head.options)
    this.#upstream = null
    this.#text = ""
    this.#isSent = false
    this.#limit = limit
    this.refusal = null
  }

  /** The whole request has been read from the client. */
  get isDone(): boolean {
    return this.#body.isDone
  }

  get fault(): Fault | null {
    return this.#body.fault
  }

  /** Some of the body has been handed upstream: it cannot be sent again. */
  get isBodySent(): boolean {
    return this.#isSent
  }

  /** Octets of the body that are still to come, Infinity when nobody knows. */
  get remaining(): number {
    return this.#body.remaining
  }

  /** A copy of the body is wanted; before any of it has been read. */
  keep(kept: KeptBody): void {
    this.#kept = kept
  }

  get isKept(): boolean {
    return this.#kept !== null
  }

  /** All that went upstream is at hand. */
  get isRepeatable(): boolean {
    return !this.#isSent || (this.#kept !== null && this.#kept.text !== null)
  }

  /** What has been sent of the body, for another attempt. */
  get sent(): string {
    return this.#kept?.text ?? ""
  }

  /** The request is over: no copy is needed any more. */
  end(): void {
    this.#kept?.release()
    this.#kept = null
  }

  /** The client must flush() once it has offered what it has of the body. */
  sendOn(upstream: UpstreamConnection, text: string): void {
    this.#upstream = upstream
    this.#text = text
  }

  /** Upstream is gone or done: what comes is skipped. */
  detach(): void {
    this.#upstream = null
    this.#text = ""
  }

  /** Writes the head if it still waits for company. */
  flush(): void {
    if (this.#text === "" || this.#upstream === null) return
    const text = this.#text
    this.#text = ""
    this.#upstream.write(text)
  }

  /** Takes what belongs to the body, returns the position after it: `at` while upstream is not there or blocked. */
  take(buffer: Buffer, at: number, end: number): number {
    const upstream = this.#upstream
    if (upstream === null || upstream.isBlocked) return at
    const next = this.#body.read(buffer, at, end)
    const { fault, spans, received } = this.#body
    this.refusal = fault ?? (this.#limit > 0 && received > this.#limit ? "body-too-large" : null)
    if (this.refusal !== null) return next
    this.#isSent = true
    this.#write(upstream, buffer, spans)
    if (this.#kept !== null) this.#keep(this.#kept, buffer, spans)
    return next
  }

  /** Reads on without an upstream. */
  skip(buffer: Buffer, at: number, end: number): number {
    return this.#body.read(buffer, at, end)
  }

  #keep(kept: KeptBody, buffer: Buffer, spans: readonly number[]): void {
    const { isDone, kind, trailers } = this.#body
    kept.add(buffer, spans, isDone && kind === CHUNKED && trailers !== null ? `${trailers}\r\n` : "")
    if (isDone) kept.complete()
  }

  #write(upstream: UpstreamConnection, buffer: Buffer, spans: readonly number[]): void {
    const trailers = this.#body.isDone && this.#body.kind === CHUNKED ? this.#body.trailers : null
    let size = 0
    for (let i = 0; i < spans.length; i += 2) size += (spans[i + 1] ?? 0) - (spans[i] ?? 0)
    if (size <= AS_TEXT) {
      let text = this.#text
      this.#text = ""
      for (let i = 0; i < spans.length; i += 2) text += buffer.toString("latin1", spans[i], spans[i + 1])
      if (trailers !== null) text += `${trailers}\r\n`
      if (text !== "") upstream.write(text)
      return
    }
    if (this.#text === "" && trailers === null && spans.length === 2) {
      upstream.writeBuffer(size === buffer.length ? buffer : buffer.subarray(spans[0], spans[1]))
      return
    }
    upstream.cork()
    this.flush()
    for (let i = 0; i < spans.length; i += 2) upstream.writeBuffer(buffer.subarray(spans[i], spans[i + 1]))
    if (trailers !== null) upstream.write(`${trailers}\r\n`)
    upstream.uncork()
  }
}
