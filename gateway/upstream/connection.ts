/**
 * One connection of HTTP/1.1 to an endpoint: raw socket, one request at a time.
 *
 * Reads come through net's documented `onread`: no Buffer a read, no stream machinery. Its dangers, each tested in
 * test/proxy/bulk.test.ts: a read buffer is overwritten by the next read. So
 *   1. all sockets share one slab, whose octets must be copied or written out before onRead returns;
 *   2. for bulk a connection gets a buffer of its own (wantOwnBuffer), which may be handed to write() only if reading
 *      stays paused until that write is flushed (onRead returns false, later resume());
 *   3. and a connection that goes back to its pool with such a write unflushed leaves that buffer to it: net asks for
 *      the next buffer when the callback in which the response ended returns, and then gets the slab.
 */
import net from "node:net"
import { giveBuffer, slab, takeBuffer } from "../slab.ts"
import type { Http1Endpoint } from "./http1-endpoint.ts"
import type { OctetUser, UpstreamSide } from "./upstream.ts"

/** Who uses a connection after 101: each direction ends for itself. */
export interface UpstreamTunnel extends OctetUser {
  /** The peer will say nothing more; what is written still reaches it. onLost follows when both directions have ended. */
  onUpstreamEnd(): void
}

export class UpstreamConnection implements UpstreamSide {
  readonly version = 1
  readonly endpoint: Http1Endpoint
  user: OctetUser | null
  isConnected = false
  /** It has carried a request before: when it is lost without a word, it may have been stale. */
  isReused = false
  isOpen = true
  /** When it went idle, in the pool's clock. */
  idleSince = 0
  readonly #socket: net.Socket
  #ownBuffer: Buffer | null = null
  #readsOwn = false
  /** See freeBuffer(). */
  #isFree = false
  /** The user paused it. */
  #isHeld = false
  #current: Buffer = slab
  #tunnel: UpstreamTunnel | null = null

  constructor(endpoint: Http1Endpoint, user: OctetUser) {
    this.endpoint = endpoint
    this.user = user
    const socket = net.connect({
      host: endpoint.address,
      port: endpoint.port,
      noDelay: true,
      onread: {
        buffer: () => (this.#current = this.#readsOwn ? (this.#ownBuffer ??= takeBuffer()) : this.#share()),
        callback: (length) => this.#onRead(length),
      },
    })
    this.#socket = socket
    socket.on("connect", () => {
      this.isConnected = true
      this.user?.onConnected()
    })
    socket.on("drain", () => this.user?.onWritable())
    socket.on("end", () => (this.#tunnel === null ? this.#onLost(null) : this.#tunnel.onUpstreamEnd()))
    socket.on("error", (error) => this.#onLost(error))
    socket.on("close", () => this.#onLost(null))
  }

  write(text: string): void {
    this.#socket.write(text, "latin1")
  }

  /** The buffer must stay as it is until the write is flushed. */
  writeBuffer(buffer: Buffer): void {
    this.#socket.write(buffer)
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  /** More is written than the stream's mark: onWritable will follow. */
  get isBlocked(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** Octets are written that the kernel has not taken. */
  get hasUnsent(): boolean {
    return this.isOpen && this.#socket.writableLength > 0
  }

  /** From here on octets of any protocol, until it closes: it never goes back to its pool. */
  becomeTunnel(tunnel: UpstreamTunnel): void {
    this.user = this.#tunnel = tunnel
    this.#socket.allowHalfOpen = true
  }

  /** This side of a tunnel will say nothing more. */
  end(): void {
    this.#socket.end()
  }

  resume(): void {
    this.#isHeld = false
    this.#socket.resume()
  }

  /** From the next read on octets come in a buffer of this connection's own (danger 2), until it is idle. */
  wantOwnBuffer(): void {
    this.#readsOwn = true
  }

  /** … no longer. */
  wantSharedBuffer(): void {
    this.#readsOwn = false
  }

  giveUp(): void {
    this.#onLost(Object.assign(new Error("connect timed out"), { code: "ETIMEDOUT" }))
  }

  release(isReusable: boolean): void {
    this.endpoint.release(this, isReusable)
  }

  /** Takes part in no exchange any more; reading goes on so that an end or an unasked octet is noticed. */
  becomeIdle(now: number): void {
    this.user = null
    this.isReused = true
    this.idleSince = now
    this.#readsOwn = false
    if (this.#isHeld) this.resume()
  }

  /** Idempotent. No event reaches the user afterwards. */
  destroy(): void {
    this.user = null
    if (!this.isOpen) return
    this.isOpen = false
    this.#socket.destroy()
    this.endpoint.onClosed(this)
  }

  /** Nothing refers to what was read last: its buffer may serve another connection. */
  freeBuffer(): void {
    this.#isFree = true
  }

  #share(): Buffer {
    if (this.#ownBuffer !== null && this.#isFree) giveBuffer(this.#ownBuffer)
    this.#ownBuffer = null
    this.#isFree = false
    return slab
  }

  #onRead(length: number): boolean {
    const { user } = this
    if (user !== null) {
      const goesOn = user.onRead(this.#current, length, this.#current === slab)
      this.#isHeld = !goesOn
      return goesOn
    }
    // An octet that answers nothing: what follows on this connection cannot be trusted.
    this.destroy()
    return false
  }

  #onLost(error: NodeJS.ErrnoException | null): void {
    const { user } = this
    this.destroy()
    user?.onLost(error)
  }
}
