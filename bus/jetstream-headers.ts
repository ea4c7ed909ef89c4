/**
 * Headers on JetStream. The client's own class checks and normalises every name on the way out and in, and searches
 * all names for each, which at 20,000 messages costs more than anything else about them.
 */
import { MsgHdrsImpl, type Msg, type MsgHdrs } from "@nats-io/transport-node"
import type { Headers, Message, Outgoing } from "./bus.ts"

const NAME = /^[\x21-\x39\x3b-\x7e]+$/
const LINE_END = /[\r\n]/

const line = (name: string, value: string): string => {
  if (!NAME.test(name) || LINE_END.test(value)) throw new RangeError(`"${name}: ${value}" is not a header`)
  return `${name}: ${value}\r\n`
}

/** Headers that are written out already. */
class WrittenHeaders extends MsgHdrsImpl {
  readonly #text: string

  constructor(text: string) {
    super()
    this.#text = text
  }

  override encode(): Uint8Array {
    return Buffer.from(this.#text)
  }
}

/** What a message carries besides its body. Throws RangeError for what cannot be a header. */
export const outgoingHeaders = ({ headers = {}, msgId, expect }: Outgoing): MsgHdrs => {
  let text = "NATS/1.0\r\n"
  for (const name in headers) text += line(name, headers[name] ?? "")
  if (msgId !== undefined) text += line("Nats-Msg-Id", msgId)
  if (expect !== undefined) {
    text += `Nats-Expected-Last-Subject-Sequence: ${expect.seq}\r\n`
    if (expect.subject !== undefined) text += line("Nats-Expected-Last-Subject-Sequence-Subject", expect.subject)
  }
  return new WrittenHeaders(`${text}\r\n`)
}

/** Headers as a plain record; the server's own (`Nats-…`) are left out. */
export const plainHeaders = (head: MsgHdrs | undefined): Headers => {
  const record: Record<string, string> = {}
  if (head !== undefined) for (const [name, [value = ""]] of head) if (!name.startsWith("Nats-")) record[name] = value
  return record
}

/** A message of a follower. Most readers of most messages want no header: they are read when asked for. */
export class Received implements Message {
  readonly subject: string
  readonly seq: number
  readonly time: number
  readonly data: Uint8Array
  readonly #message: Msg
  #headers: Headers | undefined

  constructor(message: Msg, seq: number, time: number) {
    this.subject = message.subject
    this.seq = seq
    this.time = time
    this.data = message.data
    this.#message = message
  }

  get headers(): Headers {
    return (this.#headers ??= plainHeaders(this.#message.headers))
  }
}
