/** When a certificate counts: known by moments that are wanted of the clock, and answered once they have come. */
import type { Certificate } from "../../bus/kinds/config.ts"

/** When it begins and ends, as its entry says. */
type Term = Required<Pick<Certificate, "notBefore" | "notAfter">>

/** As moments are named (kinds `wanted` and `clock`). */
export const momentOf = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, "Z")

const DAY = 86_400_000
const CENTURY = 36_525 * DAY

interface Moments {
  readonly notBefore: string
  /**
   * Long past. An adapter answers the newest of what has come first; so once this is answered and notBefore is not,
   * notBefore has not come, and is not merely unanswered.
   */
  readonly probe: string
  readonly soon: string
  readonly notAfter: string
}

/** From when on the end is said: two weeks before; of a certificate that is made to live for days, in its last third. */
const soonBefore = (from: number, to: number): number => to - Math.min(14 * DAY, Math.floor((to - from) / 3_000) * 1_000)

const momentsOf = ({ notBefore, notAfter }: Term): Moments => ({
  notBefore,
  probe: momentOf(new Date(Date.parse(notBefore) - CENTURY)),
  soon: momentOf(new Date(soonBefore(Date.parse(notBefore), Date.parse(notAfter)))),
  notAfter,
})

export const momentsWanted = (term: Term): readonly string[] => Object.values(momentsOf(term))

export type Validity = "NotYetValid" | "Valid" | "ExpiresSoon" | "Expired"

/** `hasCome` answers for each of `momentsWanted`. */
export const validityOf = (term: Term, hasCome: (moment: string) => boolean): Validity => {
  const { notBefore, probe, soon, notAfter } = momentsOf(term)
  if (hasCome(notAfter)) return "Expired"
  if (!hasCome(notBefore) && hasCome(probe)) return "NotYetValid"
  return hasCome(soon) && hasCome(notBefore) ? "ExpiresSoon" : "Valid"
}
