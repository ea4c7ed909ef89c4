/**
 * Our side of a connection: what its owner says on it, what is to be written of that, and how it ends. What the peer says
 * is read in connection.ts.
 */
import { Allowance } from "./allowance.ts"
import { ENDED, RESET_BY_US } from "./closed-streams.ts"
import { CANCEL, NO_ERROR } from "./error-code.ts"
import type { FieldList } from "./field-list.ts"
import { MOST_STREAM, PREFACE } from "./frame.ts"
import type { ConnectionOwner } from "./owner.ts"
import { ReceiveWindows } from "./receive-windows.ts"
import { Sender } from "./sender.ts"
import { announced, type ConnectionSettings } from "./settings.ts"
import { CLOSED, LOCAL_CLOSED, Stream } from "./stream.ts"
import { Streams } from "./streams.ts"

/** Payloads of our PINGs: for the owner, and to know that the peer has read our first GOAWAY. */
export const PING_OWN = Buffer.from("headgate", "latin1")
export const PING_DRAIN = Buffer.from("draining", "latin1")
/** What one useful frame allows beside it, in frames that are none. */
export const NOISE_EARNED = 4

export abstract class LocalSide<C> {
  readonly settings: ConnectionSettings
  readonly isServer: boolean
  /** Nothing is read or said any more. */
  isFailed = false
  /** The peer has acknowledged our settings. */
  isAcknowledged = false
  protected readonly owner: ConnectionOwner<C>
  protected readonly sender: Sender<C>
  protected readonly streams: Streams<C>
  protected readonly windows: ReceiveWindows<C>
  protected readonly noise: Allowance
  /** The highest stream we still take. */
  protected lastTaken = MOST_STREAM
  /** drain() was called. */
  protected hasDrained = false
  protected hasPeerGoneAway = false
  /** onOutput() was called, and nothing taken since. */
  #isOutputKnown = false

  /** Announces our settings at once: take the output. */
  constructor(isServer: boolean, settings: ConnectionSettings, owner: ConnectionOwner<C>) {
    this.isServer = isServer
    this.settings = settings
    this.owner = owner
    this.sender = new Sender(settings)
    this.streams = new Streams(isServer)
    this.noise = new Allowance(settings.noise)
    const { output } = this.sender
    if (!isServer) output.add(PREFACE, 0, PREFACE.length)
    output.settings(announced(settings, isServer))
    this.windows = new ReceiveWindows(settings, output)
  }

  // === Octets

  /** What is to be written. Take it when what was taken before has been written, so that a peer that takes nothing is noticed. */
  takeOutput(): Buffer {
    this.#isOutputKnown = false
    return this.sender.output.take()
  }

  /** What was taken has been written: streams that waited for that get their turns. */
  onFlushed(): void {
    this.sender.output.recycle()
    this.giveTurns()
    this.sender.output.trim()
    this.announceOutput()
  }

  /** Octets of output not taken. */
  get pendingOctets(): number {
    return this.sender.output.length
  }

  /** More waits to be taken than content may add to: read no more of a peer that asks and does not listen, until onFlushed(). Heads are not held back. */
  get isCongested(): boolean {
    return this.pendingOctets > this.settings.outputOctets
  }

  /** Its SETTINGS have come: it speaks HTTP/2. */
  get isPeerKnown(): boolean {
    return this.sender.peer.isKnown
  }

  /** Streams not closed. */
  get streamCount(): number {
    return this.streams.size
  }

  /** Streams that wait for the connection's window or for output to be taken. */
  get waitingStreams(): number {
    return this.sender.waiting
  }

  /** The peer's window for the connection: octets of content that may go out. */
  get sendWindow(): number {
    return this.sender.window
  }

  /** Octets of content sent so far, of all streams. */
  get contentSent(): number {
    return this.sender.octets
  }

  get isDraining(): boolean {
    return this.hasDrained || this.hasPeerGoneAway
  }

  // === The owner's calls

  /** How many requests a client may open now. */
  get capacity(): number {
    return this.isFailed || this.isDraining || this.streams.next > MOST_STREAM ? 0 : Math.max(0, this.sender.peer.concurrentStreams - this.streams.size)
  }

  /** A client's request, pseudo-header fields first. Null: not on this connection (capacity). */
  open(fields: FieldList, isEnd: boolean, context: C): Stream<C> | null {
    if (this.capacity === 0) return null
    const stream = this.create(this.streams.next)
    this.streams.next += 2
    stream.context = context
    stream.isHeadRequest = fields.get(":method") === "HEAD"
    this.sendHeaders(stream, fields, isEnd)
    return stream
  }

