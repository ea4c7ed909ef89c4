/**
 * What the peer may send (RFC 9113 §5.2, §6.9): a window opens again when half of it has been consumed. Content that
 * nobody will consume any more, and padding, count as consumed.
 */
import { DEFAULT_WINDOW } from "./frame.ts"
import type { Output } from "./output.ts"
import type { ConnectionSettings } from "./settings.ts"
import type { Stream } from "./stream.ts"

export class ReceiveWindows<C> {
  readonly #settings: ConnectionSettings
  readonly #output: Output
  #left: number
  /** Consumed and not yet announced. */
  #credit = 0
  /** Of a new stream: what the peer takes it for, which is what it has acknowledged. */
  initial = DEFAULT_WINDOW

  /** Announces the connection's window. */
  constructor(settings: ConnectionSettings, output: Output) {
    this.#settings = settings
    this.#output = output
    this.#left = Math.max(settings.connectionWindow, DEFAULT_WINDOW)
    if (this.#left > DEFAULT_WINDOW) output.windowUpdate(0, this.#left - DEFAULT_WINDOW)
  }

  /** Octets come. False: more than the connection's window. */
  take(octets: number): boolean {
    this.#left -= octets
    return this.#left >= 0
  }

  /** Octets of the connection were consumed. */
  credit(octets: number): void {
    this.#credit += octets
    if (this.#credit === 0 || 2 * this.#credit < this.#settings.connectionWindow) return
    this.#output.windowUpdate(0, this.#credit)
    this.#left += this.#credit
    this.#credit = 0
  }

  /** The same octets, of a stream. */
  creditStream(stream: Stream<C>, octets: number): void {
    if (stream.isRemoteClosed) return
    stream.credit += octets
    if (stream.credit === 0 || 2 * stream.credit < this.initial) return
    this.#output.windowUpdate(stream.id, stream.credit)
    stream.receiveWindow += stream.credit
    stream.credit = 0
  }

  /** The peer has acknowledged our INITIAL_WINDOW_SIZE (§6.9.2). */
  acknowledge(streams: Iterable<Stream<C>>): void {
    const change = this.#settings.streamWindow - this.initial
    this.initial = this.#settings.streamWindow
    for (const stream of streams) stream.receiveWindow += change
  }
}
