/**
 * Work by key: what is asked for again while it is done, or too soon after, is done once more after it, and no more
 * often than that; what failed is tried again after growing pauses, half of which is chance.
 */
import { backoff } from "../../../../bus/unit/clock.ts"
import type { Clock } from "../../../../bus/unit/unit.ts"

/** `failed`: try again after a pause, of at least `after` ms; `busy`: the other side has said that everybody is to wait. */
export type Outcome = { readonly is: "done" } | { readonly is: "failed"; readonly after?: number | undefined; readonly busy?: boolean }

export interface PaceOptions {
  /** Must not reject: what it throws ends the process. */
  perform(key: string): Promise<Outcome>
  readonly concurrency: number
  /** ms between the beginnings of two of one key. */
  readonly spacing: number
  /** ms; the first pause after a failure, and the longest. */
  readonly pause: { readonly first: number; readonly max: number }
  /** Nothing begins while it says no; `resume` when that may have changed. */
  mayBegin(): boolean
  /** These begin before others. */
  isUrgent?(key: string): boolean
  readonly clock: Clock
}

interface Task {
  /** Monotonic ms: not before. */
  notBefore: number
  /** Failures in a row. */
  attempt: number
  isFlying: boolean
  isDirty: boolean
  /** Ends the wait. */
  cancel: (() => void) | undefined
}

export class Pace {
  readonly #options: PaceOptions
  readonly #tasks = new Map<string, Task>()
  readonly #urgent = new Set<string>()
  readonly #ready = new Set<string>()
  #flying = 0
  #busyUntil = 0
  #stopped = false
  #cancelBusy: (() => void) | undefined
  readonly #idle: (() => void)[] = []

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /** There may be something to do. `anew`: of another kind than what failed, which is therefore no reason to wait. */
  touch(key: string, { anew = false } = {}): void {
    if (this.#stopped) return
    const task = this.#tasks.get(key) ?? { notBefore: 0, attempt: 0, isFlying: false, isDirty: false, cancel: undefined }
    this.#tasks.set(key, task)
    task.isDirty = true
    if (task.isFlying) return
    if (anew && task.attempt > 0) {
      task.attempt = 0
      task.notBefore = 0
      task.cancel?.()
      task.cancel = undefined
    }
    if (task.cancel === undefined) this.#schedule(key, task)
  }

  /** There is nothing to do for it any more; what is on its way is not called back. */
  drop(key: string): void {
    const task = this.#tasks.get(key)
    if (task === undefined) return
    task.isDirty = false
    task.cancel?.()
    this.#urgent.delete(key)
    this.#ready.delete(key)
    if (!task.isFlying) this.#forget(key, task)
  }

  resume(): void {
    this.#pump()
  }

  /** Nothing is under way or waits to begin. */
  settled(): Promise<void> {
    return this.#tasks.size === 0 ? Promise.resolve() : new Promise((resolve) => { this.#idle.push(resolve) })
  }

  /** Begins nothing more; resolves when what is under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelBusy?.()
    for (const key of [...this.#tasks.keys()]) this.drop(key)
    await this.settled()
  }

  #schedule(key: string, task: Task): void {
    const wait = task.notBefore - this.#options.clock.monotonic()
    if (wait > 0) {
      task.cancel = this.#options.clock.after(wait, () => {
        task.cancel = undefined
        this.#schedule(key, task)
      })
      return
    }
    if (!task.isDirty) return this.#forget(key, task)
    ;(this.#options.isUrgent?.(key) === true ? this.#urgent : this.#ready).add(key)
    this.#pump()
  }

  #forget(key: string, task: Task): void {
    if (this.#tasks.get(key) === task) this.#tasks.delete(key)
    if (this.#tasks.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #pump(): void {
    const { concurrency, mayBegin, clock } = this.#options
    while (this.#flying < concurrency && this.#urgent.size + this.#ready.size > 0 && mayBegin()) {
      const wait = this.#busyUntil - clock.monotonic()
      if (wait > 0) {
        this.#cancelBusy?.()
        this.#cancelBusy = clock.after(wait, () => this.#pump())
        return
      }
      const queue = this.#urgent.size > 0 ? this.#urgent : this.#ready
      const [key = ""] = queue
      queue.delete(key)
      const task = this.#tasks.get(key)
      if (task !== undefined) void this.#run(key, task)
    }
  }

  async #run(key: string, task: Task): Promise<void> {
    const { perform, clock, spacing, pause } = this.#options
    task.isDirty = false
    task.isFlying = true
    this.#flying++
    const began = clock.monotonic()
    const outcome = await perform(key)
    this.#flying--
    task.isFlying = false
    task.notBefore = began + spacing
    if (outcome.is === "done") task.attempt = 0
    else {
      const wait = Math.max(outcome.after ?? 0, backoff(clock, task.attempt++, pause))
      task.notBefore = clock.monotonic() + wait
      task.isDirty = !this.#stopped
      if (outcome.busy === true) this.#busyUntil = Math.max(this.#busyUntil, clock.monotonic() + (outcome.after ?? wait))
    }
    if (this.#stopped) this.#forget(key, task)
    else this.#schedule(key, task)
    this.#pump()
  }
}
