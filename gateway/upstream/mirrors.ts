/**
 * Copies of requests to other clusters. Nobody waits for them: their answers are read to the end, so that connections
 * can be used again, and thrown away. So many at a time and so long for each; what is beyond that is dropped, counted.
 */
import { pickEndpoint } from "../balance/endpoint.ts"
import { clock, tick } from "../clock.ts"
import { sendFramed } from "../downstream/kept.ts"
import { BodyReader } from "../http1/body.ts"
import { INCOMPLETE, REFUSED } from "../http1/head.ts"
import { ResponseHead } from "../http1/response.ts"
import type { FieldList } from "../http2/field-list.ts"
import type { MessageHead } from "../http2/message.ts"
import type { Settings } from "../settings.ts"
import type { ClusterHandle } from "../table/table.ts"
import type { MirrorMetrics, MirrorOutcome } from "../telemetry/metrics.ts"
import type { Endpoint } from "./endpoint.ts"
import type { Upstream, UpstreamUser } from "./upstream.ts"

const CHECK_MS = 250
const NONE_TRIED: readonly Endpoint[] = []

/** A request that is mirrored, its head as either kind of backend wants it; both are asked for at once, and not again. */
export interface Copy {
  readonly method: string
  /** Of its body: see http1/head.ts. */
  readonly bodyKind: number
  readonly bodyLength: number
  text(): string
  fields(): FieldList
}

export class Mirrors {
  readonly #settings: Settings
  readonly #metrics: MirrorMetrics
  /** Oldest first. */
  readonly #open = new Set<Exchange>()
  #timer: NodeJS.Timeout | null = null

  constructor(settings: Settings, metrics: MirrorMetrics) {
    this.#settings = settings
    this.#metrics = metrics
  }

  get inFlight(): number {
    return this.#open.size
  }

  /** `body`: all of it, as HTTP/1.1 frames it. */
  send(cluster: ClusterHandle, copy: Copy, body: string): void {
    if (this.#open.size >= this.#settings.mirrorsInFlight) return this.drop("too-many")
    const endpoint = pickEndpoint(cluster, NONE_TRIED, this.#settings.balance)
    if (endpoint === null) return this.drop("no-endpoint")
    endpoint.health.chosen()
    const exchange = new Exchange(this, this.#settings, endpoint, copy, body)
    this.#open.add(exchange)
    if (!exchange.begin()) {
      this.#open.delete(exchange)
      endpoint.health.undecided()
      return this.drop("overloaded")
    }
    if (this.#timer === null) this.#schedule()
  }

  /** One that is not sent. */
  drop(outcome: MirrorOutcome): void {
    this.#metrics.ended(outcome)
  }

  onDone(exchange: Exchange, outcome: MirrorOutcome): void {
    this.#open.delete(exchange)
    this.#metrics.ended(outcome)
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#check(), CHECK_MS)
    this.#timer.unref()
  }

  #check(): void {
    const { mirrorTimeout } = this.#settings
    const before = mirrorTimeout === 0 ? -Infinity : tick() - mirrorTimeout
    for (const exchange of this.#open) {
      if (exchange.start > before) break
      exchange.fail("timeout")
    }
    if (this.#open.size === 0) this.#timer = null
    else this.#schedule()
  }

  /** The process, or the port, goes: what is under way is cut off. */
  close(): void {
    for (const exchange of this.#open) exchange.fail("cancelled")
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

class Exchange implements UpstreamUser {
  readonly start = clock.now
  readonly #mirrors: Mirrors
  readonly #settings: Settings
  readonly #endpoint: Endpoint
  readonly #copy: Copy
  readonly #body: string
  readonly #head = new ResponseHead()
  readonly #content = new BodyReader()
  #upstream: Upstream | null = null
  /** What is to be said: one of them. */
  #text = ""
  #fields: FieldList | null = null
  #hasHead = false
  /** Start of a head, copied: the slab is not ours. */
  #partial: Buffer | null = null

  constructor(mirrors: Mirrors, settings: Settings, endpoint: Endpoint, copy: Copy, body: string) {
    this.#mirrors = mirrors
    this.#settings = settings
    this.#endpoint = endpoint
    this.#copy = copy
    this.#body = body
  }

  /** False: the endpoint has too many connections. */
  begin(): boolean {
    const upstream = (this.#upstream = this.#endpoint.acquire(this, false))
    if (upstream === null) return false
    if (upstream.version === 1) this.#text = this.#copy.text() + this.#body
    else this.#fields = this.#copy.fields()
    if (upstream.isConnected) this.onConnected()
    return true
  }

  onConnected(): void {
    const upstream = this.#upstream
    if (upstream === null) return
    if (upstream.version === 1) upstream.write(this.#text)
    else if (this.#fields !== null) {
      upstream.open(this.#fields, this.#body === "")
      if (this.#body !== "") sendFramed(upstream, this.#copy.bodyKind, this.#copy.bodyLength, this.#body, true)
    }
  }

  onWritable(): void {
    // All of it is written at once.
  }

  onRead(buffer: Buffer, length: number): boolean {
    let octets = buffer
    let end = length
    if (this.#partial !== null) {
      octets = Buffer.concat([this.#partial, buffer.subarray(0, length)])
      end = octets.length
      this.#partial = null
    }
    let at = 0
    while (!this.#hasHead) {
      const after = this.#head.parse(octets, at, end, this.#settings, this.#copy.method)
      if (after === REFUSED || (after !== INCOMPLETE && this.#head.status === 101)) {
        this.fail("lost")
        return false
      }
      if (after === INCOMPLETE) {
        this.#partial = Buffer.from(octets.subarray(at, end))
        return true
      }
      at = after
      if (this.#head.status < 200) continue
      this.#hasHead = true
      this.#endpoint.health.succeeded()
      this.#content.start(this.#head.body, this.#head.length, false)
    }
    at = this.#content.read(octets, at, end)
    if (this.#content.fault !== null) {
      this.fail("lost")
      return false
    }
    if (this.#content.isDone) this.#done("answered", this.#head.isPersistent && at === end)
    return true
  }

  onLost(error: Error | null): void {
    this.#content.finish()
    if (error === null && this.#hasHead && this.#content.isDone) return this.#done("answered", false)
    if (this.#upstream?.isConnected === false) this.#endpoint.health.failed()
    this.fail("lost")
  }

  onHead(_: FieldList, head: MessageHead, isEnd: boolean): void {
    if (head.status >= 200) this.#endpoint.health.succeeded()
    if (isEnd) this.#done("answered", true)
  }

  onContent(_: Buffer, _start: number, _end: number, isEnd: boolean): boolean {
    if (isEnd) this.#done("answered", true)
    return true
  }

  onTrailers(): void {
    this.#done("answered", true)
  }

  onStreamLost(): void {
    this.fail("lost")
  }

  fail(outcome: MirrorOutcome): void {
    this.#done(outcome, false)
  }

  #done(outcome: MirrorOutcome, isReusable: boolean): void {
    const upstream = this.#upstream
    if (upstream === null) return
    this.#upstream = null
    // Has no effect after succeeded() and failed().
    if (outcome !== "answered") this.#endpoint.health.undecided()
    upstream.release(isReusable, outcome === "answered" ? "ok" : outcome === "timeout" ? "timeout" : "cancelled")
    this.#mirrors.onDone(this, outcome)
  }
}
