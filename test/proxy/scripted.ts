/**
 * Both ends of a proxy as scripts: a Peer is one end of a raw TCP connection that is told octet for octet what to say
 * and waits for what it expects to hear. A wait that is not met in time fails with what was heard instead.
 */
import { once } from "node:events"
import net from "node:net"
import { NO_FILTERS } from "../../gateway/filters/compile.ts"
import type { Overload } from "../../gateway/overload.ts"
import { HttpServer, socketOptions } from "../../gateway/server.ts"
import { defaults, type Settings } from "../../gateway/settings.ts"
import type { ClusterHandle, CompiledBackend, CompiledRule, PortTable, RequestView } from "../../gateway/table/table.ts"
import { AccessLog } from "../../gateway/telemetry/access-log.ts"
import { Metrics } from "../../gateway/telemetry/metrics.ts"
import type { RequestTraces } from "../../gateway/telemetry/request-trace.ts"
import { Endpoints } from "../../gateway/upstream/endpoints.ts"

const PATIENCE_MS = 5_000

/** A message as it came, body decoded. */
export interface Heard {
  /** Start line and fields, without the empty line. */
  readonly head: string
  readonly status: number
  readonly body: string
  field(name: string): string | undefined
}

export class Peer {
  readonly socket: net.Socket
  /** Not yet taken by a wait; latin1. */
  heard = ""
  hasEnded = false
  isClosed = false
  wasReset = false
  #wake: (() => void)[] = []

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on("data", (data) => {
      this.heard += data.toString("latin1")
      this.#notify()
    })
    socket.on("end", () => {
      this.hasEnded = true
      this.#notify()
    })
    socket.on("close", () => {
      this.isClosed = true
      this.#notify()
    })
    socket.on("error", () => {
      this.wasReset = true
    })
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  say(text: string): void {
    this.socket.write(text, "latin1")
  }

  /** One octet a segment. */
  async sayByByte(text: string): Promise<void> {
    for (const character of text) {
      this.say(character)
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake.push(resolve)
      const timer = setTimeout(resolve, Math.max(1, deadline - performance.now()))
      await promise
      clearTimeout(timer)
      if (performance.now() >= deadline && look() === undefined) {
        throw new Error(`waited for ${what}; ${this.isClosed ? "closed, " : ""}${this.hasEnded ? "ended, " : ""}heard ${this.heard.length} octets: ${JSON.stringify(this.heard.slice(0, 400))}`)
      }
    }
  }

  /** Takes everything up to and with the first occurrence of `text`. */
  hear(text: string): Promise<string> {
    return this.#until(JSON.stringify(text), () => {
      const at = this.heard.indexOf(text)
      if (at < 0) return undefined
      return this.#take(at + text.length)
    })
  }

  hearOctets(count: number): Promise<string> {
    return this.#until(`${count} octets`, () => (this.heard.length < count ? undefined : this.#take(count)))
  }

  #take(count: number): string {
    const taken = this.heard.slice(0, count)
    this.heard = this.heard.slice(count)
    return taken
  }

  /** The other side has sent its FIN or a reset. */
  end(): Promise<true> {
    return this.#until("the end", () => (this.hasEnded || this.isClosed ? true : undefined))
  }

  /** The other side has ended, this one ends too, and the connection is closed. */
  async close(): Promise<true> {
    await this.end()
    this.socket.end()
    return this.#until("the close", () => (this.isClosed ? true : undefined))
  }

  /** A whole message with its body, by its framing; `method`: of the request it answers. */
  async message(method = "GET"): Promise<Heard> {
    const head = (await this.hear("\r\n\r\n")).slice(0, -4)
    const [line = "", ...lines] = head.split("\r\n")
    const field = (name: string): string | undefined => {
      const values = lines.filter((own) => own.toLowerCase().startsWith(`${name.toLowerCase()}:`)).map((own) => own.slice(name.length + 1).trim())
      return values.length === 0 ? undefined : values.join(", ")
    }
    const status = line.startsWith("HTTP/") ? Number(line.split(" ")[1]) : 0
    const isResponse = status !== 0
    let body = ""
    if (method === "HEAD" || status === 204 || status === 304 || (status >= 100 && status < 200)) body = ""
    else if (field("transfer-encoding") !== undefined) body = await this.#chunks()
    else if (field("content-length") !== undefined) body = await this.hearOctets(Number(field("content-length")))
    else if (isResponse) {
      await this.end()
      body = this.#take(this.heard.length)
    }
    return { head, status, body, field }
  }

  /** The first message that is no interim response. */
  async final(method: string): Promise<Heard> {
    for (;;) {
      const message = await this.message(method)
      if (message.status >= 200) return message
    }
  }

  async #chunks(): Promise<string> {
    let body = ""
    for (;;) {
      const size = parseInt(await this.hear("\r\n"), 16)
      if (size === 0) break
      body += await this.hearOctets(size)
      await this.hear("\r\n")
    }
    for (;;) {
      const line = await this.hear("\r\n")
      if (line === "\r\n") return body
    }
  }
}

