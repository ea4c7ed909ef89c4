/** The headers that travel beside a canonical body; a reader may act on them without reading it. */
import type { Headers } from "./bus.ts"

export const header = {
  kind: "Hg-Kind",
  key: "Hg-Key",
  uid: "Hg-Uid",
  /** resourceVersion, or the hash of the document in file mode. */
  version: "Hg-Version",
  generation: "Hg-Generation",
  /** `1`: a tombstone; the body is empty. */
  deleted: "Hg-Deleted",
  /** When the outside changed, RFC 3339 with milliseconds. */
  time: "Hg-Time",
  rev: "Hg-Rev",
  epoch: "Hg-Epoch",
  writer: "Hg-Writer",
  /** Comma-separated, as in a commit's rows. */
  causes: "Hg-Causes",
  /** File a resource came from, relative to the folder its adapter watches. */
  source: "Hg-Source",
  traceparent: "traceparent",
  /** Of a commit's copy in HISTORY: the sequence, time (ms) and incarnation that the commit has in CONFIG. */
  seq: "Hg-Seq",
  stored: "Hg-Stored",
  incarnation: "Hg-Incarnation",
} as const

/** Headers carry printable ASCII; keys and file names may hold anything. */
export const encodeHeader = (text: string): string => (/^[\x21-\x24\x26-\x7e]*$/.test(text) ? text : encodeURIComponent(text.toWellFormed()))
export const decodeHeader = (value: string): string => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

export const isDeleted = (headers: Headers): boolean => headers[header.deleted] === "1"

/** A header as a whole number, or undefined when absent or not one. */
export const numberHeader = (headers: Headers, name: string): number | undefined => {
  const text = headers[name]
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** A body as text; it is not copied first. */
export const bodyText = (data: Uint8Array): string => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8")
