/**
 * Notes on what was named by commits that ran out of patience (barrier.ts, B5). Each stays until what is lacking is
 * there, or nothing that is served names it any more.
 */
import type { Step } from "./barrier.ts"
import type { Notes } from "./notes.ts"
import { certificatesNamed, clustersNamed } from "./table/entry.ts"

export class Lacking {
  readonly #notes: Notes
  readonly #patience: number
  /** By id of what is lacking: `route/<id>` and `listener/<id>` that name it. */
  readonly #namedBy = new Map<string, Set<string>>()
  /** The same from the other end. */
  readonly #names = new Map<string, readonly string[]>()

  constructor(notes: Notes, patience: number) {
    this.#notes = notes
    this.#patience = patience
  }

  /** After a swap. */
  update({ clusters, certificates, listeners, routes, lacking }: Step<unknown>): void {
    for (const entries of [clusters, certificates]) for (const [id, entry] of entries) if (entry !== null) this.#forget(id)
    for (const id of lacking.certificates) this.#add(id, "CertificateMissing", `Listeners name the certificate ${id}, which did not arrive within ${this.#patience} ms; they are served without it.`)
    for (const id of lacking.clusters) this.#add(id, "ClusterMissing", `Routes name the cluster ${id}, which did not arrive within ${this.#patience} ms; they are served, its share answers 503.`)
    if (this.#namedBy.size === 0) return
    for (const [id, route] of routes) this.#name(`route/${id}`, route === null ? [] : clustersNamed(route))
    for (const [id, listener] of listeners) this.#name(`listener/${id}`, listener === null ? [] : certificatesNamed(listener))
  }

  #add(id: string, reason: string, message: string): void {
    if (!this.#namedBy.has(id)) this.#namedBy.set(id, new Set())
    this.#notes.set(`barrier/${id}`, { severity: "warning", reason, message })
  }

  #name(row: string, named: readonly string[]): void {
    const before = this.#names.get(row) ?? []
    const now = named.filter((id) => this.#namedBy.has(id))
    for (const id of now) this.#namedBy.get(id)?.add(row)
    if (now.length > 0) this.#names.set(row, now)
    else this.#names.delete(row)
    for (const id of before) {
      const rows = this.#namedBy.get(id)
      if (rows === undefined || now.includes(id)) continue
      rows.delete(row)
      if (rows.size === 0) this.#forget(id)
    }
  }

  #forget(id: string): void {
    if (this.#namedBy.delete(id)) this.#notes.clear(`barrier/${id}`)
  }
}
