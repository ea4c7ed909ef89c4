/** Sends the commits of one unit: the parts a large diff travels in, then the commit that names them. */
import { randomUUID } from "node:crypto"
import type { Bus, Headers, Outgoing } from "../bus.ts"
import { encodeCommit, partFilter } from "./commit.ts"
import { commitMessage, partMessage } from "./messages.ts"
import { publishAll, reasonOf } from "./publish.ts"
import type { CommitHead, UnitId } from "./unit.ts"

/** Unanswered at a time: few enough that none waits a second behind the others. */
const PART_WINDOW = 16

export class Committer {
  readonly #bus: Bus
  readonly #unit: UnitId
  /** Message ids of this writer and no other, even of the same epoch. */
  readonly #ids = randomUUID()
  #counter = 0
  /** Parts may be stored, of this writer or of the one before. */
  hasParts = false

  constructor(bus: Bus, unit: UnitId) {
    this.#bus = bus
    this.#unit = unit
  }

  /** The commit after the one at `after`, to be sent until it is known what became of it; its parts are stored now. */
  async prepare(head: CommitHead, chunks: readonly string[], headers: Headers, after: number): Promise<Outgoing> {
    const parts: { k: number; seq: number }[] = []
    if (chunks.length > 1) {
      this.hasParts = true
      const part = (chunk: string, k: number): Outgoing => partMessage(this.#unit, k, chunk, headers, after)
      await publishAll(this.#bus, chunks, PART_WINDOW, part, (_, { seq }, k) => (parts[k] = { k, seq }))
    }
    const data = encodeCommit(head, parts.length > 0 ? { parts } : { diff: chunks[0] ?? "[]" })
    return commitMessage(this.#unit, data, headers, after, `${head.epoch}:${this.#ids}:${++this.#counter}`)
  }

  /** Once every entry of the commit at `seq` is stored, nobody needs parts up to it. */
  forgetParts(seq: number): void {
    if (!this.hasParts) return
    this.hasParts = false
    this.#bus.purge("CONFIG", partFilter(this.#unit), seq).catch((error: unknown) => {
      reasonOf(error)
      this.hasParts = true
    })
  }
}
