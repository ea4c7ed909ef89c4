/**
 * Whether every function that has to do with an edit has answered it: read it, derived, committed. Functions of one
 * process hand on in memory, so that one number speaks for all of them; from process to process commits are followed,
 * a round for each step: what a function had committed in one round, its readers elsewhere have to have read in the next.
 */
import type { Progress } from "../../functions/progress.ts"

/** What a function says of itself (kind `function`). */
export interface Declared {
  readonly reads: readonly string[]
  readonly writes: readonly string[]
}

export class Answering {
  readonly #declared: ReadonlyMap<string, Declared>
  readonly #heard: ReadonlyMap<string, Progress>
  /** Functions that an object of these kinds can have to do with, also by way of others. */
  readonly functions: readonly string[]
  /** Sequence in RESOURCES of the edit. */
  readonly #resources: number
  /** By function: sequence in CONFIG it has to have read. */
  #wanted: ReadonlyMap<string, number> = new Map()
  #rounds = 0

  constructor(kinds: readonly string[], resources: number, declared: ReadonlyMap<string, Declared>, heard: ReadonlyMap<string, Progress>) {
    this.#declared = declared
    this.#heard = heard
    this.#resources = resources
    const reached = new Set<string>()
    const moved = new Set(kinds)
    for (let before = -1; before !== reached.size;) {
      before = reached.size
      for (const [fn, { reads, writes }] of declared) {
        if (reached.has(fn) || !reads.some((kind) => moved.has(kind))) continue
        reached.add(fn)
        for (const kind of writes) moved.add(kind)
      }
    }
    this.functions = [...reached].sort()
  }

  /** Functions that have not answered yet, each with why, as sentences; empty: all have, and it is remembered. */
  lacking(): readonly string[] {
    for (;;) {
      const lacking = this.functions.flatMap((fn) => this.#lack(fn) ?? [])
      if (lacking.length > 0) return lacking
      const next = this.#next()
      const isSettled = [...next].every(([fn, seq]) => (this.#heard.get(fn)?.config ?? 0) >= seq)
      // No way from function to function is longer: what is committed by now answers something else.
      if (isSettled || this.#rounds++ > this.functions.length) return []
      this.#wanted = next
    }
  }

  /** Sequence in CONFIG of the newest commit of any of them: commits up to there have to be known. */
  get committed(): number {
    return Math.max(0, ...this.functions.map((fn) => this.#heard.get(fn)?.committed ?? 0))
  }

  #lack(fn: string): string | undefined {
    const heard = this.#heard.get(fn)
    if (heard === undefined) return `function ${fn} has not said how far it is: it does not run, or cannot reach the bus`
    if (heard.resources < this.#resources) return `function ${fn} has answered RESOURCES up to ${heard.resources}, not yet ${this.#resources}`
    const config = this.#wanted.get(fn) ?? 0
    return heard.config < config ? `function ${fn} has answered what other functions committed up to ${heard.config} of CONFIG, not yet ${config}` : undefined
  }

  #next(): ReadonlyMap<string, number> {
    const next = new Map<string, number>()
    for (const fn of this.functions) {
      const { writes = [] } = this.#declared.get(fn) ?? {}
      const { together = [], committed = 0 } = this.#heard.get(fn) ?? {}
      for (const reader of this.functions) {
        if (together.includes(reader) || this.#declared.get(reader)?.reads.some((kind) => writes.includes(kind)) !== true) continue
        next.set(reader, Math.max(next.get(reader) ?? 0, committed))
      }
    }
    return next
  }
}
