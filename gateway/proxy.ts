/**
 * A request's phases, in order, on one page:
 *
 *   head      downstream/http1-connection.ts or http2-stream.ts reads it → start()
 *   match     the table of this moment; the request keeps it                 → #match()
 *   filters   preflight, answer, redirect, then what the chosen backend's head shall be; mirrors → #route()
 *   pick      an endpoint that is well and not tried yet                     → #attempt()
 *   upstream  a connection or a stream of one; the request goes out          → #send()
 *   response  head and body come back, interim ones too                      → onRead(), or onHead() and what follows it
 *   retry     what failed and may be sent again (upstream/attempts.ts)       → #onLoss(), #wait()
 *   log       counted, written, the connections are free again               → #finish()
 *
 * An Exchange belongs to one client connection of HTTP/1.1, or to a stream of HTTP/2, whose object serves many streams,
 * and is used for their requests one after another: no promise, closure or object a request. What can go wrong arrives in
 * fail(), onLost() and onStreamLost() and is judged by error.ts.
 */
import type { Answer } from "../bus/kinds/config.ts"
import { pickEndpoint } from "./balance/endpoint.ts"
import { tick } from "./clock.ts"
import type { Client } from "./downstream/client.ts"
import type { ClientConnection } from "./downstream/http1-connection.ts"
import { KeptBody, sendFramed } from "./downstream/kept.ts"
import type { RequestRelay } from "./downstream/request.ts"
import { BAD, DONE, HELD, MORE, REPEATED, UPGRADED, type ResponseRelay } from "./downstream/response.ts"
import { answerOf, isIdempotent, verdictOf, type Failure } from "./error.ts"
import { Edits } from "./http1/edits.ts"
import { isPreflight } from "./filters/cors.ts"
import { deadlineOf, grpcAnswer, grpcStatusOf, grpcTrailers, isCall } from "./grpc.ts"
import { GRPC_TIMEOUT } from "./http1/field.ts"
import type { ResponseHead } from "./http1/response.ts"
import { TO_TUNNEL, responseText } from "./http1/write.ts"
import { FieldList } from "./http2/field-list.ts"
import type { MessageHead } from "./http2/message.ts"
import { outgoingFields, outgoingText } from "./outgoing.ts"
import { refusalOf } from "./downstream/refusal.ts"
import type { ClusterHandle, CompiledBackend, CompiledRule, Cors, Retry } from "./table/table.ts"
import type { Outcome, TunnelEnd } from "./telemetry/metrics.ts"
import { Account } from "./telemetry/account.ts"
import { Attempts } from "./upstream/attempts.ts"
import type { UpstreamConnection } from "./upstream/connection.ts"
import { mirrorCopies } from "./upstream/copies.ts"
import type { Endpoint } from "./upstream/endpoint.ts"
import type { UpstreamStream } from "./upstream/http2-stream.ts"
import type { StreamLoss, Upstream, UpstreamUser } from "./upstream/upstream.ts"
import { Tunnel } from "./websocket/tunnel.ts"

// Where an exchange is.
const IDLE = 0
const CONNECTING = 1
const AWAITING = 2 // the request is on its way, or the answer
const RESPONDING = 3 // the answer is on its way
const WAITING = 4 // an attempt has failed, another follows

const responseEdits = new Edits()
/** Of the section that is being sent. */
const requestFields = new FieldList()

type UpstreamReason = (Failure & { side: "upstream" })["reason"]

export class Exchange implements UpstreamUser {
  readonly request: RequestRelay
  readonly response: ResponseRelay
  readonly #client: Client
  #state = IDLE
  readonly #account: Account
  #rule: CompiledRule | null = null
  #backend: CompiledBackend | null = null
  #cluster: ClusterHandle | null = null
  #cors: Cors | null = null
  /** The request is a call of gRPC, as far as has been looked. */
  isGrpc = false
  /** Backends are spoken to in HTTP/2; else #text is the head for them. */
  #isHttp2 = false
  #text = ""
  #endpoint: Endpoint | null = null
  #upstream: Upstream | null = null
  readonly #attempts: Attempts
  /** 0: none. */
  #requestDeadline = 0
  #attemptDeadline = 0
  #stepDeadline = 0
  #halfClosedDeadline = 0

