/** The content of a TLS Secret → chain and private key that belong together, or why it cannot be used. */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify, X509Certificate } from "node:crypto"
import type { Secret } from "../../../bus/kinds/core.ts"
import type { SecretContent, SecretValue } from "../../../bus/kinds/secret-content.ts"
import { Redacted } from "../../../bus/redacted.ts"
import { type PemBlock, pemBlocks } from "./pem.ts"

export type Problem = NonNullable<Secret["problem"]>

export interface KeyPair {
  /** PEM, in the user's order, and nothing between the blocks. */
  readonly chain: string
  /** SHA-256 of the SubjectPublicKeyInfo in DER, hexadecimal. */
  readonly keyDigest: string
  /** PKCS#8, DER. */
  readonly key: Redacted<Buffer>
}

export type KeyPairRead = { readonly ok: true; readonly pair: KeyPair } | { readonly ok: false; readonly problem: Problem }

/** Of each of the two, as given. */
const LARGEST = 64 * 1024
const CURVES = ["prime256v1", "secp384r1", "secp521r1"]

/** `tls.crt` and `tls.key`, whatever the Secret's type. Quotes nothing, neither theirs nor OpenSSL's words. */
export const readKeyPair = (content: SecretContent): KeyPairRead => {
  const [crt, key] = [content.get("tls.crt"), content.get("tls.key")]
  const missing = crt === undefined ? "tls.crt" : key === undefined ? "tls.key" : undefined
  if (crt === undefined || key === undefined) return problem("MissingData", "data", `The Secret has no ${missing}.`)
  for (const value of [crt, key]) if (value.octets.reveal().length === 0) return problem("MissingData", value.field, `${nameOf(value)} is empty.`)
  const certificates = certificatesIn(crt)
  if (!Array.isArray(certificates)) return { ok: false, problem: certificates }
  const privateKey = privateKeyIn(key)
  if ("reason" in privateKey) return { ok: false, problem: privateKey }
  const keyDigest = digestOf(createPublicKey(privateKey))
  const leaf = certificates.find((certificate) => digestOfCertificate(certificate) === keyDigest)
  if (leaf === undefined) return problem("KeyMismatch", key.field, `The private key belongs to ${certificates.length === 1 ? "another certificate than the one" : `none of the ${certificates.length} certificates`} in tls.crt.`)
  if (!isWhole(privateKey, leaf)) return problem("InvalidKey", key.field, "The private key is damaged: its certificate does not confirm what it signs.")
  return { ok: true, pair: { chain: certificates.map(pemOf).join(""), keyDigest, key: new Redacted(privateKey.export({ type: "pkcs8", format: "der" })) } }
}

const problem = (reason: string, field: string, message: string): { readonly ok: false; readonly problem: Problem } => ({ ok: false, problem: { reason, field, message } })

/** `data.tls.crt` → `tls.crt` */
const nameOf = ({ field }: SecretValue): string => field.slice(field.indexOf(".") + 1)

/** The blocks with one of the labels; a message where there are none, or what is there is no PEM. */
const blocksOf = (value: SecretValue, isMeant: (label: string) => boolean, what: string): readonly PemBlock[] | string => {
  const octets = value.octets.reveal()
  if (octets.length > LARGEST) return `${nameOf(value)} has ${octets.length} octets; at most ${LARGEST} are read.`
  const read = pemBlocks(octets.toString("latin1"))
  if (!read.ok) return `${nameOf(value)} is not PEM: ${read.fault}.`
  const blocks = read.blocks.filter(({ label }) => isMeant(label))
  return blocks.length === 0 ? `${nameOf(value)} holds no ${what} in PEM.` : blocks
}

const certificatesIn = (value: SecretValue): X509Certificate[] | Problem => {
  const wrong = (message: string): Problem => ({ reason: "InvalidCertificate", field: value.field, message })
  const blocks = blocksOf(value, (label) => label === "CERTIFICATE", "certificate")
  if (typeof blocks === "string") return wrong(blocks)
  const certificates: X509Certificate[] = []
  for (const [i, { der }] of blocks.entries()) {
    const octets = der.reveal()
    const certificate = parsed(octets)
    // What stands behind a certificate in its block would be published with it.
    if (certificate === undefined || certificate.raw.length !== octets.length) return wrong(`Certificate ${i + 1} of ${blocks.length} in ${nameOf(value)} is damaged.`)
    certificates.push(certificate)
  }
  return certificates
}

const parsed = (der: Buffer): X509Certificate | undefined => {
  try {
    return new X509Certificate(der)
  } catch {
    return undefined
  }
}

const FORMATS: Readonly<Record<string, "pkcs8" | "pkcs1" | "sec1">> = { "PRIVATE KEY": "pkcs8", "RSA PRIVATE KEY": "pkcs1", "EC PRIVATE KEY": "sec1" }

const privateKeyIn = (value: SecretValue): KeyObject | Problem => {
  const wrong = (message: string): Problem => ({ reason: "InvalidKey", field: value.field, message })
  const blocks = blocksOf(value, (label) => label.endsWith("PRIVATE KEY"), "private key")
  if (typeof blocks === "string") return wrong(blocks)
  const [block] = blocks
  if (block === undefined) return wrong(`${nameOf(value)} holds no private key in PEM.`)
  if (block.isEncrypted || block.label === "ENCRYPTED PRIVATE KEY") return { reason: "EncryptedKey", field: value.field, message: `The private key in ${nameOf(value)} is encrypted with a passphrase, which nobody can give here.` }
  const type = FORMATS[block.label]
  if (type === undefined) return wrong(`The private key in ${nameOf(value)} is neither PKCS#8, PKCS#1 nor SEC1.`)
  try {
    const key = createPrivateKey({ key: block.der.reveal(), format: "der", type })
    const kind = key.asymmetricKeyType
    if (kind === "ec" && !CURVES.includes(key.asymmetricKeyDetails?.namedCurve ?? "")) return wrong(`The private key in ${nameOf(value)} is on a curve that TLS servers do not use.`)
    return kind === "rsa" || kind === "ec" || kind === "ed25519" ? key : wrong(`The private key in ${nameOf(value)} is neither RSA, ECDSA nor Ed25519.`)
  } catch {
    return wrong(`The private key in ${nameOf(value)} is damaged.`)
  }
}

const digestOf = (key: KeyObject): string => hash("sha256", key.export({ type: "spki", format: "der" }))

/** Undefined for a kind of key that is not known. */
const digestOfCertificate = (certificate: X509Certificate): string | undefined => {
  try {
    return digestOf(certificate.publicKey)
  } catch {
    return undefined
  }
}

/** A key may name the right public half and be damaged in the other. */
const isWhole = (key: KeyObject, leaf: X509Certificate): boolean => {
  try {
    const digest = key.asymmetricKeyType === "ed25519" ? null : "sha256"
    const text = Buffer.from("headgate")
    return verify(digest, text, leaf.publicKey, sign(digest, text, key))
  } catch {
    return false
  }
}

const pemOf = ({ raw }: X509Certificate): string => `-----BEGIN CERTIFICATE-----\n${raw.toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`
