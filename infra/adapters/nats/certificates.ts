/**
 * Who is who on the way to nats-server: an authority of the installation, and what it signs. A server shows its names,
 * a client the name of its user, for which nats-server then wants the password too. Pure but for keys and serial numbers.
 */
import { createPrivateKey, X509Certificate } from "node:crypto"
import { issue, type KeyPair, newAuthority, type Subject } from "./x509.ts"

export type { KeyPair } from "./x509.ts"

const AUTHORITY = "Headgate NATS"
const DAY = 86_400_000
const AUTHORITY_LIFE = 3650 * DAY
const LEAF_LIFE = 90 * DAY
/** Clocks differ, ms. */
const BACKDATED = 3_600_000

/** `now`: ms since 1970. Throws TypeError for one that is not of our making: what it would sign nobody could check. The one before where it is good for long; its key goes on in the next, so what it signed stays good, and so does trust in it. */
export const currentAuthority = (before: Partial<KeyPair>, now: number): KeyPair => {
  const pair = matching(before)
  const validity = { from: now - BACKDATED, to: now + AUTHORITY_LIFE }
  if (pair === undefined) return newAuthority(AUTHORITY, validity)
  if (!isOurs(pair.parsed)) throw new TypeError(`the authority "${pair.parsed.subject}" was not made by Headgate: take it away, and one is made`)
  return now > renewalOf(pair.certificate) ? newAuthority(AUTHORITY, validity, pair) : { certificate: pair.certificate, key: pair.key }
}

/** As it was written: throws TypeError for what is no certificate with its key, or was not made here. */
export const authorityOf = (pair: KeyPair): KeyPair => {
  const read = matching(pair)
  if (read === undefined) throw new TypeError("the authority is no certificate with its key")
  if (!isOurs(read.parsed)) throw new TypeError(`the authority "${read.parsed.subject}" was not made by Headgate`)
  return pair
}

const isOurs = (parsed: X509Certificate): boolean => parsed.ca && parsed.subject === `CN=${AUTHORITY}` && parsed.publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1"

/** The one before where the authority signed it, for just this, and it is good for long. */
export const currentLeaf = (authority: KeyPair, subject: Subject, before: Partial<KeyPair>, now: number): KeyPair => {
  const pair = matching(before)
  const isGood = pair !== undefined && isSignedBy(pair.parsed, authority) && pair.parsed.subjectAltName === namesOf(subject) && now <= renewalOf(pair.certificate)
  return isGood ? { certificate: pair.certificate, key: pair.key } : issue({ commonName: AUTHORITY, key: authority.key }, subject, { from: now - BACKDATED, to: now + LEAF_LIFE })
}

/** As a user of nats-server. */
export const clientSubject = (user: string): Subject => ({ commonName: user.slice(0, 64), dnsNames: [user], addresses: [], usages: ["clientAuth"] })

/** A server dials others, so it is a client too. By `localhost` it is reached through a forwarded port. */
export const serverSubject = (dnsNames: readonly string[]): Subject => ({ commonName: "nats-server", dnsNames: [...dnsNames, "localhost"], addresses: ["127.0.0.1"], usages: ["serverAuth", "clientAuth"] })

/** When it is to be renewed, ms since 1970: while a third of its life is left, so who reads it late, or is away for weeks, still comes in. */
export const renewalOf = (certificate: string): number => {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  return Math.floor(validToDate.getTime() - (validToDate.getTime() - validFromDate.getTime()) / 3)
}

/** Which authority it is, as short text. */
export const fingerprintOf = (certificate: string): string => new X509Certificate(certificate).fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase()

const namesOf = ({ dnsNames, addresses }: Subject): string => [...dnsNames.map((name) => `DNS:${name}`), ...addresses.map((address) => `IP Address:${address}`)].join(", ")

const isSignedBy = (leaf: X509Certificate, authority: KeyPair): boolean => {
  const signer = new X509Certificate(authority.certificate)
  return leaf.checkIssued(signer) && leaf.verify(signer.publicKey)
}

/** Undefined where one of them is missing, cannot be read, or is not of the other. */
const matching = ({ certificate, key }: Partial<KeyPair>): (KeyPair & { readonly parsed: X509Certificate }) | undefined => {
  if (certificate === undefined || key === undefined) return undefined
  try {
    const parsed = new X509Certificate(certificate)
    return parsed.checkPrivateKey(createPrivateKey(key)) ? { certificate, key, parsed } : undefined
  } catch {
    return undefined
  }
}
