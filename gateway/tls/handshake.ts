/**
 * An accepted connection until it speaks TLS. The client's first message is read as it comes from the socket; it
 * chooses listener and context, of this moment; then TLS begins with that context, and what was read is handed to it.
 * A client that can not be served is told why as far as its protocol can say it, and counted.
 */
import type { Socket } from "node:net"
import { TLSSocket, type SecureContext } from "node:tls"
import type { Answer } from "../../bus/kinds/config.ts"
import { clock } from "../clock.ts"
import { answerText } from "../http1/write.ts"
import { readInto } from "../downstream/socket.ts"
import type { HttpServer } from "../server.ts"
import { slab } from "../slab.ts"
import { TlsMetrics, type HandshakeFailure } from "../telemetry/metrics.ts"
import { BROKEN, FOREIGN, PARTIAL, readHello } from "./hello.ts"

/** What a request needs to know of the TLS it came over. */
export interface Secure {
  /** As the client asked, lower case; "": it did not say. */
  readonly serverName: string
  /** `TLSv1.3` */
  readonly version: string
  /** The socket under it. */
  readonly transport: Socket
}

// RFC 8446 §6.2
const HANDSHAKE_FAILURE = 40
const DECODE_ERROR = 50
const UNRECOGNIZED_NAME = 112

/** A fatal alert before any version is agreed on. */
const alert = (description: number): Buffer => Buffer.from([21, 3, 3, 0, 2, 2, description])

const plainHttp: Answer = { status: 400, headers: [["Content-Type", "text/plain"]], body: "this port speaks TLS: use https\n" }

// Only what ends with the protocol is offered: RFC 7301 §3.2 refuses a client that wants nothing of it.
// In the order of our preference, which decides.
const ALPN = ["h2", "http/1.1"]

export class Handshake {
  /** Place in the server's list of connections. */
  index = 0
  /** Whom it counts for. */
  client = ""
  readonly isTunnel = false
  readonly #socket: Socket
  readonly #server: HttpServer
  readonly #metrics: TlsMetrics
  #received: Buffer | null = null
  #serverName = ""
  #tls: TLSSocket | null = null
  #deadline: number
  /** Refused; what the client still says is read until it ends. */
  #isOver = false

  constructor(socket: Socket, server: HttpServer) {
    this.#socket = socket
    this.#server = server
    this.#metrics = server.metrics.tls ??= new TlsMetrics()
    this.#deadline = server.after(server.settings.headTimeout)
    // The close that follows does the rest.
    socket.on("error", ignore)
    socket.on("close", this.#onClose)
    socket.on("end", this.#onEnd)
    readInto(socket, this)
  }

  readBuffer(): Buffer {
    return slab
  }

  onRead(buffer: Buffer, length: number): void {
    if (this.#isOver) return
    const data = buffer.subarray(0, length)
    const received = this.#received === null ? Buffer.from(data) : Buffer.concat([this.#received, data])
    this.#received = received
    const hello = readHello(received)
    if (hello === PARTIAL) return
    if (hello === FOREIGN) this.#refuseForeign(received)
    else if (hello === BROKEN) this.#refuse("malformed", alert(DECODE_ERROR))
    else {
      const presenter = this.#server.table().presenter(hello.serverName)
      const context = presenter?.find(hello.serverName) ?? null
      if (presenter === null) this.#refuse("no-listener", alert(UNRECOGNIZED_NAME))
      else if (context === null) this.#refuse("no-certificate", alert(HANDSHAKE_FAILURE))
      else {
        this.#serverName = hello.serverName
        this.#begin(context, received)
      }
    }
  }

  #begin(secureContext: SecureContext, received: Buffer): void {
    const socket = this.#socket
    socket.off("end", this.#onEnd)
    socket.pause()
    socket.unshift(received)
    this.#received = null
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ALPN })
    this.#tls = tls
    tls.on("secure", this.#onSecure)
    tls.on("error", this.#onError)
    tls.on("end", this.#onEnd)
  }

  readonly #onSecure = (): void => {
    const tls = this.#tls
    if (tls === null || this.#isOver) return
    this.#isOver = true
    const version = tls.getProtocol() ?? ""
    this.#metrics.done(version, tls.isSessionReused())
    tls.off("secure", this.#onSecure)
    tls.off("error", this.#onError)
    tls.off("end", this.#onEnd)
    // What breaks TLS later on (a record that was tampered with). As an error it would come only through tls.Server.
    tls.on("_tlsError", () => tls.destroy())
    this.#socket.off("close", this.#onClose)
    this.#server.onSecure(this, tls, { serverName: this.#serverName, version, transport: this.#socket }, tls.alpnProtocol === "h2")
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#fail(reasonOf(error.code ?? ""))
  }

  /** The client ended before it was secure. */
  readonly #onEnd = (): void => {
    if (this.#tls !== null || this.#received !== null) this.#fail("client-gone")
    if (this.#tls === null) this.#socket.end()
    else this.#tls.destroy()
  }

  readonly #onClose = (): void => {
    // A connection on which nothing was said is how others look whether the port is open.
    if (this.#tls !== null || this.#received !== null) this.#fail("client-gone")
    this.#tls?.destroy()
    this.#server.forget(this)
  }

  /** Counted once, whatever follows. */
  #fail(why: HandshakeFailure): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#metrics.failed(why)
  }

  #refuseForeign(received: Buffer): void {
    const first = received[0] ?? 0
    // A method: RFC 9110 §9.1 has them in capitals.
    if (first >= 65 && first <= 90) this.#refuse("plain-http", answerText(plainHttp, false, false, 1))
    else this.#refuse("not-tls", null)
  }

  #refuse(why: HandshakeFailure, lastWords: Buffer | string | null): void {
    this.#fail(why)
    this.#received = null
    this.#deadline = clock.now + this.#server.settings.drainTimeout
    if (lastWords === null) this.#socket.end()
    else this.#socket.end(lastWords)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** The process stops: who has begun is served yet, and who is new has a moment to begin. */
  onDrain(): void {
    if (this.#received === null && this.#tls === null) this.#deadline = this.#server.untilAsked(this.#deadline)
  }

  onDrained(): void {
    this.#socket.destroy()
  }

  check(now: number): void {
    if (this.#deadline === 0 || now < this.#deadline) return
    this.#fail("timeout")
    this.#socket.destroy()
  }
}

const ignore = (): undefined => undefined

const reasonOf = (code: string): HandshakeFailure => {
  switch (code) {
    case "ECONNRESET":
    case "EPIPE":
      return "client-gone"
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_VERSION_TOO_LOW":
      return "version"
    case "ERR_SSL_NO_SHARED_CIPHER":
    case "ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM":
    case "ERR_SSL_NO_SUITABLE_KEY_SHARE":
    case "ERR_SSL_NO_SUITABLE_GROUPS":
    case "ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS":
      return "cipher"
    case "ERR_SSL_NO_APPLICATION_PROTOCOL":
      return "protocol"
    default:
      return /^ERR_SSL_(?:SSL\/?)?(?:SSLV3|TLSV1|TLSV13)_ALERT_/.test(code) ? "refused-by-client" : "other"
  }
}
