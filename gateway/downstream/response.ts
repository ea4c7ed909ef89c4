/**
 * The response on its way to the client: head and what came with it in one write, then the body as it comes. What the
 * client's protocol makes of it is http1-response.ts's and http2-response.ts's affair.
 */
import type { Answer } from "../../bus/kinds/config.ts"
import { BodyReader } from "../http1/body.ts"
import { INCOMPLETE, REFUSED } from "../http1/head.ts"
import { ResponseHead } from "../http1/response.ts"
import type { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import type { Client } from "./client.ts"

/** From here on a body is read into a buffer of its own; up to here it travels in the string of an HTTP/1.1 head. */
export const IN_HEAD = 16_384

/** What onRead found. */
export const MORE = 0 // more is to come
export const DONE = 1 // the response is complete
export const BAD = 2 // it is not a response: see hasBegun for whether the client has seen any
export const HELD = 3 // more is to come; reading pauses until the client has taken what it got
export const UPGRADED = 4 // 101: nothing of it has gone to the client
export const REPEATED = 5 // its status is one after which the request is sent again: the client sees nothing of it

export abstract class ResponseRelay {
  readonly head = new ResponseHead()
  /** The final head has gone to the client. */
  hasBegun = false
  /** Octets came from this attempt's connection. */
  hasReceived = false
  /** A buffer that was not lent still holds what the client has not taken. */
  isReferenced = false
  /** What the client was told. */
  isPersistent = true
  /** An interim 100 has gone to the client. */
  hasContinued = false
  protected readonly body = new BodyReader()
  readonly #client: Client
  /** Start of a head, copied: the slab is not ours. */
  #partial: Buffer | null = null
  #tail: Buffer | null = null

  constructor(client: Client) {
    this.#client = client
  }

  start(): void {
    this.hasBegun = this.hasReceived = this.hasContinued = this.isReferenced = false
    this.isPersistent = true
    this.#partial = this.#tail = null
    this.body.start(0, 0, false)
    this.head.status = 0
  }

  /** Another attempt. */
  restart(): void {
    this.hasReceived = false
    this.#partial = null
  }

  get bytes(): number {
    return this.body.received
  }

  /** The body is so long that a buffer of its own pays. */
  get isBulk(): boolean {
    return this.body.remaining > IN_HEAD
  }

  // === From a backend of HTTP/1.1

  /** See OctetUser.onRead for the buffer. */
  onRead(buffer: Buffer, length: number, isLent: boolean): number {
    this.hasReceived = true
    if (this.hasBegun) return this.relay(buffer, 0, length, "", isLent)
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
      this.interim()
    }
    if (this.#client.exchange.isRepeatedAfter(head.status)) {
      this.body.start(head.body, head.length, false)
      if (this.body.read(buffer, at, end) < end || !this.body.isDone) head.isPersistent = false
      this.body.start(0, 0, false)
      return REPEATED
    }
    return this.begin(buffer, at, end, isLent)
  }

  /** After UPGRADED: the client is about to be told. Returns what came with the head, of the new protocol; null: nothing. */
  takeTail(): Buffer | null {
    const tail = this.#tail
    this.#tail = null
    this.hasBegun = true
    return tail
  }

  /** RFC 9110 §15.2: forwarded; but not gathered for a client that takes nothing. */
  protected abstract interim(): void

  /** The final head is read; octets of its body lie in at … end. Returns what onRead does. */
  protected abstract begin(buffer: Buffer, at: number, end: number, isLent: boolean): number

  /** `text`, if any, goes before the octets. */
  protected abstract relay(buffer: Buffer, at: number, end: number, text: string, isLent: boolean): number

  /** The backend ended the connection. True: that was the end of the body. */
  abstract onEnd(): boolean

  // === From a backend of HTTP/2; what returns says what onRead does. The end is END_STREAM's to tell, whatever the length

  onHead(fields: FieldList, message: MessageHead, isEnd: boolean): number {
    const { head } = this
    this.hasReceived = true
    head.status = message.status
    if (message.status < 200) {
      head.fill(message.status, fields, -1, false, "")
      this.interim()
      return MORE
    }
    if (this.#client.exchange.isRepeatedAfter(message.status)) return REPEATED
    return this.beginFields(fields, message, isEnd)
  }

  protected abstract beginFields(fields: FieldList, message: MessageHead, isEnd: boolean): number

  /** The octets are good until the call returns. */
  abstract onContent(octets: Buffer, start: number, end: number, isEnd: boolean): number

  /** As they came. */
  abstract onTrailers(fields: FieldList): number

  /** In place of a backend's: an answer of the gateway's own. */
  abstract answer(answer: Answer): void
}
