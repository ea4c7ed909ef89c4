/**
 * The request on its way upstream. To HTTP/1.1: head and first octets of the body in one write, then the body as it comes, in
 * the framing that the head announces. To HTTP/2, whose head has gone out before: content, and trailers.
 */
import type { Fault } from "../http1/fault.ts"
import type { RequestHead } from "../http1/request.ts"
import type { UpstreamConnection } from "../upstream/connection.ts"
import type { UpstreamStream } from "../upstream/http2-stream.ts"
import type { KeptBody } from "./kept.ts"

/**
 * Up to here what was read of a body goes on as text: in one write with the head where that still waits, and without
 * keeping a read buffer, many times as large, until a backend takes a few octets.
 */
export const AS_TEXT = 8_192

export abstract class RequestRelay {
  /** Why the body cannot go on. */
  refusal: Fault | "body-too-large" | null = null
  /** One of them, or none. */
  protected upstream: UpstreamConnection | null = null
  protected stream: UpstreamStream | null = null
  /** Not yet written. */
  protected text = ""
  protected isSent = false
  /** Octets of content, 0: any number. */
  protected limit = 0
  protected kept: KeptBody | null = null

  /** The head is read. `limit`: octets of content, 0: any number. */
  start(head: RequestHead, limit: number): void {
    this.upstream = this.stream = null
    this.text = ""
    this.isSent = false
    this.limit = limit
    this.refusal = null
    this.startBody(head)
  }

  protected abstract startBody(head: RequestHead): void

  /** The whole request has been read from the client. */
  abstract get isDone(): boolean

  /** Some of the body has been handed upstream: it cannot be sent again. */
  get isBodySent(): boolean {
    return this.isSent
  }

  /** What has been handed upstream is with the kernel, or was copied on its way to a stream. */
  get isTaken(): boolean {
    return this.stream !== null || (this.upstream !== null && !this.upstream.hasUnsent)
  }

  /** A copy of the body is wanted; before any of it has been read. */
  keep(kept: KeptBody): void {
    this.kept = kept
  }

  get isKept(): boolean {
    return this.kept !== null
  }

  /** The answer has begun: the request is sent no more. What a mirror waits for is kept. */
  forgetSent(): void {
    if (this.kept === null || this.kept.isAwaited) return
    this.kept.release()
    this.kept = null
  }

  /** All that went upstream is at hand. */
  get isRepeatable(): boolean {
    return !this.isSent || this.kept?.isWhole === true
  }

  /** What has been sent of the body, for another attempt. */
  get sent(): string {
    return this.kept?.text ?? ""
  }

  /** The request is over: no copy is needed any more. */
  end(): void {
    this.kept?.release()
    this.kept = null
  }

  /** The client must flush() once it has offered what it has of the body. */
  sendOn(upstream: UpstreamConnection, text: string): void {
    this.upstream = upstream
    this.text = text
  }

  /** The head has gone out on a stream; so has what was kept of the body. */
  goOnOver(stream: UpstreamStream): void {
    this.stream = stream
    this.onStream()
  }

  protected onStream(): void {}

  /** Upstream is gone or done: what comes is skipped. */
  detach(): void {
    this.upstream = this.stream = null
    this.text = ""
  }

  /** Writes the head if it still waits for company. */
  flush(): void {
    if (this.text === "" || this.upstream === null) return
    const { text } = this
    this.text = ""
    this.upstream.write(text)
  }
}
