/**
 * One HTTP/2 connection (RFC 9113), of a server or a client, without a socket: octets in and calls of the owner out,
 * calls of the owner in and octets out. What a peer may do beyond its work is bounded (settings.ts); whoever goes
 * beyond is answered ENHANCE_YOUR_CALM. Keeps no content: what comes in goes to the owner at once, what does not fit
 * the peer's windows stays with it.
 */
import { Allowance } from "./allowance.ts"
import { ENDED, RESET_BY_PEER, RESET_BY_US } from "./closed-streams.ts"
import { COMPRESSION_ERROR, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED } from "./error-code.ts"
import { FieldBlock, dependency } from "./field-block.ts"
import { FieldList } from "./field-list.ts"
import {
  ACK, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, MOST_STREAM, MOST_WINDOW, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
  WINDOW_UPDATE, isLengthRight, isStreamRight,
} from "./frame.ts"
import { HpackDecoder } from "./hpack/decoder.ts"
import { LocalSide, NOISE_EARNED, PING_DRAIN, PING_OWN } from "./local-side.ts"
import { MessageHead, trailerFault, type MessageFault } from "./message.ts"
import type { ConnectionOwner, Refusal } from "./owner.ts"
import { FrameReader, type FrameSink } from "./reader.ts"
import type { ConnectionSettings } from "./settings.ts"
import { REMOTE_CLOSED, type Stream } from "./stream.ts"

export class Connection<C> extends LocalSide<C> implements FrameSink {
  readonly #reader = new FrameReader(this)
  readonly #decoder = new HpackDecoder()
  readonly #resets: Allowance
  readonly #fields: FieldList
  readonly #head = new MessageHead()
  readonly #block: FieldBlock
  /** Octets of the preface that have come; a client waits for none. */
  #prefaceOctets: number
  #now = 0
  /** Of the DATA frame that is being read: its stream (null: its content is nobody's), its payload not yet accounted for, END_STREAM, and whether more than padding has come. */
  #dataStream: Stream<C> | null = null
  #dataLeft = 0
  #isDataEnd = false
  #hasContent = false

  /** Announces our settings at once: take the output. */
  constructor(isServer: boolean, settings: ConnectionSettings, owner: ConnectionOwner<C>) {
    super(isServer, settings, owner)
    this.#resets = new Allowance(settings.resets)
    this.#fields = new FieldList(settings)
    this.#block = new FieldBlock(settings)
    this.#prefaceOctets = isServer ? 0 : PREFACE.length
  }

