/**
 * Accepted sockets read like upstream ones, by net's `onread`: no Buffer a read, no stream machinery (8 % of a small
 * request's CPU). net documents `onread` for sockets that connect; around an accepted one's handle a socket can be
 * made anew, which net does itself but documents not. Where that does not work the accepted socket serves, with `data`.
 */
import { Socket } from "node:net"
import { TLSSocket } from "node:tls"

export interface Reader {
  /** The buffer of the next read. Asked for once at the start and then after each read. */
  readBuffer(): Buffer
  /** `length` octets are in `buffer`, one that readBuffer() gave or another. */
  onRead(buffer: Buffer, length: number): void
}

/** `accepted` comes from a server with `pauseOnConnect`. Returns the socket to use instead of it; reading has begun. */
export const readInto = (accepted: Socket, reader: Reader): Socket => {
  if (accepted instanceof TLSSocket) {
    accepted.on("data", (chunk: Buffer) => reader.onRead(chunk, chunk.length)).resume()
    return accepted
  }
  const handle: unknown = Reflect.get(accepted, "_handle")
  if (typeof handle === "object" && handle !== null) {
    let current: Buffer
    const options = {
      handle,
      allowHalfOpen: accepted.allowHalfOpen,
      onread: {
        buffer: () => (current = reader.readBuffer()),
        callback: (length: number) => {
          reader.onRead(current, length)
          return true
        },
      },
    }
    const socket: Socket = Reflect.construct(Socket, [options])
    if (Reflect.get(socket, "_handle") === handle) {
      // The shell that is left tells its server that it is gone.
      Reflect.set(accepted, "_handle", null)
      accepted.destroy()
      return socket
    }
  }
  accepted.on("data", (chunk: Buffer) => reader.onRead(chunk, chunk.length)).resume()
  return accepted
}

/**
 * Octets of the write in progress that the kernel has not taken: falls while the other side takes any, unlike
 * writableLength, which falls when all are gone. net's own time-outs look at this, undocumented; 0 where it is not there.
 */
export const queuedOctets = (socket: Socket): number => {
  const handle: unknown = Reflect.get(socket, "_handle")
  const size: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "writeQueueSize") : 0
  return typeof size === "number" ? size : 0
}
