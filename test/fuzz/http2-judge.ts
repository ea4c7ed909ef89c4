/**
 * The verdict about what a client of HTTP/2 said: our server and Node's understood it alike, or part in a way that is
 * listed here with the section that is on our side. nghttp2 ends a connection where a stream would do (§5.4.2 allows it),
 * and tells late of streams of a connection that fails: so of a case with a fault only that is compared which both told.
 */
import { isDeepStrictEqual } from "node:util"
import { FRAME_HEAD_OCTETS, ACK, CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, SETTINGS } from "../../gateway/http2/frame.ts"
import { hasLongInteger } from "./hpack-integers.ts"
import type { Heard, HeardStream } from "./http2-heard.ts"
import { ourHeard, type OurHeard } from "./http2-ours.ts"
import { theirHeard } from "./http2-theirs.ts"

export interface Parting {
  readonly name: string
  readonly rule: string
}

/** What we refuse and nghttp2 does not: by the reason we give. */
const stricter: ReadonlyMap<string, Parting> = new Map(
  ([
    ["field-name", "a field's name is no token in lower case", "RFC 9113 §8.2.1: malformed; nghttp2, as Node uses it, leaves the field out"],
    ["field-value", "a field's value has controls, or whitespace around it", "RFC 9113 §8.2.1, RFC 9110 §5.5: malformed; nghttp2 leaves the field out"],
    ["method", "the method is no token, or longer than 32 octets", "RFC 9110 §9.1; no registered method has more than 17"],
    ["path", "the path is empty, does not begin with a slash, or has octets no target has", "RFC 9113 §8.3.1, RFC 9112 §3.2"],
    ["scheme", "a scheme that is not http or https", "RFC 9110 §4.2, §7.4: a gateway is origin for these two"],
    ["host", "Host and :authority differ, or Host comes twice", "RFC 9113 §8.3.1"],
    ["content-length", "a Content-Length of more than 15 digits", "RFC 9110 §8.6: no loss of precision"],
    ["connect", "CONNECT", "RFC 9110 §9.3.6: a gateway has none: 501"],
    ["trailers", "trailers with such a field", "RFC 9113 §8.1, §8.2.1; nghttp2 leaves it out"],
    ["STREAM_CLOSED", "a frame of a stream that the client has reset, or that a higher one has closed", "RFC 9113 §5.1, §5.1.1: STREAM_CLOSED; nghttp2 ignores it"],
    ["stream identifier below an earlier one", "HEADERS with a number below an earlier one", "RFC 9113 §5.1.1: PROTOCOL_ERROR; nghttp2 ignores it"],
    ["SETTINGS", "a setting out of bounds before another of its identifier", "RFC 9113 §6.5.3: settings are processed in their order; nghttp2 looks at the last"],
    ["padding", "padding as long as its frame, on a stream that is over", "RFC 9113 §6.1: PROTOCOL_ERROR; nghttp2 does not look"],
    ["frame of the wrong length", "a padded frame without room for the length of its padding, on a stream that is over", "RFC 9113 §4.2: FRAME_SIZE_ERROR; nghttp2 does not look"],
    ["frame on the wrong stream", "PRIORITY of stream 0", "RFC 9113 §6.3: PROTOCOL_ERROR; nghttp2 ignores it"],
    ["frame longer than announced", "a frame longer than SETTINGS_MAX_FRAME_SIZE, at its head", "RFC 9113 §4.2; nghttp2 waits for more of it"],
  ] as const).map(([reason, name, rule]) => [reason, { name, rule }]),
)

/** A client may say of the server's streams that it takes no more of them (§6.8), and goes on with its own. */
const GONE: Parting = { name: "what a client says after its GOAWAY", rule: "RFC 9113 §6.8: it is about streams the server opens; Node ends the session" }

const LONG: Parting = { name: "an integer of HPACK in more than four octets after its prefix", rule: "RFC 7541 §5.1: the limit is the decoder's; nghttp2 reads five" }

interface Laxer extends Parting {
  readonly is: (frames: readonly FrameHead[], ours: OurHeard, theirs: Heard) => boolean
}

const ENABLE_CONNECT_PROTOCOL = 0x8
const NO_RFC7540_PRIORITIES = 0x9

/** nghttp2 looks at these in trailers as if they were in a head. */
const actedOn = new Set(["content-length", "te", "host"])

/** What nghttp2 refuses and we do not. */
const laxer: readonly Laxer[] = [
  {
    name: "an acknowledgement nobody waits for",
    rule: "RFC 9113 §6.5.3, §6.7: no error; counted as a frame that does nothing",
    is: (frames) => frames.filter(({ type, flags }) => type === SETTINGS && (flags & ACK) !== 0).length > 1 || frames.some(({ type, flags }) => type === PING && (flags & ACK) !== 0),
  },
  {
    name: "a setting of an extension that is neither 0 nor 1",
    rule: "RFC 9113 §6.5.2: unknown settings are ignored; RFC 8441 and RFC 9218 are not spoken here",
    is: (frames) => frames.some(({ settings }) => settings.some(([identifier, value]) => (identifier === ENABLE_CONNECT_PROTOCOL || identifier === NO_RFC7540_PRIORITIES) && value > 1)),
  },
  {
    name: "Content-Length, TE or Host in trailers",
    rule: "RFC 9110 §6.5.1: ignored, and not forwarded",
    is: (_frames, { streams }, { resets, failure }) => failure === null && [...resets.keys()].every((id) => streams.get(id)?.trailers?.some((name, i) => i % 2 === 0 && actedOn.has(name)) === true),
  },
  {
    name: "half a frame or field block at the end, which nghttp2 judges by the half",
    rule: "RFC 9113 §4.3: a field block is decoded as a whole; frames are judged when they are there",
    is: (frames) => {
      const last = frames.at(-1)
      return last?.isWhole === false || ((last?.type === HEADERS || last?.type === CONTINUATION) && (last.flags & END_HEADERS) === 0)
    },
  },
]

