/**
 * What goes out on a connection: field sections and content, within the windows of the peer (RFC 9113 §5.2, §6.9) and
 * within what has not been written yet. Content that does not fit stays with the owner of its stream.
 */
import { CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, FRAME_HEAD_OCTETS, HEADERS, LEAST_FRAME_OCTETS, MOST_WINDOW } from "./frame.ts"
import type { FieldList } from "./field-list.ts"
import { HpackEncoder } from "./hpack/encoder.ts"
import { Output } from "./output.ts"
import { PeerSettings, type ConnectionSettings } from "./settings.ts"
import type { Stream } from "./stream.ts"

export class Sender<C> {
  readonly output = new Output()
  readonly peer = new PeerSettings()
  /** The connection's: octets of content that may go out. */
  window = DEFAULT_WINDOW
  /** DATA frames sent. */
  frames = 0
  /** … and octets in them. */
  octets = 0
  readonly #settings: ConnectionSettings
  readonly #encoder: HpackEncoder
  /** Streams with more to send than the connection could take, in the order of their turns. */
  readonly #waiting = new Set<Stream<C>>()

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
    this.#encoder = new HpackEncoder(settings.encoderTable)
  }

  /** Streams that wait for the connection's window, or for what was written to be taken. */
  get waiting(): number {
    return this.#waiting.size
  }

  headers(stream: number, fields: FieldList, isEnd: boolean): void {
    const length = this.#encoder.encode(fields)
    const { octets } = this.#encoder
    const { output } = this
    const most = this.#frameOctets
    const first = Math.min(length, most)
    output.frame(first, HEADERS, (isEnd ? END_STREAM : 0) | (first === length ? END_HEADERS : 0), stream)
    output.add(octets, 0, first)
    for (let at = first; at < length; at += most) {
      const to = Math.min(length, at + most)
      output.frame(to - at, CONTINUATION, to === length ? END_HEADERS : 0, stream)
      output.add(octets, at, to)
    }
  }

  /**
   * Sends of octets start … end what may go now, and END_STREAM after the last one if `isEnd`. Returns up to where. Where
   * that is less, the stream gets a turn (onWritable) when more may go.
   */
  data(stream: Stream<C>, octets: Buffer, start: number, end: number, isEnd: boolean): number {
    const { output } = this
    if (start === end) {
      // Without content no window counts.
      if (isEnd) output.frame(0, DATA, END_STREAM, stream.id)
      return end
    }
    // While others wait, a turn is one frame.
    const turn = this.#waiting.size > 0 ? this.#frameOctets : Infinity
    let at = start
    while (at < end && at - start < turn) {
      const size = Math.min(end - at, this.#frameOctets, stream.sendWindow, this.#room)
      if (size <= 0) break
      output.frame(size, DATA, isEnd && at + size === end ? END_STREAM : 0, stream.id)
      output.add(octets, at, at + size)
      stream.sendWindow -= size
      this.window -= size
      this.frames++
      this.octets += size
      at += size
    }
    if (at < end) this.#await(stream)
    return at
  }

  #await(stream: Stream<C>): void {
    if (stream.sendWindow <= 0) stream.isStalled = true
    else this.#waiting.add(stream)
  }

  /** The peer has made the connection's window larger. False: larger than can be. */
  widen(octets: number): boolean {
    this.window += octets
    return this.window <= MOST_WINDOW
  }

  /** The peer has changed INITIAL_WINDOW_SIZE. False: a window would become larger than can be (§6.9.2). */
  shift(streams: Iterable<Stream<C>>, octets: number): boolean {
    for (const stream of streams) {
      stream.sendWindow += octets
      if (stream.sendWindow > MOST_WINDOW) return false
    }
    return true
  }

  /** One of the peer's SETTINGS has come, to be acknowledged with the others of its frame. */
  obey(): void {
    this.#encoder.setBound(this.peer.tableOctets)
  }

  forget(stream: Stream<C>): void {
    this.#waiting.delete(stream)
  }

  /** Turns, as long as anything may go. Who sends nothing in its turn waits no longer. */
  giveTurns(onWritable: (stream: Stream<C>) => void): void {
    while (this.#waiting.size > 0 && this.#room > 0) {
      for (const stream of this.#waiting) {
        this.#waiting.delete(stream)
        onWritable(stream)
        break
      }
    }
  }

  get #frameOctets(): number {
    return Math.min(this.peer.frameOctets, LEAST_FRAME_OCTETS)
  }

  get #room(): number {
    return Math.min(this.window, this.#settings.outputOctets - this.output.length - FRAME_HEAD_OCTETS)
  }
}
