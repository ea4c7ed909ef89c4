/**
 * Certificates with which the pods of data planes come to the bus, in the plane's Secret. An annotation says of which
 * authority there is one and when it is to be renewed: so it is seen from metadata alone that nothing is to be done.
 */
import { busCertificate } from "../../../../bus/kinds/desired.ts"
import { gatewayRole } from "../../../../bus/server.ts"
import { clientSubject, currentLeaf, fingerprintOf, type KeyPair, renewalOf } from "../../nats/certificates.ts"
import type { Json } from "../raw.ts"
import { object, text } from "./paths.ts"

/** `<authority> <time of renewal>` */
export const CERTIFICATE = "headgate.dev/certificate"

export const isCertified = (metadata: unknown): boolean => text(metadata, "annotations", CERTIFICATE) !== ""

/** Whether it is of this authority, and good for long. `now`: ms since 1970. */
export const isWellCertified = (metadata: unknown, authority: KeyPair, now: number): boolean => {
  const [fingerprint, renewal = ""] = text(metadata, "annotations", CERTIFICATE).split(" ")
  return fingerprint === fingerprintOf(authority.certificate) && now <= Date.parse(renewal)
}

/**
 * The Secret with one for the user of this data plane and of no other, base64 as the API has it; the one it has, where
 * that is good for long.
 *
 * @param there the Secret that exists, whole; undefined: none does
 */
export const withCertificate = (wanted: Json, plane: string, authority: KeyPair, there: unknown, now: number): Json => {
  const read = (key: string): string => Buffer.from(text(there, "data", key), "base64").toString("utf8")
  const { certificate, key } = currentLeaf(authority, clientSubject(gatewayRole(plane)), { certificate: read(busCertificate.certificate), key: read(busCertificate.key) }, now)
  const content = { [busCertificate.certificate]: certificate, [busCertificate.key]: key, [busCertificate.authority]: authority.certificate }
  const metadata = object(wanted, "metadata")
  return {
    ...wanted,
    metadata: { ...metadata, annotations: { ...object(metadata, "annotations"), [CERTIFICATE]: `${fingerprintOf(authority.certificate)} ${new Date(renewalOf(certificate)).toISOString()}` } },
    data: { ...object(wanted, "data"), ...Object.fromEntries(Object.entries(content).map(([name, pem]) => [name, Buffer.from(pem).toString("base64")])) },
  }
}
