/**
 * Answers every demand for a Secret with a certificate, also when there is nothing to present: then `empty` says why.
 * Wants of the adapter what it needs for that: the Secret's content for the data plane, and when validity begins and ends.
 */
import { CONTROL_PLANE, kinds, type Certificate, type Listener, type Wanted } from "../../bus/kinds/config.ts"
import { core, type Secret } from "../../bus/kinds/core.ts"
import { gatewayApi } from "../../bus/kinds/gateway-api.ts"
import { clock } from "../../bus/kinds/ours.ts"
import { idOfKey, planeOfKey } from "../gateway-api/names.ts"
import { reconcile, type Member } from "../reconcile.ts"
import { reporter, type Report } from "../gateway-api/report.ts"
import { covers, readChain, type Chain } from "./chain.ts"
import { momentsWanted, validityOf, type Validity } from "../gateway-api/validity.ts"

export const certs = reconcile({
  name: "certs",
  version: "1",
  reads: [kinds.demand, kinds.listener, gatewayApi.gateway, core.secret, clock],
  writes: [kinds.certificate, kinds.wanted],
  derive: ({ from, into }) => {
    const gateways = from(gatewayApi.gateway)
    const secrets = from(core.secret)
    const clocks = from(clock)
    const chains = secrets.map(({ tls }): Read => {
      if (tls === undefined) return undefined
      const chain = readChain(tls.chain, tls.keyDigest)
      return chain === undefined ? { fault: true } : { chain }
    }).named("chains")
    const demands = from(kinds.demand).map(({ secret }) => secret).named("Secrets demanded")

    const certificates = demands.map(({ namespace, name }, read, key): Certificate => {
      const report = reporter(read, { kind: "Secret", namespace, name })
      const entry = { schema: 1, source: { kind: "Secret", namespace, name }, names: [] } as const
      const secret = read(secrets, `${namespace}/${name}`)
      if (secret === undefined) {
        report("error", "InvalidCertificateRef", "metadata.name", `Listeners refer to Secret ${namespace}/${name}, which does not exist: nothing can be presented of it.`, "Create the Secret, or correct the certificateRef.")
        return { ...entry, empty: "NoSuchSecret" }
      }
      const sealed = secret.tls?.sealed[planeOfKey(key)]
      const found = sealed === undefined ? undefined : read(chains, `${namespace}/${name}`)
      noteProblem(secret, found?.chain !== undefined, report)
      if (found?.fault === true) report("error", "InvalidCertificate", "data.tls.crt", "None of its certificates can be read and has its private key: nothing can be presented of it.", FIXES.InvalidCertificate)
      if (sealed === undefined || found?.chain === undefined) return { ...entry, empty: secret.problem === undefined && found === undefined ? "NotRead" : "Unusable" }
      noteChain(found.chain, report)
      noteValidity(found.chain, validityOf(found.chain, (moment) => read(clocks, `/${moment}`) !== undefined), report)
      const { pem, names, keyType, notBefore, notAfter, fingerprint } = found.chain
      return { ...entry, chain: pem, key: sealed, names: [...names], keyType, notBefore, notAfter, fingerprint }
    })
    into(kinds.certificate, certificates)

    into(kinds.wanted, demands.flatMap(({ namespace, name }, read, key): Member<Wanted>[] => {
      const plane = planeOfKey(key)
      const moments = momentsIn(read(chains, `${namespace}/${name}`))
      return [
        [`${CONTROL_PLANE}/certs/${plane}/${idOfKey(key)}`, { schema: 1, secret: { plane, namespace, name } }],
        ...moments.map(([id, moment]): Member<Wanted> => [`${CONTROL_PLANE}/certs/${id}`, { schema: 1, moment }]),
      ]
    }))

    from(kinds.listener).map(({ tls, hostname, name, gateway }: Listener, read, key) => {
      if (tls === undefined || hostname === undefined) return undefined
      const presented = tls.certificates.map((id) => read(certificates, `${planeOfKey(key)}/${id}`))
      // Where one is missing that is what has to be mended.
      if (presented.some((each) => each?.chain === undefined || each.names.some((one) => covers(one, hostname)))) return undefined
      const index = read(gateways, `${gateway.namespace}/${gateway.name}`)?.spec.listeners.findIndex((each) => each.name === name) ?? -1
      const report = reporter(read, { kind: "Gateway", ...gateway })
      report("warning", "HostnameNotCovered", index < 0 ? "spec.listeners" : `spec.listeners[${index}].hostname`, `No certificate of listener ${name} is for ${hostname}: clients refuse what it presents.`, "Refer to a Secret whose certificate has this name.")
      return undefined
    }).named("notes on hostnames")
  },
})

