/** What a parser understood of the octets of one connection, in one direction: the form in which parsers are compared. */

import { OTHER, fieldKind } from "../../gateway/http1/field.ts"

export interface Case {
  readonly kind: "request" | "response"
  /** latin1: one character an octet. Then the connection ends. */
  readonly text: string
  /** For responses: the methods of the requests they answer, the last one repeated. */
  readonly methods: readonly string[]
}

export interface Message {
  /** `GET /a 1.1` or `200 1.1` */
  readonly start: string
  /** Name and value as sent, without the whitespace around the value. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Fields of the trailer section. */
  trailers: readonly (readonly [name: string, value: string])[]
  /** Decoded, latin1; as far as it came when the message is not complete. */
  body: string
  /** Where the message ends; -1: not complete. */
  end: number
  isPersistent: boolean
}

export type Ending =
  /** Nothing wrong so far: what came is whole messages and perhaps the beginning of one. */
  | { readonly kind: "open"; readonly isInBody: boolean }
  /** The last message ends the connection's use; what follows was not looked at. */
  | { readonly kind: "closed" }
  /** CONNECT or 101: what follows is no HTTP. `end` of the last message is the end of its head. */
  | { readonly kind: "tunnel" }
  | { readonly kind: "refused"; readonly isInBody: boolean; readonly reason: string }

export interface Transcript {
  /** All whose head is complete. */
  readonly messages: readonly Message[]
  readonly ending: Ending
}

/** Where two transcripts part; null: nowhere. */
export interface Parting {
  /** Index of the message. */
  readonly index: number
  /** Where in the text that message starts. */
  readonly at: number
  readonly what: "ours refuses" | "theirs refuses" | "ending" | "start" | "fields" | "trailers" | "body" | "end" | "persistence"
}

export const parting = (ours: Transcript, theirs: Transcript): Parting | null => {
  let at = 0
  for (let index = 0; ; index++) {
    const mine = ours.messages[index]
    const other = theirs.messages[index]
    if (mine === undefined && other === undefined) return sameEnding(ours.ending, theirs.ending) ? null : { index, at, what: refusing(ours, theirs) }
    if (mine === undefined || other === undefined) return { index, at, what: refusing(ours, theirs) }
    const what = differing(mine, other)
    if (what === "body" && (mine.end < 0 || other.end < 0)) return { index, at, what: sooner(mine, isRefusedAt(ours, index), other, isRefusedAt(theirs, index)) }
    if (what !== null && mine.end >= 0 === other.end >= 0) return { index, at, what }
    if (mine.end < 0 || other.end < 0) return what === null && sameEnding(ours.ending, theirs.ending) ? null : { index, at, what: refusing(ours, theirs) }
    at = mine.end
  }
}

const isRefusedAt = ({ messages, ending }: Transcript, index: number): boolean => index === messages.length - 1 && ending.kind === "refused"

/** Bodies of which at least one is not complete differ: because one was refused, or both and one sooner? */
const sooner = (mine: Message, isMineRefused: boolean, other: Message, isOtherRefused: boolean): Parting["what"] => {
  if (isMineRefused && (!isOtherRefused || mine.body.length < other.body.length)) return "ours refuses"
  return isOtherRefused ? "theirs refuses" : "body"
}

const refusing = (ours: Transcript, theirs: Transcript): Parting["what"] => {
  if (ours.ending.kind === "refused" && (theirs.ending.kind !== "refused" || isBefore(ours, theirs))) return "ours refuses"
  if (theirs.ending.kind === "refused" && (ours.ending.kind !== "refused" || isBefore(theirs, ours))) return "theirs refuses"
  return "ending"
}

/** `a` got less far than `b`. */
const isBefore = (a: Transcript, b: Transcript): boolean => progress(a) < progress(b)

const progress = ({ messages, ending }: Transcript): number => messages.length * 2 - (ending.kind === "refused" && ending.isInBody ? 1 : 0)

const sameEnding = (a: Ending, b: Ending): boolean => a.kind === b.kind && ("isInBody" in a ? a.isInBody : null) === ("isInBody" in b ? b.isInBody : null)

const differing = (a: Message, b: Message): Parting["what"] | null => {
  if (a.start !== b.start) return "start"
  if (!sameFields(a.fields, b.fields)) return "fields"
  if (a.body !== b.body) return "body"
  if (a.end !== b.end) return "end"
  if (!sameFields(a.trailers, b.trailers.filter(goesOn))) return "trailers"
  return a.isPersistent === b.isPersistent ? null : "persistence"
}

/** Ours leaves out of a trailer section what it acts on in a head (RFC 9110 §6.5.1). */
const goesOn = ([name]: readonly [string, string]): boolean => fieldKind(Buffer.from(name, "latin1"), 0, name.length) === OTHER

const sameFields = (a: Message["fields"], b: Message["fields"]): boolean => a.length === b.length && a.every(([name, value], i) => name === b[i]?.[0] && value === b[i]?.[1])

/** At least one whole message, and nothing refused. */
export const isAccepted = ({ messages, ending }: Transcript): boolean => ending.kind !== "refused" && (messages[0]?.end ?? -1) >= 0
