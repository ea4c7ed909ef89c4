/**
 * One client connection of HTTP/2: drives the engine (http2/connection.ts) over a socket, one write a turn of the event
 * loop, and gives each request to a stream object of its own (http2-stream.ts). Judges slowness, which the engine leaves
 * to its owner, and says when the connection ends.
 */
import type { Socket } from "node:net"
import { clock, tick } from "../clock.ts"
import { forwarding, type Forwarding } from "../http1/write.ts"
import { Connection } from "../http2/connection.ts"
import { ENHANCE_YOUR_CALM, SETTINGS_TIMEOUT, errorName } from "../http2/error-code.ts"
import type { FieldList } from "../http2/field-list.ts"
import { FRAME_HEAD_OCTETS, LEAST_FRAME_OCTETS } from "../http2/frame.ts"
import type { MessageHead } from "../http2/message.ts"
import type { ConnectionOwner, Refusal } from "../http2/owner.ts"
import { defaults, type ConnectionSettings } from "../http2/settings.ts"
import type { Stream } from "../http2/stream.ts"
import type { HttpServer } from "../server.ts"
import type { Settings } from "../settings.ts"
import { slab } from "../slab.ts"
import type { Secure } from "../tls/handshake.ts"
import { logRefusal } from "./http2-refusal.ts"
import { Http2Stream } from "./http2-stream.ts"
import { Pace } from "./pace.ts"
import { peerAddress, readInto, readOnInto, takenOctets } from "./socket.ts"

/** Stream objects kept for later requests. */
const MOST_SPARE = 32
/** Not looked at since there is something to take. */
const UNKNOWN = -1
/** For a client to have read the first GOAWAY; then the second follows, unasked. */
const GOAWAY_MS = 1_000

/** One frame of content: with less nothing would ever go out. */
const LEAST_OUTPUT = FRAME_HEAD_OCTETS + LEAST_FRAME_OCTETS

/** What the process's settings mean for one connection. */
export const http2Settings = ({ headBytes, fields, streamsPerConnection, writeBytes }: Settings): ConnectionSettings => ({
  ...defaults, listOctets: headBytes, fields, concurrentStreams: streamsPerConnection, outputOctets: Math.max(writeBytes, LEAST_OUTPUT),
})

export class Http2Connection implements ConnectionOwner<Http2Stream> {
  readonly server: HttpServer
  readonly secure: Secure | null
  readonly forwarding: Forwarding
  readonly engine: Connection<Http2Stream>
  readonly isTunnel = false
  /** Place in the server's list of connections. */
  index = 0
  /** Whom it counts for. */
  client = ""
  /** The client has sent its FIN. */
  hasEnded = false
  readonly #socket: Socket
  /** Under way: in no order. */
  readonly #streams: Http2Stream[] = []
  readonly #spare: Http2Stream[] = []
  /** Their heads wait for what else the same read brings. */
  readonly #begun: Http2Stream[] = []
  #requests = 0
  #isScheduled = false
  #isWriting = false
  #isPaused = false
  /** This side has said all. */
  #isEnding = false
  #isClosed = false
  /** Of streams whose content waits for the connection's window. */
  readonly #windowPace = new Pace()
  /** engine.contentSent when it was last looked at. */
  #contentSent = 0
  // 0: none. To the first request and of an incomplete frame; without requests; of SETTINGS to be acknowledged; of the answer to a GOAWAY; after our end.
  #headDeadline = 0
  #idleDeadline: number
  #settingsDeadline: number
  #goawayDeadline = 0
  #closeDeadline = 0
  readonly #writePace = new Pace()
  /** takenOctets() when it was last looked at. */
  #taken = 0

