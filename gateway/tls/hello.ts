/**
 * The first message of a TLS client, as far as it decides what it is answered with (RFC 8446 §4.1.2, RFC 6066 §3).
 * It is read here, before TLS begins, because then a connection starts with the context of its listener: SNI callbacks
 * come too late for session resumption, and not at all for a resumed session. What is malformed beyond this is for
 * OpenSSL to refuse.
 */

/** More octets are needed. */
export const PARTIAL = 0
/** Not TLS. */
export const FOREIGN = 1
/** It says it is TLS, and is not well-formed, or too long. */
export const BROKEN = 2

/** Lower case; "": none was sent. */
export interface ClientHello {
  readonly serverName: string
}

/** Beyond any client's: 2 KB with post-quantum keys. */
const MAX_HELLO = 16_384
/** Nobody needs more than two; each costs a little with every read. */
const MAX_RECORDS = 64
const RECORD_HEAD = 5
const MESSAGE_HEAD = 4
const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0

/** `octets`: everything received so far. */
export const readHello = (octets: Uint8Array): ClientHello | typeof PARTIAL | typeof FOREIGN | typeof BROKEN => {
  if ((octets.length > 0 && octets[0] !== HANDSHAKE) || (octets.length > 1 && octets[1] !== 3)) return FOREIGN
  const message = messageIn(octets)
  if (typeof message === "number") return message
  const hello = new Cursor(message)
  hello.skip(MESSAGE_HEAD + 2 + 32) // legacy_version, random
  hello.block(1) // legacy_session_id
  hello.block(2) // cipher_suites
  hello.block(1) // legacy_compression_methods
  if (hello.isBroken) return BROKEN
  if (hello.left === 0) return { serverName: "" }
  const extensions = new Cursor(hello.block(2))
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const content = extensions.block(2)
    if (type === SERVER_NAME) return nameIn(content)
  }
  return hello.isBroken || extensions.isBroken ? BROKEN : { serverName: "" }
}

/** The handshake message, out of as many records as it was put into. Looked at again with each read: no copy before it is whole. */
const messageIn = (octets: Uint8Array): Uint8Array | typeof PARTIAL | typeof BROKEN => {
  const contents: Uint8Array[] = []
  let size = 0
  for (let at = 0; contents.length < MAX_RECORDS; ) {
    if (octets.length < at + RECORD_HEAD) return PARTIAL
    const length = number16(octets, at + 3)
    if (octets[at] !== HANDSHAKE || octets[at + 1] !== 3 || length === 0 || length > MAX_HELLO) return BROKEN
    const content = octets.subarray(at + RECORD_HEAD, at + RECORD_HEAD + length)
    contents.push(content)
    size += content.length
    const head = contents.length === 1 ? content : Buffer.concat(contents, Math.min(size, MESSAGE_HEAD))
    if (size > 0 && head[0] !== CLIENT_HELLO) return BROKEN
    if (size >= MESSAGE_HEAD) {
      const whole = MESSAGE_HEAD + ((head[1] ?? 0) << 16) + number16(head, 2)
      if (whole > MAX_HELLO) return BROKEN
      if (size >= whole) return contents.length === 1 ? content.subarray(0, whole) : Buffer.concat(contents, whole)
    }
    if (content.length < length) return PARTIAL
    at += RECORD_HEAD + length
  }
  return BROKEN
}

/** ServerNameList: one name, of the one type there is. */
const nameIn = (content: Uint8Array): ClientHello | typeof BROKEN => {
  const list = new Cursor(new Cursor(content).block(2))
  const type = list.number(1)
  const name = Buffer.from(list.block(2)).toString("latin1")
  if (list.isBroken || type !== HOST_NAME || !/^[\x21-\x7e]{1,255}$/.test(name)) return BROKEN
  return { serverName: (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase() }
}

const number16 = (octets: Uint8Array, at: number): number => ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0)

/** Reads on; past the end it gives zeros and says so. */
class Cursor {
  isBroken = false
  readonly #octets: Uint8Array
  #at = 0

  constructor(octets: Uint8Array) {
    this.#octets = octets
  }

  get left(): number {
    return this.#octets.length - this.#at
  }

  skip(count: number): void {
    if (count > this.left) this.isBroken = true
    this.#at = Math.min(this.#octets.length, this.#at + count)
  }

  number(size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + (this.#octets[this.#at + i] ?? 0)
    this.skip(size)
    return value
  }

  /** Octets after their length, which has `size` octets. */
  block(size: number): Uint8Array {
    const length = this.number(size)
    const start = this.#at
    this.skip(length)
    return this.#octets.subarray(start, this.#at)
  }
}
