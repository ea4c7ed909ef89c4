/**
 * One client connection of HTTP/1.1: what is read from it goes, in this order, to the head of a request, to its body, to the next
 * request. One exchange at a time; a pipelined request waits in `pending`, which is bounded by pausing the socket.
 */
import type { Socket } from "node:net"
import { clock, tick } from "../clock.ts"
import type { Fault } from "../http1/fault.ts"
import { INCOMPLETE, REFUSED } from "../http1/head.ts"
import { RequestHead } from "../http1/request.ts"
import { forwarding, type Forwarding } from "../http1/write.ts"
import { isPreface } from "../http2/frame.ts"
import { READ_BYTES, giveBuffer, slab, takeBuffer } from "../slab.ts"
import { Exchange } from "../proxy.ts"
import type { HttpServer } from "../server.ts"
import type { Secure } from "../tls/handshake.ts"
import type { Tunnel } from "../websocket/tunnel.ts"
import type { Client } from "./client.ts"
import { Http1Request } from "./http1-request.ts"
import { Http1Response } from "./http1-response.ts"
import { Pace } from "./pace.ts"
import { peerAddress, readInto, takenOctets } from "./socket.ts"

const EMPTY = Buffer.alloc(0)
const SMALLEST_READ = 4_096
/** From here on what is kept of a body is in a buffer that is used again. */
const LARGE_READ = 16_384
/** TLS gives no more at once (RFC 8446 §5.1). */
const RECORD_BYTES = 16_384
const END_OF_HEAD = Buffer.from("\r\n\r\n")

// What is read belongs to …
const HEAD = 0 // … the head of a request
const BODY = 1 // … its body
const NEXT = 2 // … a request that waits until this one is answered
const DRAINED = 3 // … the rest of a request that is answered already: nobody
const TUNNEL = 4 // … the backend: it is not HTTP any more
const LINGERING = 5 // … nobody: this side has ended, and reads so that its last words are not lost in a reset
const CLOSED = 6

export class ClientConnection implements Client {
  readonly socket: Socket
  /** null: in clear. */
  readonly secure: Secure | null
  readonly server: HttpServer
  readonly head = new RequestHead()
  readonly forwarding: Forwarding
  readonly request = new Http1Request()
  readonly exchange: Exchange
  /** Place in the server's list of connections. */
  index = 0
  /** Whom it counts for. */
  client = ""
  requests = 0
  /** The client has sent its FIN. */
  hasEnded = false
  #state = HEAD
  #tunnel: Tunnel | null = null
  #pending: Buffer | null = null
  /** What is not taken of `pending`. */
  #at = 0
  #to = 0
  /** Octets of an incomplete head that a parse has already seen. */
  #tried = 0
  #drained = 0
  #isPumping = false
  #isPaused = false
  #isFlushAwaited = false
  /** 0: none. */
  #readDeadline: number
  /** Of a body, while it is read; of what is written, while it is waited for. */
  readonly #bodyPace = new Pace()
  readonly #writePace = new Pace()
  /** takenOctets() when it was last looked at. */
  #taken = 0

