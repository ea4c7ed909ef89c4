/** One worker as the main thread knows it: what it serves, what it has counted, whether it answers. */
import { Worker } from "node:worker_threads"
import type { Span } from "../../bus/trace/span.ts"
import type { ListeningSocket } from "../restart/listening-socket.ts"
import { endTurn } from "../telemetry/output.ts"
import type { Beginning, Counted, FromWorker, Report, ToWorker } from "./message.ts"

export interface WorkerThreadOptions {
  readonly beginning: Beginning
  readonly onSpan: (span: Span) => void
  readonly onReport: (thread: WorkerThread) => void
  /** It ends, for a reason of its own: takes no more, but is not gone yet. */
  readonly onFailed: (thread: WorkerThread, error: string) => void
  /** It is gone; why, where that was not told before. */
  readonly onExit: (thread: WorkerThread, error: string | undefined) => void
}

/** As the package has it, sources or compiled. */
const file = new URL(import.meta.url.endsWith(".ts") ? "thread.ts" : "thread.js", import.meta.url)

export class WorkerThread {
  report: Report | undefined
  counted: Counted | undefined
  /** Times that ask() was called since it last answered. */
  unanswered = 0
  isGone = false
  readonly #worker: Worker
  readonly #onPong = new Set<() => void>()
  #onDrained: (cut: number) => void = () => {}
  #onHeld: (sockets: readonly ListeningSocket[], error?: string) => void = () => {}
  readonly #gone = Promise.withResolvers<void>()
  #error: string | undefined

  constructor({ beginning, onSpan, onReport, onFailed, onExit }: WorkerThreadOptions) {
    this.#worker = new Worker(file, { workerData: beginning, name: "headgate worker" })
    this.#worker.on("message", (message: FromWorker) => {
      switch (message.is) {
        case "report":
          this.report = message.report
          onReport(this)
          break
        case "pong":
          this.unanswered = 0
          this.counted = message.counted
          this.#answered()
          break
        case "span":
          onSpan(message.span)
          break
        case "failed":
          onFailed(this, message.error)
          break
        case "drained":
          this.#onDrained(message.cut)
          break
        case "held":
          this.#onHeld(message.sockets, message.error)
          break
        case "stopped":
          this.counted = message.counted
          break
      }
    })
    this.#worker.on("error", (error: unknown) => {
      this.#error = error instanceof Error ? error.message : String(error)
    })
    this.#worker.on("exit", (code) => {
      this.isGone = true
      endTurn(beginning.turn, beginning.writer)
      this.#answered()
      this.#onDrained(0)
      this.#onHeld([])
      this.#gone.resolve()
      onExit(this, this.#error ?? (code === 0 ? undefined : `it ended with ${code}`))
    })
  }

  /** Of the last batch that it serves; -1: of none yet. */
  get number(): number {
    return this.report?.number ?? -1
  }

  tell(message: ToWorker): void {
    if (!this.isGone) this.#worker.postMessage(message)
  }

  /** Whether it is there. */
  ask(): void {
    this.unanswered++
    this.tell({ is: "ping" })
  }

  /** What it has counted: resolves with its next answer, or when it is gone. Says nothing of whether it is there: anybody may want it, as often as they like. */
  count(): Promise<void> {
    if (this.isGone) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onPong.add(resolve)
    this.tell({ is: "ping" })
    return promise
  }

  /** Resolves with its listening sockets, which stay as they are; none, where it is gone. */
  hold(): Promise<readonly ListeningSocket[]> {
    if (this.isGone) return Promise.resolve([])
    const { promise, resolve, reject } = Promise.withResolvers<readonly ListeningSocket[]>()
    this.#onHeld = (sockets, error) => (error === undefined ? resolve(sockets) : reject(new Error(error)))
    this.tell({ is: "hold" })
    return promise
  }

  /** Resolves with how many connections were cut off. */
  drain(milliseconds: number, isHandedOver = false): Promise<number> {
    if (this.isGone) return Promise.resolve(0)
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#onDrained = resolve
    this.tell({ is: "drain", milliseconds, isHandedOver })
    return promise
  }

  /** Resolves when it is gone. */
  gone(): Promise<void> {
    return this.#gone.promise
  }

  /** Ends it whatever it does. */
  kill(): void {
    void this.#worker.terminate()
  }

  #answered(): void {
    for (const resolve of this.#onPong) resolve()
    this.#onPong.clear()
  }
}
