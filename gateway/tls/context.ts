/**
 * What OpenSSL needs to answer a handshake with some certificates. Versions and ciphers are Mozilla's "intermediate"
 * (TLS 1.2 with forward secrecy and authenticated encryption, TLS 1.3). Of them AES-128 comes first, unless the client
 * puts ChaCha20 first: many clients would take AES-256 with SHA-384, whose handshake costs more and protects nothing more.
 */
import { constants, createHash, randomBytes } from "node:crypto"
import { createSecureContext, type SecureContext } from "node:tls"
import type { Redacted } from "../../bus/redacted.ts"

/** A certificate that was opened and belongs to its key. */
export interface OpenCertificate {
  readonly id: string
  readonly names: readonly string[]
  /** As node:crypto says: `rsa`, `ec`, … OpenSSL holds one certificate a type and presents what the client can verify. */
  readonly keyType: string
  /** PEM, leaf first. */
  readonly chain: string
  /** PKCS#8, DER. */
  readonly key: Redacted<Buffer>
}

const CIPHERS = [
  "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
].join(":")

const SESSION_SECONDS = 7200
const TICKET_KEY_BYTES = 48
const PEM_LINE = 64

export const newTicketKey = (): Buffer => randomBytes(TICKET_KEY_BYTES)

/** How session tickets of this process are encrypted: one key for all contexts, so that a session outlives a swap. */
export class TicketKey {
  #octets: Uint8Array

  constructor(octets: Uint8Array = newTicketKey()) {
    this.#octets = octets
  }

  get octets(): Uint8Array {
    return this.#octets
  }

  /** Sessions from before are not resumed any more: a ticket key that leaks opens only the hours it was used. */
  rotate(contexts: Iterable<SecureContext>, octets: Uint8Array = newTicketKey()): void {
    this.#octets = octets
    for (const { context } of contexts) {
      const native: unknown = context
      if (typeof native !== "object" || native === null) continue
      // As tls.Server.setTicketKeys does with its own.
      const set: unknown = Reflect.get(native, "setTicketKeys")
      if (typeof set === "function") Reflect.apply(set, native, [Buffer.from(this.#octets)])
    }
  }
}

/**
 * One context for certificates of different key types. A session is resumed only where these very certificate ids
 * would be presented (RFC 5246 §F.1.4, sessionIdContext): on any of their listeners, and through any swap of their
 * content. Throws Error of OpenSSL: a key too short, a chain that is none.
 */
export const makeContext = (certificates: readonly OpenCertificate[], tickets: TicketKey): SecureContext => {
  const keys = certificates.map(({ key }) => pemOf(key.reveal()))
  try {
    return createSecureContext({
      cert: certificates.map(({ chain }) => chain),
      key: keys,
      // Clients are not asked for certificates: the well-known roots need not be loaded.
      ca: [],
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_PRIORITIZE_CHACHA,
      sessionIdContext: createHash("sha256").update(certificates.map(({ id }) => id).join("\0")).digest("hex").slice(0, 32),
      sessionTimeout: SESSION_SECONDS,
      ticketKeys: Buffer.from(tickets.octets),
    })
  } finally {
    for (const key of keys) key.fill(0)
  }
}

const ALPHABET = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

/** RFC 7468, written into a buffer that can be wiped: a string would stay until it is collected. */
const pemOf = (der: Buffer): Buffer => {
  const head = "-----BEGIN PRIVATE KEY-----\n"
  const foot = "-----END PRIVATE KEY-----\n"
  const digits = Math.ceil(der.length / 3) * 4
  const pem = Buffer.alloc(head.length + digits + Math.ceil(digits / PEM_LINE) + foot.length)
  let at = pem.write(head, 0, "latin1")
  for (let from = 0, column = 0; from < der.length; from += 3) {
    const group = ((der[from] ?? 0) << 16) | ((der[from + 1] ?? 0) << 8) | (der[from + 2] ?? 0)
    for (let digit = 0; digit < 4; digit++) pem[at++] = from + digit > der.length ? 61 : (ALPHABET[(group >> (18 - 6 * digit)) & 63] ?? 0)
    column += 4
    if (column === PEM_LINE || from + 3 >= der.length) {
      pem[at++] = 10
      column = 0
    }
  }
  pem.write(foot, at, "latin1")
  return pem
}