  constructor(socket: Socket, server: HttpServer, secure: Secure | null) {
    this.socket = socket
    this.secure = secure
    this.server = server
    this.forwarding = forwarding(peerAddress(secure?.transport ?? socket), secure === null ? "http" : "https", 1, server.port, server.settings.trustedHops)
    this.exchange = new Exchange(this, this.request, new Http1Response(this))
    this.#readDeadline = server.after(server.settings.headTimeout)
    socket.on("end", this.#onEnd)
    socket.on("close", this.#onClose)
    // The close that follows does the rest.
    socket.on("error", () => undefined)
    readInto(socket, this)
  }

  // === Reading

  /** Where the next read goes: bodies, and tunnels in bulk, keep what they are read into until it is written on. */
  readBuffer(): Buffer {
    if (this.#state === TUNNEL && this.#tunnel?.isClientBulky === true) return Buffer.allocUnsafeSlow(READ_BYTES)
    if (this.#state !== BODY) return slab
    if (this.secure === null && this.request.remaining > LARGE_READ) return takeBuffer()
    return Buffer.allocUnsafeSlow(Math.min(RECORD_BYTES, Math.max(this.request.remaining, SMALLEST_READ)))
  }

  onRead(buffer: Buffer, length: number): void {
    if (this.#state >= TUNNEL) {
      if (this.#state === TUNNEL) this.#tunnel?.onClientRead(buffer, length)
      return
    }
    if (this.#pending === null) {
      // Its head waited behind another request: where this is read into was settled before it was known for a body.
      this.#pending = this.#state === BODY && buffer === slab ? Buffer.from(slab.subarray(0, length)) : buffer
      this.#at = 0
      this.#to = length
    } else {
      this.#pending = Buffer.concat([this.#pending.subarray(this.#at, this.#to), buffer.subarray(0, length)])
      this.#at = 0
      this.#to = this.#pending.length
    }
    this.pump()
    this.#own()
  }

  /** What is left in the slab would be overwritten by the next read of any socket. */
  #own(): void {
    if (this.#pending !== slab) return
    const size = this.#to - this.#at
    this.#pending = size > LARGE_READ ? takeBuffer() : Buffer.allocUnsafeSlow(size)
    slab.copy(this.#pending, 0, this.#at, this.#to)
    this.#at = 0
    this.#to = size
  }

  /** Hands on what is pending, as far as it is wanted. Safe to call from anywhere, also from inside itself. */
  pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    while (this.#pending !== null && this.#step(this.#pending)) {
      // each step takes some
    }
    this.#isPumping = false
    this.request.flush()
    this.#throttle()
  }

  /** False: nothing more can be taken now. */
  #step(pending: Buffer): boolean {
    switch (this.#state) {
      case HEAD:
        return this.#readHead(pending)
      case BODY:
        return this.#readBody(pending)
      case DRAINED:
        return this.#drain(pending)
      case NEXT:
        return false
      default:
        this.#pending = null
        return false
    }
  }

  #readHead(pending: Buffer): boolean {
    // A client that sends requests and takes no answers: its next request waits, and not because it is slow to come.
    if (this.socket.writableLength > this.server.settings.writeBytes) {
      this.#readDeadline = 0
      this.awaitFlush()
      return false
    }
    const size = this.#to - this.#at
    if (this.#tried > 0 && !this.#isWorthParsing(pending, size)) return false
    const after = this.head.parse(pending, this.#at, this.#to, this.server.settings)
    if (after === INCOMPLETE) {
      tick()
      if (this.#tried === 0) this.#readDeadline = this.server.after(this.server.settings.headTimeout)
      this.#tried = size
      if (this.hasEnded) this.#end()
      return false
    }
    this.#tried = 0
    if (after === REFUSED) {
      // RFC 9113 §3.3: over TLS it would have been agreed on.
      if (this.head.fault === "version" && this.requests === 0 && this.secure === null && isPreface(pending, this.#at, this.#to)) {
        this.#becomeHttp2(pending)
        return false
      }
      this.#refuse(this.head.fault ?? "request-line")
      return false
    }
    this.#take(after)
    this.requests++
    if (this.head.hasBody) {
      this.#own()
      this.#expectBody()
    } else {
      this.#state = NEXT
      this.#readDeadline = 0
    }
    this.exchange.start()
    return true
  }

  /** The client speaks HTTP/2 with prior knowledge: what is read is another's, from the first octet on. */
  #becomeHttp2(pending: Buffer): void {
    const from = this.#at
    const { socket } = this
    this.#pending = null
    this.#at = 0
    this.#state = CLOSED
    socket.off("end", this.#onEnd)
    socket.off("close", this.#onClose)
    this.server.onPreface(this, socket, pending, from, this.#to)
  }

  /** An incomplete head is parsed again when its end is there or it has doubled: linear, however small the pieces. */
  #isWorthParsing(pending: Buffer, size: number): boolean {
    return size >= this.#tried * 2 || size > this.server.settings.headBytes || pending.indexOf(END_OF_HEAD, Math.max(this.#at, this.#at + this.#tried - 3)) >= 0
  }

  #expectBody(): void {
    this.#state = BODY
    this.#readDeadline = 0
    this.#bodyPace.start(clock.now, this.server.settings.requestBodyIdle)
  }

  #readBody(pending: Buffer): boolean {
    const { request } = this
    const next = request.take(pending, this.#at, this.#to)
    tick()
    if (request.refusal !== null) {
      this.#take(next)
      this.exchange.fail({ side: "downstream", reason: request.refusal })
      return true
    }
    if (next === this.#at) return false
    const octets = next - this.#at
    this.#take(next)
    if (this.#pending === null && pending.length === READ_BYTES && pending !== slab && request.isTaken) giveBuffer(pending)
    if (request.isDone) {
      this.#state = NEXT
      this.#bodyPace.stop()
      if (this.hasEnded) this.exchange.onHalfClosed()
    } else {
      const { requestBodyIdle, requestBodyRate } = this.server.settings
      // Once it is answered, request and answer may be a conversation: then only silence counts.
      this.#bodyPace.earn(octets, clock.now, requestBodyIdle, this.exchange.response.hasBegun ? 0 : requestBodyRate)
      if (this.hasEnded && this.#pending === null) this.exchange.abort()
    }
    return true
  }

  #drain(pending: Buffer): boolean {
    const { request } = this
    const next = request.skip(pending, this.#at, this.#to)
    this.#drained += next - this.#at
    this.#take(next)
    if (request.fault !== null || this.#drained > this.server.settings.drainBytes) this.#end()
    else if (request.isDone) this.#awaitHead()
    else if (this.hasEnded && this.#pending === null) this.#end()
    return true
  }

  #take(to: number): void {
    if (this.#pending !== null && to < this.#to) this.#at = to
    else {
      this.#pending = null
      this.#at = 0
    }
  }

  #refuse(fault: Fault): void {
    this.#pending = null
    this.#state = NEXT
    this.#readDeadline = 0
    this.server.metrics.refusedMessages++
    this.exchange.refuse(fault)
  }

  #throttle(): void {
    const isFull = this.#pending !== null && this.#to - this.#at >= this.server.settings.pendingBytes
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
    // While it is paused, not the client is slow.
    if (this.#state !== BODY) return
    if (isFull) this.#bodyPace.stop()
    else this.#bodyPace.start(clock.now, this.server.settings.requestBodyIdle)
  }

  readonly #onEnd = (): void => {
    this.hasEnded = true
    tick()
    switch (this.#state) {
      case BODY:
        if (this.#pending === null) this.exchange.abort()
        return
      case NEXT:
        this.exchange.onHalfClosed()
        return
      case TUNNEL:
        this.#tunnel?.onClientEnd()
        return
      case LINGERING:
      case CLOSED:
        // Once what is written has gone, the socket closes by itself.
        return
      default:
        if (this.#pending === null || this.#state === HEAD) this.#end()
    }
  }

  // === Writing

  /** What is written is not taken: calls the exchange's onFlushed, or goes on reading, once it is. */
  awaitFlush(): void {
    if (this.#isFlushAwaited) return
    this.#writePace.resume(clock.now, this.server.settings.writeTimeout)
    this.#taken = this.#takenNow
    // Nothing may be written after the end, not even nothing: the close tells that all has gone.
    if (this.socket.writableEnded) return
    this.#isFlushAwaited = true
    this.socket.write(EMPTY, this.#onFlushed)
  }

  readonly #onFlushed = (error?: Error | null): void => {
    this.#isFlushAwaited = false
    this.#earn(tick())
    // In the middle of an answer what was earned counts on; between requests nothing is owed.
    if (this.#state === HEAD) this.#writePace.stop()
    else this.#writePace.pause(clock.now)
    if (this.#state === CLOSED || (error !== undefined && error !== null)) return
    // Asked for by an earlier answer; what a later one wrote may lie in a read buffer that is still needed.
    if (this.socket.writableLength > 0) return this.awaitFlush()
    if (this.#state === TUNNEL) return this.#tunnel?.onFlushed()
    this.exchange.onFlushed()
    this.pump()
  }

  destroy(): void {
    this.socket.destroy()
  }

  // === After 101

  /** What is read from now on is the tunnel's, and what is pending. */
  enterTunnel(tunnel: Tunnel): void {
    const pending = this.#pending?.subarray(this.#at, this.#to)
    this.#pending = null
    this.#tunnel = tunnel
    this.#state = TUNNEL
    this.#readDeadline = 0
    this.goOn()
    if (pending !== undefined) tunnel.onClientRead(pending, pending.length)
    if (this.hasEnded) tunnel.onClientEnd()
  }

  /** The tunnel is over: what was written still goes. */
  leaveTunnel(): void {
    this.#tunnel = null
    if (this.socket.writableLength > 0) this.awaitFlush()
    this.#end()
  }

  hold(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.socket.pause()
  }

  goOn(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.socket.resume()
  }

  // === Between requests

  onAnswered(isPersistent: boolean): void {
    if (this.#state >= LINGERING) return
    // What goes through TLS always counts as unsent until the end of this turn of the event loop: check() looks then.
    if (this.secure === null && this.socket.writableLength > 0) this.awaitFlush()
    if (!isPersistent || (this.hasEnded && this.#pending === null)) {
      if (this.#isLast()) this.destroy()
      else this.#end()
    } else if (this.#state === BODY) {
      this.#state = DRAINED
      this.#bodyPace.stop()
      this.#drained = 0
      this.#readDeadline = this.server.after(this.server.settings.drainTimeout)
    } else this.#awaitHead()
    this.pump()
  }

  /**
   * All is said: the kernel has the whole answer, and the client will send nothing that could reset it (it has ended, or
   * has told that this was its last request, RFC 9112 §9.6). Closing is then one system call instead of the half-close,
   * the client's end and the close; over TLS close_notify must go first.
   */
  #isLast(): boolean {
    return this.secure === null && this.#pending === null && this.socket.writableLength === 0 && (this.hasEnded || (!this.head.isPersistent && this.request.isDone && this.request.refusal === null))
  }

  #awaitHead(): void {
    this.#state = HEAD
    const { settings } = this.server
    this.#readDeadline = this.server.after(this.#pending === null ? settings.keepAliveTimeout : settings.headTimeout)
    if (this.#pending === null && (this.server.isDraining || this.hasEnded)) this.#end()
  }

  /** Nothing more will be said. Reads on for a while: a reset because of unread octets could destroy the last answer. */
  #end(): void {
    if (this.#state >= LINGERING) return
    this.#state = LINGERING
    this.#bodyPace.stop()
    this.#pending = null
    this.#readDeadline = clock.now + this.server.settings.drainTimeout
    this.socket.end()
    this.goOn()
  }

  /** The process stops: an idle connection ends now, others after their answer. One that is new has a moment to ask: its request may be on its way, and its client would not send it again. */
  onDrain(): void {
    if (this.#state !== HEAD || this.#pending !== null) return
    if (this.requests === 0) this.#readDeadline = this.server.untilAsked(this.#readDeadline)
    else this.#end()
  }

  mayPersist(): boolean {
    const { head, server, request, requests } = this
    const { settings } = server
    if (!head.isPersistent || server.isLeaving || (this.hasEnded && this.#pending === null) || (settings.requestsPerConnection > 0 && requests >= settings.requestsPerConnection)) return false
    if (request.isDone) return true
    // The answer comes before the request has: without a 100 it may never come, and too much of it is not waited for.
    return request.refusal === null && (!head.expectsContinue || this.exchange.response.hasContinued) && (request.remaining === Infinity || request.remaining <= settings.drainBytes)
  }

  get tunnelEnd(): this {
    return this
  }

  /** The time to drain is over. */
  onDrained(): void {
    if (this.#state === TUNNEL) this.#tunnel?.goAway("drained")
    else this.destroy()
  }

  get isTunnel(): boolean {
    return this.#state === TUNNEL
  }

  readonly #onClose = (): void => {
    this.#state = CLOSED
    this.#pending = null
    if (this.#tunnel === null) this.exchange.abort()
    else this.#tunnel.onClientLost()
    this.server.forget(this)
  }

  /** Called several times a second while there are connections. */
  check(now: number): void {
    if (this.secure !== null && !this.#writePace.isRunning && this.#state !== CLOSED && this.socket.writableLength > 0) this.awaitFlush()
    // After the end no write tells that all has gone.
    if (this.#writePace.isRunning && !this.#isFlushAwaited && this.socket.writableLength === 0) this.#writePace.stop()
    if (this.#writePace.isRunning && this.#isStuck(now)) return
    if (this.#bodyPace.isOver(now)) this.#onBodyTimeout()
    if (this.#readDeadline !== 0 && now >= this.#readDeadline) this.#onReadTimeout()
    if (this.#tunnel === null) this.exchange.check(now)
    else this.#tunnel.check(now)
  }

  /** Too little of what is written has been taken: the connection is cut. */
  #isStuck(now: number): boolean {
    const { server } = this
    this.#earn(now)
    if (!this.#writePace.isOver(now)) return false
    const reason = this.#writePace.isSlow ? "write-rate" : "write-timeout"
    server.limits.reached(reason)
    this.exchange.noteReason(reason)
    this.socket.destroy()
    return true
  }

  get #takenNow(): number {
    return takenOctets(this.secure?.transport ?? this.socket)
  }

  #earn(now: number): void {
    const taken = this.#takenNow
    this.#writePace.earn(taken - this.#taken, now, this.server.settings.writeTimeout, this.server.settings.responseRate)
    this.#taken = taken
  }

  #onBodyTimeout(): void {
    this.#bodyPace.stop()
    // While something waits for the backend, not the client is slow: as it goes on, time begins anew.
    if (this.#pending === null) this.exchange.fail({ side: "downstream", reason: this.#bodyPace.isSlow ? "body-rate" : "body-timeout" })
  }

  #onReadTimeout(): void {
    this.#readDeadline = 0
    switch (this.#state) {
      case HEAD:
        if (this.#pending === null) this.#end()
        else {
          this.#state = NEXT
          this.#pending = null
          tick()
          this.exchange.refuse("head-timeout")
        }
        return
      case DRAINED:
        this.#end()
        return
      default:
        // Still being taken: the write time-out decides.
        if (this.socket.writableLength > 0) this.#readDeadline = this.server.after(this.server.settings.drainTimeout)
        else this.socket.destroy()
    }
  }
}
