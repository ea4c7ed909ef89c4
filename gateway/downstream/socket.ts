/**
 * Accepted sockets read like upstream ones, by net's `onread`: no Buffer a read, no stream machinery (8 % of a small
 * request's CPU). net documents `onread` for sockets that connect. What it keeps of the option in such a socket can be
 * given to another one, in clear or TLS; where that does not work the socket serves with `data`.
 */
import { Socket } from "node:net"

export interface Reader {
  /** The buffer of the next read. Asked for once at the start and then after each read. */
  readBuffer(): Buffer
  /** `length` octets are in `buffer`, one that readBuffer() gave or another. */
  onRead(buffer: Buffer, length: number): void
}

/** Where net keeps the option: the buffer in use, who takes a read, who gives the next buffer. */
const places = (() => {
  const buffer = Buffer.alloc(1)
  const next = (): Buffer => buffer
  const callback = (): boolean => true
  const example = new Socket({ onread: { buffer: next, callback } })
  const holding = (value: unknown): symbol | undefined => Object.getOwnPropertySymbols(example).find((key) => Reflect.get(example, key) === value)
  // Until it has a handle, true stands for the buffer.
  const inUse = Object.getOwnPropertySymbols(example).find((key) => key.description === "kBuffer")
  const takes = holding(callback)
  const gives = holding(next)
  return inUse === undefined || takes === undefined || gives === undefined ? undefined : { inUse, takes, gives }
})()

/** Begins to read. `socket` is from a server with `pauseOnConnect`, or a TLS socket in the tick in which it became secure. */
export const readInto = (socket: Socket, reader: Reader): void => {
  const handle: unknown = Reflect.get(socket, "_handle")
  const use: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "useUserBuffer") : undefined
  if (places === undefined || typeof use !== "function") {
    socket.on("data", (chunk: Buffer) => reader.onRead(chunk, chunk.length))
  } else {
    const buffer = reader.readBuffer()
    Reflect.set(socket, places.inUse, buffer)
    Reflect.set(socket, places.gives, () => reader.readBuffer())
    Reflect.set(socket, places.takes, (length: number, filled: Buffer) => {
      reader.onRead(filled, length)
      return true
    })
    Reflect.apply(use, handle, [buffer])
  }
  socket.resume()
}

/** Another reader takes the place of the one that readInto() gave, from the next buffer on. */
export const readOnInto = (socket: Socket, reader: Reader): void => {
  if (places === undefined || typeof Reflect.get(socket, places.takes) !== "function") {
    socket.removeAllListeners("data")
    socket.on("data", (chunk: Buffer) => reader.onRead(chunk, chunk.length))
    return
  }
  Reflect.set(socket, places.gives, () => reader.readBuffer())
  Reflect.set(socket, places.takes, (length: number, filled: Buffer) => {
    reader.onRead(filled, length)
    return true
  })
}

/** IPv4 in IPv6 clothes (a dual-stack socket) as IPv4. */
export const peerAddress = (socket: Socket): string => {
  const address = socket.remoteAddress ?? "unknown"
  return address.startsWith("::ffff:") ? address.slice(7) : address
}

/**
 * Octets that the kernel has taken so far: grows while the other side takes any, also in the middle of a write, which
 * counts as a whole in writableLength. net's own time-outs look at this, undocumented; 0 where it is not there.
 */
export const takenOctets = (socket: Socket): number => {
  const handle: unknown = Reflect.get(socket, "_handle")
  if (typeof handle !== "object" || handle === null) return 0
  const written: unknown = Reflect.get(handle, "bytesWritten")
  const queued: unknown = Reflect.get(handle, "writeQueueSize")
  return typeof written === "number" && typeof queued === "number" ? written - queued : 0
}
