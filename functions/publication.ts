/** One unit, from rows to staged changes: holds what is wanted until its writer is open. */
import type { Bus } from "../bus/bus.ts"
import type { StagedChange, StageOptions, UnitWriter, UnitWriterOptions } from "../bus/unit/unit.ts"
import { openUnit } from "../bus/unit/writer.ts"

export class Publication {
  readonly plane: string
  readonly opened: Promise<void>
  readonly #stop = new AbortController()
  #writer: UnitWriter | undefined
  #nextCommit = Promise.withResolvers<void>()
  #waiting: { readonly changes: readonly StagedChange[]; readonly options: StageOptions }[] = []

  /** `onFailed`: the unit could not be opened; nothing more is published. */
  constructor(bus: Bus, options: UnitWriterOptions, onFailed: (error: unknown) => void) {
    this.plane = options.unit.plane
    const onCommitted: UnitWriterOptions["onCommitted"] = (head, seq) => {
      options.onCommitted?.(head, seq)
      this.#nextCommit.resolve()
      this.#nextCommit = Promise.withResolvers()
    }
    this.opened = openUnit(bus, { ...options, onCommitted, signal: this.#stop.signal }).then(
      (writer) => {
        this.#writer = writer
        for (const { changes, options: how } of this.#waiting) writer.stage(changes, how)
        this.#waiting = []
      },
      onFailed,
    )
  }

  /** As published or about to be; empty until opened. */
  get state(): ReadonlyMap<string, string> {
    return this.#writer?.state() ?? new Map<string, string>()
  }

  /** Sequence of the last commit, 0: none, or not opened yet. */
  get seq(): number {
    return this.#writer?.seq ?? 0
  }

  stage(changes: readonly StagedChange[], options: StageOptions): void {
    if (this.#writer === undefined) this.#waiting.push({ changes, options })
    else this.#writer.stage(changes, options)
  }

  /** What is staged is committed, where it changes anything: gateways can have it, though its entries and copies are on their way. */
  async committed(): Promise<void> {
    await Promise.race([this.#nextCommit.promise, this.settled()])
  }

  /** Everything staged is committed and stored. Rejects when the writer is over. */
  async settled(): Promise<void> {
    await this.opened
    await this.#writer?.settled()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.opened
    await this.#writer?.stop()
  }
}
