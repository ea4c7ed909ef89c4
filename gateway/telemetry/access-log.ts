/**
 * One JSON line a request, collected and written in batches. Never waits for its reader: when the reader is so slow
 * that more than MAX_WAITING has gathered, lines are dropped, and counted.
 */
import fs from "node:fs"
import { wallTime } from "../clock.ts"
import type { Metrics } from "./metrics.ts"

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
  readonly minor: number
  readonly status: number
  /** Octets of content sent. */
  readonly bytes: number
  readonly userAgent: string
  /** Rule id, "" when none matched. */
  readonly route: string
  /** address:port, "" when no backend was asked. */
  readonly upstream: string
  readonly attempts: number
  /** Why the gateway itself answered or gave up; "" when it did not. */
  readonly reason: string
}

const needsEscape = /["\\\u0000-\u001f\u007f-\uffff]/
const quoted = (text: string): string => (needsEscape.test(text) ? JSON.stringify(text) : `"${text}"`)

let second = -1
let secondText = ""

/** RFC 3339 with milliseconds. */
const timestamp = (monotonic: number): string => {
  const wall = Math.floor(wallTime(monotonic))
  const own = Math.floor(wall / 1000)
  if (own !== second) {
    second = own
    secondText = new Date(own * 1000).toISOString().slice(0, 20)
  }
  const milliseconds = wall - own * 1000
  return `${secondText}${milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""}${milliseconds}Z`
}

export const accessLine = (record: AccessRecord): string =>
  `{"time":"${timestamp(record.start)}","type":"access","id":${quoted(record.id)},"client":"${record.client}","method":"${record.method}","host":"${record.host}","path":${quoted(record.path)},"protocol":"HTTP/1.${record.minor}","status":${record.status},"bytes":${record.bytes},"ms":${Math.round(record.milliseconds * 100) / 100},"route":${quoted(record.route)},"upstream":"${record.upstream}","attempts":${record.attempts}${record.reason === "" ? "" : `,"reason":"${record.reason}"`},"agent":${quoted(record.userAgent)}}\n`

export class AccessLog {
  readonly #fd: number
  readonly #metrics: Pick<Metrics, "droppedLines">
  #lines = ""
  #isWriting = false
  #timer: NodeJS.Timeout | null = null
  #onIdle: (() => void)[] = []

  constructor(fd: number, metrics: Pick<Metrics, "droppedLines">) {
    this.#fd = fd
    this.#metrics = metrics
  }

  write(record: AccessRecord): void {
    if (this.#lines.length > MAX_WAITING) {
      this.#metrics.droppedLines++
      return
    }
    this.#lines += accessLine(record)
    if (this.#lines.length >= BATCH) this.#flush()
    else if (this.#timer === null && !this.#isWriting) {
      this.#timer = setTimeout(() => this.#flush(), EVERY_MS)
      this.#timer.unref()
    }
  }

  /** Resolves when everything written so far has been handed to the descriptor. */
  async flushed(): Promise<void> {
    this.#flush()
    if (this.#isWriting) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#isWriting || this.#lines === "") return
    const batch = Buffer.from(this.#lines, "utf8")
    this.#lines = ""
    this.#isWriting = true
    this.#write(batch, 0)
  }

  #write(batch: Buffer, at: number): void {
    fs.write(this.#fd, batch, at, batch.length - at, null, (error, written) => {
      if (error !== null && error.code === "EAGAIN") {
        // A non-blocking pipe whose reader is slow.
        setTimeout(() => this.#write(batch, at), 20)
        return
      }
      if (error !== null) this.#metrics.droppedLines += batch.subarray(at).toString("latin1").split("\n").length - 1
      else if (at + written < batch.length) {
        this.#write(batch, at + written)
        return
      }
      this.#isWriting = false
      if (this.#lines !== "") this.#flush()
      else for (const resolve of this.#onIdle.splice(0)) resolve()
    })
  }
}
