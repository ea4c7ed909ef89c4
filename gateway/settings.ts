/**
 * Limits and time-outs of the data path, with what they are for. One place, so that what a gateway promises can be
 * read here. Times in milliseconds, 0: none; sizes in octets. Each is a flag and an environment variable: settingNames.
 */
import type { HeadLimits } from "./http1/head.ts"

export interface Settings extends HeadLimits {
  /** From the first octet of a request (or of the connection) to the end of its head: 408. */
  readonly headTimeout: number
  /** A connection without request in progress is closed after this. */
  readonly keepAliveTimeout: number
  /** Between two reads of a request body that the gateway is ready to take: 408. Over HTTP/2, once the answer has begun, responseBodyIdle. */
  readonly requestBodyIdle: number
  /**
   * Octets a second at which a request body must come, up to the beginning of the answer: each octet renews
   * requestBodyIdle by no more than it takes at this rate (downstream/pace.ts). 0: one renews it all.
   */
  readonly requestBodyRate: number
  /** A client that takes nothing of what is written to it for this long is cut off. */
  readonly writeTimeout: number
  /** Octets a second at which a client must take what waits for it; as requestBodyRate, with writeTimeout. */
  readonly responseRate: number
  /** From the head of the request to the end of the response, where the route says nothing: 504. */
  readonly requestTimeout: number
  /** One attempt at a backend, from choosing it to the end of its response, where the route says nothing: 504. */
  readonly backendTimeout: number
  /** To the head of the response once the request is sent, where no time-out of the route is shorter: 504. */
  readonly responseHeadTimeout: number
  /** Between two reads of a response body: cut off. Long, for event streams. */
  readonly responseBodyIdle: number
  /** A tunnel (WebSocket) through which nothing has gone either way for this long is ended, with Close 1001. */
  readonly tunnelIdle: number
  readonly connectTimeout: number
  /** An idle pooled connection upstream is closed after this. Below the usual 60 s of servers, so that we close first. */
  readonly poolIdleTimeout: number
  /** After a client's FIN, how long a response may take to begin: a half-close and an abort look alike until then. */
  readonly halfCloseTimeout: number
  /** A response was complete before its request: how long the rest of the request is read. */
  readonly drainTimeout: number
  /** … and how many octets of it. Beyond either, the connection is closed. */
  readonly drainBytes: number
  /** Content of one request: 413. 0: no limit. */
  readonly requestBodyBytes: number
  /** Octets kept for a connection while they cannot be handed on (pipelined requests, a body without upstream). */
  readonly pendingBytes: number
  /** Octets written to a socket and not yet taken by the kernel, above which its source is paused. */
  readonly writeBytes: number
  /** Client connections; more are closed on accept. */
  readonly maxConnections: number
  /** … of one client: an IPv4 address, or a /64 of IPv6. Nobody's where trustedHops says that proxies connect. 0: no limit. */
  readonly connectionsPerClient: number
  /**
   * The event loop is late by so many milliseconds, and stays so: new requests are answered 503 in part, at four times
   * as much new connections are closed (overload.ts). 0: never.
   */
  readonly overloadDelay: number
  /** Percent of the memory that the container may have, in use: likewise for new requests. 0: never. */
  readonly overloadMemory: number
  /** Requests on one client connection, then `Connection: close`. 0: no limit. */
  readonly requestsPerConnection: number
  /** Requests under way on one connection of HTTP/2: REFUSED_STREAM. */
  readonly streamsPerConnection: number
  /** Connections to one endpoint, busy ones included; no other endpoint either: 503. */
  readonly endpointConnections: number
  /** Requests at once on one connection of HTTP/2 to an endpoint, if it takes so many; more get another connection. */
  readonly endpointStreams: number
  /** Idle connections of HTTP/1.1 kept for one endpoint. */
  readonly endpointIdle: number
  /** Endpoints tried for one request when connecting fails, where its rule says nothing of retries, and fresh connections after a stale pooled one. */
  readonly attempts: number
  /** Retries that rules ask for, of the requests a cluster gets from such rules; in percent. */
  readonly retryPercent: number
  /** … and a second, so that it works with little traffic too. What ten seconds save can be used at once. */
  readonly retryRate: number
  /** Octets kept of one request's body, for a mirror or a retry; more of it and there is neither. */
  readonly keptBodyBytes: number
  /** … and of all requests together. */
  readonly keptBytes: number
  /** Mirrored requests under way for one socket; more are dropped. */
  readonly mirrorsInFlight: number
  /** A mirrored request, from choosing its endpoint to the end of its response; then it is given up. */
  readonly mirrorTimeout: number
  /** Consecutive failures to connect, or connections lost before any answer, that eject an endpoint. */
  readonly ejectAfter: number
  /** First ejection; doubles each time up to ejectMax. */
  readonly ejectBase: number
  readonly ejectMax: number
  /** How the next endpoint of a cluster is chosen. */
  readonly balance: "least-in-flight" | "round-robin"
  /** Proxies before this one whose X-Forwarded-* and X-Request-Id are believed. */
  readonly trustedHops: number
  /** Pseudonym in Via (RFC 9110 §7.6.3); "": no Via, because servers switch off compression when they see one. */
  readonly via: string
  readonly accessLog: boolean
}

