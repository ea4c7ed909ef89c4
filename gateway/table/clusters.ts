/**
 * The clusters a table's rules point at. They are live: endpoints change in place, without a new table, because a
 * request chooses its endpoint only once it has its rule. Balance state, pools and health hang on these identities.
 *
 * A cluster named by a rule but not (yet) present answers 503. One that is removed keeps its endpoints as long as a
 * rule names it (barrier B4): the removal is right only together with the swap that stops naming it.
 */
import type { Cluster } from "../../bus/kinds/config.ts"
import type { ClusterHandle, EndpointHandle } from "./table.ts"

export type EndpointOf = (address: string, port: number, isHttp2: boolean) => EndpointHandle

class LiveCluster implements ClusterHandle {
  readonly id: string
  endpoints: readonly EndpointHandle[] = []
  isHttp2 = false
  emptyStatus = 503
  turn = 0
  isPresent = false
  /** Routes that name it. */
  named = 0

  constructor(id: string) {
    this.id = id
  }
}

export class Clusters {
  readonly #clusters = new Map<string, LiveCluster>()
  readonly #endpointOf: EndpointOf

  constructor(endpointOf: EndpointOf) {
    this.#endpointOf = endpointOf
  }

  /** Live view, removed but named ones included. */
  get all(): ReadonlyMap<string, ClusterHandle> {
    return this.#clusters
  }

  /** Every endpoint that a cluster names. */
  endpoints(): ReadonlySet<EndpointHandle> {
    const named = new Set<EndpointHandle>()
    for (const { endpoints } of this.#clusters.values()) for (const endpoint of endpoints) named.add(endpoint)
    return named
  }

  get(id: string): ClusterHandle {
    return this.#at(id)
  }

  set(id: string, value: Cluster): void {
    const cluster = this.#at(id)
    cluster.isPresent = true
    cluster.emptyStatus = value.empty === undefined || value.empty === "NoReadyEndpoints" ? 503 : 500
    cluster.isHttp2 = value.protocol === "h2c"
    cluster.endpoints = value.endpoints.map(({ address, port }) => this.#endpointOf(address, port, cluster.isHttp2))
  }

  remove(id: string): void {
    const cluster = this.#clusters.get(id)
    if (cluster === undefined) return
    cluster.isPresent = false
    this.#dropUnused(cluster)
  }

  /** A route begins to name these. */
  name(ids: readonly string[]): void {
    for (const id of ids) this.#at(id).named++
  }

  unname(ids: readonly string[]): void {
    for (const id of ids) {
      const cluster = this.#clusters.get(id)
      if (cluster === undefined) continue
      cluster.named--
      this.#dropUnused(cluster)
    }
  }

  #at(id: string): LiveCluster {
    let cluster = this.#clusters.get(id)
    if (cluster === undefined) this.#clusters.set(id, (cluster = new LiveCluster(id)))
    return cluster
  }

  #dropUnused(cluster: LiveCluster): void {
    if (!cluster.isPresent && cluster.named <= 0) this.#clusters.delete(cluster.id)
  }
}
