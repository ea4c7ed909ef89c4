/** Bodies whose octets can be told apart. */
import { createHash } from "node:crypto"

/** Octet i is a function of i and the seed, so an octet of another place or message shows. */
export const pattern = (seed: number, size: number): Buffer => {
  const out = Buffer.allocUnsafe(size)
  let state = seed >>> 0
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    out[i] = state >>> 24
  }
  return out
}

export const digest = (data: Buffer): string => createHash("sha256").update(data).digest("hex")
