/** A request of HTTP/2 on its way upstream: its content goes on as it is, or in the framing that its head of HTTP/1.1 announces. */
import { CHUNKED, LENGTH, NO_BODY } from "../http1/head.ts"
import type { RequestHead } from "../http1/request.ts"
import { MAX_TRAILER_BYTES } from "../http1/trailers.ts"
import type { UpstreamConnection } from "../upstream/connection.ts"
import { CHUNK_END, chunkStart, lastChunk, type KeptBody } from "./kept.ts"
import { AS_TEXT, RequestRelay } from "./request.ts"

const EMPTY = Buffer.alloc(0)
const NONE: readonly number[] = []

export class Http2Request extends RequestRelay {
  #isDone = true
  #isChunked = false
  #length = 0
  #received = 0

  protected startBody(head: RequestHead): void {
    this.#isChunked = head.body === CHUNKED
    this.#length = head.length
    this.#received = 0
    this.#isDone = head.body === NO_BODY || (head.body === LENGTH && head.length === 0)
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** Takes content; the octets are used before it returns. `isEnd`: nothing follows. False: upstream is not there, or blocked. */
  take(octets: Buffer, start: number, end: number, isEnd: boolean): boolean {
    const { upstream, stream } = this
    if (upstream === null ? stream === null || stream.isBlocked : upstream.isBlocked) return false
    this.#received += end - start
    if (this.limit > 0 && this.#received > this.limit) {
      this.refusal = "body-too-large"
      return true
    }
    this.isSent = true
    if (stream !== null) {
      stream.send(octets, start, end, isEnd)
      this.#isDone = isEnd
      if (this.kept === null) return true
    }
    const before = this.#isChunked ? chunkStart(end - start) : ""
    const after = this.#isChunked ? CHUNK_END : ""
    if (upstream !== null) {
      this.#write(upstream, octets, start, end, before, after)
      if (!this.#isChunked && this.#received === this.#length) this.#isDone = true
    }
    if (this.kept !== null) this.#keep(this.kept, octets, start, end, before, this.#isDone && this.#isChunked ? after + lastChunk("") : after)
    return true
  }

  /** The content has ended; `trailers`: the field lines that may go on, each with CRLF. False: as take(). */
  finish(trailers: string): boolean {
    if (this.#isDone) return true
    const { upstream, stream } = this
    if (upstream === null ? stream === null || stream.isBlocked : upstream.isBlocked) return false
    if (trailers.length > MAX_TRAILER_BYTES) {
      this.refusal = "trailer-too-large"
      return true
    }
    this.#isDone = true
    const last = this.#isChunked ? lastChunk(trailers) : ""
    const { text } = this
    this.text = ""
    this.isSent = true
    if (upstream === null) stream?.finish(trailers)
    else if (text !== "" || last !== "") upstream.write(text + last)
    this.kept?.add(EMPTY, NONE, last)
    this.kept?.complete()
    return true
  }

  #write(upstream: UpstreamConnection, octets: Buffer, start: number, end: number, before: string, after: string): void {
    const text = this.text + before
    this.text = ""
    if (end - start <= AS_TEXT) {
      upstream.write(text + octets.toString("latin1", start, end) + after)
      return
    }
    // One piece: what it is read from serves for the next read.
    const size = end - start
    const piece = Buffer.allocUnsafeSlow(text.length + size + after.length)
    piece.write(text, 0, "latin1")
    octets.copy(piece, text.length, start, end)
    piece.write(after, text.length + size, "latin1")
    upstream.writeBuffer(piece)
  }

  #keep(kept: KeptBody, octets: Buffer, start: number, end: number, before: string, after: string): void {
    kept.add(EMPTY, NONE, before)
    kept.add(octets, [start, end], after)
    if (this.#isDone) kept.complete()
  }
}