export const defaults: Settings = {
  headBytes: 32_768,
  fields: 100,
  targetBytes: 8_192,
  headTimeout: 10_000,
  keepAliveTimeout: 75_000,
  requestBodyIdle: 30_000,
  requestBodyRate: 240,
  writeTimeout: 60_000,
  responseRate: 240,
  requestTimeout: 0,
  backendTimeout: 0,
  responseHeadTimeout: 60_000,
  responseBodyIdle: 300_000,
  tunnelIdle: 300_000,
  connectTimeout: 5_000,
  poolIdleTimeout: 50_000,
  halfCloseTimeout: 1_000,
  drainTimeout: 5_000,
  drainBytes: 262_144,
  requestBodyBytes: 0,
  pendingBytes: 65_536,
  writeBytes: 131_072,
  maxConnections: 20_000,
  connectionsPerClient: 10_000,
  overloadDelay: 200,
  overloadMemory: 90,
  requestsPerConnection: 0,
  streamsPerConnection: 128,
  endpointConnections: 4_096,
  endpointStreams: 256,
  endpointIdle: 256,
  attempts: 3,
  retryPercent: 20,
  retryRate: 10,
  keptBodyBytes: 65_536,
  keptBytes: 16_777_216,
  mirrorsInFlight: 256,
  mirrorTimeout: 10_000,
  ejectAfter: 3,
  ejectBase: 1_000,
  ejectMax: 30_000,
  balance: "least-in-flight",
  trustedHops: 0,
  via: "",
  accessLog: true,
}

/** `headTimeout` is flag `--head-timeout` and environment `HEADGATE_HEAD_TIMEOUT`. */
export const settingNames: readonly (keyof Settings)[] = Object.keys(defaults).filter((name): name is keyof Settings => name in defaults)

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((word) => word.toLowerCase())
export const flagOf = (name: keyof Settings): string => `--${words(name).join("-")}`
export const environmentOf = (name: keyof Settings): string => `HEADGATE_${words(name).join("_").toUpperCase()}`

/**
 * Settings from texts by name, as flags or the environment give them. Throws TypeError that names the setting, what
 * was given and what is allowed.
 */
export const parseSettings = (given: Readonly<Partial<Record<keyof Settings, string>>>): Settings => {
  const settings: Record<string, Settings[keyof Settings]> = { ...defaults }
  for (const name of settingNames) {
    const text = given[name]
    if (text !== undefined) settings[name] = parseOne(name, text)
  }
  const parsed: Settings = { ...defaults, ...settings }
  if (parsed.headBytes < 1_024 || parsed.headBytes > 65_535) throw new TypeError(`${flagOf("headBytes")}: ${parsed.headBytes} is not between 1024 and 65535`)
  if (parsed.attempts < 1) throw new TypeError(`${flagOf("attempts")}: at least 1`)
  if (parsed.streamsPerConnection < 1) throw new TypeError(`${flagOf("streamsPerConnection")}: at least 1`)
  if (parsed.endpointStreams < 1) throw new TypeError(`${flagOf("endpointStreams")}: at least 1`)
  if (parsed.fields < 1 || parsed.fields > 1_000) throw new TypeError(`${flagOf("fields")}: ${parsed.fields} is not between 1 and 1000`)
  return parsed
}

const parseOne = (name: keyof Settings, text: string): Settings[keyof Settings] => {
  const standard = defaults[name]
  if (typeof standard === "boolean") {
    if (text === "true" || text === "on" || text === "1") return true
    if (text === "false" || text === "off" || text === "0") return false
    throw new TypeError(`${flagOf(name)}: "${text}" is neither on nor off`)
  }
  if (typeof standard === "number") {
    if (!/^\d{1,12}$/.test(text)) throw new TypeError(`${flagOf(name)}: "${text}" is not a whole number`)
    return Number(text)
  }
  if (name === "balance" && text !== "least-in-flight" && text !== "round-robin") throw new TypeError(`${flagOf(name)}: "${text}" is neither least-in-flight nor round-robin`)
  if (name === "via" && !/^[\w.-]*$/.test(text)) throw new TypeError(`${flagOf(name)}: "${text}" is not a pseudonym (letters, digits, ".", "_", "-")`)
  return text
}
