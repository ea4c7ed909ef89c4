/**
 * Who may see and change what the admin port shows beyond probes and metrics: whoever is on this machine, and who has the
 * bearer token (RFC 6750). A page in a browser on this machine is not whoever is on it: a name that an attacker lets
 * point to 127.0.0.1 (DNS rebinding) is not taken for this machine's, and a request that a page makes says so by its Origin.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { readFileSync } from "node:fs"
import type { IncomingMessage } from "node:http"
import { isIP } from "node:net"

const LEAST_CHARACTERS = 16
/** A Secret that is mounted changes under us. */
const READ_AGAIN_MS = 1_000

/** Of an address or the name localhost. */
export const isLoopback = (host: string): boolean => {
  const address = host.startsWith("::ffff:") ? host.slice(7) : host
  return address === "localhost" || address === "::1" || (isIP(address) === 4 && address.startsWith("127."))
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest()

/** The token in a file, read again now and then; what could be read last counts. */
export class AdminToken {
  readonly #file: string
  /** SHA-256: of equal length, whatever is compared with it. */
  #digest: Buffer
  #readAt = performance.now()

  /** Throws Error that says what is wrong with the file. */
  constructor(file: string) {
    this.#file = file
    this.#digest = this.#read()
  }

  #read(): Buffer {
    let text: string
    try {
      text = readFileSync(this.#file, "utf8").trim()
    } catch (error) {
      throw new Error(`The token of the admin port (--admin-token-file) cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
    if (text.length < LEAST_CHARACTERS || !/^[\x21-\x7e]+$/.test(text)) throw new Error(`${this.#file} (--admin-token-file) is to hold one token of at least ${LEAST_CHARACTERS} printable characters, as "openssl rand -hex 32" makes one.`)
    return sha256(text)
  }

  /** In constant time. */
  isIn(authorization: string | undefined): boolean {
    if (performance.now() - this.#readAt > READ_AGAIN_MS) this.#readAgain()
    const given = /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1]
    return given !== undefined && timingSafeEqual(sha256(given), this.#digest)
  }

  #readAgain(): void {
    this.#readAt = performance.now()
    try {
      this.#digest = this.#read()
    } catch {
      // It is being replaced, or was by something else: what was in force stays so.
    }
  }
}

/** undefined: it may. Else the status that refuses it: 401 for a token that is missing or wrong, 403 for another machine's name, and for a page's request. */
export const refusalOf = ({ headers, socket }: IncomingMessage, token: AdminToken | undefined): 401 | 403 | undefined => {
  if (token?.isIn(headers.authorization) === true) return undefined
  if (!isLoopback(socket.remoteAddress ?? "")) return 401
  const name = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")
  return headers.origin === undefined && (name === "localhost" || isIP(name) !== 0) ? undefined : 403
}
