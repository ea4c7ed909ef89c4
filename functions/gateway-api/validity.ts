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
   * Long past, and wanted after the others. An adapter answers in that order, of several at once the newest first; so
   * once this is answered and notBefore is not, notBefore has not come, and is not merely unanswered.
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

/** With the ids they are wanted under, by which they are committed in order: the probe last. */
export const momentsWanted = (term: Term): readonly (readonly [id: string, moment: string])[] => {
  const { probe, ...moments } = momentsOf(term)
  return [...Object.values(moments).map((moment) => [`moment/${moment}`, moment] as const), [`probe/${probe}`, probe]]
}

export type Validity = "NotYetValid" | "Valid" | "ExpiresSoon" | "Expired"

/** `hasCome` answers for each of `momentsWanted`. */
export const validityOf = (term: Term, hasCome: (moment: string) => boolean): Validity => {
  const { notBefore, probe, soon, notAfter } = momentsOf(term)
  if (hasCome(notAfter)) return "Expired"
  if (!hasCome(notBefore) && hasCome(probe)) return "NotYetValid"
  return hasCome(soon) && hasCome(notBefore) ? "ExpiresSoon" : "Valid"
}
