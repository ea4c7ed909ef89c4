/** When an as-of answer may be believed: shared by both buses, so that they are honest in the same way. */
import type { StreamShape } from "./streams.ts"

export interface AsOfEvidence {
  /** What was asked: subjects and filters. */
  readonly asked: readonly string[]
  /** Subjects the answer holds. */
  readonly answered: ReadonlySet<string>
  /** Messages kept now of each subject that matches; read AFTER the answer, so that a trim in between counts. */
  readonly kept: ReadonlyMap<string, number>
  /** Of the stream, read after the answer. */
  readonly firstSeq: number
}

/**
 * False when something that was there at the time asked for may have been dropped since, so that its silence means
 * nothing: a subject that holds as many messages as are kept, none of them old enough; or, in a stream that drops by
 * age or bytes and has done so, any subject not answered by name. A purged subject is forgotten here too (bus.purge).
 */
export const reachesBack = (shape: StreamShape, { asked, answered, kept, firstSeq }: AsOfEvidence): boolean => {
  if (shape.perSubject > 0) {
    for (const [subject, count] of kept) if (count >= shape.perSubject && !answered.has(subject)) return false
  }
  const drops = shape.maxAgeMs !== undefined || shape.maxBytes !== undefined
  return !drops || firstSeq <= 1 || asked.every((subject) => answered.has(subject))
}
