/**
 * Private keys on the bus: sealed with the key of the one data plane that may open them (AES-256-GCM). The adapter
 * that reads a Secret seals, the gateway process opens, nobody between can.
 *
 * The nonce is a keyed hash of what is sealed (a synthetic IV, the idea of RFC 8452), so equal secrets for the same
 * place give equal bytes: nothing is published again because an adapter was restarted, and a nonce is never used for
 * two different texts. What it tells an onlooker, that two values are equal, the public chain tells already.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto"
import { Redacted } from "./redacted.ts"

const VERSION = "v1"
const NONCE_BYTES = 12
const TAG_BYTES = 16
export const PLANE_KEY_BYTES = 32

/** A data plane's key, ready for use. */
export interface PlaneKey {
  /** Says which key sealed something, and nothing about it: 16 hexadecimal digits. */
  readonly id: string
  readonly encryption: Redacted<Buffer>
  readonly nonces: Redacted<Buffer>
}

/** `secret`: 32 octets. Throws RangeError for another length. */
export const planeKey = (secret: Redacted<Uint8Array>): PlaneKey => {
  const octets = secret.reveal()
  if (octets.length !== PLANE_KEY_BYTES) throw new RangeError(`a data plane's key has ${PLANE_KEY_BYTES} octets, not ${octets.length}`)
  const derive = (info: string, length: number): Buffer => Buffer.from(hkdfSync("sha256", octets, "", `headgate ${info}`, length))
  return { id: derive("key id", 8).toString("hex"), encryption: new Redacted(derive("encryption", 32)), nonces: new Redacted(derive("nonces", 32)) }
}

/** `<version>.<key id>.<nonce>.<ciphertext and tag>`, the last two base64url. `place` binds it: `<plane>/<secret key>`. */
export const seal = (key: PlaneKey, place: string, secret: Redacted<Uint8Array>): string => {
  const plaintext = secret.reveal()
  const nonce = createHmac("sha256", key.nonces.reveal()).update(`${place}\0`).update(plaintext).digest().subarray(0, NONCE_BYTES)
  const cipher = createCipheriv("aes-256-gcm", key.encryption.reveal(), nonce)
  cipher.setAAD(Buffer.from(place))
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return `${VERSION}.${key.id}.${nonce.toString("base64url")}.${sealed.toString("base64url")}`
}

/** PlaneKey.id of the key that sealed it, whatever else is wrong with it. */
export const keyIdOf = (sealed: string): string | undefined => sealed.split(".")[1]

/** Throws Error saying why it cannot be opened: another key, another place, damaged, a later version. Never quotes it. */
export const open = (key: PlaneKey, place: string, sealed: string): Redacted<Buffer> => {
  const [version, id, nonce, body, ...rest] = sealed.split(".")
  if (version !== VERSION || id === undefined || nonce === undefined || body === undefined || rest.length > 0) throw new Error("it is not sealed in a way this program knows")
  if (id !== key.id) throw new Error(`it is sealed with the key ${id}, not with this gateway's ${key.id}`)
  const octets = Buffer.from(body, "base64url")
  const iv = Buffer.from(nonce, "base64url")
  if (iv.length !== NONCE_BYTES || octets.length < TAG_BYTES) throw new Error("it is damaged")
  const decipher = createDecipheriv("aes-256-gcm", key.encryption.reveal(), iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(place))
  decipher.setAuthTag(octets.subarray(octets.length - TAG_BYTES))
  try {
    return new Redacted(Buffer.concat([decipher.update(octets.subarray(0, octets.length - TAG_BYTES)), decipher.final()]))
  } catch {
    throw new Error("it is damaged, or was sealed for another place")
  }
}
