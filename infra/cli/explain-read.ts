/** What explaining is made from, read once: entries with the revision and the causes of each, commits, acks, edits. */
import type { Bus, Message, StreamName } from "../../bus/bus.ts"
import { decodeHeader, header, isDeleted, numberHeader } from "../../bus/envelope.ts"
import { kindByName } from "../../bus/kinds/all.ts"
import { commitSubject, decodeToken, parseSubject, resourceSubject } from "../../bus/subject.ts"
import { decodeCommit } from "../../bus/unit/commit.ts"
import { rowsOf } from "../../bus/unit/fold.ts"
import type { CommitHead } from "../../bus/unit/unit.ts"
import { appliedIn } from "./applied-message.ts"
import type { Ack } from "./wait-gateways.ts"

export interface Entry {
  readonly plane: string
  readonly section: string
  readonly id: string
  /** Undefined: removed. */
  readonly body: string | undefined
  readonly fn: string
  /** Of the commit that made it what it is. */
  readonly rev: number
  readonly epoch: number
  readonly time: number
  readonly causes: readonly string[]
}

/** A commit that is still kept, or the head of a unit. */
export interface CommitAt extends CommitHead {
  readonly plane: string
  readonly fn: string
  readonly seq: number
  readonly time: number
}

export interface Config {
  /** By subject. */
  readonly entries: ReadonlyMap<string, Entry>
  /** The last commit of each unit, by `<plane>/<function>`. */
  readonly units: ReadonlyMap<string, CommitAt>
}

/** The last message of each subject under a filter, in stream order. Rejects when the store is lost. */
export const stateOf = (bus: Bus, stream: StreamName, filter: string, from: "state" | { readonly after: number } = "state"): Promise<readonly Message[]> =>
  new Promise((resolve, reject) => {
    const messages: Message[] = []
    const following = bus.follow({
      stream, filter, from,
      onMessage: (message) => void messages.push(message),
      onCaughtUp: () => queueMicrotask(() => void following.stop().then(() => resolve(messages), reject)),
      onLost: (reason) => reject(new Error(`the store was lost: ${reason}`)),
    })
  })

const utf8 = new TextDecoder()

/** Entries as stored, overlaid with what their units' last commits say (bus/README.md, I1). */
export const readConfig = async (bus: Bus, filter = "config.>"): Promise<Config> => {
  const entries = new Map<string, Entry>()
  const units = new Map<string, CommitAt>()
  const commits: { readonly head: CommitAt; readonly message: Message }[] = []
  const parts = new Map<number, Uint8Array>()
  for (const message of await stateOf(bus, "CONFIG", filter)) {
    const parsed = parseSubject(message.subject)
    if (parsed?.is === "part") parts.set(message.seq, message.data)
    else if (parsed?.is === "commit") commits.push({ head: commitOf(message, parsed), message })
    else if (parsed?.is === "entry") entries.set(message.subject, entryOf(message, parsed))
  }
  for (const { head, message } of commits) {
    units.set(`${head.plane}/${head.fn}`, head)
    for (const [subject, body, causes] of diffOf(message, (seq) => parts.get(seq), head.plane)) {
      const parsed = parseSubject(subject)
      const known = entries.get(subject)
      if (parsed?.is !== "entry" || (known !== undefined && known.fn === head.fn && known.rev >= head.rev && known.epoch >= head.epoch)) continue
      entries.set(subject, { plane: parsed.plane, section: parsed.section, id: parsed.id, body: body ?? undefined, fn: head.fn, rev: head.rev, epoch: head.epoch, time: head.time, causes })
    }
  }
  return { entries, units }
}

/** Of a commit whose parts are gone the entries are all stored. */
const diffOf = (message: Message, part: (seq: number) => Uint8Array | undefined, plane: string): ReturnType<typeof rowsOf> => {
  try {
    return rowsOf(decodeCommit(message.data), part, plane)
  } catch {
    return []
  }
}

const entryOf = ({ headers, time, data }: Message, { plane, section, id }: { readonly plane: string; readonly section: string; readonly id: string }): Entry => ({
  plane, section, id, time,
  body: isDeleted(headers) ? undefined : utf8.decode(data),
  fn: functionOf(headers[header.writer] ?? ""),
  rev: numberHeader(headers, header.rev) ?? 0,
  epoch: numberHeader(headers, header.epoch) ?? 0,
  causes: (headers[header.causes] ?? "").split(",").filter((cause) => cause !== ""),
})

