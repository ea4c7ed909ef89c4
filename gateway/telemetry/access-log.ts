/**
 * One JSON line a request, collected and written in batches. Never waits for its reader: when the reader is so slow
 * that more than MAX_WAITING has gathered, lines are dropped, and counted.
 */
import { wallTime } from "../clock.ts"
import type { Metrics } from "./metrics.ts"
import { toDescriptor, type Output } from "./output.ts"

const BATCH = 65_536
const MAX_WAITING = 8_388_608
const EVERY_MS = 200

export interface AccessRecord {
  /** Monotonic, when the request's head was complete. */
  readonly start: number
  readonly milliseconds: number
  readonly id: string
  readonly client: string
  readonly method: string
  readonly host: string
  /** Without the query: it may hold what must not be in a log. */
  readonly path: string
  /** `HTTP/1.1` */
  readonly protocol: string
  readonly status: number
  /** Octets of content sent. */
  readonly bytes: number
  /** Octets a tunnel took from the client; -1: it was none. */
  readonly received: number
  readonly userAgent: string
  /** Rule id, "" when none matched. */
  readonly route: string
  /** address:port, "" when no backend was asked. */
  readonly upstream: string
  readonly attempts: number
  /** Of an answer of the gateway's own to a call of gRPC; -1: it was none. */
  readonly grpc: number
  /** Why the gateway itself answered or gave up; "" when it did not. */
  readonly reason: string
  /** `TLSv1.3`; "": in clear. */
  readonly tls: string
}

const needsEscape = /["\\\u0000-\u001f\u007f-\uffff]/
/** Inside the quotes, ASCII only: a line has as many octets as characters. */
const escaped = (text: string): string =>
  needsEscape.test(text) ? JSON.stringify(text).slice(1, -1).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`) : text

let second = -1
let secondText = ""
let millisecond = -1
let millisecondText = ""

/** RFC 3339 with milliseconds; made once a millisecond. */
const timestamp = (monotonic: number): string => {
  const wall = Math.floor(wallTime(monotonic))
  if (wall === millisecond) return millisecondText
  const own = Math.floor(wall / 1000)
  if (own !== second) {
    second = own
    secondText = new Date(own * 1000).toISOString().slice(0, 20)
  }
  millisecond = wall
  return (millisecondText = `{"time":"${secondText}${String(wall - own * 1000).padStart(3, "0")}Z","type":"access","id":"`)
}

export const accessLine = (record: AccessRecord): string =>
  `${timestamp(record.start)}${escaped(record.id)}","client":"${record.client}","method":"${record.method}","host":"${record.host}","path":"${escaped(record.path)}","protocol":"${record.protocol}"${record.tls === "" ? "" : `,"tls":"${record.tls}"`},"status":${record.status},"bytes":${record.bytes}${record.received < 0 ? "" : `,"received":${record.received}`},"ms":${Math.round(record.milliseconds * 100) / 100},"route":"${escaped(record.route)}","upstream":"${record.upstream}","attempts":${record.attempts}${record.grpc < 0 ? "" : `,"grpc":${record.grpc}`}${record.reason === "" ? "" : `,"reason":"${record.reason}"`},"agent":"${escaped(record.userAgent)}"}\n`

export class AccessLog {
  readonly #output: Output
  readonly #metrics: Pick<Metrics, "droppedLines">
  /** Being filled up to `#at`. */
  #batch: Buffer = Buffer.allocUnsafeSlow(BATCH)
  #at = 0
  /** Filled, in the order of writing; the first is being written. */
  readonly #full: Buffer[] = []
  #waiting = 0
  #spare: Buffer | null = null
  #timer: NodeJS.Timeout | null = null
  #onIdle: (() => void)[] = []

  /** `output`: a descriptor, or what takes lines in its place. */
  constructor(output: number | Output, metrics: Pick<Metrics, "droppedLines">) {
    this.#output = typeof output === "number" ? toDescriptor(output) : output
    this.#metrics = metrics
  }

  write(record: AccessRecord): void {
    if (this.#waiting > MAX_WAITING) {
      this.#metrics.droppedLines++
      return
    }
    const line = accessLine(record)
    if (this.#at + line.length > BATCH) this.#flush()
    if (line.length > BATCH) this.#enqueue(Buffer.from(line, "latin1"))
    else this.#at += this.#batch.write(line, this.#at, "latin1")
    this.#timer ??= setTimeout(this.#onTimer, EVERY_MS).unref()
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    // While the reader is behind, it gets whole batches.
    if (this.#full.length === 0) this.#flush()
  }

  /** Resolves when everything written so far has been handed to the descriptor. */
  async flushed(): Promise<void> {
    this.#flush()
    if (this.#full.length > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  #flush(): void {
    if (this.#at === 0) return
    const batch = this.#batch.subarray(0, this.#at)
    this.#batch = this.#spare ?? Buffer.allocUnsafeSlow(BATCH)
    this.#spare = null
    this.#at = 0
    this.#enqueue(batch)
  }

  #enqueue(batch: Buffer): void {
    this.#waiting += batch.length
    if (this.#full.push(batch) === 1) this.#write(batch)
  }

  #write(batch: Buffer): void {
    this.#output(batch, (lost) => {
      this.#metrics.droppedLines += lost
      this.#onWritten(batch)
    })
  }

  #onWritten(batch: Buffer): void {
    this.#full.shift()
    this.#waiting -= batch.length
    const { buffer } = batch
    if (buffer.byteLength === BATCH) this.#spare = Buffer.from(buffer)
    const [next] = this.#full
    if (next !== undefined) this.#write(next)
    else {
      // Its time came while the reader was behind.
      if (this.#timer === null) this.#flush()
      if (this.#full.length === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
    }
  }
}
