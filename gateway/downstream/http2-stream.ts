/**
 * One request of HTTP/2 and its answer: the end of an exchange that is the client. Used for one stream of its connection
 * after another. What does not fit the client's windows waits here, one read of the backend's at most; what the backend
 * does not take of the request waits here too, as much as the window that we gave.
 */
import { clock } from "../clock.ts"
import type { Fault } from "../http1/fault.ts"
import { REFUSED } from "../http1/head.ts"
import { RequestHead } from "../http1/request.ts"
import type { Forwarding } from "../http1/write.ts"
import { CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM } from "../http2/error-code.ts"
import { FieldList } from "../http2/field-list.ts"
import { HeldContent } from "../http2/held-content.ts"
import { http1Head } from "../http2/http1-head.ts"
import type { MessageHead } from "../http2/message.ts"
import type { Stream } from "../http2/stream.ts"
import { addTrailers, trailerLines } from "../http2/trailers.ts"
import { Exchange } from "../proxy.ts"
import type { HttpServer } from "../server.ts"
import type { Secure } from "../tls/handshake.ts"
import type { Client } from "./client.ts"
import type { Http2Connection } from "./http2-connection.ts"
import { Http2Request } from "./http2-request.ts"
import { Http2Response } from "./http2-response.ts"
import { Pace } from "./pace.ts"
import { isForConnection } from "./refusal.ts"

const EMPTY = Buffer.alloc(0)

/** Of the section that is being sent. */
const trailers = new FieldList()

/** Heads are written here for the parser. */
let scratch = Buffer.allocUnsafeSlow(16_384)

export class Http2Stream implements Client {
  readonly server: HttpServer
  readonly secure: Secure | null
  readonly forwarding: Forwarding
  readonly head = new RequestHead()
  readonly request = new Http2Request()
  readonly exchange: Exchange
  readonly tunnelEnd = null
  /** Place in the connection's list of streams. */
  index = 0
  readonly #connection: Http2Connection
  /** null: none, it waits to be used again. */
  #stream: Stream<Http2Stream> | null = null
  #isAnswered = true

  // The request: content not taken upstream, its end, and its trailers as field lines.
  readonly #held = new HeldContent()
  #hasEnd = false
  #trailers = ""
  readonly #readPace = new Pace()
  /** Octets a second at which it must come; 0: any. */
  #readRate = 0

  // The answer: content that waits for the client, from #restAt on, and whether the end and which trailers follow it.
  #rest: Buffer | null = null
  #restAt = 0
  #isLast = false
  #lastTrailers = ""
  readonly #writePace = new Pace()

  constructor(connection: Http2Connection) {
    this.#connection = connection
    this.server = connection.server
    this.secure = connection.secure
    this.forwarding = connection.forwarding
    this.exchange = new Exchange(this, this.request, new Http2Response(this))
  }

  get hasEnded(): boolean {
    return this.#connection.hasEnded
  }

  /** The connection says by GOAWAY that it does not. */
  mayPersist(): boolean {
    return true
  }

  // === The request

  /** Its head, which is right as far as RFC 9113 goes. */
  begin(stream: Stream<Http2Stream>, fields: FieldList, message: MessageHead, isEnd: boolean): void {
    this.#stream = stream
    this.#isAnswered = false
    this.#hasEnd = isEnd
    this.#trailers = ""
    const { settings } = this.server
    this.#readRate = isEnd ? 0 : settings.requestBodyRate
    if (!isEnd) this.#readPace.start(clock.now, settings.requestBodyIdle)
    const fault = this.#parse(http1Head(message, fields, isEnd))
    if (fault !== null) {
      this.head.method = message.method
      this.server.metrics.refusedMessages++
      this.exchange.refuse(fault)
    } else if (!isForConnection(message.scheme, this.forwarding)) this.exchange.refuse("scheme")
    else this.exchange.start()
    // A call sends when its caller has something to say.
    if (this.exchange.isGrpc) this.#readPace.stop()
  }

