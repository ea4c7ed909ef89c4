/** What stands on LEASES under a lease's name: an acquisition, its renewals, its release. */
import { randomUUID } from "node:crypto"
import type { Message } from "../bus.ts"
import { bodyText } from "../envelope.ts"

export interface LeaseRecord {
  readonly holder: string
  /** Of one acquisition. */
  readonly session: string
  /** In an acquisition: the epoch is its sequence, or this + 1 if that is higher. */
  readonly floor: number
  /** In a renewal. */
  readonly epoch?: number
  /** `this`: by this very acquisition. */
  readonly fence: number | "this"
  readonly released: boolean
}

export const fenceOf = (record: LeaseRecord, seq: number): number => (record.fence === "this" ? epochOf(record, seq) : record.fence)
export const epochOf = (record: LeaseRecord, seq: number): number => record.epoch ?? Math.max(seq, record.floor + 1)

/** To be stored after `last`; its epoch will be above that one's and above `above`. */
export const acquisition = (holder: string, above: number, last: Message | undefined, hasExpired: boolean): LeaseRecord => {
  const record = { holder, session: randomUUID(), released: false }
  if (last === undefined) return { ...record, floor: above, fence: 0 }
  const before = readRecord(last)
  if (before === undefined) return { ...record, floor: Math.max(above, last.seq), fence: "this" }
  return { ...record, floor: Math.max(above, epochOf(before, last.seq)), fence: hasExpired ? "this" : fenceOf(before, last.seq) }
}

/** Undefined for what no holder writes: such a record holds nothing. */
export const readRecord = (message: Message): LeaseRecord | undefined => {
  try {
    const value: unknown = JSON.parse(bodyText(message.data))
    if (typeof value !== "object" || value === null) return undefined
    const { holder, session, floor, epoch, fence, released } = Object.fromEntries(Object.entries(value))
    const isFence = fence === "this" || typeof fence === "number"
    if (typeof holder !== "string" || typeof session !== "string" || typeof floor !== "number" || !isFence || typeof released !== "boolean") return undefined
    return { holder, session, floor, fence, released, ...(typeof epoch === "number" ? { epoch } : {}) }
  } catch {
    return undefined
  }
}
