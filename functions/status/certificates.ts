/** What of a listener's certificates its conditions go by: not their bytes, and of time only what has begun or ended. */
import type { Certificate } from "../../bus/kinds/config.ts"
import type { Secret } from "../../bus/kinds/core.ts"
import type { Clock } from "../../bus/kinds/ours.ts"
import type { Condition } from "../../bus/kinds/status.ts"
import { validityOf, type Validity } from "../gateway-api/validity.ts"
import type { Collection } from "../reconcile.ts"
import type { Say } from "./condition.ts"

export interface CertificateFacts {
  /** `<namespace>/<name>` */
  readonly secret: string
  /** Why there is nothing to present. */
  readonly empty: Certificate["empty"]
  /** What is wrong with the Secret as it is now; without `empty` the last good content is presented. */
  readonly problem: Secret["problem"]
  readonly validity: Validity | undefined
  readonly term: string
}

/** By `<plane>/<certificate id>`. */
export const certificateFacts = (certificates: Collection<Certificate>, secrets: Collection<Secret>, clocks: Collection<Clock>): Collection<CertificateFacts> => {
  const problems = secrets.map(({ problem }) => problem).named("problems of Secrets")
  return certificates.map(({ source, empty, notBefore, notAfter }, read) => {
    const secret = `${source.namespace}/${source.name}`
    const problem = read(problems, secret)
    if (notBefore === undefined || notAfter === undefined) return { secret, empty, problem, validity: undefined, term: "" }
    return { secret, empty, problem, validity: validityOf({ notBefore, notAfter }, (moment) => read(clocks, `/${moment}`) !== undefined), term: `from ${notBefore} to ${notAfter}` }
  }).named("facts of certificates")
}

interface Trouble {
  readonly status: "False" | "Unknown"
  readonly reason: string
  readonly message: string
}

/** What keeps a certificate from being used as the Secret has it now. */
export const unresolved = ({ secret, empty, problem }: CertificateFacts): Trouble | undefined => {
  if (empty === "NoSuchSecret") return { status: "False", reason: empty, message: `Secret ${secret} does not exist.` }
  // NoPlaneKey: of another data plane, where this one has what it needs.
  if (problem !== undefined && (problem.reason !== "NoPlaneKey" || empty !== undefined)) return { status: "False", reason: problem.reason, message: `Secret ${secret}: ${problem.message}${empty === undefined ? " The last good certificate stays in use." : ""}` }
  if (empty === "Unusable") return { status: "False", reason: "InvalidCertificate", message: `Secret ${secret} holds no certificate that belongs to its private key.` }
  return empty === "NotRead" ? { status: "Unknown", reason: "Pending", message: `Secret ${secret} has not been read yet.` } : undefined
}

const untimely = ({ secret, validity, term }: CertificateFacts): Trouble | undefined =>
  validity === "Expired" || validity === "NotYetValid" ? { status: "False", reason: validity, message: `The certificate of Secret ${secret} is valid ${term}; clients refuse it.` } : undefined

/** A condition of our own, for HTTPS: whether clients can trust what is presented, as far as the certificates themselves tell. */
export const certificatesValid = (facts: readonly CertificateFacts[], say: Say): readonly Condition[] => {
  if (facts.length === 0) return []
  const type = "headgate.dev/CertificatesValid"
  const troubles = facts.flatMap((each) => unresolved(each) ?? untimely(each) ?? [])
  const [worst] = troubles.toSorted((a, b) => (a.status === b.status ? 0 : a.status === "False" ? -1 : 1))
  if (worst !== undefined) return [say(type, worst.status, worst.reason, troubles.map(({ message }) => message).join(" "))]
  const soon = facts.filter(({ validity }) => validity === "ExpiresSoon")
  return soon.length === 0 ? [say(type, "True", "Valid", "All certificates are valid now.")] : [say(type, "True", "ExpiresSoon", soon.map(({ secret, term }) => `The certificate of Secret ${secret} is valid ${term}.`).join(" "))]
}
