/** A WebSocket server on node:http's upgrade (RFC 6455): what comes goes back, frame by frame. */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type Server } from "node:http"
import type { Duplex } from "node:stream"

const CLOSE = 8
const PING = 9
const PONG = 10
/** 1001 */
const GOING_AWAY = Buffer.from([3, 233])

interface Frame {
  readonly isLast: boolean
  readonly opcode: number
  readonly payload: Buffer
}

/** Without a mask, as servers send. */
const encoded = ({ isLast, opcode, payload }: Frame): Buffer => {
  const { length } = payload
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  head[0] = (isLast ? 0x80 : 0) | opcode
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(length, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

/** The first frame of what has come; null: not all of it is there. A frame without a mask is an error (§5.1). */
const decoded = (buffer: Buffer): { readonly frame: Frame; readonly size: number } | null => {
  if (buffer.length < 2) return null
  const [first = 0, second = 0] = buffer
  if (second < 128) throw new Error("a client's frame is not masked")
  const short = second & 127
  const headSize = short < 126 ? 2 : short === 126 ? 4 : 10
  if (buffer.length < headSize + 4) return null
  const length = short < 126 ? short : short === 126 ? buffer.readUInt16BE(2) : Number(buffer.readBigUInt64BE(2))
  const size = headSize + 4 + length
  if (buffer.length < size) return null
  const key = buffer.subarray(headSize, headSize + 4)
  const payload = Buffer.from(buffer.subarray(headSize + 4, size))
  for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (key[i & 3] ?? 0)
  return { frame: { isLast: first >= 128, opcode: first & 15, payload }, size }
}

export interface Session {
  readonly request: IncomingMessage
  readonly socket: Duplex
  /** Status of the client's Close; undefined: none came. */
  closedWith: number | undefined
}

const upgradesOnly = (): Server => createServer((_request, response) => void response.writeHead(426, { connection: "Upgrade", upgrade: "websocket" }).end("upgrade"))

export interface EchoServer {
  readonly port: number
  readonly sessions: readonly Session[]
  /** Takes no more connections, and tells clients to go (Close 1001). Idle connections end. */
  goAway(): void
  stop(): Promise<void>
}

/** `server` answers what is no upgrade: 426 where none is given. Port 0: any. */
export const startEchoServer = async (server = upgradesOnly(), at: { readonly host: string; readonly port: number } = { host: "127.0.0.1", port: 0 }): Promise<EchoServer> => {
  const sessions: Session[] = []
  server.on("upgrade", (request, socket, head) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    const session: Session = { request, socket, closedWith: undefined }
    sessions.push(session)
    const parts: Buffer[] = [head]
    let gathered = head.length
    let wanted = 0
    const take = (): void => {
      if (gathered < wanted) return
      let rest = Buffer.concat(parts.splice(0))
      for (let found = decoded(rest); found !== null; found = decoded(rest)) {
        rest = rest.subarray(found.size)
        onFrame(found.frame)
      }
      parts.push(rest)
      gathered = rest.length
      // Of a large frame nothing is gathered anew before as much again has come.
      wanted = gathered * 2
      if (gathered >= 14 && ((rest[1] ?? 0) & 127) === 127) wanted = Number(rest.readBigUInt64BE(2)) + 14
    }
    const onFrame = (frame: Frame): void => {
      if (frame.opcode === PONG) return
      if (frame.opcode === CLOSE) {
        session.closedWith = frame.payload.length < 2 ? 1005 : frame.payload.readUInt16BE(0)
        socket.end(encoded(frame))
      } else if (frame.opcode === PING) socket.write(encoded({ ...frame, opcode: PONG }))
      else socket.write(encoded(frame))
    }
    socket.on("error", () => undefined)
    socket.on("data", (data: Buffer) => {
      parts.push(data)
      gathered += data.length
      take()
    })
    socket.on("end", () => socket.end())
    take()
  })
  await new Promise<void>((resolve) => server.listen(at, resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    port: address.port,
    sessions,
    goAway: () => {
      server.close()
      server.closeIdleConnections()
      for (const { socket } of sessions) if (!socket.destroyed) socket.end(encoded({ isLast: true, opcode: CLOSE, payload: GOING_AWAY }))
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const { socket } of sessions) socket.destroy()
        server.closeAllConnections()
      }),
  }
}
