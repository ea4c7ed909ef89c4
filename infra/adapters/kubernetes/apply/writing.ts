/** What writers of this half share: whether they may write, and how a refused request goes on. */
import type { Clock } from "../../../../bus/unit/unit.ts"
import type { ApiError } from "../api-error.ts"
import type { ApiClient } from "../client.ts"
import type { Events } from "./events.ts"
import type { Notes } from "./notes.ts"
import type { Observer } from "./observer.ts"
import type { Outcome } from "./pace.ts"

/** Of every field that is applied; and what `app.kubernetes.io/managed-by` says. */
export const MANAGER = "headgate"

/** ms. Shorter than what is left of a Lease when its holder may begin nothing more (leader.ts); an admission webhook has 10 s by default. */
export const WRITE_WITHIN = 9_000

export type Log = (line: Readonly<Record<string, unknown>> & { readonly message: string }) => void

export interface Writing {
  readonly api: ApiClient
  readonly observer: Observer
  readonly notes: Notes
  readonly events: Events
  readonly clock: Clock
  /** Asked before each write: this process is the leader, and what it carries out is all there and heard of. */
  mayWrite(): boolean
  readonly log: Log
}

/** An API server that is asked to wait says for how long: everybody waits, and a little more by chance. */
export const pauseOf = ({ status, retryAfter }: ApiError, clock: Clock): Outcome =>
  ({ is: "failed", ...(retryAfter === undefined ? {} : { after: retryAfter * (1 + clock.random() / 4) }), busy: status === 429 })
