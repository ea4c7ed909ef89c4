/** X.509 certificates of one profile (RFC 5280; ECDSA on P-256 with SHA-256, RFC 5758). node:crypto signs, and reads what this makes. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { AsnConvert, OctetString } from "@peculiar/asn1-schema"
import {
  AlgorithmIdentifier, AttributeTypeAndValue, AttributeValue, AuthorityKeyIdentifier, BasicConstraints, Certificate, ExtendedKeyUsage, Extension, Extensions, GeneralName,
  id_ce_authorityKeyIdentifier, id_ce_basicConstraints, id_ce_extKeyUsage, id_ce_keyUsage, id_ce_subjectAltName, id_ce_subjectKeyIdentifier, id_kp_clientAuth, id_kp_serverAuth,
  KeyUsage, KeyUsageFlags, Name, RelativeDistinguishedName, SubjectAlternativeName, SubjectKeyIdentifier, SubjectPublicKeyInfo, TBSCertificate, Validity as Times, Version,
} from "@peculiar/asn1-x509"

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
    extension(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), "critical"),
    extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign), "critical"),
    extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdentifier(key))),
  ]
  return { certificate: certificate({ issuer: commonName, subject: commonName, validity, key, extensions, signer: key }), key: pemOf(key) }
}

/** With a key of its own. */
export const issue = (authority: { readonly commonName: string; readonly key: string }, { commonName, dnsNames, addresses, usages }: Subject, validity: Validity): KeyPair => {
  const [key, signer] = [newKey(), createPrivateKey(authority.key)]
  const names = [...dnsNames.map((dNSName) => new GeneralName({ dNSName })), ...addresses.map((iPAddress) => new GeneralName({ iPAddress }))]
  const extensions = [
    extension(id_ce_basicConstraints, new BasicConstraints(), "critical"),
    extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), "critical"),
    extension(id_ce_extKeyUsage, new ExtendedKeyUsage(usages.map((usage) => USAGES[usage]))),
    extension(id_ce_subjectAltName, new SubjectAlternativeName(names)),
    extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdentifier(key))),
    extension(id_ce_authorityKeyIdentifier, new AuthorityKeyIdentifier({ keyIdentifier: new SubjectKeyIdentifier(keyIdentifier(signer)) })),
  ]
  return { certificate: certificate({ issuer: authority.commonName, subject: commonName, validity, key, extensions, signer }), key: pemOf(key) }
}

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
const COMMON_NAME = "2.5.4.3"
const USAGES = { serverAuth: id_kp_serverAuth, clientAuth: id_kp_clientAuth } as const

interface Content {
  readonly issuer: string
  readonly subject: string
  readonly validity: Validity
  readonly key: KeyObject
  readonly extensions: readonly Extension[]
  readonly signer: KeyObject
}

const certificate = ({ issuer, subject, validity, key, extensions, signer }: Content): string => {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const serial = randomBytes(16)
  // Positive, and of full length.
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f)
  const tbsCertificate = new TBSCertificate({
    version: Version.v3, serialNumber: bytesOf(serial), signature: algorithm, issuer: nameOf(issuer), subject: nameOf(subject),
    validity: new Times({ notBefore: secondsOf(validity.from), notAfter: secondsOf(validity.to) }),
    subjectPublicKeyInfo: AsnConvert.parse(publicKey(key), SubjectPublicKeyInfo), extensions: new Extensions([...extensions]),
  })
  const signatureValue = bytesOf(sign("sha256", Buffer.from(AsnConvert.serialize(tbsCertificate)), signer))
  const der = Buffer.from(AsnConvert.serialize(new Certificate({ tbsCertificate, signatureAlgorithm: algorithm, signatureValue })))
  return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`
}

const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString()
const publicKey = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" })
/** RFC 7093, 2, method 4: of the whole SubjectPublicKeyInfo, cut to 160 bits. */
const keyIdentifier = (key: KeyObject): ArrayBuffer => bytesOf(createHash("sha256").update(publicKey(key)).digest().subarray(0, 20))

/** Of its own: a Buffer may be a piece of a larger one. */
const bytesOf = (buffer: Buffer): ArrayBuffer => new Uint8Array(buffer).buffer
const secondsOf = (at: number): Date => new Date(Math.floor(at / 1000) * 1000)
const nameOf = (utf8String: string): Name => new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: COMMON_NAME, value: new AttributeValue({ utf8String }) })])])
const extension = (extnID: string, value: object, isCritical?: "critical"): Extension => new Extension({ extnID, critical: isCritical !== undefined, extnValue: new OctetString(AsnConvert.serialize(value)) })
