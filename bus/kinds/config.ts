/**
 * What functions say to gateways and to each other: sections of a data plane's subject space. Dialect-neutral: no
 * Gateway API word appears here but in `source`, which is for people. The gateway imports only the types.
 */
import { Schema } from "effect"
import { configKind, openKind } from "./kind.ts"

const { Struct, String, Number, Array, Literal, Literals, Tuple, Union, optionalKey, isBetween, isInt, isPattern, makeFilter } = Schema

/** Entries say which shape they have; a gateway ignores, with a note, one that is newer than it knows. */
const schema1 = { schema: Literal(1) }

/** The object of the outside an entry came from. */
export const Source = Struct({ kind: String, namespace: String, name: String })
export type Source = typeof Source.Type

/** id: `<gateway namespace>/<gateway name>/<listener name>` */
export const Listener = Struct({
  ...schema1,
  gateway: Struct({ namespace: String, name: String }),
  name: String,
  protocol: Literals(["HTTP", "HTTPS"]),
  /** As the user asked; the process may serve it elsewhere (below 1024 without the right to bind: +8000). */
  port: Number,
  /** Where the process binds in its place, on every address, because somebody else brings what comes to `port` there; absent: `port`. */
  bindPort: optionalKey(Number),
  /** Exact, or `*.suffix` for one or more labels before it; absent: every host. Lower case. */
  hostname: optionalKey(String),
  /** IP addresses to bind; empty: the process's default. */
  addresses: Array(String),
  /** Gateway's creation time (RFC 3339), for precedence when two Gateways want the same port and hostname. */
  created: String,
  /** metadata.generation of the Gateway; a gateway repeats it in its acks, so that it is known which one is served. */
  generation: optionalKey(Number),
  /** With HTTPS. Certificate ids in the user's order: the first is for names that none of them has, and for no name. */
  tls: optionalKey(Struct({ certificates: Array(String) })),
})
export type Listener = typeof Listener.Type

const isPath = makeFilter(({ type, value }: { readonly type: string; readonly value: string }) => type === "regex" || value.startsWith("/") || "does not begin with /")
const StringMatch = Struct({ name: String, type: Literals(["exact", "regex"]), value: String })

export const Match = Struct({
  /**
   * prefix is segment-wise (`/a` takes `/a` and `/a/b`, not `/ab`); regex matches the whole path, linear time, and comes
   * before prefixes. `late`, of a regex: after every prefix but `/`, because it says less than they do.
   */
  path: Struct({ type: Literals(["exact", "prefix", "regex"]), value: String, late: optionalKey(Literal(true)) }).check(isPath),
  method: optionalKey(String),
  /** Names lower case. All must hold. */
  headers: Array(StringMatch),
  query: Array(StringMatch),
})
export type Match = typeof Match.Type

// As strict as a gateway, so that who writes an entry is told, and a bad overlay does not take its route along.
/** RFC 9110 §5.6.2 token. */
const FieldName = String.check(isPattern(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { message: "is not a header name" }))
/** RFC 9110 §5.5 without obs-text. */
const FieldValue = String.check(isPattern(/^[\t\x20-\x7e]*$/, { message: "is not a header value (visible ASCII, spaces and tabs)" }))
const Host = String.check(isPattern(/^[A-Za-z0-9._:[\]-]+$/, { message: "is not a host" }))
const between = (minimum: number, maximum: number) => Number.check(isBetween({ minimum, maximum }))
const whole = (minimum: number, maximum: number) => between(minimum, maximum).check(isInt())
/** RFC 3986 §3.1. */
const Scheme = String.check(isPattern(/^[A-Za-z][A-Za-z0-9+.-]*$/, { message: "is not a scheme" }))
const Origin = String.check(isPattern(/^(\*|https?:\/\/(\*|(\*\.)?([a-z0-9-]+\.)*[a-z0-9-]+)(:[0-9]{1,5})?)$/, { message: "is not an origin" }))
const Weight = between(0, 1_000_000)

const NameValue = Tuple([FieldName, FieldValue])
const HeaderEdit = { set: Array(NameValue), add: Array(NameValue), remove: Array(FieldName) }
const PathEdit = Struct({ type: Literals(["full", "prefix"]), value: String })

export const Filter = Union([
  Struct({ type: Literal("requestHeaders"), ...HeaderEdit }),
  Struct({ type: Literal("responseHeaders"), ...HeaderEdit }),
  Struct({
    type: Literal("redirect"),
    scheme: optionalKey(Scheme),
    hostname: optionalKey(Host),
    port: optionalKey(whole(1, 65535)),
    path: optionalKey(PathEdit),
    status: whole(300, 399),
  }),
  Struct({ type: Literal("rewrite"), hostname: optionalKey(Host), path: optionalKey(PathEdit) }),
  Struct({
    type: Literal("cors"),
    /** `*`, or scheme, host and port: `https://*.example.com:8443` with any number of labels for the `*`, `https://*`. Lower case, a scheme's own port left out. */
    origins: Array(Origin),
    /** `*`: whatever is asked for; empty: what needs no permission. */
    methods: Array(FieldName),
    headers: Array(FieldName),
    exposed: Array(FieldName),
    credentials: Schema.Boolean,
    /** Seconds. */
    maxAge: whole(0, 2 ** 31 - 1),
  }),
  /** A copy of numerator in denominator requests goes to a cluster, whatever becomes of it. */
  Struct({ type: Literal("mirror"), cluster: String, numerator: whole(0, 2 ** 31 - 1), denominator: whole(1, 2 ** 31 - 1) }),
])
export type Filter = typeof Filter.Type

