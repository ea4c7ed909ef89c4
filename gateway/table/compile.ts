/**
 * Entries to tables, incrementally: a batch recompiles the routes in it and touches only the hosts those are
 * attached to; everything else is shared with the table before. Nothing the current table can see changes until the
 * caller puts the new one in its place (clusters and certificates excepted: clusters.ts, tls/certificates.ts).
 *
 * Order of a batch: clusters and certificates, then listeners and routes together. Deterministic: the table depends on the entries
 * given so far, not on their order, except that a route that cannot be compiled leaves its last good version served.
 */
import type { Certificate, Cluster, Listener, Note, Route } from "../../bus/kinds/config.ts"
import type { Candidate } from "./candidate.ts"
import { Clusters, type EndpointOf } from "./clusters.ts"
import { certificatesNamed, clustersNamed } from "./entry.ts"
import { EntryFault } from "./fault.ts"
import { ANY_HOST, HostIndex } from "./host.ts"
import { HostChange, HostRoutes } from "./match.ts"
import { type CompiledListener, CompiledPort } from "./port.ts"
import type { Fresh } from "./radix.ts"
import { compileRoute, type Weighted } from "./rule.ts"
import type { EndpointHandle, PortTable, Presenter, Table } from "./table.ts"

/** null: removed. */
export interface Batch {
  readonly clusters?: ReadonlyMap<string, Cluster | null>
  readonly certificates?: ReadonlyMap<string, Certificate | null>
  readonly listeners?: ReadonlyMap<string, Listener | null>
  readonly routes?: ReadonlyMap<string, Route | null>
}

export type TableNote = Omit<Note, "schema">

/** Key of `ports` for a listener that binds nothing in particular. */
const ANY_ADDRESS = "*"

/** What HTTPS listeners present, beside the table: gateway/tls/certificates.ts. */
export interface CertificateStore {
  set(id: string, certificate: Certificate): void
  remove(id: string): void
  /** For a listener that names these, in this order. `release` ends it. `about`: whom notes on it are for. */
  present(listener: string, certificates: readonly string[], about?: TableNote["about"]): Presenter
  release(listener: string): void
}

/** For a table that accepts no connections. */
const noCertificates: CertificateStore = { set: () => {}, remove: () => {}, present: () => ({ find: () => null }), release: () => {} }

interface RouteRecord {
  readonly candidates: readonly Candidate[]
  readonly attach: ReadonlyMap<string, readonly string[]>
  readonly clusters: readonly string[]
}

export class TableCompiler {
  readonly #clusters: Clusters
  readonly #weighted: Weighted
  readonly #certificates: CertificateStore
  readonly #routes = new Map<string, RouteRecord>()
  readonly #listeners = new Map<string, Listener>()
  /** By listener id, also of listeners that are not there (yet): a listener that comes finds its routes ready. */
  readonly #attached = new Map<string, HostIndex<HostRoutes>>()
  /** By id of an HTTPS listener. */
  readonly #presenters = new Map<string, Presenter>()
  /** By note id: `route/<id>`, `listener/<id>`. */
  readonly #notes = new Map<string, TableNote>()
  #table: Table

  constructor(options: { readonly endpointOf: EndpointOf; readonly weighted: Weighted; readonly certificates?: CertificateStore }) {
    this.#certificates = options.certificates ?? noCertificates
    this.#clusters = new Clusters(options.endpointOf)
    this.#weighted = options.weighted
    this.#table = { ports: new Map(), clusters: this.#clusters.all, generation: 0 }
  }

  get table(): Table {
    return this.#table
  }

  /** Parked routes and listeners that lost theirs to an older one. */
  get notes(): ReadonlyMap<string, TableNote> {
    return this.#notes
  }

  /** Every endpoint that a cluster names. */
  endpoints(): ReadonlySet<EndpointHandle> {
    return this.#clusters.endpoints()
  }

  /** Listener entries given so far, served or not. */
  get listeners(): ReadonlyMap<string, Listener> {
    return this.#listeners
  }

