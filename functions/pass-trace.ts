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
  /** Since the last pass, by trace, the first message of each: of changes, and of acks. */
  #changes = new Map<string, Arrived>()
  #acks = new Map<string, Arrived>()
  /** By `<plane>/<function>`: the passes that want a commit, and since when. */
  readonly #staged = new Map<string, { readonly traceparent: string; readonly since: number }[]>()
  /** The last pass, which nearly every commit is of. */
  #pass: { readonly traceparent: string; readonly span: SpanId } | undefined
  /** By traceparent, the last passes that took up acks alone, until something comes of them: mostly nothing does, and then they are not worth a span. */
  readonly #quiet = new Map<string, () => void>()

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  /** A message that changed something was received. */
  arrived(traceparent: string | undefined, stored: number, isAck = false): void {
    const span = spanOf(traceparent)
    const arrived = isAck ? this.#acks : this.#changes
    if (span !== undefined && !arrived.has(span.traceId)) arrived.set(span.traceId, { span, stored })
  }

  /** Takes up what has arrived, acks last. Undefined: nothing of it is traced. */
  begin(): Pass | undefined {
    let isQuiet = this.#changes.size === 0
    const [first, ...others] = [...this.#changes.values(), ...[...this.#acks].flatMap(([trace, ack]) => (this.#changes.has(trace) ? [] : [ack]))]
    if (first === undefined) return undefined
    this.#changes = new Map()
    this.#acks = new Map()
    const tracing = this.#tracing
    const start = wallNow()
    const tellArrivals = (): void => {
      for (const { span: parent, stored } of [first, ...others.slice(0, MOST)]) tell(tracing, { name: spanName.deliver, kind: kind.consumer, start: Math.min(stored, start), parent }, start)
    }
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
    const tellPass = (): void => span.end(ended, { [attribute.derivations]: derivations, ...(derivations > MOST ? { [attribute.leftOut]: derivations - MOST } : {}) })
    const traceparent = traceparentOf(span)
    if (isQuiet) {
      this.#wait(traceparent, () => {
        isQuiet = false
        tracing.later(tellArrivals)
        if (rows.length > 0) tracing.later(tellRows)
        if (ended !== 0) tellPass()
      })
    } else tracing.later(tellArrivals)
    this.#pass = { traceparent, span }
    return {
      traceparent,
      ran: (...row) => {
        if (++derivations > MOST) return
        if (rows.push(row) === 1 && !isQuiet) tracing.later(tellRows)
      },
      end: () => {
        ended = wallNow()
        if (!isQuiet) tellPass()
      },
    }
  }

  #wait(traceparent: string, speak: () => void): void {
    this.#quiet.set(traceparent, speak)
    const [oldest = ""] = this.#quiet.keys()
    if (this.#quiet.size > MOST) this.#quiet.delete(oldest)
  }

  /** Changes of a pass were handed to a unit's writer. */
  staged({ plane, fn }: UnitId, traceparent: string | undefined): void {
    if (traceparent === undefined) return
    this.#quiet.get(traceparent)?.()
    this.#quiet.delete(traceparent)
    const key = `${plane}/${fn}`
    const staged = this.#staged.get(key)
    const pass = { traceparent, since: wallNow() }
    if (staged === undefined) this.#staged.set(key, [pass])
    else if (staged.length <= MOST && staged.at(-1)?.traceparent !== traceparent) staged.push(pass)
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
        const staged = this.#staged.get(key) ?? []
        this.#staged.delete(key)
        const pass = parent === this.#pass?.traceparent ? this.#pass?.span : spanOf(parent)
        if (pass === undefined) return undefined
        // What was staged before it was taken back before a commit could say it.
        const at = staged.findIndex(({ traceparent }) => traceparent === parent)
        const links = staged.slice(at + 1).flatMap(({ traceparent }) => spanOf(traceparent) ?? [])
        open = this.#tracing.begin({
          name: `${spanName.commit} ${key}`, kind: kind.producer, start: staged[at]?.since ?? wallNow(), parent: pass, ...(links.length === 0 ? {} : { links }),
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
