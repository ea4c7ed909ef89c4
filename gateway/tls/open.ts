/** A certificate entry as something that can be presented. */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto"
import type { Certificate } from "../../bus/kinds/config.ts"
import type { Redacted } from "../../bus/redacted.ts"
import { open, type PlaneKey } from "../../bus/seal.ts"
import type { OpenCertificate } from "./context.ts"

/** Throws Error with a sentence that says what is wrong and quotes nothing of the key. */
export const openCertificate = (id: string, { chain = "", key: sealed = "", names, source }: Certificate, plane: string, planeKey: PlaneKey): OpenCertificate => {
  const key = opened(planeKey, `${plane}/${source.namespace}/${source.name}`, sealed)
  const parsed = parsedKey(key)
  const leaf = parsedLeaf(chain)
  if (!leaf.checkPrivateKey(parsed)) throw new Error("its private key is of another certificate")
  return { id, names, chain, key, keyType: parsed.asymmetricKeyType ?? "unknown" }
}

const opened = (key: PlaneKey, place: string, sealed: string): Redacted<Buffer> => {
  try {
    return open(key, place, sealed)
  } catch (error) {
    throw new Error(`its private key cannot be opened: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

// What OpenSSL says of a key or certificate is left out: it may quote it.
const parsedKey = (key: Redacted<Buffer>): KeyObject => {
  try {
    return createPrivateKey({ key: key.reveal(), format: "der", type: "pkcs8" })
  } catch {
    throw new Error("its private key is no key in PKCS#8")
  }
}

const parsedLeaf = (chain: string): X509Certificate => {
  try {
    return new X509Certificate(chain)
  } catch {
    throw new Error("its chain does not begin with a certificate in PEM")
  }
}