  /** A head, an interim response, or with `isEnd` trailers or a head without content. Names are lower case, strings latin1. */
  sendHeaders(stream: Stream<C>, fields: FieldList, isEnd: boolean): void {
    if (stream.isLocalClosed || this.isFailed) return
    this.sender.headers(stream.id, fields, isEnd)
    if (isEnd) this.endSide(stream, LOCAL_CLOSED)
    this.announceOutput()
  }

  /**
   * Sends of octets start … end what the windows and the output allow, and END_STREAM after the last if `isEnd`. Returns
   * up to where; the rest is the owner's to send again after onWritable(). Of a closed stream all counts as sent.
   */
  sendData(stream: Stream<C>, octets: Buffer, start: number, end: number, isEnd: boolean): number {
    if (stream.isLocalClosed || this.isFailed) return end
    const frames = this.sender.frames
    const at = this.sender.data(stream, octets, start, end, isEnd)
    this.noise.earn((this.sender.frames - frames) * NOISE_EARNED)
    if (at === end && isEnd) this.endSide(stream, LOCAL_CLOSED)
    this.announceOutput()
    return at
  }

  /** The owner has passed on so many octets of a stream's content: the peer may send as many again. */
  consumed(stream: Stream<C>, octets: number): void {
    const count = Math.min(octets, stream.unconsumed)
    if (count === 0 || this.isFailed) return
    stream.unconsumed -= count
    this.windows.credit(count)
    this.windows.creditStream(stream, count)
    this.announceOutput()
  }

  /**
   * The owner lets go of a stream: one that is not over ends before its time (a server that has answered before the request
   * was complete uses NO_ERROR, §8.1). What was received and not consumed counts as consumed.
   */
  reset(stream: Stream<C>, code: number): void {
    if (stream.isClosed) return this.consumed(stream, stream.unconsumed)
    if (this.isFailed) return
    this.sender.output.reset(stream.id, code)
    this.closeStream(stream, RESET_BY_US)
    this.announceOutput()
  }

  /** Asks the peer for a sign of life: onPong(). */
  ping(): void {
    if (this.isFailed) return
    this.sender.output.ping(PING_OWN, 0)
    this.announceOutput()
  }

  /**
   * Graceful end (§6.8): the peer is asked to open no more streams; those it opens before it has read that are served.
   * Called again, none but those that have come. `isFinished` says when all are done.
   */
  drain(): void {
    if (this.isFailed) return
    if (this.hasDrained || !this.isServer) this.goaway(this.streams.latest, NO_ERROR)
    else {
      this.goaway(MOST_STREAM, NO_ERROR)
      this.sender.output.ping(PING_DRAIN, 0)
    }
    this.hasDrained = true
    this.announceOutput()
  }

  /** It was drained, or the peer has gone away, and no stream is left: the socket may be closed. */
  get isFinished(): boolean {
    return this.isFailed || (this.streams.size === 0 && (this.hasPeerGoneAway || (this.hasDrained && this.lastTaken !== MOST_STREAM)))
  }

  /** The socket is gone, or the owner wants no more of it: every stream ends. */
  close(): void {
    if (this.isFailed) return
    this.isFailed = true
    this.#endAll(CANCEL)
  }

  /** A connection error (§5.4.1). */
  fail(code: number, reason: string): void {
    if (this.isFailed) return
    this.goaway(this.streams.latest, code)
    this.isFailed = true
    this.#endAll(code)
    this.owner.onFail(code, reason)
    this.announceOutput()
  }

  #endAll(code: number): void {
    for (const stream of this.streams.snapshot()) {
      this.closeStream(stream, RESET_BY_US)
      this.owner.onReset(stream, code, false)
    }
  }

  protected announceOutput(): void {
    if (this.#isOutputKnown || this.sender.output.length === 0) return
    this.#isOutputKnown = true
    this.owner.onOutput()
  }

  protected giveTurns(): void {
    if (this.sender.waiting > 0 && !this.isFailed) this.sender.giveTurns(this.#onTurn)
  }

  readonly #onTurn = (stream: Stream<C>): void => this.owner.onWritable(stream)

  protected create(id: number): Stream<C> {
    return this.streams.add(new Stream<C>(id, this.sender.peer.initialWindow, this.windows.initial))
  }

  /** One side (LOCAL_CLOSED or REMOTE_CLOSED) has said all. */
  protected endSide(stream: Stream<C>, side: number): void {
    stream.state |= side
    if (stream.state === CLOSED) this.closeStream(stream, ENDED)
  }

  protected closeStream(stream: Stream<C>, how: number): void {
    this.streams.close(stream, how)
    this.sender.forget(stream)
    if (how === ENDED) return
    if (!this.isFailed) this.windows.credit(stream.unconsumed)
    stream.unconsumed = 0
  }

  protected goaway(last: number, code: number): void {
    this.lastTaken = Math.min(this.lastTaken, last)
    this.sender.output.goaway(this.lastTaken, code)
  }
}
