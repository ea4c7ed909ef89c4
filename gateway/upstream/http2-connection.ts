/**
 * One connection of HTTP/2 to an endpoint, in clear, by prior knowledge (RFC 9113 §3.3): drives the engine's client side
 * over a socket, one write a turn of the event loop, and gives each request a stream of it (http2-stream.ts). It is ready
 * when the peer's SETTINGS have come: only then it is known for one that speaks HTTP/2, and how many streams it takes.
 *
 * Content that a slow client does not take fills the window of its stream and no other's: the connection's is as large as
 * those of all its streams. All sockets read into one slab, of which nothing is needed once onRead returns.
 */
import net from "node:net"
import { clock, tick } from "../clock.ts"
import { Connection } from "../http2/connection.ts"
import type { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import type { ConnectionOwner } from "../http2/owner.ts"
import { defaults, type ConnectionSettings } from "../http2/settings.ts"
import type { Stream } from "../http2/stream.ts"
import type { Settings } from "../settings.ts"
import { slab } from "../slab.ts"
import type { Http2Endpoint } from "./http2-endpoint.ts"
import type { UpstreamStream } from "./http2-stream.ts"
import type { StreamLoss } from "./upstream.ts"

/** Content of one answer that waits for its client. */
const STREAM_WINDOW = 131_072

/** What the process's settings mean for one connection. */
export const upstreamSettings = ({ headBytes, fields, endpointStreams, writeBytes }: Settings): ConnectionSettings => ({
  ...defaults, listOctets: headBytes, fields, streamWindow: STREAM_WINDOW, connectionWindow: Math.min(2 ** 30, STREAM_WINDOW * endpointStreams), outputOctets: writeBytes,
})

export class Http2UpstreamConnection implements ConnectionOwner<UpstreamStream> {
  readonly engine: Connection<UpstreamStream>
  /** Requests may be sent. */
  isReady = false
  /** It has carried a request before. */
  isReused = false
  /** When it went idle. */
  idleSince = clock.now
  /** Writes so far: what was said after the last of them has not left this process. */
  writes = 0
  reads = 0
  readonly #endpoint: Http2Endpoint
  readonly #socket: net.Socket
  /** Requests that wait until it is ready. */
  readonly #waiting = new Set<UpstreamStream>()
  /** Takes no more requests. */
  #isLeaving = false
  #isClosed = false
  /** Why streams end that have not ended by themselves. */
  #loss: StreamLoss | null = null
  #isScheduled = false
  #isWriting = false
  #probe: NodeJS.Timeout | undefined

  constructor(endpoint: Http2Endpoint) {
    this.#endpoint = endpoint
    this.#socket = net.connect({ host: endpoint.address, port: endpoint.port, noDelay: true, onread: { buffer: slab, callback: (length) => this.#onRead(length) } })
    this.engine = new Connection<UpstreamStream>(false, upstreamSettings(endpoint.limits), this)
    this.#socket.on("end", () => this.#lose("closed"))
    this.#socket.on("error", () => this.#lose("reset"))
    this.#socket.on("close", () => {
      this.#lose("closed")
      this.#endpoint.onClosed()
    })
    this.onOutput()
  }

  // === Requests

  /** How many more requests it takes. */
  get room(): number {
    if (this.#isLeaving) return 0
    const { endpointStreams } = this.#endpoint.limits
    return this.isReady ? Math.min(this.engine.capacity, endpointStreams - this.engine.streamCount) : Math.min(this.#endpoint.expectedStreams, endpointStreams) - this.#waiting.size
  }

  get isIdle(): boolean {
    return this.isReady && !this.#isLeaving && this.engine.streamCount === 0
  }

  /** A request waits until this is ready. */
  await(stream: UpstreamStream): void {
    this.#waiting.add(stream)
  }

  /** A request is over. `wasSilent`: because nothing came. */
  onDone(stream: UpstreamStream, wasSilent: boolean): void {
    this.#waiting.delete(stream)
    if (wasSilent) this.ask()
    if (this.engine.streamCount > 0) return
    if (!this.isReady && this.#waiting.size === 0) return this.#lose("closed")
    this.idleSince = clock.now
    if (!this.#endpoint.isNamed && this.#waiting.size === 0) this.leave()
    else this.#endIfFinished()
  }

  /** Connecting takes too long, for the first of those who wait for it. */
  giveUp(): void {
    this.#lose("connect-timeout")
  }

  #onReady(): void {
    this.isReady = true
    // One that goes away with its first words says nothing of the next.
    if (!this.#isLeaving) this.#endpoint.expectedStreams = this.engine.capacity
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const stream of waiting) {
      if (this.room > 0) stream.onConnected()
      else if (this.#endpoint.expectedStreams === 0) stream.onNotConnected("refused")
      else stream.moveTo(this.#endpoint.another())
    }
    if (waiting.length === 0 && !this.#endpoint.isNamed) this.leave()
  }

  /** Nothing comes for a request: who does not answer a PING either is gone, and other requests need not find it out for themselves. */
  ask(): void {
    const { connectTimeout } = this.#endpoint.limits
    if (this.#probe !== undefined || this.#isClosed || connectTimeout === 0) return
    this.engine.ping()
    this.#probe = setTimeout(() => this.#lose("reset"), connectTimeout).unref()
  }

  // === Reading

  #onRead(length: number): boolean {
    if (this.#isClosed) return true
    this.reads++
    if (this.#probe !== undefined) {
      clearTimeout(this.#probe)
      this.#probe = undefined
    }
    this.engine.receive(slab, 0, length, tick())
    if (!this.isReady && this.engine.isPeerKnown && !this.#isClosed) this.#onReady()
    this.#endIfFinished()
    return true
  }

  onResponse(stream: Stream<UpstreamStream>, fields: FieldList, head: MessageHead, isEnd: boolean): void {
    this.isReused = true
    stream.context?.onResponse(fields, head, isEnd)
  }

  onData(stream: Stream<UpstreamStream>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    if (stream.context === null) this.engine.consumed(stream, end - start)
    else stream.context.onData(octets, start, end, isEnd)
  }

  onTrailers(stream: Stream<UpstreamStream>, fields: FieldList): void {
    stream.context?.onTrailers(fields)
  }

  onReset(stream: Stream<UpstreamStream>, code: number, isByPeer: boolean): void {
    stream.context?.onReset(code, isByPeer, this.#loss)
  }

  onWritable(stream: Stream<UpstreamStream>): void {
    stream.context?.onWritable()
  }

  /** RFC 9113 §6.8: streams it has not taken were reset before, as refused. */
  onGoaway(): void {
    this.#takeNoMore()
  }

  /** Nobody asks here; what comes after a PING answers it. */
  onRequest(): void {}
  onRefused(): void {}
  onPong(): void {}

  /** A rule of HTTP/2 was broken. Every stream has been reset before. */
  onFail(): void {
    const loss = this.isReady ? "bad-response" : "not-http2"
    this.#end(loss)
  }

  // === Writing

  onOutput(): void {
    if (this.#isScheduled || this.#isWriting) return
    this.#isScheduled = true
    setImmediate(this.#onTurn)
  }

  readonly #onTurn = (): void => {
    this.#isScheduled = false
    this.#flush()
  }

  #flush(): void {
    if (this.#isClosed || this.#isWriting || this.engine.pendingOctets === 0) return
    this.#isWriting = true
    this.writes++
    this.#socket.write(this.engine.takeOutput(), this.#onFlushed)
  }

  readonly #onFlushed = (error?: Error | null): void => {
    this.#isWriting = false
    if (this.#isClosed || (error !== undefined && error !== null)) return
    this.engine.onFlushed()
    this.#flush()
  }

  // === The end

  /** No more requests; it ends when those that are under way have. */
  leave(): void {
    if (this.#isLeaving) return
    this.#takeNoMore()
    this.engine.drain()
    this.#endIfFinished()
  }

  #takeNoMore(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#endpoint.onLeaving(this)
  }

  #endIfFinished(): void {
    if (!this.#isClosed && this.engine.isFinished && this.#waiting.size === 0) this.#end("closed")
  }

  /** What is said is written, and nothing more. */
  #end(loss: StreamLoss): void {
    if (this.#isClosed) return
    if (this.engine.pendingOctets > 0) this.#socket.write(this.engine.takeOutput())
    this.#close(loss)
    this.#socket.destroySoon()
  }

  /** The peer has ended the connection, or it failed. */
  #lose(loss: StreamLoss): void {
    if (this.#isClosed) return
    tick()
    this.#close(this.isReady || loss !== "reset" ? loss : "refused")
    this.#socket.destroy()
  }

  /** Whoever waits or has a stream hears of it; before that nobody finds this connection any more. */
  #close(loss: StreamLoss): void {
    this.#isClosed = true
    clearTimeout(this.#probe)
    this.#takeNoMore()
    this.#loss = loss
    if (!this.isReady) this.#loss = loss === "closed" ? "refused" : loss
    // Once for all whom it served: one failure, however many requests it cost.
    if (!this.isReused && (this.#waiting.size > 0 || this.engine.streamCount > 0)) this.#endpoint.health.failed()
    this.engine.close()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const stream of waiting) stream.onNotConnected(this.#loss)
  }
}
