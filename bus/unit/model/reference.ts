/** What must hold of the messages in CONFIG, worked out from scratch and with nothing of the code under test. */
import { createHash } from "node:crypto"
import type { Message } from "../../bus.ts"

type State = ReadonlyMap<string, string>
type Rows = readonly (readonly [string, string | null])[]

export interface StoredCommit {
  readonly seq: number
  readonly rev: number
  readonly prev: number
  readonly epoch: number
  readonly digest: string
  readonly count: number
  readonly diff?: Rows
  readonly parts?: readonly { readonly seq: number }[]
}

const text = (message: Message): string => Buffer.from(message.data).toString()

const parse = (message: Message): StoredCommit => ({ ...JSON.parse(text(message)), seq: message.seq })

export const digestOf = (state: State): string => {
  let sum = 0n
  for (const [subject, body] of state) sum += BigInt(`0x${createHash("sha256").update(subject).update("\0").update(body).digest("hex")}`)
  return (sum % 2n ** 256n).toString(16).padStart(64, "0")
}

export const withRows = (state: State, rows: Rows): Map<string, string> => {
  const next = new Map(state)
  for (const [subject, body] of rows) {
    if (body === null) next.delete(subject)
    else next.set(subject, body)
  }
  return next
}

const section = (message: Message): string => message.subject.split(".")[2] ?? ""

export const lastCommit = (messages: readonly Message[]): StoredCommit | undefined => {
  const last = messages.findLast((message) => section(message) === "commit")
  return last && parse(last)
}

/** Entries as a reader finds them: the last message of each subject. */
const entries = (messages: readonly Message[]): Map<string, string> => {
  const last = new Map(messages.filter((message) => section(message) !== "commit" && section(message) !== "part").map((message) => [message.subject, message]))
  return new Map([...last.values()].filter((message) => message.headers["Hg-Deleted"] === undefined).map((message) => [message.subject, text(message)]))
}

const agrees = (state: State, commit: StoredCommit): boolean => state.size === commit.count && digestOf(state) === commit.digest

const rowsOf = (commit: StoredCommit, messages: readonly Message[]): Rows | undefined => {
  if (commit.diff !== undefined) return commit.diff
  const parts = (commit.parts ?? []).map(({ seq }) => messages.find((message) => message.seq === seq))
  return parts.every((part) => part !== undefined) ? parts.flatMap((part): Rows => JSON.parse(text(part))) : undefined
}

/** I1: what is stored, wherever the stream is cut, is exactly what the last commit says. Returns that state. */
export const storedState = (messages: readonly Message[]): State => {
  const commit = lastCommit(messages)
  const plain = entries(messages)
  if (commit === undefined) {
    if (plain.size > 0) throw new Error("I1: entries without a commit")
    return plain
  }
  if (agrees(plain, commit)) return plain
  const rows = rowsOf(commit, messages)
  if (rows === undefined) throw new Error(`I1: revision ${commit.rev}: entries are not all stored and its parts are gone`)
  const state = withRows(plain, rows)
  if (!agrees(state, commit)) throw new Error(`I1: revision ${commit.rev} of epoch ${commit.epoch}: stored ${JSON.stringify([...state])} is not what its digest names`)
  return state
}

/** I9: a commit continues the one before it, and its diff leads from that one's state to its own. Returns that state. */
export const continued = (before: { readonly rev: number; readonly state: State }, commit: StoredCommit, messages: readonly Message[]): State => {
  if (commit.prev !== before.rev || commit.rev <= commit.prev) throw new Error(`I9: revision ${commit.rev} continues ${commit.prev}, the last one is ${before.rev}`)
  const rows = rowsOf(commit, messages)
  if (rows === undefined) throw new Error(`I1: revision ${commit.rev} was stored without its parts`)
  const state = withRows(before.state, rows)
  if (!agrees(state, commit)) throw new Error(`I9: revision ${commit.rev} of epoch ${commit.epoch} gives ${JSON.stringify([...state])}, which is not what its digest names`)
  return state
}
