/**
 * Σ SHA-256(subject ‖ 0 ‖ body) mod 2²⁵⁶ over a unit's entries: order does not matter, and a change costs the hashes
 * of what changed. Guards against loss and mix-ups, not against a forger: writers are authenticated by NATS.
 */
import { hash } from "node:crypto"

const LANES = 16

export class Digest {
  /**
   * The sum in 16 lanes of 16 bits, most significant first; carries wait until `hex`, so a removal is a subtraction.
   * Exact as long as fewer than 2³⁷ additions and removals happened, which no unit reaches.
   */
  readonly #lanes: Float64Array
  #count: number

  constructor(from?: Digest) {
    this.#lanes = from === undefined ? new Float64Array(LANES) : new Float64Array(from.#lanes)
    this.#count = from === undefined ? 0 : from.#count
  }

  /** The digest that `hex` and `count` have told of. */
  static parse(hex: string, count: number): Digest {
    const digest = new Digest()
    for (let i = 0; i < LANES; i++) digest.#lanes[i] = Number.parseInt(hex.slice(4 * i, 4 * i + 4), 16)
    digest.#count = count
    return digest
  }

  /** Entries in the sum. */
  get count(): number {
    return this.#count
  }

  /** Accounts for an entry going from one body to another; undefined is absent. */
  change(subject: string, before: string | undefined, after: string | undefined): void {
    if (before === after) return
    if (before !== undefined) this.#sum(subject, before, -1)
    if (after !== undefined) this.#sum(subject, after, 1)
  }

  #sum(subject: string, body: string, sign: 1 | -1): void {
    // One character a byte: half the cost of a Buffer for so short a result.
    const sha = hash("sha256", `${subject}\0${body}`, "binary")
    const lanes = this.#lanes
    for (let i = 0; i < LANES; i++) lanes[i] = (lanes[i] ?? 0) + sign * ((sha.charCodeAt(2 * i) << 8) | sha.charCodeAt(2 * i + 1))
    this.#count += sign
  }

  hex(): string {
    const lanes = this.#lanes
    let carry = 0
    let hex = ""
    for (let i = LANES - 1; i >= 0; i--) {
      const value = (lanes[i] ?? 0) + carry
      carry = Math.floor(value / 65536)
      lanes[i] = value - carry * 65536
      hex = (value - carry * 65536).toString(16).padStart(4, "0") + hex
    }
    return hex
  }
}
