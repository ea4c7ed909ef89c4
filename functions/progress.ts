/**
 * `progress.<function>`: how far a function has read, derived and committed; what `wait` and lag are told by. A hint,
 * not stored: lost ones are asked for again by a hint on `ask.progress`. Sent when something was settled: at once when
 * it is quiet or somebody has asked a moment ago, and else every 20 ms.
 *
 * Only the process that holds a function's leases speaks for it. What any of them has said stays true, since it is
 * stored; one that takes over begins where it has read to.
 */
import type { Bus } from "../bus/bus.ts"
import { ASK_PROGRESS, progressSubject } from "../bus/hints.ts"

const EVERY = 20
/** Who has asked waits for the next one too, ms. */
const A_MOMENT = 1_000

/** Body of the hint, JSON. */
export interface Progress {
  readonly function: string
  /** What follows from everything in RESOURCES up to this sequence is committed, as far as this process reads it there. */
  readonly resources: number
  /** So is what follows from the commits in CONFIG up to this sequence that are of functions elsewhere. */
  readonly config: number
  /** The functions of the process, which hand on to each other in memory: for them `resources` speaks together. */
  readonly together: readonly string[]
  /** Sequence in CONFIG of the newest commit of any of them. */
  readonly committed: number
}

export type Reached = Pick<Progress, "resources" | "config">

export class ProgressHints {
  readonly #bus: Bus
  readonly #functions: readonly string[]
  readonly #committed: () => number
  readonly #stopAsking: () => void
  #settled: Reached = { resources: 0, config: 0 }
  #sentAt = Number.NEGATIVE_INFINITY
  #askedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(bus: Bus, functions: readonly string[], committed: () => number) {
    this.#bus = bus
    this.#functions = functions
    this.#committed = committed
    this.#stopAsking = bus.onHint(ASK_PROGRESS, () => {
      this.#askedAt = performance.now()
      this.#send()
    })
  }

  /** Everything up to `reached` will be settled with `settled`; one that rejects says nothing. */
  reached({ resources, config }: Reached, settled: () => Promise<void>): void {
    if (resources <= this.#settled.resources && config <= this.#settled.config) return
    settled().then(
      () => {
        this.#settled = { resources: Math.max(this.#settled.resources, resources), config: Math.max(this.#settled.config, config) }
        const now = performance.now()
        if (now - this.#askedAt < A_MOMENT) this.#send()
        else this.#timer ??= setTimeout(() => this.#send(), Math.max(0, this.#sentAt + EVERY - now))
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
    this.#sentAt = performance.now()
    const committed = this.#committed()
    for (const fn of this.#functions) this.#bus.hint(progressSubject(fn), JSON.stringify({ function: fn, ...this.#settled, together: this.#functions, committed } satisfies Progress))
  }
}

/** What a hint says; undefined for what is none, or of another version. */
export const readProgress = (data: string): Progress | undefined => {
  try {
    const value: unknown = JSON.parse(data)
    return isProgress(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isProgress = (value: unknown): value is Progress =>
  typeof value === "object" && value !== null &&
  "function" in value && typeof value.function === "string" &&
  "resources" in value && typeof value.resources === "number" &&
  "config" in value && typeof value.config === "number" &&
  "committed" in value && typeof value.committed === "number" &&
  "together" in value && Array.isArray(value.together) && value.together.every((each) => typeof each === "string")
