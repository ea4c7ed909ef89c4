/**
 * The rules of RFC 9113 §8 for field sections, as strict as those of HTTP/1.1 here (http1/): what is let through can be
 * written as HTTP/1.1 without meaning anything else there.
 */
import { DIGIT, HOST as HOST_OCTET, TARGET, TOKEN, classOf } from "../http1/bytes.ts"
import { CONNECTION, CONTENT_LENGTH, HOST, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE } from "../http1/field.ts"
import { AUTHORITY, BAD_NAME, BAD_VALUE, KIND, METHOD, PATH, SCHEME, STATUS } from "./field-kind.ts"
import type { FieldList } from "./field-list.ts"

/** Each makes a message malformed (§8.1.1: a stream error PROTOCOL_ERROR). */
export type MessageFault =
  | "pseudo-order" // §8.3: pseudo-header fields come first
  | "pseudo-repeated" // §8.3
  | "pseudo-unknown" // §8.3: undefined, or of the other direction, or in trailers; :protocol, which is not offered (RFC 8441)
  | "pseudo-missing" // §8.3.1, §8.3.2
  | "field-name" // §8.2.1: not a token, or upper case
  | "field-value" // §8.2.1: NUL, CR, LF and other controls, whitespace around it
  | "connection-specific" // §8.2.2
  | "te" // §8.2.2: `trailers` alone
  | "content-length" // §8.1.1: repeated, not digits, or not what the content has
  | "method"
  | "scheme" // http and https alone
  | "path" // §8.3.1: empty, not beginning with `/`, or octets that no target holds
  | "authority" // §8.3.1: with userinfo, or not uri-host [":" port]
  | "host" // §8.3.1: repeated, or another than :authority
  | "status" // §8.3.2; 101 (§8.6)
  | "interim-end" // §8.1: an interim response ends no stream
  | "trailer-end" // §8.1: trailers end the stream

const MOST_METHOD_OCTETS = 32
const PSEUDO_KINDS = METHOD

export class MessageHead {
  method = ""
  scheme = ""
  /** Of :authority, or of Host where there is none; as sent. */
  authority = ""
  /** Of :path, as sent: path and query, `*`, or "" for CONNECT. */
  path = ""
  status = 0
  /** -1: not said. */
  contentLength = -1
  /** TE: trailers */
  takesTrailers = false
  #seen = 0
  #host: string | null = null

