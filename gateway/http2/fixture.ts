/** For tests: frames by hand, an owner that writes down what it is told, and two connections back to back. */
import type { Socket } from "node:net"
import { Connection } from "./connection.ts"
import { errorName } from "./error-code.ts"
import { FieldList } from "./field-list.ts"
import { ACK, DATA, END_HEADERS, FRAME_HEAD_OCTETS, HEADERS, PREFACE, SETTINGS } from "./frame.ts"
import { HpackDecoder } from "./hpack/decoder.ts"
import { HpackEncoder } from "./hpack/encoder.ts"
import type { MessageHead } from "./message.ts"
import type { ConnectionOwner, Refusal } from "./owner.ts"
import { defaults, type ConnectionSettings } from "./settings.ts"
import type { Stream } from "./stream.ts"

export type Fields = readonly (readonly [string, string])[]

export const fieldList = (fields: Fields): FieldList => {
  const list = new FieldList()
  for (const [name, value] of fields) list.add(name, value)
  return list
}

export const frame = (type: number, flags: number, stream: number, payload: Buffer | readonly number[] = []): Buffer => {
  const body = Buffer.from(payload)
  const head = Buffer.alloc(FRAME_HEAD_OCTETS)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

/** Four octets, big-endian. */
export const u32 = (value: number): Buffer => {
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(value)
  return octets
}

export const settingsFrame = (...pairs: readonly (readonly [number, number])[]): Buffer =>
  frame(SETTINGS, 0, 0, Buffer.concat(pairs.map(([identifier, value]) => Buffer.concat([Buffer.from([identifier >> 8, identifier & 255]), u32(value)]))))

/** What a peer says first, as a server expects it. */
export const hello = Buffer.concat([PREFACE, settingsFrame(), frame(SETTINGS, ACK, 0)])

export const request = (path = "/", ...others: Fields): Fields => [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", path], ...others]
export const post = (...others: Fields): Fields => [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "/"], ...others]

/** One peer's field blocks: its table lives as long as the connection. */
export class Blocks {
  readonly #encoder = new HpackEncoder()

  block(fields: Fields): Buffer {
    const length = this.#encoder.encode(fieldList(fields))
    return Buffer.from(this.#encoder.octets.subarray(0, length))
  }

  headers(stream: number, fields: Fields, flags: number): Buffer {
    return frame(HEADERS, flags | END_HEADERS, stream, this.block(fields))
  }
}

export interface Sent {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** Frames of an output, without a preface. */
export const framesIn = (octets: Buffer): readonly Sent[] => {
  const frames: Sent[] = []
  let at = octets.subarray(0, PREFACE.length).equals(PREFACE) ? PREFACE.length : 0
  while (at < octets.length) {
    const length = octets.readUIntBE(at, 3)
    frames.push({ type: octets[at + 3] ?? 0, flags: octets[at + 4] ?? 0, stream: octets.readUInt32BE(at + 5), payload: octets.subarray(at + FRAME_HEAD_OCTETS, at + FRAME_HEAD_OCTETS + length) })
    at += FRAME_HEAD_OCTETS + length
  }
  return frames
}

const shown = (fields: FieldList): string => [...fields].map(([name, value]) => `${name}=${value}`).join(" ")

/** Writes down what it is told, one line each; content of one stream that follows itself in one. Consumes at once what it gets. */
export class Recorder implements ConnectionOwner<string> {
  readonly events: string[] = []
  isConsuming = true
  connection: Connection<string> | null = null
  readonly streams = new Map<number, Stream<string>>()
  #content: { readonly stream: number; text: string } | null = null

  #note(event: string): void {
    this.#flush()
    this.events.push(event)
  }

  #flush(): void {
    if (this.#content !== null) this.events.push(`data ${this.#content.stream} ${this.#content.text}`)
    this.#content = null
  }

  get log(): readonly string[] {
    this.#flush()
    return this.events
  }

  onRequest(stream: Stream<string>, fields: FieldList, _: MessageHead, isEnd: boolean): void {
    this.streams.set(stream.id, stream)
    this.#note(`request ${stream.id} ${shown(fields)}${isEnd ? " end" : ""}`)
  }

  onResponse(stream: Stream<string>, fields: FieldList, _: MessageHead, isEnd: boolean): void {
    this.#note(`response ${stream.id} ${shown(fields)}${isEnd ? " end" : ""}`)
  }

  onData(stream: Stream<string>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    if (this.#content?.stream !== stream.id) this.#flush()
    this.#content ??= { stream: stream.id, text: "" }
    this.#content.text += octets.toString("latin1", start, end)
    if (isEnd) this.#note(`end ${stream.id}`)
    if (this.isConsuming) this.connection?.consumed(stream, end - start)
  }

  onTrailers(stream: Stream<string>, fields: FieldList): void {
    this.#note(`trailers ${stream.id} ${shown(fields)}`)
  }

  onReset(stream: Stream<string>, code: number, isByPeer: boolean): void {
    this.#note(`reset ${stream.id} ${errorName(code)}${isByPeer ? " by peer" : ""}`)
  }

  onWritable(stream: Stream<string>): void {
    this.#note(`writable ${stream.id}`)
  }

  onRefused(refusal: Refusal): void {
    this.#note(`refused ${refusal}`)
  }

  onGoaway(last: number, code: number): void {
    this.#note(`goaway ${last} ${errorName(code)}`)
  }

  onPong(): void {
    this.#note("pong")
  }

  onFail(code: number, reason: string): void {
    this.#note(`fail ${errorName(code)}: ${reason}`)
  }

  onOutput(): void {
    // Taken by the test.
  }
}

/** One connection with a recorder for its owner, and its peer by hand. */
export class Scene {
  readonly owner = new Recorder()
  readonly connection: Connection<string>
  readonly blocks = new Blocks()
  readonly #decoder = new HpackDecoder()
  now = 0

  constructor(isServer = true, settings: Partial<ConnectionSettings> = {}) {
    this.connection = this.owner.connection = new Connection<string>(isServer, { ...defaults, ...settings }, this.owner)
  }

  /** With the greetings done. */
  static greeted(isServer = true, settings: Partial<ConnectionSettings> = {}): Scene {
    const scene = new Scene(isServer, settings)
    scene.receive(isServer ? hello : hello.subarray(PREFACE.length))
    scene.take()
    return scene
  }

  receive(...pieces: readonly Buffer[]): this {
    for (const piece of pieces) this.connection.receive(piece, 0, piece.length, this.now)
    return this
  }

  /** A request by its fields. */
  request(stream: number, fields: Fields, flags: number): this {
    return this.receive(this.blocks.headers(stream, fields, flags))
  }

  take(): readonly Sent[] {
    return framesIn(Buffer.from(this.connection.takeOutput()))
  }

  /** What has been sent, one line a frame: type, stream and what matters of it. */
  sent(): readonly string[] {
    return this.take().map(({ type, flags, stream, payload }) => {
      const name = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"][type] ?? String(type)
      if (type === HEADERS) {
        const fields = new FieldList()
        this.#decoder.decode(payload, 0, payload.length, fields)
        return `${name} ${stream} ${shown(fields)}${(flags & 1) === 0 ? "" : " end"}`
      }
      if (type === DATA) return `${name} ${stream} ${payload.length}${(flags & 1) === 0 ? "" : " end"}`
      if (type === 3) return `${name} ${stream} ${errorName(payload.readUInt32BE())}`
      if (type === 7) return `${name} ${payload.readUInt32BE()} ${errorName(payload.readUInt32BE(4))}`
      if (type === 8) return `${name} ${stream} ${payload.readUInt32BE()}`
      return `${name}${(flags & ACK) === 0 ? "" : " ack"}`
    })
  }
}

/** Drives a connection over a socket, as an owner must: one write a tick, the next when that is written. */
export class Wire<C> {
  readonly socket: Socket
  readonly connection: Connection<C>
  #isScheduled = false
  #isWriting = false

  constructor(socket: Socket, connect: (onOutput: () => void) => Connection<C>) {
    this.socket = socket
    this.connection = connect(() => this.#schedule())
    socket.on("data", (octets: Buffer) => {
      this.connection.receive(octets, 0, octets.length, performance.now())
      if (this.connection.isCongested) socket.pause()
    })
    socket.on("close", () => this.connection.close())
    socket.on("error", () => undefined)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isWriting) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.connection.pendingOctets === 0) return
    this.#isWriting = true
    this.socket.write(this.connection.takeOutput(), () => {
      this.#isWriting = false
      this.connection.onFlushed()
      if (!this.connection.isCongested) this.socket.resume()
      if (this.connection.isFailed) this.socket.end()
      else if (this.connection.pendingOctets > 0) this.#schedule()
    })
  }
}