/** A response made by the gateway itself. */
export const Answer = Struct({ status: whole(200, 599), headers: Array(NameValue), body: String })
export type Answer = typeof Answer.Type

export const Backend = Struct({
  /** Share of the rule's requests: weight / sum of weights. 0 takes none. */
  weight: Weight,
  /** A cluster id; absent when `answer` speaks for this share (a reference that does not resolve: 500). */
  cluster: optionalKey(String),
  answer: optionalKey(Answer),
  filters: Array(Filter),
})
export type Backend = typeof Backend.Type

/** What an overlay does to one rule. */
export const RuleOverlay = Struct({
  /** Absent: every request of the rule. */
  match: optionalKey(Match),
  /** A path edit of type `prefix` replaces the path of `match`; where that is absent or `/`, what the rule matched. */
  filters: Array(Filter),
  /** One for each of the rule's backends, in place of theirs. */
  weights: optionalKey(Array(Weight)),
  answer: optionalKey(Answer),
})
export type RuleOverlay = typeof RuleOverlay.Type

export const Rule = Struct({
  name: optionalKey(String),
  /**
   * Its requests are calls of gRPC: what the gateway answers by itself is a grpc-status in trailers without a body, what
   * an `answer` says as gRPC maps it from HTTP (503: UNAVAILABLE), and whatever is wrong with a backend UNAVAILABLE.
   */
  grpc: optionalKey(Literal(true)),
  /** Any of them; never empty. */
  matches: Array(Match),
  filters: Array(Filter),
  /** Empty and no `answer` and no redirect: 500 (Gateway API HTTPRouteRule.backendRefs). */
  backends: Array(Backend),
  /** Answers every request of this rule, before backends. */
  answer: optionalKey(Answer),
  /** Milliseconds; absent: the gateway's default; 0: none. */
  timeouts: optionalKey(Struct({ request: optionalKey(Number), backend: optionalKey(Number) })),
  /**
   * Requests that are sent again: how often at most, beside the first time, and after which statuses, besides lost
   * connections and time-outs of one attempt. Milliseconds before the first of it; absent: the gateway's default. Only
   * what has the same effect twice, unless nothing of it was sent. Absent: other endpoints are tried when connecting fails.
   */
  retry: optionalKey(Struct({ codes: Array(whole(400, 599)), attempts: whole(0, 2 ** 31 - 1), backoff: optionalKey(between(0, 2 ** 31 - 1)) })),
  /**
   * Looked at once the rule is chosen for a request; they have no part in the choice. Of those that match the request,
   * in this order, header filters and mirrors add up, and the last has its way in answer, weights, redirect or rewrite, and CORS.
   */
  overlays: optionalKey(Array(RuleOverlay)),
})
export type Rule = typeof Rule.Type

/** id: `<kind>/<namespace>/<name>`, kind in lower case: `httproute/default/web` */
export const Route = Struct({
  ...schema1,
  source: Source,
  /** RFC 3339; the older route wins a tie, then the id in byte order. */
  created: String,
  /** Higher wins before any other comparison; Gateway API routes have 0. */
  priority: Number,
  /**
   * Where it is reachable: listener id and hostnames there (already intersected; `*` is every host). `own`: the route's own
   * hostname for each of them, where one differs: precedence goes by it.
   */
  attach: Array(Struct({ listener: String, hostnames: Array(String), own: optionalKey(Array(String)) })),
  rules: Array(Rule),
})
export type Route = typeof Route.Type

/**
 * What `routes` asks for, under the id of what answers it, present even when empty: a `cluster` of `endpoints` to a
 * backend, a `certificate` of `certs` to a secret. Exactly one of the two is there.
 */
export const Demand = Struct({
  ...schema1,
  /** `protocol`: who asks speaks nothing else. */
  backend: optionalKey(Struct({ kind: Literals(["Service"]), namespace: String, name: String, port: Number, protocol: optionalKey(Literal("h2c")) })),
  secret: optionalKey(Struct({ namespace: String, name: String })),
})
export type Demand = typeof Demand.Type

export const Endpoint = Struct({ address: String, port: Number })
export type Endpoint = typeof Endpoint.Type

