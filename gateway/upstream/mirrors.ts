/**
 * Copies of requests to other clusters. Nobody waits for them: their answers are read to the end, so that connections
 * can be used again, and thrown away. So many at a time and so long for each; what is beyond that is dropped, counted.
 */
import { pickEndpoint } from "../balance/endpoint.ts"
import { clock, tick } from "../clock.ts"
import { BodyReader } from "../http1/body.ts"
import { INCOMPLETE, REFUSED } from "../http1/head.ts"
import { ResponseHead } from "../http1/response.ts"
import type { Settings } from "../settings.ts"
import type { ClusterHandle } from "../table/table.ts"
import type { MirrorMetrics, MirrorOutcome } from "../telemetry/metrics.ts"
import type { UpstreamConnection, UpstreamUser } from "./connection.ts"
import type { Endpoint } from "./endpoint.ts"

const CHECK_MS = 250
const NONE_TRIED: readonly Endpoint[] = []

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

  /** `text`: head and body as they go on the wire. */
  send(cluster: ClusterHandle, method: string, text: string): void {
    if (this.#open.size >= this.#settings.mirrorsInFlight) return this.drop("too-many")
    const endpoint = pickEndpoint(cluster, NONE_TRIED, this.#settings.balance)
    if (endpoint === null) return this.drop("no-endpoint")
    endpoint.health.chosen()
    const exchange = new Exchange(this, this.#settings, endpoint, method, text)
    if (!exchange.begin()) {
      endpoint.health.undecided()
      return this.drop("overloaded")
    }
    this.#open.add(exchange)
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
  readonly #method: string
  readonly #text: string
  readonly #head = new ResponseHead()
  readonly #body = new BodyReader()
  #connection: UpstreamConnection | null = null
  #hasHead = false
  /** Start of a head, copied: the slab is not ours. */
  #partial: Buffer | null = null

  constructor(mirrors: Mirrors, settings: Settings, endpoint: Endpoint, method: string, text: string) {
    this.#mirrors = mirrors
    this.#settings = settings
    this.#endpoint = endpoint
    this.#method = method
    this.#text = text
  }

  /** False: the endpoint has too many connections. */
  begin(): boolean {
    this.#connection = this.#endpoint.acquire(this, false)
    if (this.#connection?.isConnected === true) this.onConnected()
    return this.#connection !== null
  }

  onConnected(): void {
    this.#connection?.write(this.#text)
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
      const after = this.#head.parse(octets, at, end, this.#settings, this.#method)
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
      this.#body.start(this.#head.body, this.#head.length, false)
    }
    at = this.#body.read(octets, at, end)
    if (this.#body.fault !== null) {
      this.fail("lost")
      return false
    }
    if (this.#body.isDone) this.#done("answered", this.#head.isPersistent && at === end)
    return true
  }

  onLost(error: Error | null): void {
    this.#body.finish()
    if (error === null && this.#hasHead && this.#body.isDone) return this.#done("answered", false)
    if (this.#connection?.isConnected === false) this.#endpoint.health.failed()
    this.fail("lost")
  }

  fail(outcome: MirrorOutcome): void {
    this.#done(outcome, false)
  }

  #done(outcome: MirrorOutcome, isReusable: boolean): void {
    const connection = this.#connection
    if (connection === null) return
    this.#connection = null
    // Has no effect after succeeded() and failed().
    if (outcome !== "answered") this.#endpoint.health.undecided()
    this.#endpoint.release(connection, isReusable)
    this.#mirrors.onDone(this, outcome)
  }
}
