/**
 * Requests to the API server: addressed, authenticated and encrypted as KUBECONFIG (else the pod's service account)
 * says, which client-node's KubeConfig reads; sent by undici; answered with JSON that nobody has looked at yet.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import type { RequestOptions } from "node:https"
import { HttpMethod, KubeConfig, RequestContext } from "@kubernetes/client-node"
import { Agent, type Dispatcher, ProxyAgent, request as send } from "undici"
import { ApiError } from "./api-error.ts"

export interface ApiRequest {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** From the root, encoded (`resourcePath`): `/api/v1/namespaces/shop/services` */
  readonly path: string
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** Lower case. `content-type` is `application/json` where a body is sent and nothing else is said. */
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON, which apply patches may be too. */
  readonly body?: unknown
  readonly signal?: AbortSignal
  /** ms: until the answer begins (at most 30 s of `lines`), and between any two pieces of it. Default 30 s. */
  readonly timeout?: number
}

export interface ApiClient {
  /** The body of a 2xx answer (undefined for an empty one). Rejects with ApiError. */
  request(request: ApiRequest): Promise<unknown>
  /**
   * A GET whose answer comes line by line, as a watch's does; resolves at its end. Rejects with ApiError, also for an
   * answer that breaks off; half a line is not handed on.
   */
  lines(request: ApiRequest, reader: LineReader): Promise<void>
  close(): Promise<void>
}

/** None of these may throw. */
export interface LineReader {
  /** The answer has begun, and is 2xx. */
  opened?(): void
  line(line: string): void
  /** After the lines that came together. */
  batch?(): void
}

export interface ResourceAddress {
  /** "" is the core group. */
  readonly group: string
  readonly version: string
  readonly plural: string
  /** Absent or "": of the whole cluster. */
  readonly namespace?: string
  readonly name?: string
  readonly subresource?: "status" | "scale"
}

/** `/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web/status` */
export const resourcePath = ({ group, version, plural, namespace = "", name, subresource }: ResourceAddress): string =>
  [group === "" ? "/api" : `/apis/${group}`, version, ...(namespace === "" ? [] : ["namespaces", namespace]), plural, ...(name === undefined ? [] : [name]), ...(subresource === undefined ? [] : [subresource])]
    .map((segment, index) => (index === 0 ? segment : encodeURIComponent(segment)))
    .join("/")

const ANSWER_WITHIN = 30_000
/** Files of certificates, keys and tokens are looked at again this often, ms: what the kubelet rotates is valid for minutes more. */
const LOOK_AGAIN = 30_000
/** No object is larger than 1.5 MB in etcd, and a page has 500. */
const LONGEST_LINE = 32 * 1024 * 1024

/** Environment: KUBECONFIG, KUBERNETES_SERVICE_HOST and _PORT. Throws Error where neither says where the API server is. */
export const connectApi = (load: () => KubeConfig = defaultConfig): ApiClient => new Client(load)

const defaultConfig = (): KubeConfig => {
  const config = new KubeConfig()
  config.loadFromDefault()
  return config
}

interface Way {
  readonly server: string
  readonly headers: Readonly<Record<string, string>>
  readonly dispatcher: Dispatcher
  readonly fingerprint: string
}

class Client implements ApiClient {
  readonly #load: () => KubeConfig
  #config: KubeConfig
  #way: Way | undefined
  #lookAt = 0
  #looking: Promise<Way> | undefined

