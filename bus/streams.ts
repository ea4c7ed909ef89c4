/** The streams as data. jetstream.ts ensures them at connect; memory.ts applies the same limits. */
import type { StreamName } from "./bus.ts"

export interface StreamShape {
  readonly subjects: readonly string[]
  readonly perSubject: number
  readonly maxAgeMs?: number
  readonly maxBytes?: number
  readonly sources?: readonly StreamName[]
}

const DAY = 86_400_000

export const streams: Readonly<Record<StreamName, StreamShape>> = {
  RESOURCES: { subjects: ["resource.>"], perSubject: 64 },
  CONFIG: { subjects: ["config.>"], perSubject: 64 },
  INTENTS: { subjects: ["intent.>"], perSubject: 1 },
  APPLIED: { subjects: ["applied.>"], perSubject: 1, maxAgeMs: DAY },
  /** The promised window: every resource message and every commit, by age and bytes. */
  HISTORY: { subjects: ["history.>"], perSubject: -1, maxAgeMs: 7 * DAY, maxBytes: 2 ** 30, sources: ["RESOURCES"] },
  LEASES: { subjects: ["lease.>"], perSubject: 1 },
}

const byRoot: Readonly<Record<string, StreamName>> = {
  resource: "RESOURCES", config: "CONFIG", intent: "INTENTS", applied: "APPLIED", history: "HISTORY", lease: "LEASES",
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
