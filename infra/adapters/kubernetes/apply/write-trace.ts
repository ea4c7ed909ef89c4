/** The end of an outside change's trace: what is written into the cluster, as spans on the commit that asked for it. */
import type { Message } from "../../../../bus/bus.ts"
import { header } from "../../../../bus/envelope.ts"
import { MOST, spanName } from "../../../../bus/trace/names.ts"
import { kind, wallNow, type SpanId } from "../../../../bus/trace/span.ts"
import { type OpenSpan, spanOf, tell, type Tracing } from "../../../../bus/trace/tracing.ts"

interface Asked {
  readonly commit: SpanId
  /** By the server's clock, ms since 1970. */
  readonly stored: number
}

export class WriteTraces {
  readonly #tracing: Tracing
  /** By id of the entry: the last commit that asked, until it is done. */
  readonly #asked = new Map<string, Asked>()
  /** Of the commit that was last gone on from. */
  #spans = { of: "", count: 0 }

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  /** An entry was received. */
  asked(id: string, { headers, time }: Message): void {
    const commit = spanOf(headers[header.traceparent])
    if (commit === undefined) this.#asked.delete(id)
    else this.#asked.set(id, { commit, stored: time })
  }

  /** A request is sent. Undefined: nothing that is traced asked for it, or it has spans enough. */
  begin(id: string): OpenSpan | undefined {
    const asked = this.#asked.get(id)
    if (asked === undefined) return undefined
    const { commit: parent, stored } = asked
    this.#spans = { of: parent.spanId, count: this.#spans.of === parent.spanId ? this.#spans.count + 1 : 1 }
    if (this.#spans.count > MOST) return undefined
    const start = wallNow()
    this.#tracing.later(() => tell(this.#tracing, { name: spanName.deliver, kind: kind.consumer, start: Math.min(stored, start), parent }, start))
    return this.#tracing.begin({ name: `${spanName.write} ${id.replace("/", " ")}`, kind: kind.client, start, parent })
  }

  /** What it says stands. */
  done(id: string): void {
    this.#asked.delete(id)
  }
}
