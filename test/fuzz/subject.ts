/** Our parser and framing, driven as a connection drives them. */
import { BodyReader } from "../../gateway/http1/body.ts"
import { CHUNKED, INCOMPLETE, REFUSED, type HeadLimits } from "../../gateway/http1/head.ts"
import { RequestHead } from "../../gateway/http1/request.ts"
import { ResponseHead } from "../../gateway/http1/response.ts"
import type { Case, Ending, Message, Transcript } from "./transcript.ts"

/** Wide: what they refuse is tested beside them. */
const limits: HeadLimits = { headBytes: 65_535, fields: 1_000, targetBytes: 65_535 }

const CAPACITY = 1 << 20

// One each, as a connection has: what a message leaves behind must not matter to the next.
const request = new RequestHead()
const response = new ResponseHead()
const decoding = new BodyReader()
const forwarding = new BodyReader()
const store = Buffer.alloc(CAPACITY)

/** How a message's body went on: spans and, after them, trailers. */
export interface Forwarded {
  readonly head: RequestHead | ResponseHead
  readonly body: string
}

/** The text as it arrives, in `store`; what is not there yet reads as `poison`: nothing may depend on it. */
class Input {
  at = 0
  end = 0
  readonly #text: string
  readonly #cuts: readonly number[]
  #next = 0

  constructor(text: string, cuts: readonly number[], poison: number) {
    if (text.length > CAPACITY) throw new RangeError(`a case of ${text.length} octets`)
    store.fill(poison, 0, Math.min(CAPACITY, text.length + 64))
    this.#text = text
    this.#cuts = cuts
  }

  /** The next piece is there. False: there is none. */
  arrive(): boolean {
    const { end } = this
    if (end === this.#text.length) return false
    const to = this.#cuts[this.#next++] ?? this.#text.length
    store.write(this.#text.slice(end, to), end, to - end, "latin1")
    this.end = to
    return true
  }

  /** There are octets that nobody has taken. */
  get isThere(): boolean {
    return this.at < this.end || this.arrive()
  }

  /** Null: the next head is read. `method`: null for a request, else that of the request answered. */
  head(method: string | null): Ending | null {
    let after: number = INCOMPLETE
    while (after === INCOMPLETE && this.isThere) {
      after = method === null ? request.parse(store, this.at, this.end, limits) : response.parse(store, this.at, this.end, limits, method)
      if (after === INCOMPLETE && !this.arrive()) break
    }
    if (after === INCOMPLETE) return { kind: "open", isInBody: false }
    if (after === REFUSED) return { kind: "refused", isInBody: false, reason: (method === null ? request : response).fault ?? "without a reason" }
    this.at = after
    return null
  }

  /** Null: the body of the message is read. */
  body(body: Body, message: Message): Ending | null {
    while (!body.isDone && body.fault === null && this.isThere) this.at = body.read(this.at, this.end)
    return body.finish(message, this.at)
  }
}

/**
 * `cuts`: where the text is cut into the pieces that arrive, ascending. `onForwarded` sees each complete message before
 * the next one is read.
 */
export const transcriptOf = (given: Case, cuts: readonly number[], poison: number, onForwarded?: (message: Message, forwarded: Forwarded) => void): Transcript => {
  const input = new Input(given.text, cuts, poison)
  const messages: Message[] = []
  let { methods } = given
  for (;;) {
    const unread = input.head(given.kind === "request" ? null : (methods[0] ?? "GET"))
    if (unread !== null) return { messages, ending: unread }
    const head = given.kind === "request" ? request : response
    const message: Message = { start: startOf(head), fields: fieldsOf(head), trailers: [], body: "", end: -1, isPersistent: head.isPersistent }
    messages.push(message)
    if (isTunnel(head)) {
      message.end = input.at
      return { messages, ending: { kind: "tunnel" } }
    }
    const body = new Body(head)
    const unfinished = input.body(body, message)
    if (unfinished !== null) return { messages, ending: unfinished }
    onForwarded?.(message, { head, body: body.forwarded })
    if (!message.isPersistent) return { messages, ending: { kind: "closed" } }
    if (head instanceof ResponseHead && head.status >= 200 && methods.length > 1) methods = methods.slice(1)
  }
}

const isTunnel = (head: RequestHead | ResponseHead): boolean => (head instanceof RequestHead ? head.method === "CONNECT" : head.status === 101)

/** Both ways to read a body side by side: they take the same octets. */
class Body {
  content = ""
  forwarded = ""
  readonly #head: RequestHead | ResponseHead

  constructor(head: RequestHead | ResponseHead) {
    this.#head = head
    decoding.start(head.body, head.length, true)
    forwarding.start(head.body, head.length, false)
    if (decoding.isDone === head.hasBody) throw new Error("hasBody says something else than the reader")
  }

  get isDone(): boolean {
    return decoding.isDone
  }

  get fault(): string | null {
    return decoding.fault
  }

  read(at: number, end: number): number {
    const after = decoding.read(store, at, end)
    this.content += spansOf(decoding)
    const also = forwarding.read(store, at, end)
    this.forwarded += spansOf(forwarding)
    if (after !== also || decoding.isDone !== forwarding.isDone || decoding.fault !== forwarding.fault || decoding.received !== forwarding.received) throw new Error("decoding and forwarding part")
    return after
  }

  /** Null: the message is complete. */
  finish(message: Message, at: number): Ending | null {
    message.body = this.content
    if (this.content.length !== decoding.received) throw new Error(`${decoding.received} octets received, ${this.content.length} handed on`)
    const { fault } = decoding
    if (fault !== null) return { kind: "refused", isInBody: true, reason: fault }
    if (!decoding.isDone) {
      decoding.finish()
      if (decoding.fault !== null) return { kind: "open", isInBody: true }
      if (!decoding.isDone) throw new Error("a body that neither ends nor is cut")
    }
    message.end = at
    if (this.#head.body === CHUNKED && forwarding.trailers !== null) {
      message.trailers = linesOf(forwarding.trailers)
      this.forwarded += `${forwarding.trailers}\r\n`
    }
    return null
  }
}

const spansOf = ({ spans }: BodyReader): string => {
  let content = ""
  for (let i = 0; i < spans.length; i += 2) content += store.toString("latin1", spans[i], spans[i + 1])
  return content
}

const startOf = (head: RequestHead | ResponseHead): string =>
  head instanceof RequestHead ? `${head.method} ${head.text.slice(head.method.length + 1, head.fieldsStart - 11)} 1.${head.minor}` : `${head.status} 1.${head.minor}`

const fieldsOf = (head: RequestHead | ResponseHead): (readonly [string, string])[] => Array.from({ length: head.count }, (_, field) => [head.name(field), head.value(field)])

const linesOf = (trailers: string): (readonly [string, string])[] =>
  trailers.split("\r\n").slice(0, -1).map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")]
  })