  constructor(load: () => KubeConfig) {
    this.#load = load
    this.#config = load()
    serverOf(this.#config)
  }

  async request(asked: ApiRequest): Promise<unknown> {
    const body = await this.#send(asked, false, async (answer) => answer.text())
    if (body === "") return undefined
    try {
      return JSON.parse(body)
    } catch (cause) {
      throw new ApiError({ status: 0, reason: "NotJson", message: `the answer to ${asked.method ?? "GET"} ${asked.path} is not JSON`, cause })
    }
  }

  lines(asked: ApiRequest, reader: LineReader): Promise<void> {
    return this.#send(asked, true, (answer) => {
      reader.opened?.()
      const decoder = new TextDecoder()
      let rest = ""
      // Events, not an iterator: of a line that concerns nobody the way here is most of the cost.
      return new Promise((resolve, reject) => {
        answer.on("data", (chunk: unknown) => {
          rest += decoder.decode(bytesOf(chunk), { stream: true })
          let from = 0
          for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", from)) {
            if (end > from) reader.line(rest.slice(from, end))
            from = end + 1
          }
          rest = rest.slice(from)
          if (from > 0) reader.batch?.()
          if (rest.length > LONGEST_LINE) reject(new ApiError({ status: 0, reason: "LineTooLong", message: `a line of the answer to ${asked.path} is longer than ${LONGEST_LINE} characters` }))
        })
        answer.on("error", reject)
        answer.once("end", () => {
          if (rest === "") resolve()
          else reject(new ApiError({ status: 0, reason: "BrokenOff", message: `the answer to ${asked.path} broke off in a line` }))
        })
      })
    })
  }

  async close(): Promise<void> {
    await this.#way?.dispatcher.destroy()
  }

  async #send<T>(asked: ApiRequest, isStream: boolean, read: (body: Dispatcher.ResponseData["body"]) => Promise<T>): Promise<T> {
    const way = await this.#currentWay()
    const { statusCode, headers, body } = await this.#reach(way, asked, isStream)
    if (statusCode >= 200 && statusCode < 300) {
      try {
        return await read(body)
      } catch (error) {
        throw isTransport(error) ? unreached(asked, error) : error
      } finally {
        body.destroy()
      }
    }
    // A token or certificate that is not valid any more: everything is read anew before the next request.
    if (statusCode === 401) this.#forget(way)
    throw ApiError.ofAnswer(statusCode, headers["retry-after"], await body.text().catch(() => ""))
  }

  async #reach({ server, headers: authentication, dispatcher }: Way, { method = "GET", path, query, headers, body, signal, timeout = ANSWER_WITHIN }: ApiRequest, isStream: boolean): Promise<Dispatcher.ResponseData> {
    try {
      return await send(`${server}${path}${searchOf(query)}`, {
        dispatcher, method, headersTimeout: isStream ? Math.min(timeout, ANSWER_WITHIN) : timeout, bodyTimeout: timeout,
        headers: { accept: "application/json", "user-agent": "headgate", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers, ...authentication },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (error) {
      throw unreached({ method, path }, error)
    }
  }

  async #currentWay(): Promise<Way> {
    if (this.#way !== undefined && performance.now() < this.#lookAt) return this.#way
    this.#looking ??= this.#look().finally(() => { this.#looking = undefined })
    return this.#looking
  }

  async #look(): Promise<Way> {
    try {
      const before = this.#way
      const server = serverOf(this.#config)
      const fingerprint = fingerprintOf(this.#config)
      const options: RequestOptions = {}
      await this.#config.applyToHTTPSOptions(options)
      // Connections, and watches on them, are kept while what they were made with is the same.
      const same = before !== undefined && before.fingerprint === fingerprint
      this.#way = { server, headers: headersOf(options), fingerprint, dispatcher: same ? before.dispatcher : await dispatcherOf(this.#config, options) }
      // Watches on them go on to their end.
      if (!same) before?.dispatcher.close().catch(() => undefined)
      this.#lookAt = performance.now() + LOOK_AGAIN
      return this.#way
    } catch (cause) {
      throw new ApiError({ status: 0, reason: "NoCredentials", message: cause instanceof Error ? cause.message : String(cause), cause })
    }
  }

  #forget(way: Way): void {
    if (this.#way !== way) return
    this.#lookAt = 0
    try {
      this.#config = this.#load()
    } catch {
      // Half written: the one before it is as good as any until the next answer.
    }
  }
}

const serverOf = (config: KubeConfig): string => {
  const server = config.getCurrentCluster()?.server
  if (server === undefined) throw new Error("no API server is known: KUBECONFIG names no current cluster, and this is no pod with a service account")
  return server.replace(/\/+$/, "")
}

/** Of all that a TLS connection is made with. */
const fingerprintOf = (config: KubeConfig): string => {
  const cluster = config.getCurrentCluster()
  const user = config.getCurrentUser()
  const content = (file: string | undefined, data: string | undefined): string => (file === undefined || file === "" ? (data ?? "") : readFileSync(file, "utf8"))
  const parts = [content(cluster?.caFile, cluster?.caData), content(user?.certFile, user?.certData), content(user?.keyFile, user?.keyData), cluster?.server, cluster?.proxyUrl, cluster?.tlsServerName, cluster?.skipTLSVerify, user?.name]
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex")
}

const headersOf = ({ headers, auth }: RequestOptions): Readonly<Record<string, string>> => ({
  ...(typeof auth === "string" ? { authorization: `Basic ${Buffer.from(auth).toString("base64")}` } : {}),
  ...Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)])),
})

/**
 * HTTP/1.1 alone: a connection for each watch, so that one that is half-open takes none along. (Of HTTP/2, undici 8.12
 * throws in nobody's hands when the API server ends a connection.)
 */
const dispatcherOf = async (config: KubeConfig, { ca, cert, key, rejectUnauthorized, servername }: RequestOptions): Promise<Dispatcher> => {
  const tls = {
    ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }), ...(servername === undefined ? {} : { servername }),
  }
  const proxy = config.getCurrentCluster()?.proxyUrl ?? ""
  if (proxy === "") return new Agent({ allowH2: false, connect: { ...tls, ...KEPT_ALIVE } })
  if (!proxy.startsWith("socks")) return new ProxyAgent({ uri: proxy, allowH2: false, requestTls: tls, connect: KEPT_ALIVE })
  const context = new RequestContext(serverOf(config), HttpMethod.GET)
  await config.applySecurityAuthentication(context)
  return context.getDispatcher() ?? new Agent({ allowH2: false, connect: tls })
}

/** A peer that vanished without a word is found so after 40 s, where nothing is on its way to it. */
const KEPT_ALIVE = { keepAlive: true, keepAliveInitialDelay: 30_000 } as const

const searchOf = (query: ApiRequest["query"]): string => {
  const all = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) all.set(name, String(value))
  return all.size === 0 ? "" : `?${all.toString()}`
}

const bytesOf = (chunk: unknown): Uint8Array => {
  if (chunk instanceof Uint8Array) return chunk
  throw new TypeError("a body is of octets")
}

/** What undici and sockets throw has a code. */
const isTransport = (error: unknown): boolean => error instanceof Error && !(error instanceof ApiError) && ("code" in error || error.name === "AbortError" || error.message === "terminated")

const unreached = ({ method = "GET", path }: Pick<ApiRequest, "method" | "path">, cause: unknown): ApiError => {
  const isEnded = cause instanceof Error && cause.name === "AbortError"
  const isQuiet = cause instanceof Error && "code" in cause && cause.code === "UND_ERR_BODY_TIMEOUT"
  const why = cause instanceof Error ? cause.message || ("code" in cause ? String(cause.code) : cause.name) : String(cause)
  return new ApiError({ status: 0, reason: isEnded ? "Aborted" : isQuiet ? "Quiet" : "Unreachable", message: `${method} ${path}: ${why}`, cause })
}
