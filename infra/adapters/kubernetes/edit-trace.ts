/** The trace of one outside change: from when the API server told of it to the ack of every object it led to. */
import { attribute, spanName } from "../../../bus/trace/names.ts"
import { wallNow } from "../../../bus/trace/span.ts"
import type { Tracing } from "../../../bus/trace/tracing.ts"
import { Edit, nameOf } from "../publish/edit.ts"

export class EditTraces {
  readonly #tracing: Tracing
  /** When the first of what no edit has taken up was noticed. */
  #noticed: number | undefined

  constructor(tracing: Tracing) {
    this.#tracing = tracing
  }

  noticed(): void {
    this.#noticed ??= wallNow()
  }

  /** What was noticed since the last call led to. Undefined: to nothing. */
  edit(subjects: readonly string[]): Edit | undefined {
    const start = this.#noticed
    this.#noticed = undefined
    if (start === undefined || subjects.length === 0) return undefined
    const changed = new Set(subjects)
    const name = nameOf(changed)
    const root = this.#tracing.begin({ name: `${spanName.edit} ${name}`, start, attributes: { [attribute.objects]: changed.size } })
    return new Edit(this.#tracing, root, changed.size, name)
  }
}
