/**
 * What becomes of an exchange whose answer is 101: octets from each side to the other, as they come, until both have
 * ended, one has failed, or nothing has moved for too long. Each direction ends for itself; a side that takes nothing
 * pauses the other. What is kept is bounded by the sockets' marks (upstream 64 KiB, downstream settings.writeBytes) and
 * one read.
 *
 * The content is nobody's business here but for one thing: at the end of the process both sides are to hear Close 1001,
 * which may only stand between two frames. So headers of frames are read on the way (frames.ts).
 */
import { clock } from "../clock.ts"
import type { ClientConnection } from "../downstream/http1-connection.ts"
import type { TunnelEnd } from "../telemetry/metrics.ts"
import type { UpstreamConnection, UpstreamTunnel } from "../upstream/connection.ts"
import { READ_BYTES, slab } from "../slab.ts"
import { FrameReader, goingAway } from "./frames.ts"

/**
 * Up to here a read goes on as text, which a socket copies: nothing to keep until it is taken, no Buffer. Longer ones
 * are copied out of the slab, unless the read before filled it: then more is likely, and is read into a buffer that is
 * written as it is.
 */
const AS_TEXT = 16_384

export class Tunnel implements UpstreamTunnel {
  /** Octets from the client, and to it. */
  received = 0
  sent = 0
  /** The client's next octets had better be read into a buffer of their own. */
  isClientBulky = false
  readonly #client: ClientConnection
  readonly #upstream: UpstreamConnection
  readonly #onEnd: (end: TunnelEnd) => void
  readonly #fromClient = new FrameReader()
  readonly #fromBackend = new FrameReader()
  #hasClientEnded = false
  #hasBackendEnded = false
  /** Both sides are told to go: what still comes is for nobody. */
  #why: "idle" | "drained" | null = null
  #isOver = false
  /** 0: none. */
  #deadline: number
  #timer: NodeJS.Timeout | undefined

  /** `onEnd` is called once, when neither connection is the tunnel's any more. */
  constructor(client: ClientConnection, upstream: UpstreamConnection, onEnd: (end: TunnelEnd) => void) {
    this.#client = client
    this.#upstream = upstream
    this.#onEnd = onEnd
    this.#deadline = client.server.after(client.server.settings.tunnelIdle)
    client.server.metrics.tunnels++
    client.server.metrics.tunnelsOpened++
  }

  /** It was, before there was a tunnel. */
  onConnected(): void {}

  // === Client to backend

  onClientRead(buffer: Buffer, length: number): void {
    if (this.#why !== null) return
    this.received += length
    this.#client.server.metrics.tunnelReceived += length
    this.#moved()
    this.#fromClient.read(buffer, length)
    if (length <= AS_TEXT) this.#upstream.write(buffer.toString("latin1", 0, length))
    else this.#upstream.writeBuffer(buffer === slab ? Buffer.from(buffer.subarray(0, length)) : buffer.subarray(0, length))
    this.isClientBulky = length === READ_BYTES
    if (this.#upstream.isBlocked) this.#client.hold()
  }

  onWritable(): void {
    this.#moved()
    this.#client.goOn()
  }

  onClientEnd(): void {
    this.#hasClientEnded = true
    this.#moved()
    this.#upstream.end()
  }

  // === Backend to client

  /** See UpstreamUser.onRead for the buffer. */
  onRead(buffer: Buffer, length: number, isLent: boolean): boolean {
    if (this.#why !== null) return true
    const { socket, server, secure } = this.#client
    this.sent += length
    server.metrics.tunnelSent += length
    this.#moved()
    this.#fromBackend.read(buffer, length)
    let isReferenced = false
    if (length <= AS_TEXT) socket.write(buffer.toString("latin1", 0, length), "latin1")
    else if (isLent) socket.write(Buffer.from(buffer.subarray(0, length)))
    else {
      // TLS takes a copy, of what need not wait for an earlier write.
      isReferenced = secure === null || socket.writableLength > 0
      socket.write(buffer.subarray(0, length))
    }
    if (length === READ_BYTES) this.#upstream.wantOwnBuffer()
    else if (!isLent) this.#upstream.wantSharedBuffer()
    if (socket.writableLength <= (isReferenced ? 0 : server.settings.writeBytes)) return true
    this.#client.awaitFlush()
    return false
  }

  /** The client has taken what was written to it. */
  onFlushed(): void {
    this.#moved()
    this.#upstream.resume()
  }

  onUpstreamEnd(): void {
    this.#hasBackendEnded = true
    this.#moved()
    this.#client.socket.end()
  }

  // === The end

  #moved(): void {
    if (this.#why === null) this.#deadline = this.#client.server.after(this.#client.server.settings.tunnelIdle)
  }

  /** The backend's connection is closed, after its end or with an error. */
  onLost(): void {
    const isWhole = this.#hasBackendEnded || this.#why !== null
    this.#finish(this.#why ?? (isWhole ? "closed" : "backend-gone"))
    // What came before a backend's end still goes to the client; a failure is one for both.
    if (isWhole) this.#client.leaveTunnel()
    else this.#client.destroy()
  }

  /** The client's connection is closed. */
  onClientLost(): void {
    const isWhole = (this.#hasClientEnded && this.#hasBackendEnded) || this.#why !== null
    if (!isWhole || !this.#upstream.hasUnsent) this.#finish(this.#why ?? (isWhole ? "closed" : "client-gone"))
    // Its last words are still on their way; no clock but this one looks after them.
    else this.#timer ??= setTimeout(() => this.#finish(this.#why ?? "closed"), this.#client.server.settings.drainTimeout).unref()
  }

  /** Ends both directions, with Close 1001 where the stream allows one. */
  goAway(why: "idle" | "drained"): void {
    if (this.#why !== null || this.#isOver) return
    this.#why = why
    this.#deadline = clock.now + this.#client.server.settings.drainTimeout
    if (!this.#hasBackendEnded && mayClose(this.#fromBackend)) this.#client.socket.write(goingAway("client"))
    if (!this.#hasClientEnded && mayClose(this.#fromClient)) this.#upstream.writeBuffer(goingAway("backend"))
    this.#client.socket.end()
    this.#upstream.end()
    this.#client.goOn()
    this.#upstream.resume()
  }

  /** Called several times a second. */
  check(now: number): void {
    if (this.#deadline === 0 || now < this.#deadline) return
    if (this.#why === null) this.goAway("idle")
    else this.#client.destroy()
  }

  #finish(end: TunnelEnd): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    const { metrics } = this.#client.server
    metrics.tunnels--
    metrics.tunnelEnded(end)
    this.#onEnd(end)
  }
}

const mayClose = (frames: FrameReader): boolean => frames.isBetween && !frames.hasClosed
