/**
 * X.509 certificates of one profile (RFC 5280; ECDSA on P-256 with SHA-256, RFC 5758), written in DER (X.690). Nothing is
 * parsed here: node:crypto reads what this makes. (@peculiar/x509, which would do it too, brings 20 packages and a
 * polyfill for all of Reflect into every process that loads it.)
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"

/** PEM; the key as PKCS #8. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface Validity {
  /** Since 1970, ms; certificates know whole seconds. */
  readonly from: number
  readonly to: number
}

export interface Subject {
  /** At most 64 characters (RFC 5280, A.1, ub-common-name). */
  readonly commonName: string
  readonly dnsNames: readonly string[]
  /** IPv4. */
  readonly addresses: readonly string[]
  readonly usages: readonly ("serverAuth" | "clientAuth")[]
}

/** Signs itself. `before`: its key goes on, so that what it has signed stays good. */
export const newAuthority = (commonName: string, validity: Validity, before?: KeyPair): KeyPair => {
  const key = before === undefined ? newKey() : createPrivateKey(before.key)
  const extensions = [
    extension("2.5.29.19", sequence(boolean(true), integer(Buffer.of(0))), "critical"),
    // keyCertSign and cRLSign.
    extension("2.5.29.15", bitString(Buffer.of(0b0000_0110), 1), "critical"),
    extension("2.5.29.14", tagged(OCTETS, keyIdentifier(key))),
  ]
  return { certificate: certificate({ issuer: commonName, subject: commonName, validity, key, extensions, signer: key }), key: pemOf(key) }
}

/** With a key of its own. */
export const issue = (authority: { readonly commonName: string; readonly key: string }, { commonName, dnsNames, addresses, usages }: Subject, validity: Validity): KeyPair => {
  const [key, signer] = [newKey(), createPrivateKey(authority.key)]
  const names = [...dnsNames.map((name) => tagged(0x82, Buffer.from(name, "ascii"))), ...addresses.map((address) => tagged(0x87, Buffer.from(address.split(".").map(Number))))]
  const extensions = [
    extension("2.5.29.19", sequence(), "critical"),
    // digitalSignature
    extension("2.5.29.15", bitString(Buffer.of(0b1000_0000), 7), "critical"),
    extension("2.5.29.37", sequence(...usages.map((usage) => identifier(USAGES[usage])))),
    extension("2.5.29.17", sequence(...names)),
    extension("2.5.29.14", tagged(OCTETS, keyIdentifier(key))),
    extension("2.5.29.35", sequence(tagged(0x80, keyIdentifier(signer)))),
  ]
  return { certificate: certificate({ issuer: authority.commonName, subject: commonName, validity, key, extensions, signer }), key: pemOf(key) }
}

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
const COMMON_NAME = "2.5.4.3"
const USAGES = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const

interface Content {
  readonly issuer: string
  readonly subject: string
  readonly validity: Validity
  readonly key: KeyObject
  readonly extensions: readonly Buffer[]
  readonly signer: KeyObject
}

const certificate = ({ issuer, subject, validity, key, extensions, signer }: Content): string => {
  const algorithm = sequence(identifier(ECDSA_WITH_SHA256))
  const serial = randomBytes(16)
  // Positive, and of full length.
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f)
  const signed = sequence(
    tagged(0xa0, integer(Buffer.of(2))), integer(serial), algorithm, name(issuer), sequence(time(validity.from), time(validity.to)), name(subject),
    publicKey(key), tagged(0xa3, sequence(...extensions)),
  )
  const der = sequence(signed, algorithm, bitString(sign("sha256", signed, signer)))
  return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`
}

const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString()
const publicKey = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" })
/** RFC 7093, 2, method 4: of the whole SubjectPublicKeyInfo, cut to 160 bits. */
const keyIdentifier = (key: KeyObject): Buffer => createHash("sha256").update(publicKey(key)).digest().subarray(0, 20)

const OCTETS = 0x04

const tagged = (tag: number, content: Buffer): Buffer => {
  const { length } = content
  const sized = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...sized), content])
}
const sequence = (...members: readonly Buffer[]): Buffer => tagged(0x30, Buffer.concat(members))
const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.of(value ? 0xff : 0))
/** Big-endian, its first bit 0. */
const integer = (bytes: Buffer): Buffer => tagged(0x02, bytes)
const bitString = (bytes: Buffer, unusedBits = 0): Buffer => tagged(0x03, Buffer.concat([Buffer.of(unusedBits), bytes]))
const name = (commonName: string): Buffer => sequence(tagged(0x31, sequence(identifier(COMMON_NAME), tagged(0x0c, Buffer.from(commonName)))))
const extension = (id: string, value: Buffer, isCritical?: "critical"): Buffer => sequence(identifier(id), ...(isCritical === undefined ? [] : [boolean(true)]), tagged(OCTETS, value))

/** UTCTime up to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
const time = (at: number): Buffer => {
  const digits = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, "")
  return digits < "2050" ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits))
}

const identifier = (dotted: string): Buffer => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number)
  return tagged(0x06, Buffer.from([40 * first + second, ...rest].flatMap(base128)))
}

const base128 = (value: number): readonly number[] => {
  const bytes = [value & 0x7f]
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift(0x80 | (rest & 0x7f))
  return bytes
}