  /** The new table; the same one when only clusters or certificates changed. */
  apply(batch: Batch): Table {
    for (const [id, cluster] of batch.clusters ?? []) {
      if (cluster === null) this.#clusters.remove(id)
      else this.#clusters.set(id, cluster)
    }
    for (const [id, certificate] of batch.certificates ?? []) {
      if (certificate === null) this.#certificates.remove(id)
      else this.#certificates.set(id, certificate)
    }
    const listeners = batch.listeners ?? new Map<string, Listener | null>()
    const routes = batch.routes ?? new Map<string, Route | null>()
    if (listeners.size === 0 && routes.size === 0) return this.#table
    const fresh: Fresh = new Set()
    const moved = this.#applyRoutes(routes, fresh)
    this.#table = { ports: this.#ports(listeners, moved, fresh), clusters: this.#clusters.all, generation: this.#table.generation + 1 }
    return this.#table
  }

  /** Compiles, then puts the candidates in place. The ids of listeners whose routes changed. */
  #applyRoutes(routes: ReadonlyMap<string, Route | null>, fresh: Fresh): ReadonlySet<string> {
    const changes = new Map<string, Map<string, HostChange>>()
    const released: (readonly string[])[] = []
    for (const [id, route] of routes) {
      const record = route === null ? null : this.#compile(id, route)
      if (record === undefined) continue
      const old = this.#routes.get(id)
      if (old !== undefined) collect(changes, old, "remove")
      if (record !== null) {
        collect(changes, record, "add")
        this.#routes.set(id, record)
        this.#clusters.name(record.clusters)
      } else {
        this.#routes.delete(id)
        this.#notes.delete(`route/${id}`)
      }
      if (old !== undefined) released.push(old.clusters)
    }
    for (const clusters of released) this.#clusters.unname(clusters)
    for (const [listener, byHost] of changes) this.#attach(listener, byHost, fresh)
    return new Set(changes.keys())
  }

  /** undefined: cannot be served; noted, and what was served before stays. */
  #compile(id: string, route: Route): RouteRecord | undefined {
    try {
      const candidates = compileRoute(id, route, { cluster: (cluster) => this.#clusters.get(cluster), weighted: this.#weighted })
      const attach = new Map<string, readonly string[]>()
      for (const { listener, hostnames: common, own } of route.attach) {
        // Of hosts that the listener does not take it gets no request: what is its own finds the same requests, and ranks as it should.
        const hostnames = own ?? common
        const before = attach.get(listener)
        attach.set(listener, before === undefined && hostnames.length === 1 ? hostnames : [...new Set([...(before ?? []), ...hostnames])])
      }
      this.#notes.delete(`route/${id}`)
      return { candidates, attach, clusters: clustersNamed(route) }
    } catch (error) {
      if (!(error instanceof EntryFault)) throw error
      this.#notes.set(`route/${id}`, { severity: "error", reason: error.reason, message: `Route ${id} is not served as it stands: ${error.message}.`, about: route.source, field: error.field })
      return undefined
    }
  }

  #attach(listener: string, byHost: ReadonlyMap<string, HostChange>, fresh: Fresh): void {
    const routes = this.#attached.get(listener) ?? HostIndex.empty<HostRoutes>()
    const hosts = new Map<string, HostRoutes | null>()
    for (const [host, change] of byHost) hosts.set(host, (routes.at(host) ?? HostRoutes.empty).with(change, fresh))
    const changed = routes.with(hosts, fresh)
    if (changed.isEmpty) this.#attached.delete(listener)
    else this.#attached.set(listener, changed)
  }

  #ports(listeners: ReadonlyMap<string, Listener | null>, moved: ReadonlySet<string>, fresh: Fresh): ReadonlyMap<string, PortTable> {
    const rebuilt = new Set<string>()
    for (const [id, listener] of listeners) {
      for (const key of bindKeys(this.#listeners.get(id))) rebuilt.add(key)
      if (listener === null) this.#listeners.delete(id)
      else this.#listeners.set(id, listener)
      this.#present(id, listener)
      for (const key of bindKeys(this.#listeners.get(id))) rebuilt.add(key)
      this.#notes.delete(`listener/${id}`)
    }
    const ports = new Map(this.#compiledPorts)
    for (const id of moved) {
      const listener = this.#listeners.get(id)
      if (listener === undefined) continue
      for (const key of bindKeys(listener)) {
        const port = ports.get(key)
        const pattern = listener.hostname ?? ANY_HOST
        if (rebuilt.has(key) || port === undefined || port.listeners.at(pattern)?.id !== id) continue
        ports.set(key, new CompiledPort(port.port, port.protocol, port.listeners.with(new Map([[pattern, this.#compiledListener(id)]]), fresh)))
      }
    }
    if (rebuilt.size > 0) this.#rebuild(ports, rebuilt, fresh)
    this.#compiledPorts = ports
    return ports
  }

  #compiledPorts: ReadonlyMap<string, CompiledPort> = new Map()

  #present(id: string, listener: Listener | null): void {
    if (listener?.protocol === "HTTPS") this.#presenters.set(id, this.#certificates.present(id, certificatesNamed(listener), { kind: "Gateway", ...listener.gateway }))
    else if (this.#presenters.delete(id)) this.#certificates.release(id)
  }

  /**
   * The oldest Gateway's listener settles which protocol a port has. Of listeners that want the same port and hostname
   * the one of the oldest Gateway serves. The others are noted.
   */
  #rebuild(ports: Map<string, CompiledPort>, keys: ReadonlySet<string>, fresh: Fresh): void {
    const wanted = new Map<string, { port: number; protocol: Listener["protocol"]; first: string; byHost: Map<string, string> }>()
    const sorted = [...this.#listeners].sort(([a, x], [b, y]) => (x.created !== y.created ? (x.created < y.created ? -1 : 1) : a < b ? -1 : 1))
    for (const [id, listener] of sorted) {
      for (const key of bindKeys(listener)) {
        if (!keys.has(key)) continue
        let want = wanted.get(key)
        if (want === undefined) wanted.set(key, (want = { port: listener.port, protocol: listener.protocol, first: id, byHost: new Map() }))
        const pattern = listener.hostname ?? ANY_HOST
        const winner = want.byHost.get(pattern)
        if (want.protocol !== listener.protocol) this.#notes.set(`listener/${id}`, protocolConflict(id, listener, want.first, want.protocol))
        else if (winner !== undefined) this.#notes.set(`listener/${id}`, hostnameConflict(id, listener, winner, pattern))
        else {
          want.byHost.set(pattern, id)
          this.#notes.delete(`listener/${id}`)
        }
      }
    }
    for (const key of keys) {
      const want = wanted.get(key)
      if (want === undefined) ports.delete(key)
      else ports.set(key, new CompiledPort(want.port, want.protocol, HostIndex.empty<CompiledListener>().with(new Map([...want.byHost].map(([pattern, id]) => [pattern, this.#compiledListener(id)])), fresh)))
    }
  }

  #compiledListener(id: string): CompiledListener {
    return { id, routes: this.#attached.get(id) ?? HostIndex.empty<HostRoutes>(), presenter: this.#presenters.get(id) ?? null }
  }
}

const protocolConflict = (id: string, listener: Listener, winner: string, protocol: string): TableNote => ({
  severity: "warning",
  reason: "ProtocolConflict",
  message: `Listener ${id} (${listener.protocol}) is not served: port ${listener.port} speaks ${protocol}, for the listener ${winner}, which is older.`,
  about: { kind: "Gateway", ...listener.gateway },
  fix: "Give one of them another port, or its Gateway an address of its own.",
})

const hostnameConflict = (id: string, listener: Listener, winner: string, pattern: string): TableNote => ({
  severity: "warning",
  reason: "ListenerConflict",
  message: `Listener ${id} is not served: ${winner}, which is older, has port ${listener.port} for host ${pattern}.`,
  about: { kind: "Gateway", ...listener.gateway },
  fix: "Give one of them another port or hostname, or its Gateway an address of its own.",
})

/** `<address or *>:<port to bind>` for each socket a listener is served on. */
export const bindKeys = (listener: Listener | undefined): readonly string[] => {
  if (listener === undefined) return []
  const addresses = listener.addresses.length === 0 ? [ANY_ADDRESS] : [...new Set(listener.addresses)]
  return addresses.map((address) => `${address}:${listener.bindPort ?? listener.port}`)
}

const collect = (changes: Map<string, Map<string, HostChange>>, record: RouteRecord, side: "add" | "remove"): void => {
  for (const [listener, hostnames] of record.attach) {
    let byHost = changes.get(listener)
    if (byHost === undefined) changes.set(listener, (byHost = new Map()))
    for (const host of hostnames) {
      let change = byHost.get(host)
      if (change === undefined) byHost.set(host, (change = new HostChange()))
      change.push(side, record.candidates)
    }
  }
}
