/**
 * Certificates of one listener by the name a client asks for: the exact name, else a wildcard of one label (RFC 6125
 * §6.4.3), else the first. Immutable.
 */
import type { OpenCertificate } from "./context.ts"

/** Presented together; no two of a key type, in the listener's order. Never empty. */
export type Together = readonly OpenCertificate[]

export class NameIndex {
  readonly #exact = new Map<string, OpenCertificate[]>()
  /** Under what follows the star and its dot. */
  readonly #wildcard = new Map<string, OpenCertificate[]>()
  readonly #standard: Together | null

  /** In the listener's order. */
  constructor(certificates: readonly OpenCertificate[]) {
    for (const certificate of certificates) {
      for (const name of certificate.names) {
        if (name.startsWith("*.")) add(this.#wildcard, name.slice(2), certificate)
        else add(this.#exact, name, certificate)
      }
    }
    const [first] = certificates
    this.#standard = first === undefined ? null : together(certificates.filter((other) => other === first || isSameNames(other.names, first.names)))
  }

  /** null: the listener has nothing to present. `name` is lower case, "" for none. */
  find(name: string): Together | null {
    const dot = name.indexOf(".")
    return this.#exact.get(name) ?? (dot > 0 ? this.#wildcard.get(name.slice(dot + 1)) : undefined) ?? this.#standard
  }
}

const add = (index: Map<string, OpenCertificate[]>, name: string, certificate: OpenCertificate): void => {
  const before = index.get(name)
  if (before === undefined) index.set(name, [certificate])
  else if (!before.some(({ keyType }) => keyType === certificate.keyType)) before.push(certificate)
}

const together = (certificates: readonly OpenCertificate[]): Together => certificates.filter(({ keyType }, i) => certificates.findIndex((other) => other.keyType === keyType) === i)

const isSameNames = (some: readonly string[], others: readonly string[]): boolean => some.length === others.length && some.every((name, i) => name === others[i])
