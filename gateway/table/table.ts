/**
 * The compiled configuration a gateway serves from. Built off to the side by compile.ts, then frozen; a change is a
 * new Table that shares everything untouched with the old one. A request keeps the table it began with.
 */
import type { SecureContext } from "node:tls"
import type { Answer } from "../../bus/kinds/config.ts"
import type { Conditions } from "./conditions.ts"

/** What a request shows to matching and filters. Implemented by http1/request.ts without allocation. */
export interface RequestView {
  readonly method: string
  /** Lower case, without port, no trailing dot. */
  readonly host: string
  /** Undecoded; as http1/path.ts says, repeated slashes are one. */
  readonly path: string
  /** Without `?`; "" if none. */
  readonly query: string
  /** Combined value ("a, b" if repeated) or undefined. `name` is lower case. */
  header(name: string): string | undefined
}

/** Header edits on an outgoing message head. Names as written; comparison is case-insensitive. */
export interface HeaderEdits {
  set(name: string, value: string): void
  add(name: string, value: string): void
  remove(name: string): void
}

export type HeaderEdit = (headers: HeaderEdits) => void

/** One address of a cluster; identity, pools and health outlive tables and are shared by all routes. */
export interface EndpointHandle {
  readonly address: string
  readonly port: number
}

export interface ClusterHandle {
  readonly id: string
  readonly endpoints: readonly EndpointHandle[]
  /** Its endpoints are spoken to in HTTP/2. */
  readonly isHttp2: boolean
  /** Status answered when there is no endpoint: 503, or 500 for what does not exist. */
  readonly emptyStatus: number
  /** Where the turn among endpoints stands; only the balancer writes it (gateway/balance). Starts at 0. */
  turn: number
}

/** New host (undefined: keep) and new path with query (undefined: keep) for the upstream request. */
export type Rewrite = (request: RequestView) => { readonly host: string | undefined; readonly path: string | undefined }
/** Status and Location; `scheme` and `port` are the listener's, as the client sees it (the spec port). */
export type Redirect = (request: RequestView, scheme: string, port: number) => { readonly status: number; readonly location: string }

/** What responses may be shared with scripts of other origins (Fetch standard, §3.3), as Gateway API HTTPCORSFilter has it. */
export interface Cors {
  /** To an OPTIONS request that asks for permission. */
  preflight(request: RequestView): Answer
  /** The gateway's word stands in place of the backend's. */
  edit(request: RequestView, headers: HeaderEdits): void
  /** An answer of the gateway's own, so that scripts can read it too. */
  answered(request: RequestView, answer: Answer): Answer
}

export interface Mirror {
  readonly cluster: ClusterHandle
  /** Whether the request now at hand is among those that are mirrored; asked once a request. */
  isDue(): boolean
}

/** A rule's word on sending requests again (gateway/upstream/retry.ts). */
export interface Retry {
  readonly codes: ReadonlySet<number>
  /** Beside the first. */
  readonly attempts: number
  /** Milliseconds, undefined: default. */
  readonly backoff: number | undefined
}

/** A list of filters as plain functions; null: nothing to do. */
export interface CompiledFilters {
  readonly requestHeaders: HeaderEdit | null
  readonly responseHeaders: HeaderEdit | null
  readonly redirect: Redirect | null
  readonly rewrite: Rewrite | null
  readonly cors: Cors | null
  readonly mirrors: readonly Mirror[] | null
}

export interface CompiledBackend extends CompiledFilters {
  readonly cluster: ClusterHandle | null
  /** Set when cluster is null. */
  readonly answer: Answer | null
}

/** One rule of one route, ready to run. Shared by all its matches. */
export interface CompiledRule extends CompiledFilters {
  /** Route id and rule index or name, for logs: `httproute/default/web#0`. */
  readonly id: string
  readonly route: string
  readonly answer: Answer | null
  /** Its requests are calls of gRPC. */
  readonly isGrpc: boolean
  /** Weighted choice among backends, smooth round robin; null: none has weight (answer 500). */
  pick(): CompiledBackend | null
  /** Milliseconds, 0: none, undefined: default. */
  readonly requestTimeout: number | undefined
  readonly backendTimeout: number | undefined
  /** null: another endpoint when connecting fails, and nothing else. */
  readonly retry: Retry | null
}

/** A rule as matching finds it. */
export interface TableRule extends CompiledRule {
  /** What acts on some of its requests; null: nothing. */
  readonly overlays: readonly CompiledOverlay[] | null
  /** As `pick`, with another choice of index. */
  pickBy(turn: () => number): CompiledBackend | null
}

/** A RuleOverlay, ready to run; what is null stays as the rule has it. */
export interface CompiledOverlay extends CompiledFilters {
  /** null: every request of the rule. */
  readonly conditions: Conditions | null
  readonly answer: Answer | null
  readonly turn: (() => number) | null
}

/** What an HTTPS listener presents to clients (gateway/tls). Live as clusters are: a new certificate needs no new table. */
export interface Presenter {
  /** For a server name, lower case, "": none was sent. null: there is nothing to present. */
  find(serverName: string): SecureContext | null
}

/** What one listening socket serves. */
export interface PortTable {
  /** Specification port: what Location headers and metrics show. */
  readonly port: number
  readonly protocol: "HTTP" | "HTTPS"
  /** Most specific match, or null (404). No allocation, O(1) in routes of other hosts. */
  find(request: RequestView): CompiledRule | null
  /** Of the most specific HTTPS listener that takes a server name, null: none does. */
  presenter(serverName: string): Presenter | null
  /**
   * The host belongs to another listener than the one a connection of this server name was accepted for: 421 (Gateway
   * API, Listener.hostname).
   */
  isMisdirected(serverName: string, host: string): boolean
}

export interface Table {
  /** By `<address or *>:<port to bind>`: the specification's, unless the listener has a bindPort. */
  readonly ports: ReadonlyMap<string, PortTable>
  readonly clusters: ReadonlyMap<string, ClusterHandle>
  /** Rises with every swap in this process. */
  readonly generation: number
}
