/** What the last commit of a unit, as it is stored now, means to a writer that is not certain. Pure. */
import type { Message } from "../bus.ts"
import { header, numberHeader } from "../envelope.ts"
import { decodeCommit } from "./commit.ts"
import type { Commit, CommitHead } from "./unit.ts"

export interface Known {
  readonly incarnation: string
  readonly epoch: number
  /** Sequence of the last commit, 0: none. */
  readonly seq: number
  /** Highest sequence of a commit of somebody else. */
  readonly foreign: number
  /** Sent, and not known to be stored. */
  readonly pending: CommitHead | undefined
}

export type LastCommit =
  /** The one we know. */
  | { readonly is: "same" }
  | { readonly is: "pending"; readonly seq: number }
  | { readonly is: "foreign" }
  | { readonly is: "outranking"; readonly epoch: number }
  /** The stream was made anew. */
  | { readonly is: "lost" }
  /** A copy of the stream that lags behind answered: ask again. */
  | { readonly is: "behind" }

export const judge = (incarnation: string, last: Message | undefined, known: Known): LastCommit => {
  const seq = last?.seq ?? 0
  if (incarnation !== known.incarnation || seq < known.seq) return { is: "lost" }
  const epoch = (last && numberHeader(last.headers, header.epoch)) ?? 0
  if (epoch > known.epoch) return { is: "outranking", epoch }
  if (seq === known.seq && known.foreign <= seq) return { is: "same" }
  if (last === undefined || seq < known.foreign) return { is: "behind" }
  return known.pending !== undefined && isCommit(last, known.pending) ? { is: "pending", seq } : { is: "foreign" }
}

const isCommit = (message: Message, head: CommitHead): boolean => {
  let stored: Commit
  try {
    stored = decodeCommit(message.data)
  } catch {
    return false
  }
  return stored.epoch === head.epoch && stored.writer === head.writer && stored.rev === head.rev && stored.digest === head.digest
}
