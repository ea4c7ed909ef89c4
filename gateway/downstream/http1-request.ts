/** A request of HTTP/1.1 on its way upstream: its body goes on in the framing it came in, or without any. */
import { BodyReader } from "../http1/body.ts"
import type { Fault } from "../http1/fault.ts"
import { CHUNKED } from "../http1/head.ts"
import type { RequestHead } from "../http1/request.ts"
import type { UpstreamConnection } from "../upstream/connection.ts"
import type { UpstreamStream } from "../upstream/http2-stream.ts"
import { CHUNK_END, chunkStart, lastChunk, type KeptBody } from "./kept.ts"
import { AS_TEXT, RequestRelay } from "./request.ts"

const EMPTY = Buffer.alloc(0)
const NONE: readonly number[] = []

export class Http1Request extends RequestRelay {
  readonly #body = new BodyReader()

  protected startBody(head: RequestHead): void {
    this.#body.start(head.body, head.length, false, head.options)
  }

  get isDone(): boolean {
    return this.#body.isDone
  }

  get fault(): Fault | null {
    return this.#body.fault
  }

  /** Octets of the body that are still to come, Infinity when nobody knows. */
  get remaining(): number {
    return this.#body.remaining
  }

  /** Takes what belongs to the body, returns the position after it: `at` while upstream is not there or blocked. */
  take(buffer: Buffer, at: number, end: number): number {
    const { upstream } = this
    if (upstream === null) return this.stream === null || this.stream.isBlocked ? at : this.#takeContent(this.stream, buffer, at, end)
    if (upstream.isBlocked) return at
    const next = this.#body.read(buffer, at, end)
    const { fault, spans, received } = this.#body
    this.refusal = fault ?? (this.limit > 0 && received > this.limit ? "body-too-large" : null)
    if (this.refusal !== null) return next
    this.isSent = true
    this.#write(upstream, buffer, spans)
    if (this.kept !== null) this.#keep(this.kept, buffer, spans)
    return next
  }

  protected override onStream(): void {
    this.#body.isDecoding = true
  }

  #takeContent(stream: UpstreamStream, buffer: Buffer, at: number, end: number): number {
    const body = this.#body
    const next = body.read(buffer, at, end)
    const { fault, spans, received, isDone } = body
    this.refusal = fault ?? (this.limit > 0 && received > this.limit ? "body-too-large" : null)
    if (this.refusal !== null) return next
    this.isSent = true
    const trailers = body.trailers ?? ""
    const isLast = isDone && trailers === ""
    for (let i = 0; i < spans.length; i += 2) stream.send(buffer, spans[i] ?? 0, spans[i + 1] ?? 0, isLast && i + 2 === spans.length)
    if (isDone && (trailers !== "" || spans.length === 0)) stream.finish(trailers)
    if (this.kept !== null) this.#keepContent(this.kept, buffer, spans)
    return next
  }

  #keepContent(kept: KeptBody, buffer: Buffer, spans: readonly number[]): void {
    const { isDone, kind, trailers } = this.#body
    if (kind !== CHUNKED) kept.add(buffer, spans, "")
    else {
      for (let i = 0; i < spans.length; i += 2) {
        kept.add(EMPTY, NONE, chunkStart((spans[i + 1] ?? 0) - (spans[i] ?? 0)))
        kept.add(buffer, spans.slice(i, i + 2), CHUNK_END)
      }
      if (isDone) kept.add(EMPTY, NONE, lastChunk(trailers ?? ""))
    }
    if (isDone) kept.complete()
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
      let { text } = this
      this.text = ""
      for (let i = 0; i < spans.length; i += 2) text += buffer.toString("latin1", spans[i], spans[i + 1])
      if (trailers !== null) text += `${trailers}\r\n`
      if (text !== "") upstream.write(text)
      return
    }
    if (this.text === "" && trailers === null && spans.length === 2) {
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