export interface Backend {
  readonly port: number
  /** The next connection made to it. */
  accept(): Promise<Peer>
  /** Connections so far. */
  readonly peers: readonly Peer[]
  stop(): Promise<void>
}

export const startBackend = async (onPeer?: (peer: Peer) => void): Promise<Backend> => {
  const peers: Peer[] = []
  const waiting: ((peer: Peer) => void)[] = []
  let taken = 0
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const peer = new Peer(socket)
    peers.push(peer)
    onPeer?.(peer)
    const next = waiting.shift()
    if (next !== undefined) {
      taken++
      next(peer)
    }
  })
  const port = await listen(server)
  return {
    port,
    peers,
    accept: () => {
      const known = peers[taken]
      if (known !== undefined) {
        taken++
        return Promise.resolve(known)
      }
      const { promise, resolve, reject } = Promise.withResolvers<Peer>()
      const timer = setTimeout(() => reject(new Error(`no connection came; ${peers.length} so far`)), PATIENCE_MS)
      waiting.push((peer) => {
        clearTimeout(timer)
        resolve(peer)
      })
      return promise
    },
    stop: async () => {
      for (const peer of peers) peer.socket.destroy()
      server.close()
      if (server.listening) await once(server, "close")
    },
  }
}

const listen = async (server: net.Server): Promise<number> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

/** A backend that answers each request at once with what `respond` returns. */
export const answering = (respond: (request: Heard, peer: Peer) => string): ((peer: Peer) => void) => {
  const serve = async (peer: Peer): Promise<void> => {
    for (;;) peer.say(respond(await peer.message(), peer))
  }
  return (peer) => {
    // Ends when the connection does: the wait for the next request fails.
    serve(peer).catch(() => undefined)
  }
}

export interface Gateway {
  readonly port: number
  readonly http: HttpServer
  readonly metrics: Metrics
  readonly endpoints: Endpoints
  readonly cluster: ClusterHandle & { endpoints: ClusterHandle["endpoints"] }
  connect(): Promise<Peer>
  stop(): Promise<void>
}

export interface GatewayOptions {
  readonly settings?: Partial<Settings>
  readonly rule?: Partial<CompiledRule>
  readonly backend?: Partial<CompiledBackend>
  readonly find?: (request: RequestView, rule: CompiledRule) => CompiledRule | null
  readonly table?: (table: PortTable) => PortTable
  readonly logTo?: number
  readonly traces?: RequestTraces
  readonly overload?: (metrics: Metrics) => Overload
  /** The backends speak HTTP/2. */
  readonly isHttp2?: boolean
}

/** A gateway whose one rule takes everything, in front of these ports. */
export const startGateway = async (ports: readonly number[], options: GatewayOptions = {}): Promise<Gateway> => {
  const settings: Settings = { ...defaults, accessLog: false, ...options.settings }
  const metrics = new Metrics()
  const endpoints = new Endpoints(settings, metrics.upstream)
  const isHttp2 = options.isHttp2 ?? false
  const cluster = { id: "service/test/it/80", isHttp2, endpoints: ports.map((port) => endpoints.get("127.0.0.1", port, isHttp2)), emptyStatus: 503, turn: 0 }
  const backend: CompiledBackend = { cluster, answer: null, ...NO_FILTERS, ...options.backend }
  const rule: CompiledRule = {
    id: "httproute/test/it#0", route: "httproute/test/it", answer: null, isGrpc: false, ...NO_FILTERS,
    pick: () => backend, requestTimeout: undefined, backendTimeout: undefined, retry: null, ...options.rule,
  }
  const { find } = options
  const plain: PortTable = {
    port: 80, protocol: "HTTP", find: find === undefined ? () => rule : (request) => find(request, rule),
    presenter: () => null, isMisdirected: () => false,
  }
  const table = options.table
  const server = net.createServer(socketOptions)
  const accessLog = options.logTo === undefined ? null : new AccessLog(options.logTo, metrics)
  const http = new HttpServer({ net: server, port: 80, table: table === undefined ? () => plain : () => table(plain), settings, metrics, accessLog, traces: options.traces ?? null, ...(options.overload === undefined ? {} : { overload: options.overload(metrics) }) })
  const port = await listen(server)
  const clients: Peer[] = []
  return {
    port,
    http,
    metrics,
    endpoints,
    cluster,
    connect: async () => {
      const socket = net.connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
      await once(socket, "connect")
      const peer = new Peer(socket)
      clients.push(peer)
      return peer
    },
    stop: async () => {
      for (const client of clients) client.socket.destroy()
      await http.drain(0)
      await accessLog?.flushed()
      endpoints.close()
    },
  }
}

/** Waits until `hold` is true, looking after every turn of the event loop. */
export const eventually = async (what: string, hold: () => boolean, patience = PATIENCE_MS): Promise<void> => {
  const deadline = performance.now() + patience
  while (!hold()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise<void>((resolve) => setTimeout(resolve, 2))
  }
}

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
export const GET = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
