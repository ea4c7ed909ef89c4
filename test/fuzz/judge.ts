/**
 * The verdict about one case: both parsers understand it alike, or they part in a way that differences.ts lists.
 *
 * A listed difference says how to mend the octets it is about. They are mended, and the case is judged again: so a
 * difference covers its own octets and nothing that stands beside them.
 */
import { differences, type Difference } from "./differences.ts"
import { transcriptOf as theirsOf } from "./reference.ts"
import { transcriptOf as oursOf } from "./subject.ts"
import { isAccepted, parting, type Case, type Parting, type Transcript } from "./transcript.ts"

export interface Verdict {
  /** As the case came. */
  readonly ours: Transcript
  readonly theirs: Transcript
  readonly isAcceptedByBoth: boolean
  /** Names of the differences met. */
  readonly met: readonly string[]
  /** A difference that nothing explains: what is left of the case. */
  readonly unexplained: { readonly given: Case; readonly parting: Parting; readonly ours: Transcript; readonly theirs: Transcript } | null
}

/** Ends of a head appended to a case. */
const COMPLETIONS = 2

/** Faults a case can have in sequence, each mended in turn. */
const MENDINGS = 24

const POISON = 0x2e

export const judge = (given: Case): Verdict => {
  const first = { ours: oursOf(given, [], POISON), theirs: theirsOf(given) }
  const met: string[] = []
  let { ours, theirs } = first
  let now = given
  let completions = 0
  const isAcceptedByBoth = isAccepted(ours) && isAccepted(theirs)
  for (let mended = 0; ; mended++) {
    const parted = parting(ours, theirs)
    if (parted === null) return { ...first, isAcceptedByBoth, met, unexplained: null }
    const next = mended < MENDINGS ? mend(now, completions, parted, ours, theirs) : null
    if (next === null) return { ...first, isAcceptedByBoth, met, unexplained: { given: now, parting: parted, ours, theirs } }
    if (next.name === null) completions++
    else met.push(next.name)
    now = { ...now, text: next.text }
    ours = oursOf(now, [], POISON)
    theirs = theirsOf(now)
  }
}

const mend = (given: Case, completions: number, parted: Parting, ours: Transcript, theirs: Transcript): { readonly name: string | null; readonly text: string } | null => {
  const before = given.text.slice(0, parted.at)
  const text = given.text.slice(parted.at)
  for (const difference of differences) {
    if ((difference.kind ?? given.kind) !== given.kind || !isAbout(difference, parted, ours, theirs)) continue
    const mended = difference.mend(text)
    if (mended !== null && mended !== text) return { name: difference.name, text: before + mended }
  }
  // One has decided already what the other decides when it has seen the end of the head.
  const isOpen = ours.ending.kind === "open" || theirs.ending.kind === "open"
  return isOpen && completions < COMPLETIONS ? { name: null, text: `${given.text}\r\n\r\n` } : null
}

const isAbout = ({ what, reason = "" }: Difference, parted: Parting, ours: Transcript, theirs: Transcript): boolean => {
  if (what !== undefined && what !== parted.what) return false
  const { ending } = parted.what === "theirs refuses" ? theirs : ours
  return reason === "" || (ending.kind === "refused" && ending.reason.startsWith(reason))
}

/**
 * Names of differences that ours should have insisted on in a message it accepted, and did not: so that being as lax as
 * llhttp, where we list that we are not, does not pass for agreement.
 */
export const forgotten = (given: Case, ours: Transcript): readonly string[] => {
  let at = 0
  return ours.messages.flatMap((message) => {
    if (message.end < 0 && ours.ending.kind !== "open") return []
    const text = given.text.slice(at, message.end < 0 ? given.text.length : message.end)
    at = message.end
    return differences.filter(({ kind = given.kind, mend, holds }) => kind === given.kind && holds !== undefined && !holds(message) && (mend(text) ?? text) !== text).map(({ name }) => name)
  })
}
