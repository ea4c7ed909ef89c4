/** A response on its way to a stream of HTTP/2 (RFC 9113 §8.3.2): fields of a backend's HTTP/1.1 head, content without its chunks. */
import type { Answer } from "../../bus/kinds/config.ts"
import { httpDate } from "../clock.ts"
import { PROTECTED, type Edits } from "../http1/edits.ts"
import { CONTENT_LENGTH, DATE, TRANSFER_ENCODING } from "../http1/field.ts"
import { UNTIL_CLOSE } from "../http1/head.ts"
import type { ResponseHead } from "../http1/response.ts"
import { HOP_BY_HOP, isOption } from "../http1/write.ts"
import { KIND, METHOD } from "../http2/field-kind.ts"
import { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import { passTrailers } from "../http2/trailers.ts"
import type { Http2Stream } from "./http2-stream.ts"
import { BAD, DONE, HELD, MORE, ResponseRelay } from "./response.ts"

const EMPTY = Buffer.alloc(0)
const NONE: readonly number[] = []

/** Of the section that is being sent: encoded before the call returns. */
const fields = new FieldList()
const span = [0, 0]

export class Http2Response extends ResponseRelay {
  readonly #client: Http2Stream

  constructor(client: Http2Stream) {
    super(client)
    this.#client = client
  }

  protected interim(): void {
    if (this.head.status === 100) this.hasContinued = true
    this.#client.sendInterim(responseFields(this.head, null))
  }

  protected begin(buffer: Buffer, at: number, end: number, isLent: boolean): number {
    const { head, body } = this
    body.start(head.body, head.length, true, head.options)
    this.hasBegun = true
    this.#client.sendHead(responseFields(head, this.#client.exchange.responseEdits(head)), body.isDone)
    // More than the response: RFC 9112 §6.3, not to be taken for another one.
    if (body.isDone && at < end) head.isPersistent = false
    if (body.isDone) return DONE
    return at === end ? MORE : this.relay(buffer, at, end, "", isLent)
  }

  protected relay(buffer: Buffer, at: number, end: number, _: string, isLent: boolean): number {
    const { body } = this
    const next = body.read(buffer, at, end)
    if (body.fault !== null) return BAD
    if (next < end) this.head.isPersistent = false
    const trailers = body.isDone ? (body.trailers ?? "") : ""
    const isTaken = this.#client.sendContent(buffer, body.spans, isLent, body.isDone, trailers)
    this.isReferenced = !isTaken && !isLent
    if (body.isDone) return DONE
    return isTaken ? MORE : HELD
  }

  onEnd(): boolean {
    if (!this.hasBegun) return false
    this.body.finish()
    if (!this.body.isDone) return false
    this.#client.sendContent(EMPTY, NONE, false, true, "")
    return true
  }

  protected beginFields(given: FieldList, message: MessageHead, isEnd: boolean): number {
    const { head } = this
    const { exchange } = this.#client
    // Whose length is looked at in nobody's place: the engine has.
    this.body.start(UNTIL_CLOSE, 0, true)
    this.hasBegun = true
    if (exchange.hasResponseEdits) {
      head.fill(message.status, given, message.contentLength, false, this.#client.head.method)
      this.#client.sendHead(responseFields(head, exchange.responseEdits(head)), isEnd)
    } else this.#client.sendHead(passFields(given, message.status), isEnd)
    return isEnd ? DONE : MORE
  }

  onContent(octets: Buffer, start: number, end: number, isEnd: boolean): number {
    if (start === end && !isEnd) return MORE
    this.body.received += end - start
    span[0] = start
    span[1] = end
    const isTaken = this.#client.sendContent(octets, span, true, isEnd, "")
    if (isEnd) return DONE
    return isTaken ? MORE : HELD
  }

  onTrailers(given: FieldList): number {
    this.#client.sendTrailers(passTrailers(fields.clear(), given))
    return DONE
  }

  answer({ status, headers, body }: Answer): void {
    const octets = Buffer.from(body, "utf8")
    const isBare = status === 204 || status === 304
    fields.clear().add(":status", String(status))
    for (const [name, value] of headers) {
      const lower = name.toLowerCase()
      if (!PROTECTED.has(lower)) fields.add(lower, value)
    }
    if (!isBare) fields.add("content-length", String(octets.length))
    const hasNone = isBare || octets.length === 0 || this.#client.head.method === "HEAD"
    this.#client.sendHead(fields.add("date", httpDate()), hasNone)
    if (!hasNone) this.#client.sendContent(octets, [0, octets.length], false, true, "")
  }
}

/** Of a backend of HTTP/2, as they are: nothing in them ends at this hop. */
const passFields = (given: FieldList, status: number): FieldList => {
  let hasDate = false
  fields.clear().add(":status", String(status))
  for (let field = 0; field < given.count; field++) {
    const bits = given.kind(field)
    const kind = bits & KIND
    if (kind >= METHOD || (kind === CONTENT_LENGTH && status === 204)) continue
    hasDate ||= kind === DATE
    fields.add(given.name(field), given.value(field), bits)
  }
  return hasDate ? fields : fields.add("date", httpDate())
}

const responseFields = (head: ResponseHead, edits: Edits | null): FieldList => {
  const { status, options } = head
  let dropped = HOP_BY_HOP | (1 << TRANSFER_ENCODING)
  // RFC 9110 §8.6: not in 1xx and 204.
  if (status === 204 || status < 200) dropped |= 1 << CONTENT_LENGTH
  fields.clear().add(":status", String(status))
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field)
    const isDropped = (dropped & (1 << kind)) !== 0 || (edits !== null && edits.isRemoved(field)) || (options !== null && isOption(head, field, kind, options))
    if (!isDropped) fields.add(head.name(field).toLowerCase(), head.value(field))
  }
  if (edits !== null) for (let added = 0; added < edits.names.length; added++) fields.add(edits.names[added] ?? "", edits.value(added))
  // RFC 9110 §6.6.1
  if (!head.has(DATE) && status >= 200) fields.add("date", httpDate())
  return fields
}