/** id: `service/<namespace>/<name>/<port>`; `…/h2c` follows where HTTP/2 is spoken to it whatever the Service says of its port. */
export const Cluster = Struct({
  ...schema1,
  source: Source,
  /** `http`: HTTP/1.1; `h2c`: HTTP/2 without TLS, by prior knowledge. */
  protocol: Literals(["http", "h2c"]),
  /** Sorted by address, port. */
  endpoints: Array(Endpoint),
  /** Why `endpoints` is empty. A missing Service or port answers 500, no ready endpoint 503. */
  empty: optionalKey(Literals(["NoSuchService", "NoSuchPort", "NoReadyEndpoints", "UnsupportedProtocol"])),
})
export type Cluster = typeof Cluster.Type

/**
 * id: `secret/<namespace>/<name>`. What a listener may present. `chain` and `key` are there together, or `empty` says
 * why they are not; then nothing is presented.
 */
export const Certificate = Struct({
  ...schema1,
  source: Source,
  /** PEM, leaf first, each certificate signed by the next. */
  chain: optionalKey(String),
  /** The private key in PKCS#8 DER, sealed for this plane and the place `<plane>/<namespace>/<name>` (bus/seal.ts). */
  key: optionalKey(String),
  /** DNS names and IP addresses of the leaf (subjectAltName, else the common name), lower case, sorted. */
  names: Array(String),
  /** Of the leaf's public key, as node:crypto says: `rsa`, `ec`, `ed25519`. */
  keyType: optionalKey(String),
  /** RFC 3339, of the leaf. */
  notBefore: optionalKey(String),
  notAfter: optionalKey(String),
  /** SHA-256 of the leaf in DER, hexadecimal. */
  fingerprint: optionalKey(String),
  empty: optionalKey(Literals(["NoSuchSecret", "NotRead", "Unusable"])),
})
export type Certificate = typeof Certificate.Type

/**
 * id: `<function>/<anything>`, in the control plane. What a function wants to see that is not published by itself: the
 * content of a Secret, for one data plane; that a moment has come. Answered by the adapter: by the Secret's `tls`, by
 * the resource `clock` of that moment.
 */
export const Wanted = Struct({
  ...schema1,
  secret: optionalKey(Struct({ plane: String, namespace: String, name: String })),
  /** RFC 3339 with whole seconds, UTC: `2026-11-21T18:00:00Z`. */
  moment: optionalKey(String),
})
export type Wanted = typeof Wanted.Type

/** id: `plane`. The functions whose commits a gateway of this plane waits for before it is ready. Sorted. */
export const Plan = Struct({ ...schema1, functions: Array(String) })
export type Plan = typeof Plan.Type

/**
 * id: `<function>/<anything>`. Acts on traffic without touching `routes`, which merges overlays into its entries:
 * by priority (higher first), then id. `match` narrows it to requests that also match, absent: the whole target; it
 * never changes which route and rule take a request.
 */
export const Overlay = Struct({
  ...schema1,
  target: Struct({ kind: Literals(["HTTPRoute", "GRPCRoute", "Gateway"]), namespace: String, name: String, rule: optionalKey(String) }),
  match: optionalKey(Match),
  filters: optionalKey(Array(Filter)),
  /** cluster id → weight, in place of the rule's own. */
  weights: optionalKey(Schema.Record(String, Weight)),
  answer: optionalKey(Answer),
  priority: Number,
})
export type Overlay = typeof Overlay.Type

/** id: `<writer>/<hash or name>`. A reasoned event about an object: dropped, shadowed, conflict, parked … */
export const Note = Struct({
  ...schema1,
  severity: Literals(["info", "warning", "error"]),
  /** CamelCase, stable: `NoMatchingParent`. */
  reason: String,
  /** A full sentence for people. */
  message: String,
  about: optionalKey(Source),
  /** JSON path in the object: `spec.rules[0].backendRefs[1]`. */
  field: optionalKey(String),
  /** What the user can do. */
  fix: optionalKey(String),
  file: optionalKey(String),
  line: optionalKey(Number),
})
export type Note = typeof Note.Type

/**
 * id: the function's name, in the control plane. Its presence says that everything the function derived when it first
 * ran on this store has been committed: what reads a kind it writes may take absence for absence.
 */
export const FunctionDeclaration = Struct({ ...schema1, version: String, reads: Array(String), writes: Array(String) })
export type FunctionDeclaration = typeof FunctionDeclaration.Type

export const kinds = {
  listener: configKind("listener", Listener),
  route: configKind("route", Route),
  demand: configKind("demand", Demand),
  cluster: configKind("cluster", Cluster),
  certificate: configKind("certificate", Certificate),
  wanted: openKind("wanted", Wanted),
  plan: configKind("plan", Plan),
  overlay: openKind("overlay", Overlay),
  note: configKind("note", Note),
  function: configKind("function", FunctionDeclaration),
} as const

/** The plane of what belongs to no gateway: functions' notes. No gateway reads it. */
export const CONTROL_PLANE = "_"
