/**
 * HTTP/1.1 and HTTP/2 on one listening socket, over TLS where its table says HTTPS: its connections, their clock, and its end. The
 * process decides which sockets there are and which table each serves; a request takes the table when its head is
 * complete and keeps it. Several workers are several HttpServers in several threads or processes on sockets of the same
 * address (reusePort).
 */
import { randomBytes } from "node:crypto"
import type net from "node:net"
import { clock, tick } from "./clock.ts"
import { ClientConnections } from "./downstream/client-connections.ts"
import { ClientConnection } from "./downstream/http1-connection.ts"
import { Http2Connection } from "./downstream/http2-connection.ts"
import { peerAddress } from "./downstream/socket.ts"
import type { Overload } from "./overload.ts"
import type { Settings } from "./settings.ts"
import type { PortTable } from "./table/table.ts"
import { Mirrors } from "./upstream/mirrors.ts"
import { Handshake, type Secure } from "./tls/handshake.ts"
import type { AccessLog } from "./telemetry/access-log.ts"
import type { Limit, LimitMetrics } from "./telemetry/limit-metrics.ts"
import type { ListenerMetrics, Metrics, UpstreamMetrics } from "./telemetry/metrics.ts"
import type { RequestTraces } from "./telemetry/request-trace.ts"

/**
 * For net.createServer: the answer to a half-closed request can still be sent; small writes are not held back; nothing
 * is read before downstream/socket.ts says where to.
 */
export const socketOptions = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true } as const

export interface HttpServerOptions {
  /** Listening or not yet; made with socketOptions. */
  readonly net: net.Server
  /** Specification port: labels metrics, X-Forwarded-Port. */
  readonly port: number
  readonly table: () => PortTable
  readonly settings: Settings
  readonly metrics: Metrics
  /** Of all servers of this thread; undefined: of this one alone. */
  readonly clients?: ClientConnections
  /** Of this thread; undefined: everything is taken on. */
  readonly overload?: Overload
  /** Null: none is written. */
  readonly accessLog: AccessLog | null
  /** Null: no request is traced. */
  readonly traces?: RequestTraces | null
}

/** An open connection, before TLS or on HTTP. */
interface Connection {
  /** Place in the server's list. */
  index: number
  /** Whom it counts for (ClientConnections.clientOf). */
  client: string
  check(now: number): void
  onDrain(): void
  /** The time for that is over. */
  onDrained(): void
  /** It is not HTTP any more: it does not end with a request, and is told to go. */
  readonly isTunnel: boolean
  destroy(): void
}

/** When it drains: for a connection that has asked nothing yet. */
const FIRST_REQUEST_MS = 1_000

const CHECK_MS = 50
/** While nothing has been asked for a while. */
const CHECK_IDLE_MS = 500
const STAYS_FAST_MS = 2_000
/** For both sides of a tunnel to take the news that it ends. */
const CLOSING_MS = 1_000

// Ids are unique without being read from a random source each time: a random process part and a counter.
const processPart = randomBytes(8).toString("hex")
const hexByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))
let counter = 0
let idStart = ""

export class HttpServer {
  readonly port: number
  readonly settings: Settings
  readonly metrics: ListenerMetrics
  readonly limits: LimitMetrics
  readonly upstreamMetrics: UpstreamMetrics
  readonly accessLog: AccessLog | null
  readonly traces: RequestTraces | null
  readonly table: () => PortTable
  readonly mirrors: Mirrors
  /** Answers say `Connection: close`. */
  isLeaving = false
  isDraining = false
  readonly #net: net.Server
  readonly #clients: ClientConnections
  readonly #overload: Overload | null
  readonly #connections: Connection[] = []
  #timer: NodeJS.Timeout | null = null
  #isSlow = false
  #lastStarted = 0
  /** When the timer is due. */
  #due = 0
  #onEmpty: (() => void) | null = null

