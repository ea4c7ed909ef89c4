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

class ToldPass implements Pass {
  readonly traceparent: string
  readonly #tracing: Tracing
  /** `derive` */
  readonly #span: OpenSpan
  #derivations = 0
  /** Milliseconds since 1970, 0: it has not. */
  #ended = 0
  #rows: Parameters<Ran>[] = []

  constructor(tracing: Tracing, span: OpenSpan, traceparent: string) {
    this.#tracing = tracing
    this.#span = span
    this.traceparent = traceparent
  }

  readonly ran: Ran = (...row) => {
    if (++this.#derivations > MOST) return
    if (this.#rows.push(row) === 1) this.#tracing.later(this.#tellRows)
  }

  readonly #tellRows = (): void => {
    const [tracing, parent, ended] = [this.#tracing, this.#span, this.#ended]
    const late = ended === 0 ? undefined : this.#rows.find(([, , from]) => wallTime(from) > ended)
    if (late !== undefined) tell(tracing, { name: spanName.postponed, start: ended, parent }, wallTime(late[2]))
    for (const [fn, collection, from, to, runs] of this.#rows) {
      tell(tracing, { name: `${fn}: ${collection}`, start: wallTime(from), parent, ...(runs === 1 ? {} : { attributes: { [attribute.runs]: runs } }) }, wallTime(to))
    }
    this.#rows = []
  }

  end(at = wallNow()): void {
    this.#ended = at
    const derivations = this.#derivations
    this.#span.end(at, { [attribute.derivations]: derivations, ...(derivations > MOST ? { [attribute.leftOut]: derivations - MOST } : {}) })
  }
}

/** Remembers what would be told. */
class QuietPass implements Pass {
  readonly traceparent: string
  readonly acks: ReadonlyMap<string, number>
  readonly start: number
  readonly #rows: Parameters<Ran>[] = []
  #ended = 0
  #told: ToldPass | undefined

  constructor(traceparent: string, acks: ReadonlyMap<string, number>, start: number) {
    this.traceparent = traceparent
    this.acks = acks
    this.start = start
  }

  readonly ran: Ran = (...row) => {
    if (this.#told !== undefined) this.#told.ran(...row)
    else if (this.#rows.length <= MOST) this.#rows.push(row)
  }

  speak(told: ToldPass): void {
    this.#told = told
    for (const row of this.#rows) told.ran(...row)
    if (this.#ended !== 0) told.end(this.#ended)
  }

  end(): void {
    this.#ended = wallNow()
    this.#told?.end(this.#ended)
  }
}

export class PassTraces {
  readonly #tracing: Tracing
  /** Since the last pass, by trace, the first change of each. */
  #changes = new Map<string, Arrived>()
  /** And acks, by traceparent: when they were stored. */
  #acks = new Map<string, number>()
  /** By `<plane>/<function>`: the passes that want a commit, and since when. */
  readonly #staged = new Map<string, { readonly traceparent: string; readonly since: number }[]>()
  /** The last pass, which nearly every commit is of. */
  #pass: { readonly traceparent: string; readonly span: SpanId } | undefined
  /** The last passes that took up acks alone, by traceparent, until something comes of them: mostly nothing does, and then they are not worth a span. */
  readonly #quiet = new Map<string, QuietPass>()

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  /** A message that changed something was received. */
  arrived(traceparent: string | undefined, stored: number, isAck = false): void {
    if (traceparent === undefined) return
    if (isAck) {
      if (!this.#acks.has(traceparent)) this.#acks.set(traceparent, stored)
      return
    }
    const span = spanOf(traceparent)
    if (span !== undefined && !this.#changes.has(span.traceId)) this.#changes.set(span.traceId, { span, stored })
  }

  /** Takes up what has arrived, acks last. Undefined: nothing of it is traced. */
  begin(): Pass | undefined {
    const acks = this.#acks
    if (acks.size > 0) this.#acks = new Map()
    if (this.#changes.size === 0) return acks.size === 0 ? undefined : this.#listen(acks)
    const arrived = this.#changes
    this.#changes = new Map()
    this.#add(arrived, acks)
    return this.#begin([...arrived.values()], wallNow())
  }

  #add(arrived: Map<string, Arrived>, acks: ReadonlyMap<string, number>): void {
    for (const [traceparent, stored] of acks) {
      const span = spanOf(traceparent)
      if (span !== undefined && !arrived.has(span.traceId)) arrived.set(span.traceId, { span, stored })
    }
  }

  /** Its traceparent is that of the first ack, until it is told. */
  #listen(acks: ReadonlyMap<string, number>): Pass {
    const [traceparent = ""] = acks.keys()
    const pass = new QuietPass(traceparent, acks, wallNow())
    this.#quiet.set(traceparent, pass)
    const [oldest = ""] = this.#quiet.keys()
    if (this.#quiet.size > MOST) this.#quiet.delete(oldest)
    return pass
  }

  /** Something comes of a pass of acks: it is told as if it had been from the start. */
  #speak(traceparent: string): void {
    const quiet = this.#quiet.get(traceparent)
    if (quiet === undefined) return
    this.#quiet.delete(traceparent)
    const arrived = new Map<string, Arrived>()
    this.#add(arrived, quiet.acks)
    if (arrived.size === 0) return
    const told = this.#begin([...arrived.values()], quiet.start)
    if (this.#pass !== undefined) this.#pass = { traceparent, span: this.#pass.span }
    quiet.speak(told)
  }

  /** @param arrived one at least */
  #begin(arrived: readonly Arrived[], start: number): ToldPass {
    const tracing = this.#tracing
    const others = arrived.slice(1, MOST + 1)
    tracing.later(() => {
      for (const { span: parent, stored } of arrived.slice(0, MOST + 1)) tell(tracing, { name: spanName.deliver, kind: kind.consumer, start: Math.min(stored, start), parent }, start)
    })
    const span = tracing.begin({
      name: spanName.derive, start, parent: arrived[0]?.span,
      ...(others.length === 0 ? {} : { links: others.map((other) => other.span), attributes: { [attribute.edits]: arrived.length } }),
    })
    const traceparent = traceparentOf(span)
    this.#pass = { traceparent, span }
    return new ToldPass(tracing, span, traceparent)
  }

  /** Changes of a pass were handed to a unit's writer. */
  staged({ plane, fn }: UnitId, traceparent: string | undefined): void {
    if (traceparent === undefined) return
    this.#speak(traceparent)
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