const functionOf = (token: string): string => {
  try {
    return decodeToken(token)
  } catch {
    return token
  }
}

const commitOf = (message: Message, { plane, fn }: { readonly plane: string; readonly fn: string }): CommitAt => {
  const { rev, prev, epoch, writer, version, digest, count, causes } = decodeCommit(message.data)
  return { plane, fn, seq: message.seq, time: message.time, rev, prev, epoch, writer, version, digest, count, causes }
}

/** The commits of a unit that are kept, oldest first. */
export const commitsOf = async (bus: Bus, plane: string, fn: string): Promise<readonly CommitAt[]> =>
  (await stateOf(bus, "CONFIG", commitSubject(plane, fn), { after: 0 })).map((message) => commitOf(message, { plane, fn }))

export const readAcks = async (bus: Bus): Promise<readonly Ack[]> =>
  (await stateOf(bus, "APPLIED", "applied.>")).flatMap((message) => {
    const applied = appliedIn(message)
    return applied === undefined ? [] : [{ applied, time: message.time }]
  })

/** One version of an object. */
export interface Edit {
  readonly kind: string
  readonly key: string
  readonly seq: number
  /** When the bus stored it, ms. */
  readonly time: number
  readonly isDeleted: boolean
  readonly file: string
  readonly version: string
  readonly generation: number | undefined
  readonly writer: string
  readonly body: string
}

export const editOf = (message: Message): Edit | undefined => {
  const parsed = parseSubject(message.subject)
  if (parsed?.is !== "resource") return undefined
  const { headers, seq, time, data } = message
  return {
    kind: parsed.kind, key: parsed.key, seq, time, isDeleted: isDeleted(headers), file: decodeHeader(headers[header.source] ?? ""), version: headers[header.version] ?? "",
    generation: numberHeader(headers, header.generation), writer: headers[header.writer] ?? "", body: utf8.decode(data),
  }
}

/** The versions of an object that are kept, oldest first. */
export const editsOf = async (bus: Bus, kind: string, key: string): Promise<readonly Edit[]> =>
  (await stateOf(bus, "RESOURCES", resourceSubject(kind, key), { after: 0 })).flatMap((message) => editOf(message) ?? [])

/** `<kind>/<key>@<seq>` of a commit or an entry, and what is there. */
export interface Cause {
  readonly text: string
  readonly kind: string
  readonly key: string
  readonly seq: number
  readonly is:
    | { readonly of: "edit"; readonly edit: Edit }
    /** An entry of a function in another process. */
    | { readonly of: "commit"; readonly commit: CommitAt }
    | { readonly of: "ack"; readonly pod: string; readonly time: number }
    | { readonly of: "gone" }
}

/** What a cause names; undefined for what is none (`…`: there are more). */
export const resolveCause = async (bus: Bus, text: string): Promise<Cause | undefined> => {
  const found = /^([^/@]+)\/(.*)@(\d+)$/.exec(text)
  if (found === null) return undefined
  const [, kind = "", key = "", digits = "0"] = found
  const cause = { text, kind, key, seq: Number(digits) }
  const gone: Cause = { ...cause, is: { of: "gone" } }
  if (kindByName("RESOURCES", kind) !== undefined) {
    const message = await bus.at("RESOURCES", cause.seq)
    const edit = message && editOf(message)
    // Of a store that was made anew the number may be another's.
    return edit?.kind === kind && edit.key === key ? { ...cause, is: { of: "edit", edit } } : gone
  }
  if (kind === "applied") {
    const message = await bus.at("APPLIED", cause.seq)
    const applied = message && appliedIn(message)
    return message !== undefined && applied !== undefined ? { ...cause, is: { of: "ack", pod: `${applied.plane}/${applied.pod}`, time: message.time } } : gone
  }
  const message = await bus.at("CONFIG", cause.seq)
  const parsed = message && parseSubject(message.subject)
  return message !== undefined && parsed?.is === "commit" ? { ...cause, is: { of: "commit", commit: commitOf(message, parsed) } } : gone
}
