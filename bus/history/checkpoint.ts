/**
 * A checkpoint is the folded state of the log at one point: a state text, compressed, in messages of at most 480 KiB,
 * then a head that names them and says up to which message of each stream it goes. A head is stored last, so that a
 * checkpoint whose head is there is whole, and everything in it was stored before its head.
 */
import { promisify } from "node:util"
import { constants, zstdCompress, zstdDecompress } from "node:zlib"
import type { Bus, Message } from "../bus.ts"
import { unitKey } from "../unit/commit.ts"
import { MAX_BODY, type CommitHead, type UnitId } from "../unit/unit.ts"
import { readLog } from "./read.ts"
import type { PastAck, PastEntry, PastResource, PastState, PastUnit } from "./state.ts"

const HEAD = "checkpoint.head"
const CHUNK = "checkpoint.chunk"
const LEVEL = 3

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

export interface CheckpointHead {
  readonly schema: 1
  /** Incarnations of what it was read from. */
  readonly incarnations: Readonly<Record<"RESOURCES" | "CONFIG" | "APPLIED" | "HISTORY", string>>
  /** The last message of each stream that is in it; of HISTORY, one after which every copy of a later commit comes. */
  readonly positions: Readonly<Record<"RESOURCES" | "HISTORY" | "APPLIED", number>>
  readonly units: readonly { readonly unit: UnitId; readonly commit: CommitHead; readonly seq: number; readonly time: number }[]
  /** Messages missing in the middle of the history of resources when it was made. */
  readonly missing: number
  /** Resources, entries and acks in it. */
  readonly records: number
  /** Sequences of the chunks in CHECKPOINTS. */
  readonly chunks: readonly number[]
}

export interface StoredCheckpoint {
  readonly head: CheckpointHead
  /** When its head was stored: nothing in it is later. */
  readonly time: number
}

/** Texts with their lengths before them, so that a record is skipped without being read. */
const record = (...texts: readonly string[]): string => `${texts.map(({ length }) => length).join(" ")}\n${texts.join("")}\n`

/** One record a resource, entry and ack; each sort by subject. */
const textOf = ({ resources, units, acks }: PastState): string => {
  const sorted = <T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  const records: string[] = []
  for (const [subject, { seq, time, headers, body }] of sorted(resources)) records.push(record("r", subject, String(seq), String(time), JSON.stringify(headers), body))
  for (const [key, { entries }] of sorted(units)) for (const [subject, { causes, body }] of sorted(entries)) records.push(record("e", subject, key, "", causes, body))
  for (const [subject, { seq, time, body }] of sorted(acks)) records.push(record("a", subject, String(seq), String(time), "", body))
  return records.join("")
}

function* recordsOf(text: string): Generator<readonly [what: string, subject: string, string, string, string, body: string]> {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at)
    const lengths = text.slice(at, end).split(" ")
    at = end + 1
    const next = (i: number): string => text.slice(at, (at += Number(lengths[i])))
    yield [next(0), next(1), next(2), next(3), next(4), next(5)]
    at++
  }
}

const readHeaders = (text: string): Readonly<Record<string, string>> => {
  const value: unknown = JSON.parse(text)
  return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).map(([name, of]) => [name, String(of)])) : {}
}

/** A state that goes on from a checkpoint: maps of its own. */
export interface MutableState {
  readonly resources: Map<string, PastResource>
  readonly units: Map<string, PastUnit & { readonly entries: Map<string, PastEntry> }>
  readonly acks: Map<string, PastAck>
}

/** Headers are parsed when they are looked at. */
class StoredResource implements PastResource {
  readonly subject: string
  readonly seq: number
  readonly time: number
  readonly body: string
  readonly #headers: string

  constructor(subject: string, seq: number, time: number, headers: string, body: string) {
    this.subject = subject
    this.seq = seq
    this.time = time
    this.body = body
    this.#headers = headers
  }

  get headers(): Readonly<Record<string, string>> {
    return readHeaders(this.#headers)
  }
}

/** Stores a checkpoint of `state`; resolves with what it weighs. Rejects with BusError. */
export const storeCheckpoint = async (bus: Bus, state: PastState, head: Omit<CheckpointHead, "schema" | "units" | "records" | "chunks">): Promise<{ readonly bytes: number; readonly raw: number }> => {
  const text = Buffer.from(textOf(state))
  const packed = await compress(text, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 } })
  const chunks: number[] = []
  for (let at = 0; at < packed.length; at += MAX_BODY) chunks.push((await bus.publish({ subject: CHUNK, data: packed.subarray(at, at + MAX_BODY) })).seq)
  const units = [...state.units.values()].map(({ unit, commit, seq, time }) => ({ unit, commit, seq, time }))
  const records = state.resources.size + state.acks.size + [...state.units.values()].reduce((sum, { entries }) => sum + entries.size, 0)
  const body: CheckpointHead = { schema: 1, ...head, units, records, chunks }
  await bus.publish({ subject: HEAD, data: JSON.stringify(body) })
  return { bytes: packed.length, raw: text.length }
}

/** The state of a checkpoint; undefined when a piece of it is no longer kept. */
export const loadCheckpoint = async (bus: Bus, { units, chunks }: CheckpointHead): Promise<MutableState | undefined> => {
  const found = await Promise.all(chunks.map((seq) => bus.at("CHECKPOINTS", seq)))
  if (!found.every((chunk) => chunk !== undefined)) return undefined
  const text = (await decompress(Buffer.concat(found.map(({ data }) => data)))).toString("utf8")
  const state: MutableState = { resources: new Map(), units: new Map(), acks: new Map() }
  const keyOf = new Map(units.map(({ unit, commit, seq, time }) => [unitKey(unit), { unit, commit, seq, time, entries: new Map<string, PastEntry>() }]))
  for (const [key, unit] of keyOf) state.units.set(key, unit)
  for (const [what, subject, a, b, c, body] of recordsOf(text)) {
    if (what === "r") state.resources.set(subject, new StoredResource(subject, Number(a), Number(b), c, body))
    else if (what === "e") keyOf.get(a)?.entries.set(subject, { body, causes: c })
    else state.acks.set(subject, { subject, seq: Number(a), time: Number(b), body })
  }
  return state
}

/** The newest head stored up to `time`, of whatever incarnation. */
export const lastHead = async (bus: Bus, time: number): Promise<StoredCheckpoint | undefined> => {
  if (time === Infinity) return headOf(await bus.last("CHECKPOINTS", HEAD))
  const { messages } = await bus.asOf("CHECKPOINTS", [HEAD], { time })
  return headOf(messages[0])
}

/** Heads in the order they were stored, until one is `enough`. */
export const firstHead = async (bus: Bus, enough: (found: StoredCheckpoint) => boolean): Promise<StoredCheckpoint | undefined> => {
  let first: StoredCheckpoint | undefined
  await readLog(bus, "CHECKPOINTS", HEAD, { after: 0 }, (message) => {
    const found = headOf(message)
    if (found === undefined || !enough(found)) return undefined
    first = found
    return "enough"
  })
  return first
}

const isHead = (value: unknown): value is CheckpointHead => typeof value === "object" && value !== null && "schema" in value && value.schema === 1 && "chunks" in value && Array.isArray(value.chunks)

const headOf = (message: Message | undefined): StoredCheckpoint | undefined => {
  if (message === undefined) return undefined
  const value: unknown = JSON.parse(Buffer.from(message.data).toString("utf8"))
  return isHead(value) ? { head: value, time: message.time } : undefined
}
