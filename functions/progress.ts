/**
 * `progress.<function>`: how far a function has read, derived and committed; what `wait` and lag are told by. A hint,
 * sent when something was settled, at most every 20 ms, and in answer to a hint on `ask.progress`.
 */
import type { Bus } from "../bus/bus.ts"

const EVERY = 20
export const ASK_PROGRESS = "ask.progress"
export const progressSubject = (fn: string): string => `progress.${fn}`

/** Body of the hint, JSON: everything in RESOURCES up to this sequence is in what the function has committed. */
export interface Progress {
  readonly function: string
  readonly resources: number
}

export class ProgressHints {
  readonly #bus: Bus
  readonly #functions: readonly string[]
  readonly #stopAsking: () => void
  /** Sequence that is settled. */
  #settled = 0
  #timer: NodeJS.Timeout | undefined

  constructor(bus: Bus, functions: readonly string[]) {
    this.#bus = bus
    this.#functions = functions
    this.#stopAsking = bus.onHint(ASK_PROGRESS, () => this.#send())
  }

  /** Everything up to `resources` will be settled with `settled`; one that rejects says nothing. */
  reached(resources: number, settled: () => Promise<void>): void {
    if (resources <= this.#settled) return
    settled().then(
      () => {
        this.#settled = Math.max(this.#settled, resources)
        this.#timer ??= setTimeout(() => this.#send(), EVERY)
      },
      () => undefined,
    )
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#stopAsking()
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const fn of this.#functions) this.#bus.hint(progressSubject(fn), JSON.stringify({ function: fn, resources: this.#settled } satisfies Progress))
  }
}
