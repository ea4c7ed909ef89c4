/**
 * A request's phases, in order, on one page:
 *
 *   head      downstream/http1-connection.ts or http2-stream.ts reads it → start()
 *   match     the table of this moment; the request keeps it                 → #match()
 *   filters   preflight, answer, redirect, then what the chosen backend's head shall be; mirrors → #route()
 *   pick      an endpoint that is well and not tried yet                     → #attempt()
 *   upstream  a pooled connection or a new one; the request goes out         → #send()
 *   response  head and body come back, interim ones too                      → onRead()
 *   retry     what failed and may be sent again, if the rule wants that      → #isRepeated(), #wait()
 *   log       counted, written, the connections are free again               → #finish()
 *
 * An Exchange belongs to one client connection of HTTP/1.1, or to a stream of HTTP/2, whose object serves many streams,
 * and is used for their requests one after another: no promise, closure or object a request. What can go wrong arrives in fail() and onLost() and is judged by error.ts.
 */
import type { Answer } from "../bus/kinds/config.ts"
import { pickEndpoint } from "./balance/endpoint.ts"
import { clock, tick } from "./clock.ts"
import type { Client } from "./downstream/client.ts"
import type { ClientConnection } from "./downstream/http1-connection.ts"
import { KeptBody } from "./downstream/kept.ts"
import type { RequestRelay } from "./downstream/request.ts"
import { BAD, DONE, HELD, MORE, REPEATED, UPGRADED, type ResponseRelay } from "./downstream/response.ts"
import { answerOf, isIdempotent, verdictOf, type Failure } from "./error.ts"
import { Edits } from "./http1/edits.ts"
import { NO_FILTERS } from "./filters/compile.ts"
import { isPreflight } from "./filters/cors.ts"
import { USER_AGENT, X_FORWARDED_FOR, X_REQUEST_ID } from "./http1/field.ts"
import type { ResponseHead } from "./http1/response.ts"
import { TO_TUNNEL, requestText, responseText } from "./http1/write.ts"
import { clientAddress } from "./downstream/client-address.ts"
import { refusalOf } from "./downstream/refusal.ts"
import type { ClusterHandle, CompiledBackend, CompiledFilters, CompiledRule, Cors, Mirror, Retry } from "./table/table.ts"
import type { Outcome, TunnelEnd } from "./telemetry/metrics.ts"
import type { RequestTrace } from "./telemetry/request-trace.ts"
import type { UpstreamConnection, UpstreamUser } from "./upstream/connection.ts"
import type { Endpoint } from "./upstream/endpoint.ts"
import { backoff, budgetOf } from "./upstream/retry.ts"
import { Tunnel } from "./websocket/tunnel.ts"

// Where an exchange is.
const IDLE = 0
const CONNECTING = 1
const AWAITING = 2 // the request is on its way, or the answer
const RESPONDING = 3 // the answer is on its way
const WAITING = 4 // an attempt has failed, another follows

const requestEdits = new Edits()
const responseEdits = new Edits()

type UpstreamReason = (Failure & { side: "upstream" })["reason"]

export class Exchange implements UpstreamUser {
  readonly request: RequestRelay
  readonly response: ResponseRelay
  readonly #client: Client
  #state = IDLE
  #start = 0
  #id = ""
  #status = 0
  #reason = ""
  #bytes = 0
  /** Null: not sampled. */
  #trace: RequestTrace | null = null
  #rule: CompiledRule | null = null
  #backend: CompiledBackend | null = null
  #cluster: ClusterHandle | null = null
  #cors: Cors | null = null
  #retry: Retry | null = null
  #text = ""
  #endpoint: Endpoint | null = null
  #connection: UpstreamConnection | null = null
  #tried: Endpoint[] = []
  #attempts = 0
  /** 0: none. */
  #requestDeadline = 0
  #attemptDeadline = 0
  #stepDeadline = 0
  #halfClosedDeadline = 0
  #retryTime = 0

  constructor(client: Client, request: RequestRelay, response: ResponseRelay) {
    this.#client = client
    this.request = request
    this.response = response
  }

  // === Head and match