interface FrameHead {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly isWhole: boolean
  /** Of a SETTINGS frame. */
  readonly settings: readonly (readonly [identifier: number, value: number])[]
}

const settingsIn = (payload: Buffer): FrameHead["settings"] => Array.from({ length: Math.floor(payload.length / 6) }, (_, i) => [payload.readUInt16BE(6 * i), payload.readUInt32BE(6 * i + 2)])

/** Of the frames; the last may be less than that. */
const headsOf = (octets: Buffer): readonly FrameHead[] => {
  const heads: FrameHead[] = []
  let at = PREFACE.length
  while (at + FRAME_HEAD_OCTETS <= octets.length) {
    const length = octets.readUIntBE(at, 3)
    heads.push({ type: octets[at + 3] ?? 0, flags: octets[at + 4] ?? 0, stream: octets.readUInt32BE(at + 5) & 0x7fff_ffff, isWhole: at + FRAME_HEAD_OCTETS + length <= octets.length, settings: octets[at + 3] === SETTINGS ? settingsIn(octets.subarray(at + FRAME_HEAD_OCTETS, at + FRAME_HEAD_OCTETS + length)) : [] })
    at += FRAME_HEAD_OCTETS + length
  }
  if (at < octets.length) heads.push({ type: -1, flags: 0, stream: 0, isWhole: false, settings: [] })
  return heads
}

/** Why ours refused something: reasons as the list has them. */
const reasonsOf = ({ failure, resets, refusals, streams }: OurHeard): readonly string[] => [
  ...(failure === null ? [] : [failure.slice(failure.indexOf(": ") + 2)]),
  ...refusals.values(),
  ...[...resets].filter(([id]) => !refusals.has(id)).map(([id, code]) => (code === "STREAM_CLOSED" ? code : streams.has(id) ? "trailers" : code)),
]

export interface Verdict {
  readonly ours: OurHeard
  readonly theirs: Heard
  /** Names of differences met. */
  readonly met: readonly string[]
  /** What nothing explains. */
  readonly faults: readonly string[]
  /** Neither found anything wrong. */
  readonly isSound: boolean
}

export const judge = async (octets: Buffer): Promise<Verdict> => {
  const ours = ourHeard(octets)
  const theirs = await theirHeard(octets)
  const faults: string[] = []
  const met: string[] = []
  for (const [id, mine] of ours.streams) {
    const other = theirs.streams.get(id)
    if (other !== undefined) faults.push(...differing(id, mine, other))
  }
  const reasons = reasonsOf(ours)
  const refuse = theirs.failure !== null || theirs.resets.size > 0
  const heads = headsOf(octets)
  const isSound = reasons.length === 0 && !refuse
  if (heads.some(({ type }) => type === GOAWAY)) met.push(GONE.name)
  else if (isSound) faults.push(...missing(ours, theirs))
  else if (!refuse) {
    for (const reason of reasons) {
      const listed = reason === "field block" && hasLongInteger(octets) ? LONG : stricter.get(reason)
      if (listed === undefined) faults.push(`ours alone refuses: ${reason}`)
      else met.push(listed.name)
    }
  } else if (reasons.length === 0) {
    const listed = laxer.find(({ is }) => is(heads, ours, theirs))
    if (listed === undefined) faults.push(`theirs alone refuses: ${theirs.failure ?? [...theirs.resets].join(" ")}`)
    else met.push(listed.name)
  }
  return { ours, theirs, met, faults, isSound }
}

const differing = (id: number, mine: HeardStream, other: HeardStream): readonly string[] => {
  const faults: string[] = []
  if (!isDeepStrictEqual(mine.head, other.head)) faults.push(`stream ${id}: fields`)
  if (!mine.body.startsWith(other.body) && !other.body.startsWith(mine.body)) faults.push(`stream ${id}: content`)
  if (mine.isEnd && other.isEnd && mine.body !== other.body) faults.push(`stream ${id}: where content ends`)
  if (mine.isEnd && other.isEnd && !isDeepStrictEqual(mine.trailers ?? [], other.trailers ?? [])) faults.push(`stream ${id}: trailers`)
  return faults
}

/** Where nothing is wrong, both heard of the same streams, and as much of each. */
const missing = (ours: OurHeard, theirs: Heard): readonly string[] => {
  const faults: string[] = []
  for (const id of new Set([...ours.streams.keys(), ...theirs.streams.keys()])) {
    const mine = ours.streams.get(id)
    const other = theirs.streams.get(id)
    if (mine === undefined || other === undefined) faults.push(`stream ${id}: heard of by ${mine === undefined ? "theirs" : "ours"} alone`)
    // Of a stream that the client has reset Node tells no more.
    else if (!ours.abandoned.has(id) && (mine.isEnd !== other.isEnd || mine.body !== other.body)) faults.push(`stream ${id}: how far it came`)
  }
  return faults
}

export const partings: readonly Parting[] = [...stricter.values(), GONE, LONG, ...laxer]
