/**
 * Traces of passes: what arrives says which changes it is of; a pass continues the trace of the first and links to the
 * others, and each commit that comes of it has a span whose context the commit carries on.
 */
import { attribute, MOST, spanName } from "../bus/trace/names.ts"
import { kind, wallNow, wallTime, type SpanId } from "../bus/trace/span.ts"
import { spanOf, tell, traceparentOf, type OpenSpan, type Tracing } from "../bus/trace/tracing.ts"
import type { UnitId, UnitWriterOptions } from "../bus/unit/unit.ts"
import type { Ran } from "./engine/engine.ts"

interface Arrived {
  readonly span: SpanId
  /** By the server's clock, whole milliseconds since 1970. */
  readonly stored: number
}

export interface Pass {
  readonly traceparent: string
  readonly ran: Ran
  end(): void
}

export class PassTraces {
  readonly #tracing: Tracing
  /** Since the last pass, the first message of each trace. */
  #arrived: Arrived[] = []
  /** By `<plane>/<function>`: since when a commit is wanted, and the passes that want it. */
  readonly #staged = new Map<string, { readonly since: number; readonly passes: string[] }>()
  /** The last pass, which nearly every commit is of. */
  #pass: { readonly traceparent: string; readonly span: SpanId } | undefined

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  /** A message that changed something was received. */
  arrived(traceparent: string | undefined, stored: number): void {
    const span = spanOf(traceparent)
    if (span !== undefined && !this.#arrived.some((other) => other.span.traceId === span.traceId)) this.#arrived.push({ span, stored })
  }

  /** Takes up what has arrived. Undefined: nothing of it is traced. */
  begin(): Pass | undefined {
    const [first, ...others] = this.#arrived
    if (first === undefined) return undefined
    this.#arrived = []
    const tracing = this.#tracing
    const start = wallNow()
    tracing.later(() => {
      for (const { span: parent, stored } of [first, ...others.slice(0, MOST)]) tell(tracing, { name: spanName.deliver, kind: kind.consumer, start: Math.min(stored, start), parent }, start)
    })
    const span = tracing.begin({
      name: spanName.derive, start, parent: first.span,
      ...(others.length === 0 ? {} : { links: others.slice(0, MOST).map((other) => other.span), attributes: { [attribute.edits]: others.length + 1 } }),
    })
    let derivations = 0
    /** Milliseconds since 1970, 0: it has not. */
    let ended = 0
    let rows: Parameters<Ran>[] = []
    const tellRows = (): void => {
      const late = ended === 0 ? undefined : rows.find(([, , from]) => wallTime(from) > ended)
      if (late !== undefined) tell(tracing, { name: spanName.postponed, start: ended, parent: span }, wallTime(late[2]))
      for (const [fn, collection, from, to, runs] of rows) {
        tell(tracing, { name: `${fn}: ${collection}`, start: wallTime(from), parent: span, ...(runs === 1 ? {} : { attributes: { [attribute.runs]: runs } }) }, wallTime(to))
      }
      rows = []
    }
    const traceparent = traceparentOf(span)
    this.#pass = { traceparent, span }
    return {
      traceparent,
      ran: (...row) => {
        if (++derivations > MOST) return
        if (rows.push(row) === 1) tracing.later(tellRows)
      },
      end: () => span.end((ended = wallNow()), { [attribute.derivations]: derivations, ...(derivations > MOST ? { [attribute.leftOut]: derivations - MOST } : {}) }),
    }
  }

  /** Changes of a pass were handed to a unit's writer. */
  staged({ plane, fn }: UnitId, traceparent: string | undefined): void {
    if (traceparent === undefined) return
    const key = `${plane}/${fn}`
    const staged = this.#staged.get(key)
    if (staged === undefined) this.#staged.set(key, { since: wallNow(), passes: [traceparent] })
    else if (staged.passes.length <= MOST) staged.passes.push(traceparent)
  }

  /** What a unit's writer tells. */
  commits({ plane, fn }: UnitId): Required<Pick<UnitWriterOptions, "onCommitting" | "onCommitted">> {
    const key = `${plane}/${fn}`
    let open: OpenSpan | undefined
    return {
      onCommitting: ({ rev, epoch, digest }, rows, parent) => {
        // Another writer's commit came in between: that one was never stored.
        open?.end(wallNow(), undefined, true)
        open = undefined
        const staged = this.#staged.get(key)
        this.#staged.delete(key)
        const pass = parent === this.#pass?.traceparent ? this.#pass?.span : spanOf(parent)
        if (pass === undefined) return undefined
        const links = staged?.passes.filter((other) => other !== parent).flatMap((other) => spanOf(other) ?? []) ?? []
        open = this.#tracing.begin({
          name: `${spanName.commit} ${key}`, kind: kind.producer, start: staged?.since ?? wallNow(), parent: pass, ...(links.length === 0 ? {} : { links }),
          attributes: { [attribute.unit]: key, [attribute.revision]: rev, [attribute.epoch]: epoch, [attribute.entries]: rows, [attribute.digest]: digest.slice(0, 12) },
        })
        return traceparentOf(open)
      },
      onCommitted: (_, seq) => {
        open?.end(wallNow(), { [attribute.sequence]: String(seq) })
        open = undefined
      },
    }
  }
}