  constructor(options: HttpServerOptions) {
    this.#net = options.net
    this.port = options.port
    this.table = options.table
    this.settings = options.settings
    this.metrics = options.metrics.listener(options.port)
    this.limits = options.metrics.limits
    this.#clients = options.clients ?? new ClientConnections(options.settings)
    this.#overload = options.overload ?? null
    this.upstreamMetrics = options.metrics.upstream
    this.accessLog = options.accessLog
    this.traces = options.traces ?? null
    this.mirrors = new Mirrors(options.settings, options.metrics.mirrors)
    options.net.on("connection", (socket) => this.#accept(socket))
  }

  /** Requests being answered. */
  get inFlight(): number {
    return this.metrics.inFlight
  }

  get connections(): number {
    return this.#connections.length
  }

  #accept(socket: net.Socket): void {
    const { metrics } = this
    metrics.accepted++
    if (this.#overload?.isRefusing === true) return this.#turnAway(socket, "overload-connections")
    const client = this.#clients.clientOf(peerAddress(socket))
    const excess = this.#clients.enter(client)
    if (excess !== null) return this.#turnAway(socket, excess)
    tick()
    const isSecure = this.table().protocol === "HTTPS"
    if (isSecure) metrics.handshaking++
    const connection = isSecure ? new Handshake(socket, this) : new ClientConnection(socket, this, null)
    connection.index = this.#connections.push(connection) - 1
    connection.client = client
    metrics.connections++
    if (this.#timer === null) this.#schedule()
  }

  /** Without a word: saying why would cost as much as serving. */
  #turnAway(socket: net.Socket, limit: Limit): void {
    this.metrics.turnedAway++
    this.limits.reached(limit)
    socket.destroy()
  }

  /** The client speaks TLS: HTTP takes the place of the handshake, in the version that was agreed on. */
  onSecure(handshake: Handshake, socket: net.Socket, secure: Secure, isHttp2: boolean): void {
    this.metrics.handshaking--
    this.#replace(handshake, isHttp2 ? new Http2Connection(socket, this, secure, false) : new ClientConnection(socket, this, secure))
  }

  /** The client speaks HTTP/2 with prior knowledge (RFC 9113 §3.3), `start` … `end` in `read` is what has come. */
  onPreface(before: ClientConnection, socket: net.Socket, read: Buffer, start: number, end: number): void {
    const connection = new Http2Connection(socket, this, null, true)
    this.#replace(before, connection)
    connection.onOctets(read, start, end)
  }

  #replace(before: Connection, connection: Connection): void {
    connection.index = before.index
    connection.client = before.client
    this.#connections[before.index] = connection
    // Who was before it could not know what it would become.
    if (this.isDraining) connection.onDrain()
  }

  /** The connection is closed. */
  forget(connection: Connection): void {
    const last = this.#connections.pop()
    if (last !== undefined && last !== connection) {
      this.#connections[connection.index] = last
      last.index = connection.index
    }
    this.metrics.connections--
    if (connection instanceof Handshake) this.metrics.handshaking--
    this.#clients.leave(connection.client)
    if (this.#connections.length === 0) this.#onEmpty?.()
  }

  /** A deadline for check(): `milliseconds` from the last tick; 0 stays 0, none. */
  after(milliseconds: number): number {
    return milliseconds === 0 ? 0 : clock.now + milliseconds
  }

  /** The deadline of a connection that has asked nothing yet when the server drains, for the one it had. */
  untilAsked(deadline: number): number {
    const soon = this.after(FIRST_REQUEST_MS)
    return deadline === 0 ? soon : Math.min(deadline, soon)
  }

  requestId(): string {
    const low = counter & 255
    if (low === 0) idStart = processPart + Math.floor(counter / 256).toString(16).padStart(10, "0")
    counter++
    return idStart + (hexByte[low] ?? "")
  }

  /** There is too much to do: a new request is to be answered 503. */
  sheds(): boolean {
    return this.#overload !== null && this.#overload.sheds()
  }

  /** A request begins: its deadlines are short. */
  onStarted(): void {
    this.metrics.inFlight++
    this.#lastStarted = clock.now
    if (this.#isSlow && this.#timer !== null) {
      clearTimeout(this.#timer)
      this.#schedule()
    }
  }

  #schedule(): void {
    this.#isSlow = this.metrics.inFlight === 0 && clock.now - this.#lastStarted > STAYS_FAST_MS
    const wait = this.#isSlow ? CHECK_IDLE_MS : CHECK_MS
    this.#due = tick() + wait
    this.#timer = setTimeout(() => this.#check(), wait)
    // What keeps the process alive is its sockets.
    this.#timer.unref()
  }

  #check(): void {
    const now = tick()
    this.#overload?.sample(now - this.#due, now)
    // Backwards: a check may remove its connection, and then the last one, already seen, takes its place.
    for (let i = this.#connections.length - 1; i >= 0; i--) this.#connections[i]?.check(now)
    if (this.#connections.length === 0) this.#timer = null
    else this.#schedule()
  }

  /** From now on answers are the last of their connection; it takes more of those until it drains. */
  leave(): void {
    this.isLeaving = true
  }

  /**
   * Takes no more connections; idle ones end, answers in progress say `Connection: close`. Resolves when all are
   * gone; after `milliseconds` tunnels are told to go and get a moment for it, and the rest is cut off. Resolves with
   * how many that were.
   */
  async drain(milliseconds: number): Promise<number> {
    const left = await this.#drain(milliseconds)
    this.mirrors.close()
    return left
  }

  async #drain(milliseconds: number): Promise<number> {
    this.isDraining = this.isLeaving = true
    this.#net.close()
    tick()
    for (const connection of [...this.#connections]) connection.onDrain()
    await this.emptied(milliseconds)
    const left = [...this.#connections]
    const told = left.filter(({ isTunnel }) => isTunnel)
    for (const connection of left) connection.onDrained()
    if (told.length > 0) await this.emptied(CLOSING_MS)
    for (const connection of [...this.#connections]) connection.destroy()
    return left.length - told.length
  }

  /** Resolves when there is no connection, or the time is over. */
  async emptied(milliseconds: number): Promise<void> {
    if (this.#connections.length === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, milliseconds)
    this.#onEmpty = resolve
    await promise
    clearTimeout(timer)
  }
}