  /** `wasRead`: another reader had this socket in clear, and gives what it has read to onRead(). */
  constructor(socket: Socket, server: HttpServer, secure: Secure | null, wasRead: boolean) {
    this.#socket = socket
    this.server = server
    this.secure = secure
    this.forwarding = forwarding(peerAddress(secure?.transport ?? socket), secure === null ? "http" : "https", 2, server.port, server.settings.trustedHops)
    this.engine = new Connection<Http2Stream>(true, http2Settings(server.settings), this)
    this.#idleDeadline = this.#settingsDeadline = server.after(server.settings.headTimeout)
    socket.on("end", this.#onEnd)
    socket.on("close", this.#onClose)
    // The close that follows does the rest.
    socket.on("error", () => undefined)
    const { http2 } = server.metrics
    http2.accepted++
    http2.connections++
    if (wasRead) readOnInto(socket, this)
    else readInto(socket, this)
    this.onOutput()
  }

  // === Reading

  readBuffer(): Buffer {
    return slab
  }

  onRead(buffer: Buffer, length: number): void {
    this.onOctets(buffer, 0, length)
  }

  onOctets(buffer: Buffer, start: number, end: number): void {
    if (this.#isEnding || this.#isClosed) return
    this.engine.receive(buffer, start, end, tick())
    for (const stream of this.#begun) stream.request.flush()
    this.#begun.length = 0
    if (this.engine.heldOctets === 0) this.#headDeadline = 0
    else if (this.#headDeadline === 0) this.#headDeadline = this.server.after(this.server.settings.headTimeout)
    if (this.engine.isCongested && !this.#isPaused) {
      this.#isPaused = true
      this.#socket.pause()
    }
    this.#endIfFinished()
  }

  onRequest(stream: Stream<Http2Stream>, fields: FieldList, head: MessageHead, isEnd: boolean): void {
    const own = this.#spare.pop() ?? new Http2Stream(this)
    stream.context = own
    own.index = this.#streams.push(own) - 1
    this.#requests++
    this.server.metrics.http2.requests++
    this.#headDeadline = this.#idleDeadline = 0
    own.begin(stream, fields, head, isEnd)
    if (!isEnd) this.#begun.push(own)
  }

  onData(stream: Stream<Http2Stream>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    stream.context?.onData(octets, start, end, isEnd)
  }

  onTrailers(stream: Stream<Http2Stream>, fields: FieldList): void {
    stream.context?.onTrailers(fields)
  }

  onReset(stream: Stream<Http2Stream>, _: number, isByPeer: boolean): void {
    const { http2 } = this.server.metrics
    if (isByPeer) http2.resetByClient++
    else if (!this.engine.isFailed) http2.resetByGateway++
    stream.context?.onReset()
  }

  onWritable(stream: Stream<Http2Stream>): void {
    stream.context?.onWritable()
  }

  /** The engine has answered, or reset it. Only what was answered is a request in the counters and the log. */
  onRefused(refusal: Refusal, head: MessageHead): void {
    const { metrics, limits } = this.server
    metrics.refusedMessages++
    metrics.http2.refused++
    if (refusal === "streams") limits.reached("streams")
    else if (refusal === "fields-too-large") {
      limits.reached("head-too-large")
      logRefusal(this, 431, "", "", "head-too-large")
    } else if (refusal === "connect") logRefusal(this, 501, head.method, head.authority, "connect")
  }

  /** Nobody answers here, nobody is pinged. */
  onResponse(): void {}
  onPong(): void {}

  onGoaway(): void {
    this.#endIfFinished()
  }

  /** Every stream has been reset before. */
  onFail(code: number): void {
    const { failed } = this.server.metrics.http2
    const name = errorName(code)
    failed.set(name, (failed.get(name) ?? 0) + 1)
    this.#isEnding = true
    this.#closeDeadline = clock.now + this.server.settings.drainTimeout
    if (!this.#isScheduled && !this.#isWriting) this.#schedule()
  }

  readonly #onEnd = (): void => {
    this.hasEnded = true
    tick()
    for (const stream of [...this.#streams]) stream.onHalfClosed()
    if (this.#streams.length === 0) this.#end()
  }

  // === Writing

  onOutput(): void {
    if (!this.#isScheduled && !this.#isWriting) this.#schedule()
  }

  #schedule(): void {
    this.#isScheduled = true
    setImmediate(this.#onTurn)
  }

  readonly #onTurn = (): void => {
    this.#isScheduled = false
    this.#flush()
  }

  #flush(): void {
    if (this.#isClosed || this.#isWriting || this.#socket.writableEnded) return
    if (this.engine.pendingOctets === 0) {
      if (this.#isEnding) this.#socket.end()
      return
    }
    this.#isWriting = true
    this.#writePace.start(clock.now, this.server.settings.writeTimeout)
    this.#taken = UNKNOWN
    this.#socket.write(this.engine.takeOutput(), this.#onFlushed)
  }

  readonly #onFlushed = (error?: Error | null): void => {
    this.#isWriting = false
    this.#writePace.stop()
    if (this.#isClosed || (error !== undefined && error !== null)) return
    this.engine.onFlushed()
    if (this.#isPaused && !this.engine.isCongested) {
      this.#isPaused = false
      this.#socket.resume()
    }
    this.#flush()
  }

  // === Streams end, and the connection

  /** A stream is over: its object may serve another. */
  release(stream: Http2Stream): void {
    const last = this.#streams.pop()
    if (last !== undefined && last !== stream) {
      this.#streams[stream.index] = last
      last.index = stream.index
    }
    if (this.#spare.length < MOST_SPARE) this.#spare.push(stream)
    if (this.#streams.length > 0) return
    this.#idleDeadline = this.server.after(this.server.settings.keepAliveTimeout)
    if (this.hasEnded) this.#end()
    else this.#endIfFinished()
  }

  /** A request is answered. */
  onAnswered(): void {
    const { server } = this
    const { requestsPerConnection } = server.settings
    const isMeant = server.table().protocol === (this.secure === null ? "HTTP" : "HTTPS")
    if (server.isLeaving || !isMeant || (requestsPerConnection > 0 && this.#requests >= requestsPerConnection)) this.#leave()
  }

  /** The client shall open no more streams; those on their way are served (RFC 9113 §6.8). */
  #leave(): void {
    if (this.#goawayDeadline !== 0 || this.#isEnding) return
    this.#goawayDeadline = clock.now + GOAWAY_MS
    this.engine.drain()
  }

  #endIfFinished(): void {
    if (this.engine.isFinished) this.#end()
  }

  /** Nothing more will be said but what waits to be written. Reads on for a while: a reset because of unread octets could destroy it. */
  #end(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#closeDeadline = clock.now + this.server.settings.drainTimeout
    if (this.#isPaused) this.#socket.resume()
    if (!this.#isScheduled && !this.#isWriting) this.#schedule()
  }

  /** The process stops. */
  onDrain(): void {
    this.#leave()
  }

  /** The time to drain is over. */
  onDrained(): void {
    this.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    this.#isClosed = this.#isEnding = true
    tick()
    this.engine.close()
    this.server.metrics.http2.connections--
    this.server.forget(this)
  }

  // === Time

  /** Called several times a second while there are connections. */
  check(now: number): void {
    if (this.#writePace.isRunning && this.#isStuck(now)) {
      const reason = this.#writePace.isSlow ? "write-rate" : "write-timeout"
      this.server.limits.reached(reason)
      for (const stream of this.#streams) stream.noteReason(reason)
      this.destroy()
      return
    }
    if (this.#isEnding) {
      if (now >= this.#closeDeadline && !this.#isWriting) this.destroy()
      return
    }
    if (this.engine.isAcknowledged) this.#settingsDeadline = 0
    if (isPast(this.#settingsDeadline, now)) return this.engine.fail(SETTINGS_TIMEOUT, "settings not acknowledged")
    if (isPast(this.#headDeadline, now)) {
      this.server.limits.reached("head-timeout")
      return this.engine.fail(ENHANCE_YOUR_CALM, "frame not complete")
    }
    if (isPast(this.#goawayDeadline, now)) {
      this.#goawayDeadline = Infinity
      this.engine.drain()
      this.#endIfFinished()
    } else if (isPast(this.#idleDeadline, now)) {
      this.#idleDeadline = 0
      this.#leave()
    }
    const windowFault = this.#windowFault(now)
    // Who asks nothing keeps nothing of what it asked: each object has the heads it had last.
    if (this.#streams.length === 0) this.#spare.length = 0
    // Backwards: a check may end its stream, and then the last one, already seen, takes its place.
    for (let i = this.#streams.length - 1; i >= 0; i--) this.#streams[i]?.check(now, windowFault)
  }

  /** Too little of what is written has been taken. */
  #isStuck(now: number): boolean {
    const { writeTimeout, responseRate } = this.server.settings
    const taken = takenOctets(this.secure?.transport ?? this.#socket)
    if (this.#taken !== UNKNOWN) this.#writePace.earn(taken - this.#taken, now, writeTimeout, responseRate)
    this.#taken = taken
    return this.#writePace.isOver(now)
  }

  /**
   * Streams that wait for the connection's window share it: as long as it lets enough through, none of them is slow. Why
   * they are to be cut, or null. What waits for the socket is judged by that.
   */
  #windowFault(now: number): "write-timeout" | "write-rate" | null {
    const pace = this.#windowPace
    const { writeTimeout, responseRate } = this.server.settings
    if (this.#isWriting || this.engine.waitingStreams === 0) pace.stop()
    else if (pace.isRunning) pace.earn(this.engine.contentSent - this.#contentSent, now, writeTimeout, responseRate)
    else pace.start(now, writeTimeout)
    this.#contentSent = this.engine.contentSent
    return !pace.isOver(now) ? null : pace.isSlow ? "write-rate" : "write-timeout"
  }
}

const isPast = (deadline: number, now: number): boolean => deadline !== 0 && now >= deadline
