/** The streams as data. jetstream.ts ensures them at connect; memory.ts applies the same limits. */
import type { StreamName } from "./bus.ts"

export interface StreamShape {
  readonly subjects: readonly string[]
  readonly perSubject: number
  readonly maxAgeMs?: number
  readonly maxBytes?: number
  /** The stream this is an exact copy of: subjects, sequences, times. Nothing else is stored in it. */
  readonly mirrors?: StreamName
  /** Kept for questions about the past alone: not there in a store without a history. */
  readonly history?: true
  /** What holds instead in a store without a history. */
  readonly withoutHistory?: { readonly perSubject: number; readonly maxAgeMs: number }
}

const DAY = 86_400_000
/** The promised window and, beyond it, the time between two checkpoints: the window begins at one (bus/history). */
const KEPT = 7.5 * DAY

export const streams: Readonly<Record<StreamName, StreamShape>> = {
  RESOURCES: { subjects: ["resource.>"], perSubject: 64 },
  CONFIG: { subjects: ["config.>"], perSubject: 64 },
  /** All acks of the window; who wants to know what is served now reads the last of each subject. */
  APPLIED: { subjects: ["applied.>"], perSubject: -1, maxAgeMs: KEPT, maxBytes: 2 ** 29, withoutHistory: { perSubject: 1, maxAgeMs: DAY } },
  /** Every resource message under the sequence and time it has in RESOURCES, also those that RESOURCES has dropped. */
  RESOURCES_HISTORY: { subjects: [], perSubject: -1, maxAgeMs: KEPT, maxBytes: 2 ** 30, mirrors: "RESOURCES", history: true },
  /** Every commit again, copied by its writer (unit/history.ts). */
  HISTORY: { subjects: ["history.>"], perSubject: -1, maxAgeMs: KEPT, maxBytes: 2 ** 30, history: true },
  /** The folded state of all of it, from time to time (history/checkpoint.ts). */
  CHECKPOINTS: { subjects: ["checkpoint.>"], perSubject: -1, maxAgeMs: KEPT, maxBytes: 2 ** 30, history: true },
  LEASES: { subjects: ["lease.>"], perSubject: 1 },
  /** Spans (trace/store.ts), where tracing is on. */
  TRACES: { subjects: ["trace.>"], perSubject: -1, maxAgeMs: DAY, maxBytes: 2 ** 26 },
}

const byRoot: Readonly<Record<string, StreamName>> = {
  resource: "RESOURCES", config: "CONFIG", applied: "APPLIED", history: "HISTORY", checkpoint: "CHECKPOINTS", lease: "LEASES", trace: "TRACES",
}

/** The stream that stores a subject. Throws RangeError for one that none does. */
export const streamOf = (subject: string): StreamName => {
  const stream = byRoot[subject.slice(0, subject.indexOf("."))]
  if (stream === undefined) throw new RangeError(`no stream stores "${subject}"`)
  return stream
}

/** Bytes. The server breaks the connection over a line of more than 4,096, in which the subject is not alone. */
export const LONGEST_SUBJECT = 3_900

/** The server's limit on one message, headers included. */
export const MAX_PAYLOAD = 1024 * 1024
