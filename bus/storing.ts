/** Whether what is published is stored, stream by stream: said once when it has not been for a while, and once when it is again. */
import { type StreamName } from "./bus.ts"
import { streamOf } from "./streams.ts"

/** For less nobody needs to be told, ms. */
const PATIENCE = 3000

export class Storing {
  readonly #say: (stream: StreamName, why: string | undefined) => void
  readonly #troubled = new Map<StreamName, { readonly since: number; isSaid: boolean }>()

  /** `why`: what the last message met; undefined: it is over. */
  constructor(say: (stream: StreamName, why: string | undefined) => void) {
    this.#say = say
  }

  /** A message of the subject was sent, and the server does not store it though nothing is wrong with it. `now`: monotonic, ms. */
  failed(subject: string, why: string, now: number): void {
    const stream = streamOf(subject)
    const trouble = this.#troubled.get(stream)
    if (trouble === undefined) this.#troubled.set(stream, { since: now, isSaid: false })
    else if (!trouble.isSaid && now - trouble.since >= PATIENCE) {
      trouble.isSaid = true
      this.#say(stream, why)
    }
  }

  stored(subject: string): void {
    if (this.#troubled.size === 0) return
    const stream = streamOf(subject)
    const trouble = this.#troubled.get(stream)
    this.#troubled.delete(stream)
    if (trouble?.isSaid === true) this.#say(stream, undefined)
  }
}
