/**
 * The body of a commit and of its parts, as bytes. Decoding trusts nothing but UTF-8 (the gateway imports this, so
 * plain checks, no Schema), and leaves what it does not know aside: a later version may add fields.
 */
import { bodyText } from "../envelope.ts"
import { encodeToken } from "../subject.ts"
import type { Commit, CommitHead, Row, UnitId } from "./unit.ts"

/** A diff above this goes into parts of at most this, unless one row alone is larger. Bytes. */
export const PART_BYTES = 256 * 1024

/** Most causes a commit or a row carries; the rest is "…". */
const MAX_CAUSES = 64

export const unitKey = ({ plane, fn }: UnitId): string => `${encodeToken(plane)}.${encodeToken(fn)}`
export const planeFilter = (plane: string): string => `config.${encodeToken(plane)}.>`
/** All parts of a unit, for purging. */
export const partFilter = ({ plane, fn }: UnitId): string => `config.${encodeToken(plane)}.part.${encodeToken(fn)}.*`

export const limitCauses = (causes: readonly string[]): readonly string[] => (causes.length > MAX_CAUSES ? [...causes.slice(0, MAX_CAUSES), "…"] : causes)

/** Rows as JSON arrays of at most `limit` bytes each (one row at least); none for no rows. */
export const chunkRows = (rows: readonly Row[], limit = PART_BYTES): string[] => {
  const chunks: string[] = []
  let chunk: string[] = []
  let bytes = 2
  for (const row of rows) {
    const text = JSON.stringify(row)
    const size = Buffer.byteLength(text) + 1
    if (bytes + size > limit && chunk.length > 0) {
      chunks.push(`[${chunk.join(",")}]`)
      chunk = []
      bytes = 2
    }
    chunk.push(text)
    bytes += size
  }
  if (chunk.length > 0) chunks.push(`[${chunk.join(",")}]`)
  return chunks
}

/** `rest` is the encoded diff (a chunk of `chunkRows`), or where its parts are. */
export const encodeCommit = (head: CommitHead, rest: { readonly diff: string } | { readonly parts: NonNullable<Commit["parts"]> }): string => {
  const { rev, prev, epoch, writer, version, digest, count, causes } = head
  const text = JSON.stringify({ rev, prev, epoch, writer, version, digest, count, causes })
  return `${text.slice(0, -1)},${"diff" in rest ? `"diff":${rest.diff}` : `"parts":${JSON.stringify(rest.parts)}`}}`
}

/** Throws TypeError or SyntaxError saying what is wrong. */
export const decodeCommit = (data: Uint8Array): Commit => {
  const value: unknown = JSON.parse(bodyText(data))
  if (!isRecord(value)) throw new TypeError("a commit is not an object")
  const { digest, diff, parts } = value
  if (typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest)) throw new TypeError("a commit's digest is not 64 hexadecimal digits")
  const head: CommitHead = {
    rev: whole(value, "rev"), prev: whole(value, "prev"), epoch: whole(value, "epoch"), count: whole(value, "count"),
    writer: string(value, "writer"), version: string(value, "version"), digest, causes: strings(value["causes"]),
  }
  if ((diff === undefined) === (parts === undefined)) throw new TypeError("a commit has either a diff or parts")
  if (diff !== undefined) return { ...head, diff: checkRows(diff) }
  if (!Array.isArray(parts) || parts.length === 0) throw new TypeError("a commit's parts are not a list")
  return { ...head, parts: parts.map((part: unknown) => {
    if (!isRecord(part)) throw new TypeError("a commit's part is not an object")
    return { k: whole(part, "k"), seq: whole(part, "seq") }
  }) }
}

/** The body of a part. Throws as decodeCommit does. */
export const decodeRows = (data: Uint8Array): readonly Row[] => checkRows(JSON.parse(bodyText(data)))

export const headOf = ({ rev, prev, epoch, writer, version, digest, count, causes }: CommitHead): CommitHead => ({ rev, prev, epoch, writer, version, digest, count, causes })

/** The first subject a unit of this plane may not hold, if any: another plane's, a commit's or a part's. */
export const strayRow = (plane: string, rows: readonly Row[]): string | undefined => {
  const prefix = `config.${encodeToken(plane)}.`
  return rows.find(([subject]) => !isEntryOf(prefix, subject))?.[0]
}

const isEntryOf = (prefix: string, subject: string): boolean =>
  subject.startsWith(prefix) && !subject.startsWith("commit.", prefix.length) && !subject.startsWith("part.", prefix.length)


const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

const whole = (record: Record<string, unknown>, name: string): number => {
  const value = record[name]
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new TypeError(`a commit's ${name} is not a whole number`)
  return value
}

const string = (record: Record<string, unknown>, name: string): string => {
  const value = record[name]
  if (typeof value !== "string") throw new TypeError(`a commit's ${name} is not text`)
  return value
}

const isString = (value: unknown): value is string => typeof value === "string"

const strings = (value: unknown): readonly string[] => {
  if (!Array.isArray(value) || !value.every(isString)) throw new TypeError("causes are not a list of texts")
  return value
}

const checkRows = (value: unknown): readonly Row[] => {
  if (!Array.isArray(value)) throw new TypeError("rows are not a list")
  if (!value.every(isRow)) throw new TypeError("a row is not [subject, body or null, causes]")
  return value
}

const isRow = (value: unknown): value is Row => {
  if (!Array.isArray(value)) return false
  const [subject, body, causes, triggers = []]: unknown[] = value
  return typeof subject === "string" && (body === null || typeof body === "string") && [causes, triggers].every((refs) => Array.isArray(refs) && refs.every(isString))
}