  constructor(client: Client, request: RequestRelay, response: ResponseRelay) {
    this.#client = client
    this.request = request
    this.response = response
    this.#account = new Account(client)
    this.#attempts = new Attempts(client.server.settings, client.server.upstreamMetrics)
  }

  // === Head and match

  /** The client's head is complete. */
  start(): void {
    const { head, server } = this.#client
    this.#begin()
    this.request.start(head, server.settings.requestBodyBytes)
    this.#account.id = server.requestId()
    if (server.traces !== null) this.#account.trace = server.traces.begin(head)
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
    this.#account.id = this.#client.server.requestId()
    this.fail({ side: "downstream", reason })
  }

  #begin(): void {
    this.#state = AWAITING
    this.#account.begin()
    this.#text = ""
    this.isGrpc = false
    this.#rule = this.#backend = this.#cluster = this.#endpoint = this.#cors = null
    this.#requestDeadline = this.#attemptDeadline = this.#stepDeadline = this.#halfClosedDeadline = 0
    this.#attempts.restart()
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
      this.#account.route = rule.id
      this.#requestDeadline = server.after(rule.requestTimeout ?? server.settings.requestTimeout)
      if ((rule.isGrpc || head.takesTrailers) && !this.#isServedCall(rule)) this.fail({ side: "downstream", reason: "grpc-version" })
      else this.#route(rule, table.port)
    }
  }

  /** What is a call of gRPC has a deadline of its own. False: it must not come over HTTP/1.1. */
  #isServedCall(rule: CompiledRule): boolean {
    const { head, server, forwarding } = this.#client
    this.isGrpc = rule.isGrpc || isCall(head)
    if (!this.isGrpc) return true
    const deadline = head.has(GRPC_TIMEOUT) ? server.after(deadlineOf(head.known(GRPC_TIMEOUT) ?? "")) : 0
    if (deadline > 0 && (this.#requestDeadline === 0 || deadline < this.#requestDeadline)) this.#requestDeadline = deadline
    return forwarding.major === 2
  }

  // === Filters

  #route(rule: CompiledRule, port: number): void {
    const { head, forwarding } = this.#client
    if (rule.cors !== null && this.#isPreflight(rule.cors)) return
    if (rule.answer !== null) return this.#answerBy(rule.answer)
    const backend = rule.redirect === null ? rule.pick() : null
    if (backend !== null && backend.cors !== null && this.#cors === null && this.#isPreflight(backend.cors)) return
    const redirect = rule.redirect ?? backend?.redirect ?? null
    if (redirect !== null) {
      const { status, location } = redirect(head, forwarding.scheme, port)
      return this.#answer({ status, headers: [["Location", location]], body: "" })
    }
    if (backend === null) return this.fail({ side: "route", reason: "no-backend" })
    if (backend.answer !== null) return this.#answerBy(backend.answer)
    const { cluster } = backend
    if (cluster === null) return this.fail({ side: "route", reason: "no-backend" })
    this.#backend = backend
    this.#cluster = cluster
    this.#isHttp2 = cluster.isHttp2
    if (rule.mirrors !== null || backend.mirrors !== null) mirrorCopies(this.#client, this.request, rule, backend, cluster, this.#account.id, this.#account.trace)
    if (rule.retry !== null) this.#prepare(rule.retry, cluster)
    if (!cluster.isHttp2) this.#text = outgoingText(this.#client, rule, backend, cluster, this.#account.id, this.#account.trace)
    else if (head.isWebSocket) return this.fail({ side: "route", reason: "no-websocket" })
    // A backend may say that it has done nothing with it (RFC 9113 §8.7), which HTTP/1.1 cannot: then it is sent again.
    else if (head.hasBody && !this.request.isKept) this.request.keep(new KeptBody(this.#client.server.settings, null))
    this.#attempt(cluster, false, false)
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

  get hasResponseEdits(): boolean {
    return this.#cors !== null || (this.#rule?.responseHeaders ?? this.#backend?.responseHeaders ?? null) !== null
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

  /** `isFresh`: not on a connection that has been used. `isExtra`: it does not count among what is allowed. */
  #attempt(cluster: ClusterHandle, isFresh: boolean, isExtra: boolean, last: UpstreamReason | null = null): void {
    const { server } = this.#client
    const attempts = this.#attempts
    const most = attempts.most(isExtra)
    for (;;) {
      // A cluster that has come to speak another protocol meanwhile is for requests that follow.
      const endpoint = attempts.made < most && cluster.isHttp2 === this.#isHttp2 ? pickEndpoint(cluster, attempts.tried, server.settings.balance) : null
      if (endpoint === null) {
        if (last !== null) this.fail({ side: "upstream", reason: last })
        else this.fail({ side: "route", reason: cluster.emptyStatus === 500 ? "no-such-service" : "no-endpoint" })
        return
      }
      attempts.begin()
      endpoint.health.chosen()
      const upstream = endpoint.acquire(this, isFresh)
      if (upstream !== null) {
        this.#endpoint = endpoint
        this.#account.upstream = endpoint.name
        this.#upstream = upstream
        this.#attemptDeadline = server.after(this.#rule?.backendTimeout ?? server.settings.backendTimeout)
        if (upstream.isConnected) this.#send(upstream)
        else {
          this.#state = CONNECTING
          this.#stepDeadline = server.after(server.settings.connectTimeout)
        }
        return
      }
      endpoint.health.undecided()
      this.#outcome((last = "overloaded"))
      attempts.tried.push(endpoint)
    }
  }

  onConnected(): void {
    if (this.#upstream === null) return
    tick()
    this.#send(this.#upstream)
    this.#client.pump()
  }

  #send(upstream: Upstream): void {
    this.#state = AWAITING
    const { trace } = this.#account
    if (trace !== null) trace.sent = tick()
    this.#stepDeadline = this.#client.server.after(this.#client.server.settings.responseHeadTimeout)
    if (upstream.version === 2) return this.#sendOver(upstream)
    this.request.sendOn(upstream, this.#attempts.made === 1 ? this.#text : this.#text + this.request.sent)
    if (this.request.isDone) this.request.flush()
  }

  #sendOver(stream: UpstreamStream): void {
    const { request } = this
    const { head } = this.#client
    if (this.#rule === null || this.#backend === null || this.#cluster === null) return
    stream.open(outgoingFields(requestFields, this.#client, this.#rule, this.#backend, this.#cluster, this.#account.id, this.#account.trace), !head.hasBody)
    if (this.#upstream !== stream || !head.hasBody) return
    if (request.isBodySent) sendFramed(stream, head.body, head.length, request.sent, request.isDone)
    request.goOnOver(stream)
  }

  /** The backend takes more of the request. */
  onWritable(): void {
    this.#client.pump()
  }

  // === Response

  onRead(buffer: Buffer, length: number, isLent: boolean): boolean {
    const upstream = this.#upstream
    if (upstream === null) return false
    const found = this.response.onRead(buffer, length, isLent)
    if (this.#state !== RESPONDING && this.response.hasBegun && upstream.version === 1) {
      this.#onBegun(upstream)
      if (this.response.isBulk) upstream.wantOwnBuffer()
    }
    return this.#heed(found, upstream)
  }

  onHead(fields: FieldList, head: MessageHead, isEnd: boolean): void {
    const upstream = this.#upstream
    if (upstream === null) return
    const found = this.response.onHead(fields, head, isEnd)
    if (this.response.hasBegun) this.#onBegun(upstream)
    this.#heed(found, upstream)
  }

  onContent(octets: Buffer, start: number, end: number, isEnd: boolean): boolean {
    return this.#upstream === null || this.#heed(this.response.onContent(octets, start, end, isEnd), this.#upstream)
  }

  onTrailers(fields: FieldList): void {
    if (this.#upstream !== null) this.#heed(this.response.onTrailers(fields), this.#upstream)
  }

  /** The client has been told the head. */
  #onBegun({ endpoint }: Upstream): void {
    this.#state = RESPONDING
    const { trace } = this.#account
    if (trace !== null) trace.answered = tick()
    this.#account.status = this.response.head.status
    this.request.forgetSent()
    endpoint.health.succeeded()
  }

  /** What the response has come to. False: reading pauses. */
  #heed(found: number, upstream: Upstream): boolean {
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
        const { endpoint } = upstream
        endpoint.health.succeeded()
        this.#release(this.response.head.isPersistent && this.request.isDone, "ok")
        this.#wait(endpoint)
        return true
      }
      case UPGRADED:
        if (upstream.version === 1 && this.#client.tunnelEnd !== null && this.#client.head.isWebSocket && this.response.head.isWebSocket) return this.#upgrade(this.#client.tunnelEnd, upstream)
        this.fail({ side: "upstream", reason: "upgraded" })
        return false
      default:
        return true
    }
  }

  /** 101: the request is answered, its times are over, and both connections are a tunnel's. Its line is written at the end. */
  #upgrade(client: ClientConnection, connection: UpstreamConnection): boolean {
    const { head } = this.response
    this.#account.status = head.status
    connection.endpoint.health.succeeded()
    const rest = this.response.takeTail()
    client.socket.write(responseText(head, this.responseEdits(head), TO_TUNNEL, true, 1), "latin1")
    this.#end()
    const tunnel = new Tunnel(client, connection, (end) => this.#onTunnelEnd(tunnel, end))
    connection.becomeTunnel(tunnel)
    const goesOn = rest === null || tunnel.onRead(rest, rest.length, true)
    client.enterTunnel(tunnel)
    return goesOn
  }

  #onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void {
    if (end !== "closed") this.noteReason(end)
    this.#account.bytes = tunnel.sent
    this.#release(false, end === "closed" ? "ok" : end === "backend-gone" ? "reset" : "cancelled")
    this.#account.write(tick() - this.#account.start, 0, tunnel.received)
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
    this.#upstream?.resume()
  }

  // === What goes wrong

  /** The backend's connection ended or failed. */
  onLost(error: NodeJS.ErrnoException | null): void {
    const upstream = this.#upstream
    if (upstream === null) return
    if (this.#state === RESPONDING) {
      if (error === null && this.response.onEnd()) this.#finish()
      else this.fail({ side: "upstream", reason: "truncated" })
      return
    }
    const reason: UpstreamReason = this.#state === CONNECTING ? (error?.code === "ETIMEDOUT" ? "connect-timeout" : "refused") : error === null ? "closed" : "reset"
    const isStale = upstream.isReused && !this.response.hasReceived
    if (!isStale) upstream.endpoint.health.failed()
    this.#onLoss(reason, isStale)
  }

  /** The same of a stream, or of the connection it is on. What it says of the endpoint's health is judged there, once for all. */
  onStreamLost(loss: StreamLoss, code: number): void {
    const upstream = this.#upstream
    if (upstream === null) return
    if (this.#state === RESPONDING) this.fail({ side: "upstream", reason: "truncated" }, code)
    else if (loss !== "untouched") this.#onLoss(loss, upstream.isReused && !this.response.hasReceived && code < 0 && (loss === "closed" || loss === "reset"))
    else {
      const cluster = this.#cluster
      this.#release(false, "refused-stream")
      if (cluster !== null && this.#attempts.isResent(this.request)) this.#tryNext(cluster, null, "refused-stream", false, true)
      else this.fail({ side: "upstream", reason: "refused-stream" })
    }
  }

  /** Nothing of an answer has gone to the client. `isStale`: of a connection that was used before, without a word. */
  #onLoss(reason: UpstreamReason, isStale: boolean): void {
    const endpoint = this.#endpoint
    const cluster = this.#cluster
    if (endpoint === null || cluster === null) return
    this.#release(false, reason)
    if (this.#state === CONNECTING) this.#onUnreachable(cluster, endpoint, reason)
    // RFC 9110 §9.2.2: a pooled connection that was closed meanwhile; nothing of the request is lost.
    else if (isStale && !this.request.isBodySent && isIdempotent(this.#client.head.method) && this.request.isDone) this.#tryNext(cluster, null, reason, true, true)
    else if (this.#isRepeated()) this.#wait(endpoint)
    else this.fail({ side: "upstream", reason })
  }

  #tryNext(cluster: ClusterHandle, failed: Endpoint | null, reason: UpstreamReason, isFresh: boolean, isExtra: boolean): void {
    if (failed !== null) this.#attempts.tried.push(failed)
    this.response.restart()
    this.#attempt(cluster, isFresh, isExtra, reason)
    this.#client.pump()
  }

  // === Retries

  /** The rule wants them: what has the same effect twice is kept for it. */
  #prepare(retry: Retry, cluster: ClusterHandle): void {
    const { head, server: { settings } } = this.#client
    this.#attempts.prepare(retry, cluster)
    if (head.hasBody && retry.attempts > 0 && isIdempotent(head.method) && !this.request.isKept) this.request.keep(new KeptBody(settings, null))
  }

  /** Nothing was sent: another endpoint at once, and from the first again, after a while, when all were tried. */
  #onUnreachable(cluster: ClusterHandle, endpoint: Endpoint, reason: UpstreamReason): void {
    const attempts = this.#attempts
    if (attempts.retry === null) this.#tryNext(cluster, endpoint, reason, false, false)
    else if (!attempts.hasRetry(cluster)) this.fail({ side: "upstream", reason })
    else if (attempts.tried.length + 1 < cluster.endpoints.length) this.#tryNext(cluster, endpoint, reason, false, false)
    else this.#wait(endpoint)
  }

  #isRepeated(): boolean {
    return this.#cluster !== null && this.#attempts.isRepeated(this.#cluster, this.#client.head.method, this.request)
  }

  /** Asked of a response before anything of it goes to the client; true: the request is sent again in its place. */
  isRepeatedAfter(status: number): boolean {
    const { retry } = this.#attempts
    return retry !== null && retry.codes.has(status) && this.#isRepeated()
  }

  #wait(failed: Endpoint): void {
    this.#state = WAITING
    this.#attemptDeadline = this.#stepDeadline = 0
    this.#attempts.wait(failed, tick())
  }

  #onWaited(): void {
    const cluster = this.#cluster
    if (cluster === null) return
    this.#attempts.onWaited(cluster)
    this.response.restart()
    this.#attempt(cluster, false, false)
    this.#client.pump()
  }

  /** The attempt, or the head of its response, took too long. */
  #onAttemptTimeout(reason: "timeout" | "head-timeout"): void {
    const endpoint = this.#endpoint
    if (this.#state === CONNECTING && endpoint !== null) {
      // Of a connection that several wait for its own time judges.
      if (this.#upstream?.version === 1) endpoint.health.failed()
      return this.#onLoss("connect-timeout", false)
    }
    if (this.response.hasBegun || endpoint === null || this.#upstream === null || !this.#isRepeated()) return this.fail({ side: "upstream", reason })
    this.#release(false, reason)
    this.#wait(endpoint)
  }

  /** Ends the exchange: with an answer if the client has none yet, else by cutting it off. `code`: of a backend's RST_STREAM. */
  fail(failure: Failure, code = -1): void {
    if (this.#state === IDLE) return
    this.#account.reason = failure.reason
    if (failure.side === "downstream" || failure.side === "gateway") this.#client.server.limits.failed(failure.reason)
    this.#release(false, failure.side === "upstream" ? failure.reason : "cancelled")
    const verdict = verdictOf(failure)
    const { head, forwarding } = this.#client
    if (this.response.hasBegun) {
      if (this.isGrpc && code < 0) this.#endCall(verdict.grpc, verdict.text)
      else {
        this.#log()
        this.#client.destroy(code)
      }
      return
    }
    if (forwarding.major === 2 && (this.isGrpc || isCall(head))) this.#answerCall(verdict.grpc, verdict.text)
    else this.#answer(answerOf(verdict), verdict.mustClose)
  }

  /** The client is gone, or has ended in the middle of its request. */
  abort(): void {
    if (this.#state === IDLE) return
    this.noteReason("client-gone")
    // For the log; nobody is there to read it.
    if (this.#account.status === 0) this.#account.status = 499
    this.#client.server.metrics.aborted++
    this.#release(false, "cancelled")
    this.#log()
    this.#client.destroy(-1)
  }

  /** The client's FIN after a complete request: half-close or abort, which only time tells. */
  onHalfClosed(): void {
    if (this.#state !== IDLE && !this.response.hasBegun) this.#halfClosedDeadline = this.#client.server.after(this.#client.server.settings.halfCloseTimeout)
  }

  noteReason(reason: string): void {
    this.#account.noteReason(reason)
  }

  /** Called several times a second. */
  check(now: number): void {
    if (this.#state === IDLE) return
    if (this.#requestDeadline !== 0 && now >= this.#requestDeadline) this.fail({ side: "upstream", reason: "timeout" })
    else if (this.#attemptDeadline !== 0 && now >= this.#attemptDeadline) this.#onAttemptTimeout("timeout")
    else if (this.#attempts.time !== 0 && now >= this.#attempts.time) this.#onWaited()
    else if (this.#halfClosedDeadline !== 0 && now >= this.#halfClosedDeadline && !this.response.hasBegun) this.abort()
    else if (this.#stepDeadline !== 0 && now >= this.#stepDeadline) this.#onStepTimeout()
  }

  #onStepTimeout(): void {
    this.#stepDeadline = 0
    switch (this.#state) {
      case CONNECTING:
        this.#upstream?.giveUp()
        return
      default:
        if (this.isGrpc && this.#upstream?.version === 2) {
          // Calls may be silent for as long as both sides like; but somebody must be there.
          this.#upstream.ask()
          this.#stepDeadline = this.#afterRead()
        } else this.#onSilence()
    }
  }

  #onSilence(): void {
    switch (this.#state) {
      case AWAITING:
        // Waiting for the client's body is bounded by the client's own time-out.
        if (this.request.isDone || this.#upstream?.isBlocked === true) this.#onAttemptTimeout("head-timeout")
        else this.#stepDeadline = this.#afterRead()
        return
      case RESPONDING:
        this.fail({ side: "upstream", reason: "idle" })
        return
    }
  }

  // === The end

  /** An answer that a rule gives. */
  #answerBy(answer: Answer): void {
    if (this.isGrpc) this.#answerCall(grpcStatusOf(answer.status), answer.body)
    else this.#answer(answer)
  }

  /** Trailers can still say what has become of it. */
  #endCall(status: number, message: string): void {
    this.#account.grpc = status
    this.response.onTrailers(grpcTrailers(requestFields.clear(), status, message))
    this.#log()
    this.#client.onAnswered(true)
  }

  #answerCall(status: number, message: string): void {
    this.#account.grpc = status
    this.#answer(grpcAnswer(status, message))
  }

  /** An answer of the gateway's own. */
  #answer(plain: Answer, mustClose = false): void {
    const { head } = this.#client
    const answer = this.#cors === null ? plain : this.#cors.answered(head, plain)
    const isPersistent = !mustClose && this.#client.mayPersist()
    this.#account.status = answer.status
    this.#account.bytes = head.method === "HEAD" ? 0 : Buffer.byteLength(answer.body)
    this.request.detach()
    this.response.isPersistent = isPersistent
    this.response.answer(answer)
    this.#log()
    this.#client.onAnswered(isPersistent)
  }

  /** The response is complete. */
  #finish(): void {
    const { isPersistent } = this.response
    if (this.#upstream?.version === 1 && !this.response.isReferenced) this.#upstream.freeBuffer()
    // Before its request: the rest is nobody's, and the backend must not wait for it on a pooled connection.
    this.#release(this.response.head.isPersistent && this.request.isDone, "ok")
    this.#log()
    this.#client.onAnswered(isPersistent)
  }

  #release(isReusable: boolean, outcome: Outcome): void {
    const upstream = this.#upstream
    if (upstream === null) return
    this.#upstream = null
    this.request.detach()
    // Has no effect after succeeded() and failed().
    if (outcome !== "ok") upstream.endpoint.health.undecided()
    upstream.release(isReusable, outcome)
    this.#outcome(outcome)
  }

  #outcome(outcome: Outcome): void {
    this.#client.server.upstreamMetrics.ended(outcome)
  }

  #log(): void {
    this.#account.write(this.#end(), this.response.bytes, -1)
  }

  /** The request is answered. Returns the milliseconds it took. */
  #end(): number {
    this.#state = IDLE
    this.request.end()
    this.#account.attempts = this.#attempts.made
    return this.#account.count()
  }
}
