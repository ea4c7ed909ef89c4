/** The public part of a TLS Secret → what is presented, and what is known of its leaf. Pure: no clock, no trust store. */
import { hash, X509Certificate } from "node:crypto"
import { momentOf } from "../gateway-api/validity.ts"

export interface Chain {
  /** PEM, leaf first, each certificate signed by the next. */
  readonly pem: string
  /** DNS names and IP addresses of the leaf (subjectAltName, else the common name), lower case, sorted. */
  readonly names: readonly string[]
  readonly keyType: string
  /** Of an RSA key. */
  readonly bits?: number
  /** RFC 3339 with whole seconds, UTC. */
  readonly notBefore: string
  readonly notAfter: string
  /** SHA-256 of the leaf in DER, hexadecimal. */
  readonly fingerprint: string
  /** The user gave it in another order. */
  readonly isReordered: boolean
  /** Certificates given that are no part of it. */
  readonly strays: number
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/**
 * Undefined where a block is no certificate, or none has the key.
 *
 * @param keyDigest of TlsContent: the leaf is the certificate of this key
 */
export const readChain = (pem: string, keyDigest: string): Chain | undefined => {
  try {
    const given = (pem.match(BLOCK) ?? []).map((block) => new X509Certificate(block))
    const certificates = given.filter((each, i) => given.findIndex(({ fingerprint256 }) => fingerprint256 === each.fingerprint256) === i)
    const leaf = certificates.find(({ publicKey }) => hash("sha256", publicKey.export({ type: "spki", format: "der" })) === keyDigest)
    return leaf === undefined ? undefined : describe(leaf, certificates)
  } catch {
    return undefined
  }
}

const describe = (leaf: X509Certificate, certificates: readonly X509Certificate[]): Chain => {
  const chain = upwards(leaf, certificates)
  const places = chain.map((each) => certificates.indexOf(each))
  const bits = leaf.publicKey.asymmetricKeyDetails?.modulusLength
  return {
    pem: chain.map(String).join(""),
    names: namesOf(leaf),
    keyType: leaf.publicKey.asymmetricKeyType ?? "",
    ...(bits === undefined ? {} : { bits }),
    notBefore: momentOf(leaf.validFromDate),
    notAfter: momentOf(leaf.validToDate),
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
    isReordered: places.some((place, i) => i > 0 && place < (places[i - 1] ?? 0)),
    strays: certificates.length - chain.length,
  }
}

const upwards = (leaf: X509Certificate, certificates: readonly X509Certificate[]): readonly X509Certificate[] => {
  const chain = [leaf]
  for (let last = leaf; ; ) {
    const issuer = certificates.find((each) => !chain.includes(each) && isIssuedBy(last, each))
    if (issuer === undefined) return chain
    chain.push(issuer)
    last = issuer
  }
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean => {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

/** As node:crypto writes subjectAltName: values that could be mistaken are JSON texts. */
const ALTERNATIVE = /(?:^|, )(DNS|IP Address|[A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g

const namesOf = ({ subjectAltName = "", subject }: X509Certificate): readonly string[] => {
  const alternatives = [...subjectAltName.matchAll(ALTERNATIVE)].flatMap(([, type, value = ""]) => ((type === "DNS" || type === "IP Address") && !value.startsWith('"') ? [value] : []))
  const common = (subject ?? "").split("\n").flatMap((line) => (line.startsWith("CN=") ? [line.slice(3)] : []))
  return [...new Set((alternatives.length > 0 ? alternatives : common).map((name) => name.toLowerCase()))].sort()
}

/**
 * Whether a listener's hostname has something in common with a certificate's name. A wildcard name stands for one
 * label (RFC 6125 §6.4.3), a wildcard hostname for one or more: of that, a part is enough.
 */
export const covers = (name: string, hostname: string): boolean => {
  if (name === hostname) return true
  if (hostname.startsWith("*.")) return name.endsWith(hostname.slice(1))
  return name.startsWith("*.") && hostname.slice(hostname.indexOf(".")) === name.slice(1)
}
