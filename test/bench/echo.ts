/**
 * A backend that says what it is told: content once it is complete, WebSocket messages as they come. On raw sockets, to
 * leave the core to the load: `echo.ts <address> <port>`. It knows as much of HTTP as the benches send.
 */
import { createHash } from "node:crypto"
import { createServer, type Socket } from "node:net"

const [address = "", port = ""] = process.argv.slice(2)
const END_OF_HEAD = Buffer.from("\r\n\r\n")

const field = (head: string, name: string) => new RegExp(`\\r\\n${name}: *([^\\r]*)`, "i").exec(head)?.[1]

class Conversation {
  readonly #socket: Socket
  #isTunnel = false
  #parts: Buffer[] = []
  #size = 0
  /** Octets of head and content together; 0: the head is not complete. */
  #whole = 0
  #contentAt = 0

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on("error", () => socket.destroy())
    socket.on("data", (data: Buffer) => this.#onData(data))
  }

  #onData(data: Buffer) {
    this.#parts.push(data)
    this.#size += data.length
    if (this.#isTunnel) return this.#echoFrames()
    if (this.#whole === 0) this.#readHead()
    if (this.#whole > 0 && this.#size >= this.#whole) this.#answer()
  }

  #take(): Buffer {
    const [first] = this.#parts
    const all = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts, this.#size)
    this.#parts = []
    this.#size = 0
    return all
  }

  #keep(rest: Buffer) {
    if (rest.length === 0) return
    this.#parts.push(rest)
    this.#size = rest.length
  }

  #readHead() {
    const received = this.#take()
    this.#keep(received)
    const end = received.indexOf(END_OF_HEAD)
    if (end < 0) return
    const head = received.toString("latin1", 0, end)
    const key = field(head, "sec-websocket-key")
    if (key === undefined) {
      this.#contentAt = end + 4
      this.#whole = this.#contentAt + Number(field(head, "content-length") ?? 0)
      return
    }
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
    this.#socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
    this.#isTunnel = true
    this.#keep(this.#take().subarray(end + 4))
    this.#echoFrames()
  }

  #answer() {
    const received = this.#take()
    this.#keep(received.subarray(this.#whole))
    this.#socket.cork()
    this.#socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${this.#whole - this.#contentAt}\r\n\r\n`, "latin1")
    this.#socket.write(received.subarray(this.#contentAt, this.#whole))
    this.#socket.uncork()
    this.#whole = 0
  }

  /** Messages below 126 octets, each a frame, masked by the client (RFC 6455 §5.2). */
  #echoFrames() {
    const received = this.#take()
    let at = 0
    while (received.length - at >= 6) {
      const length = (received[at + 1] ?? 0) & 127
      const next = at + 6 + length
      if (received.length < next) break
      const reply = Buffer.allocUnsafe(2 + length)
      reply[0] = received[at] ?? 0
      reply[1] = length
      for (let i = 0; i < length; i++) reply[2 + i] = (received[at + 6 + i] ?? 0) ^ (received[at + 2 + (i & 3)] ?? 0)
      this.#socket.write(reply)
      at = next
    }
    this.#keep(received.subarray(at))
  }
}

createServer((socket) => void new Conversation(socket)).listen(Number(port), address)
