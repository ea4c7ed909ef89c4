/**
 * A checkpoint is the folded state of the log at one point: a state text, compressed, in messages of at most 480 KiB,
 * then a head that names them and says up to which message of each stream it goes. A head is stored last, so that a
 * checkpoint whose head is there is whole, and everything in it was stored before its head.
 */
import { isAscii } from "node:buffer"
import { promisify } from "node:util"
import { constants, zstdCompress, zstdDecompress } from "node:zlib"
import type { Bus, Message } from "../bus.ts"
import { bodyText } from "../envelope.ts"
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
  /** Bytes of the state text. */
  readonly raw: number
  /** Sequences of the chunks in CHECKPOINTS. */
  readonly chunks: readonly number[]
}

export interface StoredCheckpoint {
  readonly head: CheckpointHead
  /** When its head was stored: nothing in it is later. */
  readonly time: number
}

/** Five texts with their lengths before them, so that a record is passed over without being read. */
const record = (what: "r" | "e" | "a", ...texts: readonly [subject: string, a: string, b: string, c: string, body: string]): string => `${what}${texts.map(({ length }) => length).join(" ")}\n${texts.join("")}\n`

/** One record a resource, entry and ack; each sort by subject. */
const textOf = ({ resources, units, acks }: PastState): string => {
  const sorted = <T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  const records: string[] = []
  // Nearly all of them are as the checkpoint before had them.
  const put = <T extends object>(value: T, written: (value: T) => string): void => void records.push(value instanceof StoredRecord ? value.written : written(value))
  for (const [subject, resource] of sorted(resources)) put(resource, ({ seq, time, headers, body }) => record("r", subject, String(seq), String(time), JSON.stringify(headers), body))
  for (const [key, { entries }] of sorted(units)) for (const [subject, entry] of sorted(entries)) put(entry, ({ causes, body }) => record("e", subject, key, "", causes, body))
  for (const [subject, ack] of sorted(acks)) put(ack, ({ seq, time, body }) => record("a", subject, String(seq), String(time), "", body))
  return records.join("")
}

/** A record where it stands: of 40,000 that are loaded few are looked at. */
class StoredRecord implements PastResource, PastAck, PastEntry {
  readonly #text: string
  readonly #start: number
  /** Where the five texts begin, and the last ends. */
  readonly #from: number
  readonly #a: number
  readonly #b: number
  readonly #c: number
  readonly #body: number
  readonly end: number

  constructor(text: string, start: number, from: number, a: number, b: number, c: number, body: number, end: number) {
    this.#text = text
    this.#start = start
    this.#from = from
    this.#a = a
    this.#b = b
    this.#c = c
    this.#body = body
    this.end = end
  }

  /** The whole of it. */
  get written(): string {
    return this.#text.slice(this.#start, this.end + 1)
  }

  get subject(): string {
    return this.#text.slice(this.#from, this.#a)
  }

  /** Of an entry: whether it is of the unit with this key. */
  isOf(key: string): boolean {
    return this.#b - this.#a === key.length && this.#text.startsWith(key, this.#a)
  }

  get key(): string {
    return this.#text.slice(this.#a, this.#b)
  }

  get seq(): number {
    return Number(this.#text.slice(this.#a, this.#b))
  }

  get time(): number {
    return Number(this.#text.slice(this.#b, this.#c))
  }

  get headers(): Readonly<Record<string, string>> {
    const value: unknown = JSON.parse(this.#text.slice(this.#c, this.#body))
    return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).map(([name, of]) => [name, String(of)])) : {}
  }

  get causes(): string {
    return this.#text.slice(this.#c, this.#body)
  }

  get body(): string {
    return this.#text.slice(this.#body, this.end)
  }
}

/** The record at a position of the text. */
const recordAt = (text: string, start: number): StoredRecord => {
  let at = start + 1
  const length = (): number => {
    let value = 0
    for (let digit = text.charCodeAt(at++); digit >= 48; digit = text.charCodeAt(at++)) value = 10 * value + digit - 48
    return value
  }
  const [subject, a, b, c, body] = [length(), length(), length(), length(), length()]
  return new StoredRecord(text, start, at, at + subject, at + subject + a, at + subject + a + b, at + subject + a + b + c, at + subject + a + b + c + body)
}

/** A state that goes on from a checkpoint: maps of its own. */
export interface MutableState {
  readonly resources: Map<string, PastResource>
  readonly units: Map<string, PastUnit & { readonly entries: Map<string, PastEntry> }>
  readonly acks: Map<string, PastAck>
}

/** Stores a checkpoint of `state`; resolves with what it weighs. Rejects with BusError. */
export const storeCheckpoint = async (bus: Bus, state: PastState, head: Omit<CheckpointHead, "schema" | "units" | "records" | "raw" | "chunks">): Promise<{ readonly bytes: number; readonly raw: number }> => {
  const text = Buffer.from(textOf(state))
  const packed = await compress(text, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 } })
  const chunks: number[] = []
  for (let at = 0; at < packed.length; at += MAX_BODY) chunks.push((await bus.publish({ subject: CHUNK, data: packed.subarray(at, at + MAX_BODY) })).seq)
  const units = [...state.units.values()].map(({ unit, commit, seq, time }) => ({ unit, commit, seq, time }))
  const records = state.resources.size + state.acks.size + [...state.units.values()].reduce((sum, { entries }) => sum + entries.size, 0)
  const body: CheckpointHead = { schema: 1, ...head, units, records, raw: text.length, chunks }
  await bus.publish({ subject: HEAD, data: JSON.stringify(body) })
  return { bytes: packed.length, raw: text.length }
}

/** The state of a checkpoint; undefined when a piece of it is no longer kept. */
export const loadCheckpoint = async (bus: Bus, { units, raw, chunks }: CheckpointHead): Promise<MutableState | undefined> => {
  const found = await Promise.all(chunks.map((seq) => bus.at("CHECKPOINTS", seq)))
  if (!found.every((chunk) => chunk !== undefined)) return undefined
  // In one piece: put together from many it would take as long again.
  const bytes = await decompress(Buffer.concat(found.map(({ data }) => data)), { chunkSize: Math.max(raw, 64) })
  // Nearly always, and read in a fraction of the time.
  const text = isAscii(bytes) ? bytes.toString("latin1") : bytes.toString("utf8")
  const state: MutableState = { resources: new Map(), units: new Map(), acks: new Map() }
  for (const { unit, commit, seq, time } of units) state.units.set(unitKey(unit), { unit, commit, seq, time, entries: new Map<string, PastEntry>() })
  /** Entries of a unit stand together. */
  let key = ""
  let entries: Map<string, PastEntry> | undefined
  for (let at = 0; at < text.length; ) {
    const what = text[at]
    const stored = recordAt(text, at)
    at = stored.end + 1
    if (what === "r") state.resources.set(stored.subject, stored)
    else if (what === "a") state.acks.set(stored.subject, stored)
    else {
      if (entries === undefined || !stored.isOf(key)) entries = state.units.get((key = stored.key))?.entries
      entries?.set(stored.subject, stored)
    }
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
  const value: unknown = JSON.parse(bodyText(message.data))
  return isHead(value) ? { head: value, time: message.time } : undefined
}