/** `fault`: what was published as content is none. */
type Read = { readonly chain?: Chain; readonly fault?: true } | undefined

const momentsIn = (read: Read): ReturnType<typeof momentsWanted> => (read?.chain === undefined ? [] : momentsWanted(read.chain))

const FIXES = {
  KeyMismatch: "Put the private key and its own certificate into one Secret.",
  EncryptedKey: "Write it unencrypted: openssl pkey -in encrypted.key -out tls.key.",
  InvalidKey: "Write one private key in PEM (PKCS#8, PKCS#1 or SEC1): RSA, ECDSA on P-256, P-384 or P-521, or Ed25519.",
  InvalidCertificate: "Write the certificate and those that lead to its root in PEM, its own first.",
  MissingData: "Put tls.crt and tls.key into the Secret's data.",
  NoPlaneKey: "With files start the adapter with --plane-keys, a folder that has the data plane's key; in a cluster see the notes on the Secret that the adapter makes for the plane.",
  Unreadable: "See the notes of its file.",
} as const

const fixOf = (reason: string): string => Object.entries(FIXES).find(([name]) => name === reason)?.[1] ?? "Correct the Secret."

const noteProblem = ({ problem }: Secret, isServed: boolean, report: Report): void => {
  // Another data plane's key is missing.
  if (problem === undefined || (problem.reason === "NoPlaneKey" && isServed)) return
  report("error", problem.reason, problem.field === "" ? "metadata.name" : problem.field, `${problem.message} ${isServed ? "The last good certificate stays in use." : "Nothing can be presented of it."}`, fixOf(problem.reason))
}

/** RSA keys below are broken within reach (NIST SP 800-131A); OpenSSL refuses them at its usual level. */
const LEAST_BITS = 2048

const noteChain = ({ isReordered, strays, bits, keyType }: Chain, report: Report): void => {
  if (isReordered) report("warning", "ChainOrder", "data.tls.crt", "The certificates are not in the order in which each is signed by the next; they are presented in that order.", "Write the leaf first, then the one that signed it, and so on.")
  if (strays > 0) report("warning", "StrayCertificate", "data.tls.crt", `${strays === 1 ? "One certificate is" : `${strays} certificates are`} no part of the leaf's chain and left out.`, "Remove what does not belong to the chain.")
  if (keyType === "ed25519") report("warning", "RareKeyType", "data.tls.key", "The key is of type Ed25519: no browser takes such a certificate, and other clients may not.", "Issue a certificate for an ECDSA key on P-256, and let the listener refer to it as well, or instead.")
  if (bits !== undefined && bits < LEAST_BITS) report("warning", "WeakKey", "data.tls.key", `The RSA key has ${bits} bits: gateway and clients may refuse it.`, `Issue a certificate for a key with at least ${LEAST_BITS} bits, or for ECDSA.`)
}

const noteValidity = ({ notBefore, notAfter }: Chain, validity: Validity, report: Report): void => {
  const field = "data.tls.crt"
  if (validity === "Expired") report("error", "Expired", field, `The certificate expired at ${notAfter}. It is presented all the same; clients refuse it.`, "Renew it.")
  if (validity === "NotYetValid") report("error", "NotYetValid", field, `The certificate is valid from ${notBefore}. It is presented all the same; clients refuse it until then.`, "Wait, or use one that is valid now.")
  if (validity === "ExpiresSoon") report("warning", "ExpiresSoon", field, `The certificate expires at ${notAfter}.`, "Renew it.")
}