  #parse(text: string): Fault | null {
    if (text.length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * text.length)
    const length = scratch.write(text, 0, "latin1")
    const after = this.head.parse(scratch, 0, length, this.server.settings)
    if (after === length) return null
    return after === REFUSED ? (this.head.fault ?? "request-line") : "head-too-large"
  }

  /** Content; what is answered already is left to fill its window. */
  onData(octets: Buffer, start: number, end: number, isEnd: boolean): void {
    if (isEnd) this.#hasEnd = true
    if (this.#isAnswered) return
    const isTaken = this.#held.length === 0 && (start === end || this.request.take(octets, start, end, isEnd))
    if (isTaken) this.#consume(end - start)
    else this.#held.add(octets, start, end)
    this.#onReceived(end - start)
  }

  onTrailers(fields: FieldList): void {
    this.#hasEnd = true
    if (this.#isAnswered) return
    this.#trailers = trailerLines(fields)
    this.#onReceived(0)
  }

  #consume(octets: number): void {
    if (this.#stream !== null && octets > 0) this.#connection.engine.consumed(this.#stream, octets)
  }

  /** More of the request has come, so many octets of content, or gone on. */
  #onReceived(octets: number): void {
    if (this.#held.length === 0 && this.#hasEnd && this.request.refusal === null) this.request.finish(this.#trailers)
    const { refusal } = this.request
    if (refusal !== null) return this.exchange.fail({ side: "downstream", reason: refusal })
    // While something waits for the backend, not the client is slow.
    if (this.#hasEnd || this.#held.length > 0 || this.exchange.isGrpc) this.#readPace.stop()
    else if (!this.#readPace.isRunning) this.#readPace.start(clock.now, this.#contentIdle)
    else this.#readPace.earn(octets, clock.now, this.#contentIdle, this.exchange.response.hasBegun ? 0 : this.#readRate)
    if (this.#hasEnd && this.hasEnded) this.exchange.onHalfClosed()
  }

  /** For more content. Once the answer has begun it is a stream both ways, and the client may be as quiet as the backend, and as slow. */
  get #contentIdle(): number {
    const { settings } = this.server
    return this.exchange.response.hasBegun ? settings.responseBodyIdle : settings.requestBodyIdle
  }

  pump(): void {
    if (this.#isAnswered) return
    const { length } = this.#held
    if (length > 0) {
      if (!this.request.take(this.#held.octets, 0, length, this.#hasEnd && this.#trailers === "")) return
      this.#held.clear()
      this.#consume(length)
    }
    if (length > 0 || this.#hasEnd) this.#onReceived(0)
    this.request.flush()
  }

  // === The answer

  /** Not for a client that takes nothing. */
  sendInterim(fields: FieldList): void {
    const { engine } = this.#connection
    if (this.#stream !== null && !engine.isCongested) engine.sendHeaders(this.#stream, fields, false)
  }

  sendHead(fields: FieldList, isEnd: boolean): void {
    if (this.#readPace.isRunning) this.#readPace.start(clock.now, this.#contentIdle)
    if (this.#stream !== null) this.#connection.engine.sendHeaders(this.#stream, fields, isEnd)
  }

  /**
   * Spans of `buffer`; with `isLast` the end follows, with these trailers (field lines) if there are any. What the client
   * does not take now is kept: copied if `isLent`, else the octets must stay. False: something is kept.
   */
  sendContent(buffer: Buffer, spans: readonly number[], isLent: boolean, isLast: boolean, lines: string): boolean {
    const stream = this.#stream
    if (stream === null) return true
    const { engine } = this.#connection
    const isEnd = isLast && lines === ""
    let i = 0
    let at = 0
    if (this.#rest === null) {
      for (; i < spans.length; i += 2) {
        const to = spans[i + 1] ?? 0
        at = engine.sendData(stream, buffer, spans[i] ?? 0, to, isEnd && i + 2 === spans.length)
        if (at < to) break
        at = 0
      }
      if (i >= spans.length) {
        if (isEnd && spans.length === 0) engine.sendData(stream, EMPTY, 0, 0, true)
        else if (isLast && lines !== "") engine.sendHeaders(stream, addTrailers(trailers.clear(), lines), true)
        return true
      }
    }
    this.#keep(buffer, spans, i, at, isLent)
    this.#isLast = isLast
    this.#lastTrailers = lines
    return false
  }

  /** The end of the content. What may go on of a backend's trailers. */
  sendTrailers(fields: FieldList): void {
    if (this.#rest !== null) {
      this.#isLast = true
      this.#lastTrailers = trailerLines(fields)
    } else if (this.#stream !== null) this.#connection.engine.sendHeaders(this.#stream, fields, true)
  }

  /** From `at` (0: from its start) in the span at `from` on. */
  #keep(buffer: Buffer, spans: readonly number[], from: number, at: number, isLent: boolean): void {
    const parts: Buffer[] = this.#rest === null ? [] : [this.#rest.subarray(this.#restAt)]
    for (let i = from; i < spans.length; i += 2) parts.push(buffer.subarray(i === from && at > 0 ? at : spans[i], spans[i + 1]))
    const [only] = parts
    this.#rest = only !== undefined && parts.length === 1 && !isLent ? only : Buffer.concat(parts)
    this.#restAt = 0
    this.#writePace.start(clock.now, this.server.settings.writeTimeout)
  }

  /** The client takes more. */
  onWritable(): void {
    const stream = this.#stream
    const rest = this.#rest
    if (stream === null || rest === null) return
    const { engine } = this.#connection
    const at = engine.sendData(stream, rest, this.#restAt, rest.length, this.#isLast && this.#lastTrailers === "")
    this.#writePace.earn(at - this.#restAt, clock.now, this.server.settings.writeTimeout, this.server.settings.responseRate)
    this.#restAt = at
    if (at < rest.length) return
    this.#rest = null
    this.#writePace.stop()
    if (!this.#isLast) return this.exchange.onFlushed()
    if (this.#lastTrailers !== "") engine.sendHeaders(stream, addTrailers(trailers.clear(), this.#lastTrailers), true)
    this.#isLast = false
    this.#settle()
  }

  onAnswered(): void {
    this.#isAnswered = true
    this.#readPace.stop()
    this.#held.clear()
    this.#connection.onAnswered()
    this.#settle()
  }

  /** Answered, and the client has got it all: what it still wants to say is for nobody (RFC 9113 §8.1). */
  #settle(): void {
    if (this.#isAnswered && this.#rest === null) this.#end(NO_ERROR)
  }

  // === The end

  /** A backend's code says more than ours; but an answer that is none is an error, and one that has begun was not refused (RFC 9113 §8.7). */
  destroy(code: number): void {
    this.#end(code <= NO_ERROR || code === REFUSED_STREAM ? INTERNAL_ERROR : code)
  }

  /** The stream is over: the client has reset it, or the connection is gone. */
  onReset(): void {
    this.#rest = null
    if (this.#isAnswered) this.#end(CANCEL)
    else this.exchange.abort()
  }

  /** `code`: where the stream is not over yet. */
  #end(code: number): void {
    const stream = this.#stream
    if (stream === null) return
    this.#stream = null
    this.#rest = null
    this.#isLast = false
    this.#isAnswered = true
    this.#held.clear()
    this.#readPace.stop()
    this.#writePace.stop()
    stream.context = null
    if (code !== NO_ERROR && !stream.isClosed && !this.#connection.engine.isFailed) this.server.metrics.http2.resetByGateway++
    this.#connection.engine.reset(stream, code)
    this.#connection.release(this)
  }

  /** The client has sent its FIN. */
  onHalfClosed(): void {
    if (!this.#hasEnd) this.exchange.abort()
    else this.exchange.onHalfClosed()
  }

  noteReason(reason: string): void {
    if (!this.#isAnswered) this.exchange.noteReason(reason)
  }

  /** What waits for the client can never go: it has ended its side, and a window without which none goes is used up. */
  #isShut(): boolean {
    const stream = this.#stream
    return this.#rest !== null && stream !== null && this.hasEnded && (stream.sendWindow <= 0 || this.#connection.engine.sendWindow <= 0)
  }

  /** Called several times a second. `windowFault`: why those that wait for the connection's window are to be cut; null: they are not. */
  check(now: number, windowFault: "write-timeout" | "write-rate" | null): void {
    if (this.#stream !== null && this.#rest !== null && !this.#stream.isStalled) {
      if (windowFault !== null) return this.#cut(windowFault)
      this.#writePace.start(now, this.server.settings.writeTimeout)
    }
    if (this.#writePace.isOver(now)) this.#cut(this.#writePace.isSlow ? "write-rate" : "write-timeout")
    else if (this.#isShut()) this.onReset()
    else if (this.#readPace.isOver(now)) this.exchange.fail({ side: "downstream", reason: this.#readPace.isSlow ? "body-rate" : "body-timeout" })
    else if (!this.#isAnswered) this.exchange.check(now)
  }

  /** The client takes too little of its answer. */
  #cut(reason: "write-timeout" | "write-rate"): void {
    this.server.limits.reached(reason)
    this.noteReason(reason)
    // Answered, as far as the log goes.
    if (this.#isAnswered) this.#end(CANCEL)
    else this.exchange.abort()
  }
}
