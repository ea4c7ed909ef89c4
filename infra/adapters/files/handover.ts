/**
 * When a file is handed on. One written in place is seen half-way: it is handed on at once where that cannot be (it
 * was moved here, or is small enough for one write and ends with a line end). Else it has to be quiet first, and when
 * it is empty or gone, quiet for longer (editors truncate or move away before they write).
 */
import type { BigIntStats } from "node:fs"
import type { FileFault } from "./claims.ts"
import type { FileTraces } from "./edit-trace.ts"
import { identical, isWhole, readFile, statOf } from "./read.ts"

export interface FileEvents {
  /** False, when `settled` is false: wait until the file is quiet and hand it over again. */
  content(file: string, text: string, settled: boolean): boolean
  /** Perhaps only for a moment. */
  missing(file: string): void
  gone(file: string): void
  fault(file: string, fault: FileFault): void
  /** After everything one event of the system brought has been handed on. */
  batch(): void
}

/** Milliseconds. */
const QUIET = 20
const QUIET_EMPTY = 200
const QUIET_GONE = 40

export class WatchedFile {
  readonly path: string
  readonly name: string
  /** Path of the folder that was asked for. */
  readonly root: string
  /** Something was said about it, which has to be taken back when it goes. */
  told = false
  /** Of the version handed on. */
  stat: BigIntStats | undefined
  /** Set while waiting for quiet, with what was seen last. */
  timer: NodeJS.Timeout | undefined
  waitingFor: BigIntStats | undefined

  constructor(path: string, name: string, root: string) {
    this.path = path
    this.name = name
    this.root = root
  }
}

export interface HandoverOptions {
  readonly events: FileEvents
  /** The file is gone for good. */
  forget(file: WatchedFile): void
  /** It was forgotten after a wait, in which something else may have come to its place. */
  lookAgain(path: string): void
  /** Undefined: tracing is off. */
  readonly traces: FileTraces | undefined
}

export class Handover {
  readonly #options: HandoverOptions
  readonly #waiting = new Set<WatchedFile>()
  #onQuiet: (() => void)[] = []

  constructor(options: HandoverOptions) {
    this.#options = options
  }

  /** Resolves when no file is waited for, or at `stop`. */
  async quiet(): Promise<void> {
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => { this.#onQuiet.push(resolve) })
  }

  stop(): void {
    for (const { timer } of this.#waiting) clearTimeout(timer)
    this.#tellQuiet()
  }

  #tellQuiet(): void {
    for (const resolve of this.#onQuiet.splice(0)) resolve()
  }

  check(file: WatchedFile): void {
    // While waiting for quiet, an event only tells that it is not quiet; the timer looks.
    if (file.timer !== undefined) return
    this.#options.traces?.noticed(file.name)
    this.#look(file)
  }

  /** Hands on what is not the version handed on before, or waits until it is quiet. */
  #look(file: WatchedFile): void {
    const { events, traces } = this.#options
    traces?.reads(file.name)
    const read = readFile(file.path, file.stat)
    if (read.is === "same") return this.#done(file)
    if (read.is === "gone") return this.#lookGone(file)
    if (read.is === "fault") {
      events.fault(file.name, read.fault)
      file.told = true
      file.stat = read.stat
      return this.#done(file)
    }
    const quiet = file.waitingFor !== undefined && identical(file.waitingFor, read.stat)
    if (read.torn || (!quiet && read.text === "")) return this.#wait(file, read.stat, read.text === "" ? QUIET_EMPTY : QUIET)
    traces?.parses(file.name, read.stat)
    if (!(quiet || isWhole(read.stat, read.text)) || !events.content(file.name, read.text, quiet)) return this.#wait(file, read.stat, QUIET)
    traces?.taken(file.name)
    file.told = true
    file.stat = read.stat
    this.#done(file)
  }

  #lookGone(file: WatchedFile): void {
    const { events } = this.#options
    if (file.timer === undefined) {
      if (!file.told) return this.#forget(file)
      events.missing(file.name)
      return this.#wait(file, undefined, QUIET_GONE)
    }
    // Gone with the whole folder: what came from it stays until the folder is back.
    if (statOf(file.root) === undefined) {
      file.stat = undefined
      return this.#done(file)
    }
    this.#options.traces?.taken(file.name)
    this.#forget(file)
    if (file.told) events.gone(file.name)
    this.#options.lookAgain(file.path)
  }

  #wait(file: WatchedFile, stat: BigIntStats | undefined, ms: number): void {
    clearTimeout(file.timer)
    file.waitingFor = stat
    this.#waiting.add(file)
    file.timer = setTimeout(() => {
      this.#look(file)
      this.#options.events.batch()
    }, ms)
  }

  #done(file: WatchedFile): void {
    clearTimeout(file.timer)
    this.#options.traces?.done(file.name)
    file.timer = undefined
    file.waitingFor = undefined
    this.#waiting.delete(file)
    if (this.#waiting.size === 0) this.#tellQuiet()
  }

  #forget(file: WatchedFile): void {
    this.#done(file)
    this.#options.forget(file)
  }
}
