/** A response on its way to a client of HTTP/1.1 or 1.0. */
import type { Answer } from "../../bus/kinds/config.ts"
import { CHUNKED, UNTIL_CLOSE } from "../http1/head.ts"
import { AS_IS, TO_CHUNKS, TO_CLOSE, answerText, responseText } from "../http1/write.ts"
import type { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import { trailerLines } from "../http2/trailers.ts"
import { READ_BYTES, giveBuffer, takeBuffer } from "../slab.ts"
import type { ClientConnection } from "./http1-connection.ts"
import { BAD, DONE, HELD, IN_HEAD, MORE, ResponseRelay } from "./response.ts"

const LAST_CHUNK = "0\r\n\r\n"
const EMPTY = Buffer.alloc(0)

export class Http1Response extends ResponseRelay {
  readonly #client: ClientConnection
  #mode = AS_IS

  constructor(client: ClientConnection) {
    super(client)
    this.#client = client
  }

  /** Never to HTTP/1.0. */
  protected interim(): void {
    const { head, socket, server } = this.#client
    if (head.minor === 0 || socket.writableLength > 2 * server.settings.writeBytes) return
    if (this.head.status === 100) this.hasContinued = true
    socket.write(responseText(this.head, null, AS_IS, true, 1), "latin1")
  }

  protected begin(buffer: Buffer, at: number, end: number, isLent: boolean): number {
    const { head } = this
    const client = this.#client
    const { minor } = client.head
    this.#mode = head.body === UNTIL_CLOSE ? (minor === 1 ? TO_CHUNKS : TO_CLOSE) : head.body === CHUNKED && minor === 0 ? TO_CLOSE : AS_IS
    this.isPersistent = this.#mode !== TO_CLOSE && client.mayPersist()
    this.body.start(head.body, head.length, this.#mode === TO_CLOSE, head.options)
    const text = responseText(head, client.exchange.responseEdits(head), this.#mode, this.isPersistent, minor)
    this.hasBegun = true
    if (at === end) {
      client.socket.write(text, "latin1")
      return this.body.isDone ? DONE : MORE
    }
    // More than the response: RFC 9112 §6.3, not to be taken for another one.
    if (this.body.isDone) {
      client.socket.write(text, "latin1")
      head.isPersistent = false
      return DONE
    }
    return this.relay(buffer, at, end, text, isLent)
  }

  protected relay(buffer: Buffer, at: number, end: number, text: string, isLent: boolean): number {
    const body = this.body
    const { socket } = this.#client
    const next = body.read(buffer, at, end)
    const { spans } = body
    if (body.fault !== null) {
      if (text !== "") socket.write(text, "latin1")
      return BAD
    }
    if (next < end) this.head.isPersistent = false
    const size = octetsIn(spans)
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
      const copy = isLent && !isCopied ? bufferFor(size) : null
      const isMany = before !== "" || after !== "" || (copy === null && spans.length > 2)
      if (isMany) socket.cork()
      if (before !== "") socket.write(before, "latin1")
      if (copy === null) for (let i = 0; i < spans.length; i += 2) socket.write(buffer.subarray(spans[i], spans[i + 1]))
      else socket.write(gathered(buffer, spans, copy))
      if (after !== "") socket.write(after, "latin1")
      if (isMany) socket.uncork()
      if (copy?.length === READ_BYTES && socket.writableLength === 0) giveBuffer(copy)
    }
    this.isReferenced = isReferenced && socket.writableLength > 0
    const isHeld = socket.writableLength > (isReferenced ? 0 : this.#client.server.settings.writeBytes)
    if (isHeld) this.#client.awaitFlush()
    if (body.isDone) return DONE
    return isHeld ? HELD : MORE
  }

  onEnd(): boolean {
    if (!this.hasBegun) return false
    this.body.finish()
    if (!this.body.isDone) return false
    if (this.#mode === TO_CHUNKS) this.#client.socket.write(LAST_CHUNK, "latin1")
    return true
  }

  protected beginFields(fields: FieldList, message: MessageHead, isEnd: boolean): number {
    this.head.fill(message.status, fields, message.contentLength, isEnd, this.#client.head.method)
    // Content is on its way, most often in the same read: one write for both.
    if (!isEnd) {
      this.#client.socket.cork()
      process.nextTick(this.#uncork)
    }
    this.begin(EMPTY, 0, 0, true)
    return isEnd ? DONE : MORE
  }

  readonly #uncork = (): void => this.#client.socket.uncork()

  onContent(octets: Buffer, start: number, end: number, isEnd: boolean): number {
    const found = start === end || this.body.isDone ? MORE : this.relay(octets, start, end, "", true)
    if (isEnd) return this.#end("")
    return found === DONE ? MORE : found
  }

  onTrailers(fields: FieldList): number {
    return this.#end(trailerLines(fields))
  }

  #end(trailers: string): number {
    if (this.#mode === TO_CHUNKS) this.#client.socket.write(trailers === "" ? LAST_CHUNK : `0\r\n${trailers}\r\n`, "latin1")
    return DONE
  }

  answer(answer: Answer): void {
    const { head, socket } = this.#client
    socket.write(answerText(answer, head.method === "HEAD", this.isPersistent, head.minor), "latin1")
  }
}

const octetsIn = (spans: readonly number[]): number => {
  let size = 0
  for (let i = 0; i < spans.length; i += 2) size += (spans[i + 1] ?? 0) - (spans[i] ?? 0)
  return size
}

/** What was held of an answer of HTTP/2 may be more than a read. */
const bufferFor = (size: number): Buffer => (size > READ_BYTES ? Buffer.allocUnsafeSlow(size) : takeBuffer())

/** The spans one after the other at the start of `into`, which is as long at least. */
const gathered = (buffer: Buffer, spans: readonly number[], into: Buffer): Buffer => {
  let at = 0
  for (let i = 0; i < spans.length; i += 2) at += buffer.copy(into, at, spans[i], spans[i + 1])
  return into.subarray(0, at)
}
