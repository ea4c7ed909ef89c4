/** The streams of a connection: those that are open, how those before ended, and which numbers are next (RFC 9113 §5.1.1). */
import { ClosedStreams } from "./closed-streams.ts"
import { CLOSED, type Stream } from "./stream.ts"

export class Streams<C> {
  readonly #isServer: boolean
  readonly #open = new Map<number, Stream<C>>()
  readonly #closed = new ClosedStreams()
  /** The highest stream the client has opened here; a server's. */
  latest = 0
  /** The next one to open; a client's. */
  next = 1

  constructor(isServer: boolean) {
    this.#isServer = isServer
  }

  get size(): number {
    return this.#open.size
  }

  get(id: number): Stream<C> | undefined {
    return this.#open.get(id)
  }

  values(): Iterable<Stream<C>> {
    return this.#open.values()
  }

  /** For loops in which streams may end. */
  snapshot(): readonly Stream<C>[] {
    return [...this.#open.values()]
  }

  add(stream: Stream<C>): Stream<C> {
    this.#open.set(stream.id, stream)
    return stream
  }

  /** `how`: of closed-streams.ts. */
  close(stream: Stream<C>, how: number): void {
    stream.state = CLOSED
    this.#open.delete(stream.id)
    this.#closed.note(stream.id, how)
  }

  /** One that never was open ended. */
  note(id: number, how: number): void {
    this.#closed.note(id, how)
  }

  endOf(id: number): number {
    return this.#closed.endOf(id)
  }

  /** Never opened, so far. Nobody opens even ones: servers push nothing. */
  isIdle(id: number): boolean {
    if ((id & 1) === 0) return true
    return this.#isServer ? id > this.latest : id >= this.next
  }
}
