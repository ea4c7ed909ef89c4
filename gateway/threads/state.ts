/**
 * What a worker that starts anew is told, so that it serves what the others serve: every entry as it is in force, then
 * what came after it without taking its place (table/compile.ts, tls/certificates.ts): entries that were parked, Secrets
 * not read again, and clusters and certificates that are removed while something still names them.
 */
import type { Certificate, Cluster, Listener, Route } from "../../bus/kinds/config.ts"
import type { Batch, TableNote } from "../table/compile.ts"
import { certificatesNamed, clustersNamed } from "../table/entry.ts"

/** Of one section. */
class Entries<T> {
  readonly inForce = new Map<string, T>()
  /** Given later, not in force. */
  readonly later = new Map<string, T | null>()
  /** Of the batch that is being applied: not in force before it is known whether it can be. */
  readonly tried = new Map<string, T>()

  /** Its last good content stays if this is refused. */
  try(id: string, entry: T): void {
    if (!this.inForce.has(id)) return this.set(id, entry)
    this.tried.set(id, entry)
    this.later.set(id, entry)
  }

  set(id: string, entry: T): void {
    this.inForce.set(id, entry)
    this.later.delete(id)
  }

  delete(id: string): void {
    this.inForce.delete(id)
    this.later.delete(id)
  }

  /** What was tried is refused, or not. */
  settle(isRefused: (id: string) => boolean): void {
    for (const [id, entry] of this.tried) if (!isRefused(id)) this.set(id, entry)
    this.tried.clear()
  }

  /** Drops what is removed and named by nothing. */
  prune(named: ReadonlySet<string>): void {
    for (const [id, entry] of this.later) if (entry === null && !named.has(id)) this.delete(id)
  }
}

/** Entries that are removed but may be named, before it is looked whether they are. */
const MOST_REMOVED = 1_000

export class ServedState {
  readonly #clusters = new Entries<Cluster>()
  readonly #certificates = new Entries<Certificate>()
  readonly #listeners = new Map<string, Listener>()
  readonly #routes = new Entries<Route>()
  #pruneAt = MOST_REMOVED

  /** Listener entries given so far, served or not. */
  get listeners(): ReadonlyMap<string, Listener> {
    return this.#listeners
  }

  /** A batch goes to the workers; `settle` follows. */
  take({ clusters = new Map(), certificates = new Map(), listeners = new Map(), routes = new Map() }: Batch): void {
    for (const [id, cluster] of clusters) {
      if (cluster !== null) this.#clusters.set(id, cluster)
      else if (this.#clusters.inForce.has(id)) this.#clusters.later.set(id, null)
    }
    for (const [id, certificate] of certificates) {
      const isThere = this.#certificates.inForce.has(id)
      if (certificate === null) {
        if (isThere) this.#certificates.later.set(id, null)
      } else if (certificate.empty === "NotRead" && isThere) this.#certificates.later.set(id, certificate)
      else this.#certificates.try(id, certificate)
    }
    for (const [id, listener] of listeners) {
      if (listener === null) this.#listeners.delete(id)
      else this.#listeners.set(id, listener)
    }
    for (const [id, route] of routes) {
      if (route === null) this.#routes.delete(id)
      else this.#routes.try(id, route)
    }
    if (this.#clusters.later.size + this.#certificates.later.size <= this.#pruneAt) return
    this.#prune()
    this.#pruneAt = Math.max(MOST_REMOVED, 2 * (this.#clusters.later.size + this.#certificates.later.size))
  }

  /** It is served; `notes` as a worker has them now. */
  settle(notes: ReadonlyMap<string, TableNote>): void {
    this.#routes.settle((id) => notes.has(`route/${id}`))
    this.#certificates.settle((id) => notes.get(`certificate/${id}`)?.reason === "CertificateParked")
  }

  /** To be applied in this order. */
  batches(): readonly Batch[] {
    this.#prune()
    const { later: clusters } = this.#clusters
    const { later: certificates } = this.#certificates
    const { later: routes } = this.#routes
    const first: Batch = { clusters: this.#clusters.inForce, certificates: this.#certificates.inForce, listeners: this.#listeners, routes: this.#routes.inForce }
    return clusters.size + certificates.size + routes.size === 0 ? [first] : [first, { clusters, certificates, routes }]
  }

  #prune(): void {
    const clusters = new Set<string>()
    for (const route of [...this.#routes.inForce.values(), ...this.#routes.later.values()]) if (route !== null) for (const id of clustersNamed(route)) clusters.add(id)
    const certificates = new Set<string>()
    for (const listener of this.#listeners.values()) for (const id of certificatesNamed(listener)) certificates.add(id)
    this.#clusters.prune(clusters)
    this.#certificates.prune(certificates)
  }
}
