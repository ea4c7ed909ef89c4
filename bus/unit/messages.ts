/** The three messages of a unit as they go to the bus, each fenced on the last commit its writer knows. Pure. */
import type { Headers, Outgoing } from "../bus.ts"
import { header } from "../envelope.ts"
import { commitSubject, encodeToken, partSubject } from "../subject.ts"
import { limitCauses } from "./commit.ts"
import type { Row, UnitId } from "./unit.ts"

/** What all messages of one commit carry. `Hg-Writer` is the function, so that a fold knows whose an entry is. */
export const commitHeaders = (unit: UnitId, { rev, epoch }: { readonly rev: number; readonly epoch: number }): Headers => ({
  [header.rev]: String(rev),
  [header.epoch]: String(epoch),
  [header.writer]: encodeToken(unit.fn),
})

/** Of the commit, from which readers go on; and of its entries, from which who carries them out does. */
export const traced = (headers: Headers, traceparent: string | undefined): Headers => (traceparent === undefined ? headers : { ...headers, [header.traceparent]: traceparent })

/** Refused unless the unit's last commit is the one at `after` (0: none). */
export const fence = ({ plane, fn }: UnitId, after: number): NonNullable<Outgoing["expect"]> => ({ seq: after, subject: commitSubject(plane, fn) })

export const partMessage = (unit: UnitId, k: number, data: string, headers: Headers, after: number): Outgoing =>
  ({ subject: partSubject(unit.plane, unit.fn, k), data, headers, expect: fence(unit, after) })

export const commitMessage = (unit: UnitId, data: string, headers: Headers, after: number, msgId: string): Outgoing =>
  ({ subject: commitSubject(unit.plane, unit.fn), data, headers, msgId, expect: fence(unit, after) })

/** `commit` is the sequence of the entry's own commit. */
export const entryMessage = (unit: UnitId, [subject, body, causes]: Row, of: Headers, commit: number): Outgoing => {
  const headers: Record<string, string> = { ...of }
  if (causes.length > 0) headers[header.causes] = limitCauses(causes).join(",").replace(/[^\x20-\x7e]/g, "?")
  if (body === null) headers[header.deleted] = "1"
  return { subject, data: body ?? "", headers, expect: fence(unit, commit) }
}
