/**
 * The dynamic table (RFC 7541 §2.3.2, §4): a ring of which the newest entry has index 1. Every entry also has a number
 * that stays while it lives: the first one inserted is 1.
 */
import { FIELD_OVERHEAD } from "../field-list.ts"

const FIRST_SLOTS = 16

export class DynamicTable {
  /** Number of the newest entry. */
  newest = 0
  count = 0
  /** §4.1 */
  octets = 0
  #maximum: number
  #mask = FIRST_SLOTS - 1
  #names: string[] = Array<string>(FIRST_SLOTS).fill("")
  #values: string[] = Array<string>(FIRST_SLOTS).fill("")
  #kinds: number[] = Array<number>(FIRST_SLOTS).fill(0)

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  get maximum(): number {
    return this.#maximum
  }

  /** Number of the oldest entry; newest + 1 when there is none. */
  get oldest(): number {
    return this.newest - this.count + 1
  }

  /** §4.3 */
  resize(maximum: number): void {
    this.#maximum = maximum
    this.#evict(maximum)
  }

  /** §4.4: an entry that does not fit at all empties the table; false. */
  insert(name: string, value: string, kind: number): boolean {
    const size = name.length + value.length + FIELD_OVERHEAD
    if (size > this.#maximum) {
      this.#evict(0)
      return false
    }
    this.#evict(this.#maximum - size)
    if (this.count > this.#mask) this.#grow()
    const slot = ++this.newest & this.#mask
    this.#names[slot] = name
    this.#values[slot] = value
    this.#kinds[slot] = kind
    this.count++
    this.octets += size
    return true
  }

  name(number: number): string {
    return this.#names[number & this.#mask] ?? ""
  }

  value(number: number): string {
    return this.#values[number & this.#mask] ?? ""
  }

  kind(number: number): number {
    return this.#kinds[number & this.#mask] ?? 0
  }

  #evict(allowed: number): void {
    while (this.octets > allowed) {
      const slot = this.oldest & this.#mask
      this.octets -= this.name(slot).length + this.value(slot).length + FIELD_OVERHEAD
      this.#names[slot] = this.#values[slot] = ""
      this.count--
    }
  }

  /** Entries take 32 octets at least, so that there are maximum / 32 slots at most. */
  #grow(): void {
    const size = 2 * (this.#mask + 1)
    const names = Array<string>(size).fill("")
    const values = Array<string>(size).fill("")
    const kinds = Array<number>(size).fill(0)
    for (let number = this.oldest; number <= this.newest; number++) {
      const slot = number & (size - 1)
      names[slot] = this.name(number)
      values[slot] = this.value(number)
      kinds[slot] = this.kind(number)
    }
    this.#names = names
    this.#values = values
    this.#kinds = kinds
    this.#mask = size - 1
  }
}
