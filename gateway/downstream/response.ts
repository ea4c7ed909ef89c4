/** The response on its way to the client: head and what came with it in one write, then the body as it comes. */
import { BodyReader } from "../http1/body.ts"
import { CHUNKED, INCOMPLETE, REFUSED, UNTIL_CLOSE } from "../http1/head.ts"
import { ResponseHead } from "../http1/response.ts"
import { AS_IS, TO_CHUNKS, TO_CLOSE, TO_TUNNEL, responseText } from "../http1/write.ts"
import type { ClientConnection } from "./connection.ts"

/** Up to here a body travels in the string of the head: one write, nothing to keep until it is flushed. */
const IN_HEAD = 16_384
const LAST_CHUNK = "0\r\n\r\n"

/** What onRead found. */
export const MORE = 0 // more is to come
export const DONE = 1 // the response is complete
export const BAD = 2 // it is not a response: see hasBegun for whether the client has seen any
export const HELD = 3 // more is to come; reading pauses until the client has taken what it got
export const UPGRADED = 4 // 101: nothing of it has gone to the client
export const REPEATED = 5 // its status is one after which the request is sent again: the client sees nothing of it

export class ResponseRelay {
  readonly head = new ResponseHead()
  /** The final head has gone to the client. */
  hasBegun = false
  /** Octets came from this attempt's connection. */
  hasReceived = false
  /** What the client was told. */
  isPersistent = true
  /** An interim 100 has gone to the client. */
  hasContinued = false
  readonly #client: ClientConnection
  readonly #body = new BodyReader()
  #mode = AS_IS
  /** Start of a head, copied: the slab is not ours. */
  #partial: Buffer | null = null
  #tail: Buffer | null = null

  constructor(client: ClientConnection) {
    this.#client = client
  }

  start(): void {
    this.hasBegun = this.hasReceived = this.hasContinued = false
    this.isPersistent = true
    this.#partial = this.#tail = null
    this.#mode = AS_IS
    this.#body.start(0, 0, false)
    this.head.status = 0
  }

  /** Another attempt. */
  restart(): void {
    this.hasReceived = false
    this.#partial = null
  }

  get bytes(): number {
    return this.#body.received
  }

  /** The body is so long that a buffer of its own pays. */
  get isBulk(): boolean {
    return this.#body.remaining > IN_HEAD
  }

