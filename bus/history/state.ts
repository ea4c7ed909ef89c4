/** What was at a moment: the types of every answer about the past. */
import type { Headers } from "../bus.ts"
import type { CommitHead, UnitId } from "../unit/unit.ts"

/**
 * A moment of the log. Times are the server's, of storing, in milliseconds since 1970.
 *
 * `time` T: every message stored up to and with T. `seq` S, a sequence of RESOURCES as in `events` and in causes: the
 * resources up to and with S, and of commits and acks what was stored in a millisecond before that of the message
 * after S; while there is none, everything. `"now"`: everything stored when asked.
 */
export type Moment = { readonly time: number } | { readonly seq: number } | "now"

/** A resource as its last message up to then has it. */
export interface PastResource {
  readonly subject: string
  /** In RESOURCES. */
  readonly seq: number
  readonly time: number
  readonly headers: Headers
  readonly body: string
}

export interface PastEntry {
  readonly body: string
  /** What it was made from, each `<kind>/<key>@<sequence>`, comma-separated. */
  readonly causes: string
}

/** A unit as of its last commit up to then. */
export interface PastUnit {
  readonly unit: UnitId
  readonly commit: CommitHead
  /** In CONFIG. */
  readonly seq: number
  readonly time: number
  /** By subject. */
  readonly entries: ReadonlyMap<string, PastEntry>
}

/** The last ack of a pod up to then. */
export interface PastAck {
  readonly subject: string
  readonly seq: number
  readonly time: number
  readonly body: string
}

export interface PastState {
  /** The last message of RESOURCES up to then, whatever it said; 0: none. */
  readonly seq: number
  /** By subject; deleted ones are not there. */
  readonly resources: ReadonlyMap<string, PastResource>
  /** By `<plane token>.<function token>`. */
  readonly units: ReadonlyMap<string, PastUnit>
  /** By subject. */
  readonly acks: ReadonlyMap<string, PastAck>
}

/** An answer, and why it may not be exact, each reason a sentence; none: it is exact. */
export interface Answer<T> {
  readonly value: T
  readonly doubts: readonly string[]
}

/** Why there is no answer: nothing is kept here, or not of that moment. */
export class HistoryError extends Error {
  override readonly name = "HistoryError"
  readonly reason: "off" | "outside-window"
  constructor(reason: "off" | "outside-window", message: string) {
    super(message)
    this.reason = reason
  }
}