  /** The client's head is complete. */
  start(): void {
    const { head, server } = this.#client
    this.#begin()
    this.request.start(head, server.settings.requestBodyBytes)
    this.#id = server.requestId()
    if (server.traces !== null) this.#trace = server.traces.begin(head)
    if (this.#client.hasEnded) this.onHalfClosed()
    if (server.sheds()) return this.fail({ side: "gateway", reason: "overload" })
    const refusal = refusalOf(head, this.#client.forwarding, server.settings)
    if (refusal !== null) this.fail({ side: "downstream", reason: refusal })
    // RFC 9110 §9.3.7 and §7.6.2: about the gateway itself, or meant to end here.
    else if (head.form === "asterisk" || (head.maxForwards === 0 && head.method === "OPTIONS")) this.#answer({ status: 200, headers: [], body: "" })
    else this.#match()
  }

  /** What the client sent is no request. Its method stays where that is known: an answer to HEAD has no content. */
  refuse(reason: (Failure & { side: "downstream" })["reason"]): void {
    const { head } = this.#client
    const { method } = head
    head.clear()
    head.method = method
    this.#begin()
    this.request.start(head, 0)
    this.request.refusal = "request-line"
    this.#id = this.#client.server.requestId()
    this.fail({ side: "downstream", reason })
  }

  #begin(): void {
    this.#state = AWAITING
    this.#start = tick()
    this.#status = this.#bytes = this.#attempts = 0
    this.#reason = this.#text = ""
    this.#rule = this.#backend = this.#cluster = this.#endpoint = this.#cors = this.#retry = null
    this.#requestDeadline = this.#attemptDeadline = this.#stepDeadline = this.#halfClosedDeadline = this.#retryTime = 0
    if (this.#tried.length > 0) this.#tried.length = 0
    this.response.start()
    this.#client.server.onStarted()
  }

  #match(): void {
    const { server, head, secure } = this.#client
    const table = server.table()
    const rule = table.find(head)
    if (table.protocol !== (secure === null ? "HTTP" : "HTTPS")) this.fail({ side: "downstream", reason: "protocol-changed" })
    else if (secure !== null && secure.serverName !== head.host && table.isMisdirected(secure.serverName, head.host)) this.fail({ side: "downstream", reason: "misdirected" })
    else if (rule === null) this.fail({ side: "route", reason: "no-route" })
    else {
      this.#rule = rule
      this.#requestDeadline = server.after(rule.requestTimeout ?? server.settings.requestTimeout)
      this.#route(rule, table.port)
    }
  }

  // === Filters

  #route(rule: CompiledRule, port: number): void {
    const { head, forwarding } = this.#client
    if (rule.cors !== null && this.#isPreflight(rule.cors)) return
    if (rule.answer !== null) return this.#answer(rule.answer)
    const backend = rule.redirect === null ? rule.pick() : null
    if (backend !== null && backend.cors !== null && this.#cors === null && this.#isPreflight(backend.cors)) return
    const redirect = rule.redirect ?? backend?.redirect ?? null
    if (redirect !== null) {
      const { status, location } = redirect(head, forwarding.scheme, port)
      return this.#answer({ status, headers: [["Location", location]], body: "" })
    }
    if (backend === null) return this.fail({ side: "route", reason: "no-backend" })
    if (backend.answer !== null) return this.#answer(backend.answer)
    if (backend.cluster === null) return this.fail({ side: "route", reason: "no-backend" })
    this.#backend = backend
    this.#cluster = backend.cluster
    this.#text = this.#outgoing(rule, backend, backend.cluster)
    if (rule.mirrors !== null || backend.mirrors !== null) this.#mirror(rule, backend, backend.cluster)
    if (rule.retry !== null) this.#prepare(rule.retry, backend.cluster)
    this.#attempt(backend.cluster, false)
  }

  /** The head that goes out, as the rule's filters and then the backend's make it. */
  #outgoing(rule: CompiledRule, backend: CompiledFilters, cluster: ClusterHandle): string {
    const { head, forwarding, server } = this.#client
    let edits: Edits | null = null
    if (rule.requestHeaders !== null || backend.requestHeaders !== null) {
      edits = requestEdits.begin(head)
      rule.requestHeaders?.(edits)
      backend.requestHeaders?.(edits)
    }
    const own = backend.rewrite === null ? undefined : backend.rewrite(head)
    const general = rule.rewrite === null ? undefined : rule.rewrite(head)
    return requestText(head, edits, forwarding, own?.path ?? general?.path, own?.host ?? general?.host, this.#id, server.settings.via, head.authority === "" ? fallbackHost(cluster) : "", this.#trace)
  }

  /** Copies go out at once, with a body once that has been read; a rule's are without what the backend's filters do. */
  #mirror(rule: CompiledRule, backend: CompiledBackend, cluster: ClusterHandle): void {
    const { head, server: { mirrors, settings } } = this.#client
    // A handshake alone is of no use to who gets a copy.
    if (head.isWebSocket) return
    const copies: (readonly [Mirror, string])[] = (backend.mirrors ?? []).filter(isDue).map((mirror) => [mirror, this.#text])
    const ofRule = (rule.mirrors ?? []).filter(isDue)
    if (ofRule.length > 0) {
      const text = backend.requestHeaders === null && backend.rewrite === null ? this.#text : this.#outgoing(rule, NO_FILTERS, cluster)
      for (const mirror of ofRule) copies.push([mirror, text])
    }
    if (copies.length === 0) return
    const { method } = head
    const send = (body: string): void => {
      for (const [mirror, text] of copies) mirrors.send(mirror.cluster, method, text + body)
    }
    if (!head.hasBody) return send("")
    this.request.keep(new KeptBody(settings, (body, why) => {
      if (body !== null) send(body)
      else for (const _ of copies) mirrors.drop(why)
    }))
  }

  /** True: answered. A rule's own word on CORS stands before a backend's: a preflight cannot know which backend follows. */
  #isPreflight(cors: Cors): boolean {
    const { head } = this.#client
    if (isPreflight(head)) {
      this.#answer(cors.preflight(head))
      return true
    }
    this.#cors = cors
    return false
  }

  /** Edits of the response head by the route's filters; null: none. */
  responseEdits(head: ResponseHead): Edits | null {
    const rule = this.#rule?.responseHeaders ?? null
    const backend = this.#backend?.responseHeaders ?? null
    if (rule === null && backend === null && this.#cors === null) return null
    responseEdits.begin(head)
    this.#cors?.edit(this.#client.head, responseEdits)
    backend?.(responseEdits)
    rule?.(responseEdits)
    return responseEdits
  }

  // === Pick and upstream

  #attempt(cluster: ClusterHandle, isFresh: boolean, last: UpstreamReason | null = null): void {
    const { settings } = this.#client.server
    const most = this.#retry === null ? settings.attempts : isFresh ? Infinity : this.#retry.attempts + 1
    for (;;) {
      const endpoint = this.#attempts < most ? pickEndpoint(cluster, this.#tried, settings.balance) : null
      if (endpoint === null) {
        if (last !== null) this.fail({ side: "upstream", reason: last })
        else this.fail({ side: "route", reason: cluster.emptyStatus === 500 ? "no-such-service" : "no-endpoint" })
        return
      }
      if (this.#attempts++ > 0) this.#client.server.upstreamMetrics.retries++
      endpoint.health.chosen()
      const connection = endpoint.acquire(this, isFresh)
      if (connection !== null) {
        this.#endpoint = endpoint
        this.#connection = connection
        this.#attemptDeadline = this.#client.server.after(this.#rule?.backendTimeout ?? settings.backendTimeout)
        if (connection.isConnected) this.#send(connection)
        else {
          this.#state = CONNECTING
          this.#stepDeadline = this.#client.server.after(settings.connectTimeout)
        }
        return
      }
      endpoint.health.undecided()
      this.#outcome((last = "overloaded"))
      this.#tried.push(endpoint)
    }
  }

  onConnected(): void {
    if (this.#connection === null) return
    tick()
    this.#send(this.#connection)
    this.#client.pump()
  }

  #send(connection: UpstreamConnection): void {
    this.#state = AWAITING
    if (this.#trace !== null) this.#trace.sent = tick()
    this.request.sendOn(connection, this.#attempts === 1 ? this.#text : this.#text + this.request.sent)
    this.#stepDeadline = this.#client.server.after(this.#client.server.settings.responseHeadTimeout)
    if (this.request.isDone) this.request.flush()
  }

  /** The backend takes more of the request. */
  onWritable(): void {
    this.#client.pump()
  }

  // === Response

  onRead(buffer: Buffer, length: number, isLent: boolean): boolean {
    const connection = this.#connection
    if (connection === null) return false
    const wasBegun = this.response.hasBegun
    const found = this.response.onRead(buffer, length, isLent)
    if (!wasBegun && this.response.hasBegun) {
      this.#state = RESPONDING
      if (this.#trace !== null) this.#trace.answered = tick()
      this.#status = this.response.head.status
      connection.endpoint.health.succeeded()
      if (this.response.isBulk) connection.wantOwnBuffer()
    }
    switch (found) {
      case MORE:
        tick()
        this.#stepDeadline = this.#afterRead()
        return true
      case HELD:
        this.#stepDeadline = 0
        return false
      case DONE:
        this.#finish()
        return true
      case BAD:
        this.fail({ side: "upstream", reason: this.response.hasBegun ? "truncated" : "bad-response" })
        return false
      case REPEATED: {
        const { endpoint } = connection
        endpoint.health.succeeded()
        this.#release(this.response.head.isPersistent && this.request.isDone, "ok")
        this.#wait(endpoint)
        return true
      }
      case UPGRADED:
        if (this.#client.tunnelEnd !== null && this.#client.head.isWebSocket && this.response.head.isWebSocket) return this.#upgrade(this.#client.tunnelEnd, connection)
        this.fail({ side: "upstream", reason: "upgraded" })
        return false
      default:
        return true
    }
  }

  /** 101: the request is answered, its times are over, and both connections are a tunnel's. Its line is written at the end. */
  #upgrade(client: ClientConnection, connection: UpstreamConnection): boolean {
    const { head } = this.response
    this.#status = head.status
    connection.endpoint.health.succeeded()
    const rest = this.response.takeTail()
    client.socket.write(responseText(head, this.responseEdits(head), TO_TUNNEL, true, 1), "latin1")
    this.#count()
    const tunnel = new Tunnel(client, connection, (end) => this.#onTunnelEnd(tunnel, end))
    connection.becomeTunnel(tunnel)
    const goesOn = rest === null || tunnel.onRead(rest, rest.length, true)
    client.enterTunnel(tunnel)
    return goesOn
  }

  #onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void {
    if (end !== "closed") this.noteReason(end)
    this.#bytes = tunnel.sent
    this.#release(false, end === "closed" ? "ok" : end === "backend-gone" ? "reset" : "cancelled")
    this.#write(tick() - this.#start, tunnel.received)
  }

  #afterRead(): number {
    const { server } = this.#client
    return server.after(this.response.hasBegun ? server.settings.responseBodyIdle : server.settings.responseHeadTimeout)
  }

  /** The client has taken what was written to it. */
  onFlushed(): void {
    if (this.#state !== RESPONDING) return
    tick()
    this.#stepDeadline = this.#afterRead()
    this.#connection?.resume()
  }

  // === What goes wrong

  /** The backend's connection ended or failed. */
  onLost(error: NodeJS.ErrnoException | null): void {
    const connection = this.#connection
    const endpoint = this.#endpoint
    const cluster = this.#cluster
    if (connection === null || endpoint === null || cluster === null) return
    if (this.#state === RESPONDING) {
      if (error === null && this.response.onEnd()) this.#finish()
      else this.fail({ side: "upstream", reason: "truncated" })
      return
    }
    const reason: UpstreamReason = this.#state === CONNECTING ? (error?.code === "ETIMEDOUT" ? "connect-timeout" : "refused") : error === null ? "closed" : "reset"
    const isStale = connection.isReused && !this.response.hasReceived
    if (!isStale) endpoint.health.failed()
    this.#release(false, reason)
    if (this.#state === CONNECTING) this.#onUnreachable(cluster, endpoint, reason)
    // RFC 9110 §9.2.2: a pooled connection that was closed meanwhile; nothing of the request is lost.
    else if (isStale && !this.request.isBodySent && isIdempotent(this.#client.head.method) && this.request.isDone) this.#tryNext(cluster, null, reason, true)
    else if (this.#isRepeated()) this.#wait(endpoint)
    else this.fail({ side: "upstream", reason })
  }

  #tryNext(cluster: ClusterHandle, failed: Endpoint | null, reason: UpstreamReason, isFresh: boolean): void {
    if (failed !== null) this.#tried.push(failed)
    this.response.restart()
    this.#attempt(cluster, isFresh, reason)
    this.#client.pump()
  }

  // === Retries

  /** The rule wants them: what has the same effect twice is kept for it. */
  #prepare(retry: Retry, cluster: ClusterHandle): void {
    const { head, server: { settings } } = this.#client
    this.#retry = retry
    budgetOf(cluster, settings, clock.now).earn()
    if (head.hasBody && retry.attempts > 0 && isIdempotent(head.method) && !this.request.isKept) this.request.keep(new KeptBody(settings, null))
  }

  /** Nothing was sent: another endpoint at once, and from the first again, after a while, when all were tried. */
  #onUnreachable(cluster: ClusterHandle, endpoint: Endpoint, reason: UpstreamReason): void {
    if (this.#retry === null) this.#tryNext(cluster, endpoint, reason, false)
    else if (!this.#hasRetry(this.#retry, cluster)) this.fail({ side: "upstream", reason })
    else if (this.#tried.length + 1 < cluster.endpoints.length) this.#tryNext(cluster, endpoint, reason, false)
    else this.#wait(endpoint)
  }

  /** Of the number that the rule allows, and of the cluster's budget. */
  #hasRetry(retry: Retry, cluster: ClusterHandle): boolean {
    if (this.#attempts > retry.attempts) return false
    const { server } = this.#client
    if (budgetOf(cluster, server.settings, clock.now).take(clock.now)) return true
    server.upstreamMetrics.retriesDenied++
    return false
  }

  /** An attempt failed that may have had its effect. True: another one is due, and wait() must follow. */
  #isRepeated(): boolean {
    const retry = this.#retry
    return retry !== null && this.#cluster !== null && isIdempotent(this.#client.head.method) && this.request.isRepeatable && this.#hasRetry(retry, this.#cluster)
  }

  /** Asked of a response before anything of it goes to the client; true: as above. */
  isRepeatedAfter(status: number): boolean {
    return this.#retry !== null && this.#retry.codes.has(status) && this.#isRepeated()
  }

  #wait(failed: Endpoint): void {
    if (this.#retry === null) return
    this.#tried.push(failed)
    this.#state = WAITING
    this.#attemptDeadline = this.#stepDeadline = 0
    this.#retryTime = tick() + backoff(this.#retry, this.#attempts, Math.random())
  }

  #onWaited(): void {
    const cluster = this.#cluster
    this.#retryTime = 0
    if (cluster === null) return
    if (this.#tried.length >= cluster.endpoints.length) this.#tried.length = 0
    this.response.restart()
    this.#attempt(cluster, false)
    this.#client.pump()
  }

  /** The attempt, or the head of its response, took too long. */
  #onAttemptTimeout(reason: "timeout" | "head-timeout"): void {
    const endpoint = this.#endpoint
    if (this.response.hasBegun || endpoint === null || this.#connection === null || !this.#isRepeated()) return this.fail({ side: "upstream", reason })
    this.#release(false, reason)
    this.#wait(endpoint)
  }

  /** Ends the exchange: with an answer if the client has none yet, else by cutting the connection. */
  fail(failure: Failure): void {
    if (this.#state === IDLE) return
    this.#reason = failure.reason
    if (failure.side === "downstream" || failure.side === "gateway") this.#client.server.limits.failed(failure.reason)
    if (this.#connection !== null) {
      this.#release(false, failure.side === "upstream" ? failure.reason : "cancelled")
    }
    if (this.response.hasBegun) {
      this.#log()
      this.#client.destroy()
      return
    }
    const verdict = verdictOf(failure)
    this.#answer(answerOf(verdict), verdict.mustClose)
  }

  /** The client is gone, or has ended in the middle of its request. */
  abort(): void {
    if (this.#state === IDLE) return
    this.noteReason("client-gone")
    // For the log; nobody is there to read it.
    if (this.#status === 0) this.#status = 499
    this.#client.server.metrics.aborted++
    this.#release(false, "cancelled")
    this.#log()
    this.#client.destroy()
  }

  /** The client's FIN after a complete request: half-close or abort, which only time tells. */
  onHalfClosed(): void {
    if (this.#state !== IDLE && !this.response.hasBegun) this.#halfClosedDeadline = this.#client.server.after(this.#client.server.settings.halfCloseTimeout)
  }

  noteReason(reason: string): void {
    if (this.#reason === "") this.#reason = reason
  }

  /** Called several times a second. */
  check(now: number): void {
    if (this.#state === IDLE) return
    if (this.#requestDeadline !== 0 && now >= this.#requestDeadline) this.fail({ side: "upstream", reason: "timeout" })
    else if (this.#attemptDeadline !== 0 && now >= this.#attemptDeadline) this.#onAttemptTimeout("timeout")
    else if (this.#retryTime !== 0 && now >= this.#retryTime) this.#onWaited()
    else if (this.#halfClosedDeadline !== 0 && now >= this.#halfClosedDeadline && !this.response.hasBegun) this.abort()
    else if (this.#stepDeadline !== 0 && now >= this.#stepDeadline) this.#onStepTimeout()
  }

  #onStepTimeout(): void {
    this.#stepDeadline = 0
    switch (this.#state) {
      case CONNECTING: {
        const connection = this.#connection
        connection?.destroy()
        this.onLost(Object.assign(new Error("connect timed out"), { code: "ETIMEDOUT" }))
        return
      }
      case AWAITING:
        // Waiting for the client's body is bounded by the client's own time-out.
        if (this.request.isDone || this.#connection?.isBlocked === true) this.#onAttemptTimeout("head-timeout")
        else this.#stepDeadline = this.#afterRead()
        return
      case RESPONDING:
        this.fail({ side: "upstream", reason: "idle" })
        return
    }
  }

  // === The end

  /** An answer of the gateway's own. */
  #answer(plain: Answer, mustClose = false): void {
    const { head } = this.#client
    const answer = this.#cors === null ? plain : this.#cors.answered(head, plain)
    const isPersistent = !mustClose && this.#client.mayPersist()
    this.#status = answer.status
    this.#bytes = head.method === "HEAD" ? 0 : Buffer.byteLength(answer.body)
    this.request.detach()
    this.response.isPersistent = isPersistent
    this.response.answer(answer)
    this.#log()
    this.#client.onAnswered(isPersistent)
  }

  /** The response is complete. */
  #finish(): void {
    const { isPersistent } = this.response
    if (!this.response.isReferenced) this.#connection?.freeBuffer()
    // Before its request: the rest is nobody's, and the backend must not wait for it on a pooled connection.
    this.#release(this.response.head.isPersistent && this.request.isDone, "ok")
    this.#log()
    this.#client.onAnswered(isPersistent)
  }

  #release(isReusable: boolean, outcome: Outcome): void {
    const connection = this.#connection
    if (connection === null) return
    this.#connection = null
    this.request.detach()
    // Has no effect after succeeded() and failed().
    if (outcome !== "ok") connection.endpoint.health.undecided()
    connection.endpoint.release(connection, isReusable)
    this.#outcome(outcome)
  }

  #outcome(outcome: Outcome): void {
    this.#client.server.upstreamMetrics.ended(outcome)
  }

  #log(): void {
    this.#write(this.#count(), -1)
  }

  /** The request is answered. Returns the milliseconds it took. */
  #count(): number {
    const { metrics } = this.#client.server
    const milliseconds = tick() - this.#start
    this.#state = IDLE
    this.request.end()
    metrics.inFlight--
    metrics.done(this.#status, milliseconds)
    if (this.#trace !== null) this.#endTrace(this.#trace, milliseconds)
    return milliseconds
  }

  /** `received`: octets a tunnel took from the client; -1: there was none. */
  #write(milliseconds: number, received: number): void {
    const { server, head, forwarding } = this.#client
    const { accessLog } = server
    if (accessLog === null) return
    const isTrusted = forwarding.trustedHops > 0
    const endpoint = this.#endpoint
    accessLog.write({
      start: this.#start,
      milliseconds,
      id: (isTrusted ? head.known(X_REQUEST_ID) : undefined) ?? this.#id,
      client: isTrusted ? clientAddress(forwarding.address, head.known(X_FORWARDED_FOR), forwarding.trustedHops) : forwarding.address,
      method: head.method,
      host: head.host,
      path: head.path,
      protocol: forwarding.major === 2 ? "HTTP/2" : head.minor === 1 ? "HTTP/1.1" : "HTTP/1.0",
      status: this.#status,
      bytes: this.#bytes + this.response.bytes,
      received,
      userAgent: head.has(USER_AGENT) ? (head.known(USER_AGENT) ?? "") : "",
      route: this.#rule?.id ?? "",
      upstream: this.#attempts === 0 || endpoint === null ? "" : endpoint.name,
      attempts: this.#attempts,
      reason: this.#reason,
      tls: this.#client.secure?.version ?? "",
    })
  }

  #endTrace(trace: RequestTrace, milliseconds: number): void {
    const { server, head, forwarding } = this.#client
    const endpoint = this.#endpoint
    this.#trace = null
    server.traces?.end(trace, {
      start: this.#start, milliseconds, scheme: forwarding.scheme, method: head.method, host: head.host, status: this.#status, route: this.#rule?.id ?? "",
      upstream: this.#attempts === 0 || endpoint === null ? "" : endpoint.name, attempts: this.#attempts, reason: this.#reason,
    })
  }
}

const isDue = (mirror: Mirror): boolean => mirror.isDue()

/** For a request that names no host (HTTP/1.0): an address as RFC 3986 §3.2.2 writes it. */
const fallbackHost = ({ endpoints }: ClusterHandle): string => {
  const address = endpoints[0]?.address ?? ""
  return address.includes(":") ? `[${address}]` : address
}