  /** See UpstreamUser.onRead for the buffer. */
  onRead(buffer: Buffer, length: number, isLent: boolean): number {
    this.hasReceived = true
    if (this.hasBegun) return this.#relay(buffer, 0, length, "", isLent)
    let octets = buffer
    let end = length
    if (this.#partial !== null) {
      octets = Buffer.concat([this.#partial, buffer.subarray(0, length)])
      end = octets.length
      isLent = false
      this.#partial = null
    }
    return this.#readHead(octets, end, isLent)
  }

  #readHead(buffer: Buffer, end: number, isLent: boolean): number {
    const { head } = this
    const request = this.#client.head
    let at = 0
    for (;;) {
      const after = head.parse(buffer, at, end, this.#client.server.settings, request.method)
      if (after === REFUSED) return BAD
      if (after === INCOMPLETE) {
        this.#partial = Buffer.from(buffer.subarray(at, end))
        return MORE
      }
      at = after
      if (head.status >= 200) break
      if (head.status === 101) {
        if (at < end) this.#tail = Buffer.from(buffer.subarray(at, end))
        return UPGRADED
      }
      this.#interim()
    }
    if (this.#client.exchange.isRepeatedAfter(head.status)) {
      this.#body.start(head.body, head.length, false)
      if (this.#body.read(buffer, at, end) < end || !this.#body.isDone) head.isPersistent = false
      this.#body.start(0, 0, false)
      return REPEATED
    }
    return this.#begin(buffer, at, end, isLent)
  }

  /** RFC 9110 §15.2: forwarded, but never to HTTP/1.0; nor gathered for a client that takes nothing. */
  #interim(): void {
    const { head, socket, server } = this.#client
    if (head.minor === 0 || socket.writableLength > 2 * server.settings.writeBytes) return
    if (this.head.status === 100) this.hasContinued = true
    socket.write(responseText(this.head, null, AS_IS, true, 1), "latin1")
  }

  /** After UPGRADED: the client is told. Returns what came with the head, of the new protocol; null: nothing. */
  switchProtocols(): Buffer | null {
    const tail = this.#tail
    this.#tail = null
    this.hasBegun = true
    this.#client.socket.write(responseText(this.head, this.#client.exchange.responseEdits(this.head), TO_TUNNEL, true, 1), "latin1")
    return tail
  }

  #begin(buffer: Buffer, at: number, end: number, isLent: boolean): number {
    const { head } = this
    const client = this.#client
    const { minor } = client.head
    this.#mode = head.body === UNTIL_CLOSE ? (minor === 1 ? TO_CHUNKS : TO_CLOSE) : head.body === CHUNKED && minor === 0 ? TO_CLOSE : AS_IS
    this.isPersistent = this.#mode !== TO_CLOSE && client.exchange.mayPersist()
    this.#body.start(head.body, head.length, this.#mode === TO_CLOSE, head.options)
    const text = responseText(head, client.exchange.responseEdits(head), this.#mode, this.isPersistent, minor)
    this.hasBegun = true
    if (at === end) {
      client.socket.write(text, "latin1")
      return this.#body.isDone ? DONE : MORE
    }
    // More than the response: RFC 9112 §6.3, not to be taken for another one.
    if (this.#body.isDone) {
      client.socket.write(text, "latin1")
      head.isPersistent = false
      return DONE
    }
    return this.#relay(buffer, at, end, text, isLent)
  }

  /** `text`, if any, goes before the octets. */
  #relay(buffer: Buffer, at: number, end: number, text: string, isLent: boolean): number {
    const body = this.#body
    const { socket } = this.#client
    const next = body.read(buffer, at, end)
    const { spans } = body
    if (body.fault !== null) {
      if (text !== "") socket.write(text, "latin1")
      return BAD
    }
    if (next < end) this.head.isPersistent = false
    let size = 0
    for (let i = 0; i < spans.length; i += 2) size += (spans[i + 1] ?? 0) - (spans[i] ?? 0)
    const before = this.#mode === TO_CHUNKS && size > 0 ? `${text}${size.toString(16)}\r\n` : text
    let after = this.#mode === TO_CHUNKS && size > 0 ? "\r\n" : ""
    if (body.isDone && body.kind === CHUNKED && body.trailers !== null && this.#mode === AS_IS) after = `${body.trailers}\r\n`
    // TLS takes a copy, of what need not wait for an earlier write.
    const isCopied = this.#client.secure !== null && socket.writableLength === 0
    let isReferenced = false
    if (size <= IN_HEAD && (text !== "" || isLent || spans.length > 2)) {
      let out = before
      for (let i = 0; i < spans.length; i += 2) out += buffer.toString("latin1", spans[i], spans[i + 1])
      out += after
      if (out !== "") socket.write(out, "latin1")
    } else {
      isReferenced = !isLent && !isCopied
      const isMany = before !== "" || after !== "" || spans.length > 2
      if (isMany) socket.cork()
      if (before !== "") socket.write(before, "latin1")
      for (let i = 0; i < spans.length; i += 2) {
        const span = buffer.subarray(spans[i], spans[i + 1])
        socket.write(isLent ? Buffer.from(span) : span)
      }
      if (after !== "") socket.write(after, "latin1")
      if (isMany) socket.uncork()
    }
    const isHeld = socket.writableLength > (isReferenced ? 0 : this.#client.server.settings.writeBytes)
    if (isHeld) this.#client.awaitFlush()
    if (body.isDone) return DONE
    return isHeld ? HELD : MORE
  }

  /** The backend ended the connection. True: that was the end of the body. */
  onEnd(): boolean {
    if (!this.hasBegun) return false
    this.#body.finish()
    if (!this.#body.isDone) return false
    if (this.#mode === TO_CHUNKS) this.#client.socket.write(LAST_CHUNK, "latin1")
    return true
  }
}

