/**
 * What becomes of a traced commit in this gateway, from its receipt to the ack that was stored. A swap may serve
 * several commits and an ack tell of several swaps: each commit's trace gets the same times.
 */
import { attribute, MOST, spanName } from "../../bus/trace/names.ts"
import { kind, wallNow, type SpanId } from "../../bus/trace/span.ts"
import { spanOf, tell, traceparentOf, type OpenSpan, type Tracing } from "../../bus/trace/tracing.ts"
import type { UnitChange } from "../../bus/unit/unit.ts"

/** A commit whose trace goes on here. Milliseconds since 1970. */
export interface TracedCommit {
  /** Its commit span, of the function. */
  readonly span: SpanId
  readonly unit: string
  readonly revision: number
  readonly digest: string
  readonly taken: number
  readonly offered: number
  /** What it waits for; undefined: it did not have to. */
  waitsFor: readonly string[] | undefined
  compiling: number
}

export class SwapTraces {
  readonly #tracing: Tracing
  readonly #pod: string
  #taken = 0
  #compiling: readonly TracedCommit[] = []
  #swapping = 0
  /** Served and not told yet, since when. */
  #served: { readonly commit: TracedCommit; readonly since: number }[] = []
  #telling: OpenSpan[] = []

  constructor(tracing: Tracing, pod: string) {
    this.#tracing = tracing
    this.#pod = pod
  }

  /** A commit is here and is being verified. */
  taken(): void {
    this.#taken = wallNow()
  }

  /** It is verified, decoded and with the barrier. Undefined: it belongs to no trace. */
  offered({ unit, commit: { rev, digest }, time, traceparent }: UnitChange): TracedCommit | undefined {
    const parent = spanOf(traceparent)
    if (parent === undefined) return undefined
    const taken = this.#taken
    const offered = wallNow()
    this.#tracing.later(() => {
      tell(this.#tracing, { name: spanName.deliver, kind: kind.consumer, start: Math.min(time, taken), parent }, taken)
      tell(this.#tracing, { name: spanName.fold, start: taken, parent }, offered)
    })
    return { span: parent, unit: `${unit.plane}/${unit.fn}`, revision: rev, digest: digest.slice(0, 12), taken, offered, waitsFor: undefined, compiling: 0 }
  }

  /** These take effect. */
  compiling(commits: readonly (TracedCommit | undefined)[]): void {
    const now = wallNow()
    this.#compiling = commits.filter((commit) => commit !== undefined)
    for (const commit of this.#compiling) {
      commit.compiling = now
      if (commit.waitsFor === undefined) continue
      const { waitsFor, offered, span: parent } = commit
      const more = waitsFor.length > MOST ? { [attribute.leftOut]: waitsFor.length - MOST } : {}
      tell(this.#tracing, { name: spanName.held, start: offered, parent, attributes: { [attribute.clusters]: waitsFor.slice(0, MOST).join(" "), ...more } }, now)
    }
  }

  /** The table is made. */
  swapping(): void {
    if (this.#compiling.length > 0) this.#swapping = wallNow()
  }

  /** It is served. */
  swapped(): void {
    const commits = this.#compiling
    if (commits.length === 0) return
    const since = wallNow()
    const swapping = this.#swapping
    this.#compiling = []
    for (const commit of commits) this.#served.push({ commit, since })
    this.#tracing.later(() => {
      for (const { span: parent, unit, revision, digest, compiling } of commits) {
        tell(this.#tracing, { name: spanName.compile, start: compiling, parent }, swapping)
        const several = commits.length > 1 ? { [attribute.commits]: commits.length } : {}
        tell(this.#tracing, { name: spanName.swap, start: swapping, parent, attributes: { [attribute.pod]: this.#pod, [attribute.unit]: unit, [attribute.revision]: revision, [attribute.digest]: digest, ...several } }, since)
      }
    })
  }

  /** What is served now is being told; the traceparent that the message carries. */
  telling(): string | undefined {
    for (const { commit, since } of this.#served.splice(0)) {
      this.#telling.push(this.#tracing.begin({
        name: spanName.ack, kind: kind.producer, start: since, parent: commit.span,
        attributes: { [attribute.pod]: this.#pod, [attribute.unit]: commit.unit, [attribute.revision]: commit.revision, [attribute.digest]: commit.digest },
      }))
    }
    const [first] = this.#telling
    return first && traceparentOf(first)
  }

  /** What was being told is stored. */
  told(): void {
    if (this.#telling.length === 0) return
    const now = wallNow()
    for (const span of this.#telling.splice(0)) span.end(now)
  }
}
