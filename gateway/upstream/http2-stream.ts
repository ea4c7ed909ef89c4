/**
 * One request on a connection of HTTP/2 and its answer: the end of an exchange that is the backend. Used for one request
 * after another. What the backend's windows do not take of the request waits here, one piece of the client's at most; what
 * the client does not take of the answer waits here too, as much as the window that we gave.
 */
import { HeldContent } from "../http2/held-content.ts"
import { CANCEL, REFUSED_STREAM } from "../http2/error-code.ts"
import { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import type { Stream } from "../http2/stream.ts"
import { addTrailers, trailerLines } from "../http2/trailers.ts"
import type { Outcome } from "../telemetry/metrics.ts"
import type { Http2UpstreamConnection } from "./http2-connection.ts"
import type { Http2Endpoint } from "./http2-endpoint.ts"
import type { FieldUser, StreamLoss, UpstreamSide } from "./upstream.ts"

const EMPTY = Buffer.alloc(0)

/** Of the section that is being sent or handed on. */
const trailers = new FieldList()

export class UpstreamStream implements UpstreamSide {
  readonly version = 2
  readonly endpoint: Http2Endpoint
  isReused = false
  #user: FieldUser | null = null
  #connection: Http2UpstreamConnection | null = null
  #stream: Stream<UpstreamStream> | null = null
  /** The connection's writes and reads when the stream was opened. */
  #writesBefore = 0
  #readsBefore = 0

  // The request: what the backend has not taken, and whether the end and which trailers follow it.
  readonly #unsent = new HeldContent()
  #sentTo = 0
  #isLast = false
  #lastTrailers = ""

  // The answer, while the user pauses: what has come, and its end. Octets it was given and has not passed on.
  #isHeld = false
  readonly #held = new HeldContent()
  #hasEnd = false
  #heldTrailers = ""
  #owed = 0

  constructor(endpoint: Http2Endpoint) {
    this.endpoint = endpoint
  }

  begin(user: FieldUser, connection: Http2UpstreamConnection): void {
    this.#user = user
    this.#connection = connection
    this.isReused = connection.isReused
    if (!connection.isReady) connection.await(this)
  }

  get isConnected(): boolean {
    return this.#connection?.isReady === true
  }

  /** The connection that it waited for is there. */
  onConnected(): void {
    this.#user?.onConnected()
  }

  /** … has no room for it. */
  moveTo(connection: Http2UpstreamConnection | null): void {
    if (connection === null) return this.#lose("untouched", -1)
    this.#connection = connection
    this.isReused = connection.isReused
    if (connection.isReady) this.onConnected()
    else connection.await(this)
  }

  /** … is not to be had. */
  onNotConnected(loss: StreamLoss): void {
    this.#lose(loss, -1)
  }

  giveUp(): void {
    this.#connection?.giveUp()
  }

  /** Is anybody there? Who does not answer is lost. */
  ask(): void {
    this.#connection?.ask()
  }

  // === The request

  /** Its head, pseudo-header fields first. `isEnd`: no content follows. */
  open(fields: FieldList, isEnd: boolean): void {
    const connection = this.#connection
    if (connection === null) return
    this.#writesBefore = connection.writes
    this.#readsBefore = connection.reads
    this.#stream = connection.engine.open(fields, isEnd, this)
    if (this.#stream === null) this.#lose("untouched", -1)
  }

  get isBlocked(): boolean {
    return this.#unsent.length > 0
  }

  /** Content, `isEnd`: all that was left of it. What the backend does not take now is copied, and isBlocked. */
  send(octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const stream = this.#stream
    const connection = this.#connection
    if (stream === null || connection === null) return
    const at = this.#unsent.length > 0 ? start : connection.engine.sendData(stream, octets, start, end, isEnd)
    if (at < end) this.#unsent.add(octets, at, end)
    this.#isLast = isEnd
  }

  /** The content has ended; `lines`: trailers as field lines, each with CRLF, "" for none. */
  finish(lines: string): void {
    this.#isLast = true
    this.#lastTrailers = lines
    if (this.#unsent.length === 0) this.#sendEnd()
  }

  #sendEnd(): void {
    const stream = this.#stream
    const connection = this.#connection
    if (stream === null || connection === null) return
    if (this.#lastTrailers === "") connection.engine.sendData(stream, EMPTY, 0, 0, true)
    else connection.engine.sendHeaders(stream, addTrailers(trailers.clear(), this.#lastTrailers), true)
  }

  /** The backend takes more. */
  onWritable(): void {
    const stream = this.#stream
    const connection = this.#connection
    if (stream === null || connection === null || this.#unsent.length === 0) return
    const { octets, length } = this.#unsent
    this.#sentTo = connection.engine.sendData(stream, octets, this.#sentTo, length, this.#isLast && this.#lastTrailers === "")
    if (this.#sentTo < length) return
    this.#unsent.clear()
    this.#sentTo = 0
    if (this.#isLast && this.#lastTrailers !== "") this.#sendEnd()
    this.#user?.onWritable()
  }

  // === The answer

  onResponse(fields: FieldList, head: MessageHead, isEnd: boolean): void {
    this.#user?.onHead(fields, head, isEnd)
  }

  onData(octets: Buffer, start: number, end: number, isEnd: boolean): void {
    if (this.#isHeld) {
      this.#held.add(octets, start, end)
      this.#owed += end - start
      this.#hasEnd = isEnd
    } else this.#handOn(octets, start, end, isEnd)
  }

  onTrailers(fields: FieldList): void {
    if (this.#isHeld) {
      this.#hasEnd = true
      this.#heldTrailers = trailerLines(fields)
    } else this.#user?.onTrailers(fields)
  }

  #handOn(octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const stream = this.#stream
    const connection = this.#connection
    if (this.#user === null || stream === null || connection === null) return
    const goesOn = this.#user.onContent(octets, start, end, isEnd)
    if (goesOn || this.#stream !== stream) connection.engine.consumed(stream, end - start)
    else {
      this.#isHeld = true
      this.#owed += end - start
    }
  }

  resume(): void {
    const stream = this.#stream
    const connection = this.#connection
    if (!this.#isHeld || stream === null || connection === null) return
    this.#isHeld = false
    connection.engine.consumed(stream, this.#owed - this.#held.length)
    this.#owed = 0
    const { octets, length } = this.#held
    const lines = this.#heldTrailers
    const hasEnd = this.#hasEnd
    this.#held.clear()
    this.#hasEnd = false
    this.#heldTrailers = ""
    if (length > 0 || (hasEnd && lines === "")) this.#handOn(octets, 0, length, hasEnd && lines === "")
    if (lines === "" || this.#stream !== stream) return
    if (this.#isHeld) {
      this.#hasEnd = true
      this.#heldTrailers = lines
    } else this.#user?.onTrailers(addTrailers(trailers.clear(), lines))
  }

  // === The end

  /** The stream is over before its end. `loss`: of the connection, null: it goes on. */
  onReset(code: number, isByPeer: boolean, loss: StreamLoss | null): void {
    // RFC 9113 §8.1: the answer is complete, and its client has yet to take it.
    if (this.#isHeld && this.#hasEnd) return
    this.#stream = null
    if (code === REFUSED_STREAM && isByPeer) this.#lose("untouched", code)
    // It was lost before anything of the request had left this process.
    else if (loss !== null && this.#connection?.writes === this.#writesBefore) this.#lose("untouched", -1)
    else this.#lose(loss ?? (isByPeer ? "reset" : "bad-response"), isByPeer ? code : -1)
  }

  #lose(loss: StreamLoss, code: number): void {
    this.#user?.onStreamLost(loss, code)
  }

  release(_: boolean, outcome: Outcome): void {
    const connection = this.#connection
    const stream = this.#stream
    this.#user = this.#connection = this.#stream = null
    this.#unsent.clear()
    this.#held.clear()
    this.#sentTo = this.#owed = 0
    this.#isLast = this.#isHeld = this.#hasEnd = false
    this.#lastTrailers = this.#heldTrailers = ""
    if (connection !== null) {
      if (stream !== null) {
        stream.context = null
        connection.engine.consumed(stream, stream.unconsumed)
        connection.engine.reset(stream, CANCEL)
      }
      connection.onDone(this, outcome !== "ok" && stream !== null && connection.reads === this.#readsBefore)
    }
    this.endpoint.free(this)
  }
}