  /** Takes what arrived, all of it; nothing of it is needed afterwards. `now`: milliseconds, monotonic. */
  receive(octets: Buffer, start: number, end: number, now: number): void {
    this.#now = now
    let at = start
    while (this.#prefaceOctets < PREFACE.length && at < end) {
      if (this.isFailed) return
      if (octets[at++] !== PREFACE[this.#prefaceOctets++]) this.fail(PROTOCOL_ERROR, "preface")
    }
    this.#reader.read(octets, at, end)
    this.announceOutput()
  }

  /** Octets of incomplete frames and field blocks. */
  get heldOctets(): number {
    return this.#reader.held + (this.#block.isOpen ? this.#block.octets.length : 0)
  }

  // === Frames (FrameSink)

  onFrameHead(type: number, flags: number, stream: number, length: number): void {
    if (length > this.settings.frameOctets) return this.fail(FRAME_SIZE_ERROR, "frame longer than announced")
    if (!this.sender.peer.isKnown && (type !== SETTINGS || (flags & ACK) !== 0)) return this.fail(PROTOCOL_ERROR, "SETTINGS must come first")
    const isContinued = this.#block.isOpen
    if (isContinued !== (type === CONTINUATION) || (isContinued && stream !== this.#block.stream)) return this.fail(PROTOCOL_ERROR, "field block interrupted")
    if (!isStreamRight(type, stream)) return this.fail(PROTOCOL_ERROR, "frame on the wrong stream")
    if (!isLengthRight(type, flags, length)) return this.fail(FRAME_SIZE_ERROR, "frame of the wrong length")
    switch (type) {
      case DATA:
        return this.#onDataHead(flags, stream, length)
      case HEADERS:
        if (this.isServer ? (stream & 1) === 0 : this.streams.isIdle(stream)) this.fail(PROTOCOL_ERROR, "HEADERS on a stream nobody opened")
        return
      case RST_STREAM:
      case WINDOW_UPDATE:
        if (stream !== 0 && this.streams.isIdle(stream)) this.fail(PROTOCOL_ERROR, "frame on an idle stream")
        return
      case PUSH_PROMISE:
        return this.fail(PROTOCOL_ERROR, "PUSH_PROMISE is not wanted")
      case CONTINUATION:
        return
      default:
        this.#onNoise(1)
    }
  }

  onFrame(type: number, flags: number, stream: number, octets: Buffer, start: number, end: number): void {
    switch (type) {
      case HEADERS:
        return this.#onBlock(this.#block.begin(flags, stream, octets, start, end))
      case CONTINUATION:
        return this.#onBlock(this.#block.go(flags, octets, start, end))
      case PRIORITY:
        return this.#onPriority(stream, octets, start, end)
      case RST_STREAM:
        return this.#onReset(stream, octets.readUInt32BE(start))
      case SETTINGS:
        return (flags & ACK) === 0 ? this.#onSettings(octets, start, end) : this.#onAcknowledged()
      case PING:
        return this.#onPing(flags, octets, start)
      case GOAWAY:
        return this.#onGoaway(octets.readUInt32BE(start) & MOST_STREAM, octets.readUInt32BE(start + 4))
      case WINDOW_UPDATE:
        return this.#onWindowUpdate(stream, octets.readUInt32BE(start) & MOST_WINDOW)
      default:
    }
  }

  onPaddingFault(): void {
    this.fail(PROTOCOL_ERROR, "padding")
  }

  /** A frame that does nothing for a stream, or as much work as so many. */
  #onNoise(count: number): void {
    if (!this.noise.take(count, this.#now)) this.fail(ENHANCE_YOUR_CALM, "frames that do nothing")
  }

  /** A frame of ours that the peer has provoked was added. */
  #onProvoked(): void {
    if (this.sender.output.controls > this.settings.queuedControls) this.fail(ENHANCE_YOUR_CALM, "answers that are not taken")
  }

  /** A stream error (§5.4.2), by what the peer sent: what it costs is bounded as its own resets are. */
  #streamError(stream: number, code: number): void {
    if (!this.#resets.take(1, this.#now)) return this.fail(ENHANCE_YOUR_CALM, "streams that come to nothing")
    this.sender.output.reset(stream, code)
    this.#onProvoked()
    const known = this.streams.get(stream)
    if (known === undefined) {
      this.streams.note(stream, RESET_BY_US)
      return
    }
    this.closeStream(known, RESET_BY_US)
    this.owner.onReset(known, code, false)
  }

  // === Field sections

  #onBlock(code: number): void {
    if (code !== NO_ERROR) return this.fail(code, code === PROTOCOL_ERROR ? "padding" : "field block too large")
    const block = this.#block
    if (block.isOpen) return
    const fields = this.#fields.clear()
    if (!this.#decoder.decode(block.octets, block.start, block.end, fields)) return this.fail(COMPRESSION_ERROR, "field block")
    block.drop()
    const stream = this.streams.get(block.stream)
    if (stream === undefined) this.#onUnknown(block.stream)
    else if (stream.isRemoteClosed) this.#streamError(stream.id, STREAM_CLOSED)
    else if (block.dependsOnItself) this.#streamError(stream.id, PROTOCOL_ERROR)
    else if (stream.hasHead) this.#onTrailers(stream)
    else this.#onResponse(stream)
  }

  #onUnknown(id: number): void {
    if (this.isServer && id > this.streams.latest) return this.#onRequest(id)
    if (this.#isLateAnswer(id)) return
    switch (this.streams.endOf(id)) {
      case RESET_BY_US:
        return this.#onNoise(1)
      case RESET_BY_PEER:
        return this.#streamError(id, STREAM_CLOSED)
      case ENDED:
        return this.fail(STREAM_CLOSED, "HEADERS on a closed stream")
      default:
        this.fail(PROTOCOL_ERROR, "stream identifier below an earlier one")
    }
  }

  #onRequest(id: number): void {
    const fields = this.#fields
    const head = this.#head
    const { isEnd } = this.#block
    this.streams.latest = id
    if (id > this.lastTaken) {
      // §6.8: it has been told that these will not be looked at.
      this.streams.note(id, RESET_BY_US)
      return this.#onNoise(1)
    }
    if (this.#block.dependsOnItself) return this.#refuse(id, PROTOCOL_ERROR, "self-dependency")
    if (this.streams.size >= this.settings.concurrentStreams || this.pendingOctets > 2 * this.settings.outputOctets) return this.#refuse(id, REFUSED_STREAM, "streams")
    if (fields.isOverLimit) return this.#answer(id, "431", "fields-too-large")
    const fault = head.readRequest(fields) ?? (isEnd && head.contentLength > 0 ? "content-length" : null)
    if (fault !== null) return this.#refuse(id, PROTOCOL_ERROR, fault)
    if (head.method === "CONNECT") return this.#answer(id, "501", "connect")
    const stream = this.create(id)
    stream.hasHead = true
    stream.remaining = head.contentLength
    this.noise.earn(NOISE_EARNED)
    if (isEnd) this.endSide(stream, REMOTE_CLOSED)
    this.owner.onRequest(stream, fields, head, isEnd)
  }

  #refuse(id: number, code: number, refusal: Refusal): void {
    this.#streamError(id, code)
    if (!this.isFailed) this.owner.onRefused(refusal, this.#head)
  }

  /** Answers in the owner's place, and reads no more of it. */
  #answer(id: number, status: string, refusal: Refusal): void {
    if (!this.#resets.take(1, this.#now)) return this.fail(ENHANCE_YOUR_CALM, "streams that come to nothing")
    this.sender.headers(id, new FieldList().add(":status", status).add("content-length", "0"), true)
    this.sender.output.controls++
    if (!this.#block.isEnd) this.sender.output.reset(id, NO_ERROR)
    this.streams.note(id, this.#block.isEnd ? ENDED : RESET_BY_US)
    this.#onProvoked()
    this.owner.onRefused(refusal, this.#head)
  }

  #onResponse(stream: Stream<C>): void {
    const fields = this.#fields
    const head = this.#head
    const { isEnd } = this.#block
    if (fields.isOverLimit) return this.#streamError(stream.id, ENHANCE_YOUR_CALM)
    const fault = head.readResponse(fields) ?? (head.status < 200 && isEnd ? "interim-end" : null)
    if (fault !== null) return this.#streamError(stream.id, PROTOCOL_ERROR)
    if (head.status < 200) this.#onNoise(1)
    else {
      stream.hasHead = true
      const hasNone = stream.isHeadRequest || head.status === 204 || head.status === 304
      stream.remaining = hasNone ? 0 : head.contentLength
      if (isEnd && stream.remaining > 0) return this.#streamError(stream.id, PROTOCOL_ERROR)
      if (isEnd) this.endSide(stream, REMOTE_CLOSED)
      this.noise.earn(NOISE_EARNED)
    }
    if (!this.isFailed) this.owner.onResponse(stream, fields, head, isEnd)
  }

  #onTrailers(stream: Stream<C>): void {
    if (this.#fields.isOverLimit) return this.#streamError(stream.id, ENHANCE_YOUR_CALM)
    const fault: MessageFault | null = !this.#block.isEnd ? "trailer-end" : stream.remaining > 0 ? "content-length" : trailerFault(this.#fields)
    if (fault !== null) return this.#streamError(stream.id, PROTOCOL_ERROR)
    this.endSide(stream, REMOTE_CLOSED)
    this.owner.onTrailers(stream, this.#fields)
  }

  // === Content

  #onDataHead(flags: number, id: number, length: number): void {
    if (this.streams.isIdle(id)) return this.fail(PROTOCOL_ERROR, "DATA on an idle stream")
    if (!this.windows.take(length)) return this.fail(FLOW_CONTROL_ERROR, "more than the connection's window")
    this.#dataLeft = length
    this.#isDataEnd = (flags & END_STREAM) !== 0
    this.#hasContent = false
    const stream = this.streams.get(id)
    this.#dataStream = stream ?? null
    if (stream === undefined) return this.#onLateData(id)
    const code = this.#dataFault(stream, length)
    if (code !== NO_ERROR) {
      this.#dataStream = null
      return this.#streamError(id, code)
    }
    stream.receiveWindow -= length
  }

  #dataFault(stream: Stream<C>, length: number): number {
    if (stream.isRemoteClosed) return STREAM_CLOSED
    if (!stream.hasHead) return PROTOCOL_ERROR
    return length > stream.receiveWindow ? FLOW_CONTROL_ERROR : NO_ERROR
  }

  /** What a server says on a stream that we have reset, however long ago: ignored (§5.1), and no fault of the other streams'. */
  #isLateAnswer(id: number): boolean {
    return !this.isServer && this.streams.endOf(id) !== ENDED
  }

  #onLateData(id: number): void {
    if (this.#isLateAnswer(id)) return
    switch (this.streams.endOf(id)) {
      case RESET_BY_US:
        return this.#onNoise(1)
      case ENDED:
        return this.fail(STREAM_CLOSED, "DATA on a closed stream")
      default:
        this.#streamError(id, STREAM_CLOSED)
    }
  }

  onData(octets: Buffer, start: number, end: number, isLast: boolean): void {
    const stream = this.#dataStream
    const length = end - start
    this.#dataLeft -= length
    if (stream === null || stream.isClosed) this.windows.credit(isLast ? length + this.#dataLeft : length)
    else {
      // What is left is padding: it was counted, and is consumed by being passed over.
      if (isLast && this.#dataLeft > 0) {
        this.windows.credit(this.#dataLeft)
        this.windows.creditStream(stream, this.#dataLeft)
      }
      this.#hasContent ||= length > 0
      if (isLast && !this.#hasContent && !this.#isDataEnd) this.#onNoise(1)
      else this.#onContent(stream, octets, start, end, isLast && this.#isDataEnd)
    }
    if (isLast) this.#dataStream = null
  }

  #onContent(stream: Stream<C>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const length = end - start
    if (length > 0) this.noise.earn(NOISE_EARNED)
    if (stream.remaining >= 0) {
      stream.remaining -= length
      // The whole frame must fit Content-Length (§8.1.1): not an octet of one that does not is handed on, however it comes.
      const left = this.#reader.contentLeft
      if (stream.remaining < left || (this.#isDataEnd && stream.remaining > left)) {
        this.windows.credit(length)
        return this.#streamError(stream.id, PROTOCOL_ERROR)
      }
    }
    stream.unconsumed += length
    if (isEnd) this.endSide(stream, REMOTE_CLOSED)
    if (length > 0 || isEnd) this.owner.onData(stream, octets, start, end, isEnd)
  }

  // === Frames about the connection

  #onPriority(stream: number, octets: Buffer, start: number, end: number): void {
    const code = end - start !== 5 ? FRAME_SIZE_ERROR : dependency(octets, start) === stream ? PROTOCOL_ERROR : NO_ERROR
    if (code === NO_ERROR) return
    // Of a stream that is idle or over no reset may be sent; what is late for one that is over may be passed by.
    if (this.streams.get(stream) !== undefined) this.#streamError(stream, code)
    else if (code === FRAME_SIZE_ERROR || this.streams.isIdle(stream)) this.fail(code, "PRIORITY")
  }

  #onReset(id: number, code: number): void {
    const stream = this.streams.get(id)
    if (stream === undefined) return this.#onNoise(1)
    if (this.isServer && !this.#resets.take(1, this.#now)) return this.fail(ENHANCE_YOUR_CALM, "streams reset too often")
    this.closeStream(stream, RESET_BY_PEER)
    this.owner.onReset(stream, code, true)
  }

  #onSettings(octets: Buffer, start: number, end: number): void {
    this.#onNoise((end - start) / 6)
    if (this.isFailed) return
    const { peer, output } = this.sender
    const window = peer.initialWindow
    for (let at = start; at < end; at += 6) {
      const code = peer.set(octets.readUInt16BE(at), octets.readUInt32BE(at + 2), this.isServer)
      if (code !== NO_ERROR) return this.fail(code, "SETTINGS")
      // One by one: of table sizes that follow each other the smallest counts too (RFC 7541 §4.2).
      this.sender.obey()
    }
    peer.isKnown = true
    output.frame(0, SETTINGS, ACK, 0)
    output.controls++
    this.#onProvoked()
    if (peer.initialWindow !== window) this.#onInitialWindow(peer.initialWindow - window)
  }

  #onInitialWindow(octets: number): void {
    if (!this.sender.shift(this.streams.values(), octets)) return this.fail(FLOW_CONTROL_ERROR, "window larger than can be")
    if (octets < 0) return
    for (const stream of this.streams.snapshot()) this.#unstall(stream)
  }

  #unstall(stream: Stream<C>): void {
    if (!stream.isStalled || stream.sendWindow <= 0 || stream.isClosed || this.isFailed) return
    stream.isStalled = false
    this.owner.onWritable(stream)
  }

  /** Our settings are in force from here on (§6.5.3). */
  #onAcknowledged(): void {
    if (this.isAcknowledged) return
    this.isAcknowledged = true
    this.#decoder.setBound(this.settings.decoderTable)
    this.windows.acknowledge(this.streams.values())
  }

  #onPing(flags: number, octets: Buffer, start: number): void {
    if ((flags & ACK) === 0) {
      this.sender.output.ping(octets.subarray(start, start + 8), ACK)
      this.sender.output.controls++
      return this.#onProvoked()
    }
    if (PING_DRAIN.compare(octets, start, start + 8) === 0) {
      if (this.hasDrained && this.lastTaken === MOST_STREAM) this.goaway(this.streams.latest, NO_ERROR)
    } else if (PING_OWN.compare(octets, start, start + 8) === 0) this.owner.onPong()
  }

  #onGoaway(last: number, code: number): void {
    this.hasPeerGoneAway = true
    if (!this.isServer) {
      for (const stream of this.streams.snapshot()) {
        if (stream.id <= last || stream.isClosed) continue
        this.closeStream(stream, RESET_BY_PEER)
        this.owner.onReset(stream, REFUSED_STREAM, true)
      }
    }
    this.owner.onGoaway(last, code)
  }

  #onWindowUpdate(id: number, octets: number): void {
    this.#onNoise(1)
    if (this.isFailed) return
    const stream = this.streams.get(id)
    if (octets === 0) {
      if (id === 0) this.fail(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
      else if (stream !== undefined) this.#streamError(id, PROTOCOL_ERROR)
      return
    }
    if (id === 0) {
      if (!this.sender.widen(octets)) return this.fail(FLOW_CONTROL_ERROR, "window larger than can be")
      return this.giveTurns()
    }
    // §5.1: one for a stream that has just closed may still be under way.
    if (stream === undefined) return
    stream.sendWindow += octets
    if (stream.sendWindow > MOST_WINDOW) return this.#streamError(id, FLOW_CONTROL_ERROR)
    this.#unstall(stream)
  }
}