  #restart(): void {
    this.method = this.scheme = this.authority = this.path = ""
    this.status = 0
    this.contentLength = -1
    this.takesTrailers = false
    this.#seen = 0
    this.#host = null
  }

  /** §8.3.1, §8.5 */
  readRequest(fields: FieldList): MessageFault | null {
    this.#restart()
    const fault = this.#read(fields, true)
    if (fault !== null) return fault
    if (!this.#has(METHOD)) return "pseudo-missing"
    if (!isMethod(this.method)) return "method"
    if (this.method === "CONNECT") {
      if (this.#has(SCHEME) || this.#has(PATH)) return "pseudo-unknown"
      if (!this.#has(AUTHORITY)) return "pseudo-missing"
    } else {
      if (!this.#has(SCHEME) || !this.#has(PATH)) return "pseudo-missing"
      if (this.scheme !== "http" && this.scheme !== "https") return "scheme"
      if (!isPath(this.path, this.method)) return "path"
    }
    return this.#readAuthority()
  }

  /** §8.3.2 */
  readResponse(fields: FieldList): MessageFault | null {
    this.#restart()
    const fault = this.#read(fields, false)
    if (fault !== null) return fault
    if (!this.#has(STATUS)) return "pseudo-missing"
    return this.status < 100 || this.status > 599 || this.status === 101 ? "status" : null
  }

  #has(kind: number): boolean {
    return (this.#seen & (1 << (kind - PSEUDO_KINDS))) !== 0
  }

  #read(fields: FieldList, isRequest: boolean): MessageFault | null {
    let areFields = false
    for (let field = 0; field < fields.count; field++) {
      const bits = fields.kind(field)
      if ((bits & (BAD_NAME | BAD_VALUE)) !== 0) return (bits & BAD_NAME) !== 0 ? "field-name" : "field-value"
      const kind = bits & KIND
      let fault: MessageFault | null = null
      if (kind >= PSEUDO_KINDS) {
        if (areFields) return "pseudo-order"
        fault = this.#pseudo(kind, fields.value(field), isRequest)
      } else {
        areFields = true
        if (kind !== 0) fault = this.#field(kind, fields.value(field), isRequest)
      }
      if (fault !== null) return fault
    }
    return null
  }

  #pseudo(kind: number, value: string, isRequest: boolean): MessageFault | null {
    if (kind > STATUS || (kind === STATUS) === isRequest) return "pseudo-unknown"
    if (this.#has(kind)) return "pseudo-repeated"
    this.#seen |= 1 << (kind - PSEUDO_KINDS)
    if (kind === METHOD) this.method = value
    else if (kind === SCHEME) this.scheme = value
    else if (kind === AUTHORITY) this.authority = value
    else if (kind === PATH) this.path = value
    else this.status = value.length === 3 && areDigits(value) ? Number(value) : 0
    return null
  }

  #field(kind: number, value: string, isRequest: boolean): MessageFault | null {
    switch (kind) {
      case CONNECTION:
      case KEEP_ALIVE:
      case PROXY_CONNECTION:
      case TRANSFER_ENCODING:
      case UPGRADE:
        return "connection-specific"
      case TE:
        if (!isRequest || value.toLowerCase() !== "trailers") return "te"
        this.takesTrailers = true
        return null
      case CONTENT_LENGTH:
        // 15 digits stay below 2^53
        if (this.contentLength >= 0 || value.length > 15 || value === "" || !areDigits(value)) return "content-length"
        this.contentLength = Number(value)
        return null
      case HOST:
        if (!isRequest) return null
        if (this.#host !== null) return "host"
        this.#host = value
        return null
      default:
        return null
    }
  }

  #readAuthority(): MessageFault | null {
    const host = this.#host
    if (!this.#has(AUTHORITY)) {
      if (host === null) return "pseudo-missing"
      this.authority = host
    } else if (host !== null && host !== this.authority && host.toLowerCase() !== this.authority.toLowerCase()) return "host"
    return isAuthority(this.authority) ? null : "authority"
  }
}

/** Trailers: no pseudo-header fields, nothing connection-specific (§8.1, §8.2.2). */
export const trailerFault = (fields: FieldList): MessageFault | null => {
  for (let field = 0; field < fields.count; field++) {
    const bits = fields.kind(field)
    if ((bits & BAD_NAME) !== 0) return "field-name"
    if ((bits & BAD_VALUE) !== 0) return "field-value"
    const kind = bits & KIND
    if (kind >= PSEUDO_KINDS) return "pseudo-unknown"
    if (kind === CONNECTION || kind === KEEP_ALIVE || kind === PROXY_CONNECTION || kind === TRANSFER_ENCODING || kind === UPGRADE) return "connection-specific"
  }
  return null
}

const areDigits = (value: string): boolean => {
  for (let i = 0; i < value.length; i++) if ((classOf(value.charCodeAt(i)) & DIGIT) === 0) return false
  return true
}

const isMethod = (method: string): boolean => {
  if (method === "GET" || method === "POST") return true
  if (method === "" || method.length > MOST_METHOD_OCTETS) return false
  for (let i = 0; i < method.length; i++) if ((classOf(method.charCodeAt(i)) & TOKEN) === 0) return false
  return true
}

const isPath = (path: string, method: string): boolean => {
  if (path.charCodeAt(0) !== 47) return path === "*" && method === "OPTIONS"
  for (let i = 1; i < path.length; i++) if ((classOf(path.charCodeAt(i)) & TARGET) === 0) return false
  return true
}

/** Octets alone: which host it is, http1/host.ts says. `@` is in none. */
const isAuthority = (authority: string): boolean => {
  if (authority === "") return false
  for (let i = 0; i < authority.length; i++) {
    const code = authority.charCodeAt(i)
    if ((classOf(code) & HOST_OCTET) === 0 && code !== 58 && code !== 91 && code !== 93) return false
  }
  return true
}
