import type { Key, Member } from "../reconcile.ts"

/** Order of keys everywhere in the engine: by UTF-16 code unit, as `<` compares; a locale would differ by machine. */
export const byKey = (a: readonly [Key, ...unknown[]], b: readonly [Key, ...unknown[]]): number => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)

const place = <T>(sorted: readonly Member<T>[], key: Key): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = sorted[middle]
    if (at !== undefined && at[0] < key) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * Members by key, and sorted when asked for. The sorted list is made on the first ask, then mended: a change costs a
 * binary search and a copy, not a sort. Lists handed out never change.
 */
export class Members<T> {
  readonly #byKey = new Map<Key, Member<T>>()
  #sorted: readonly Member<T>[] | undefined
  /** Keys whose place in #sorted is out of date. */
  readonly #stale = new Set<Key>()

  get size(): number {
    return this.#byKey.size
  }

  get(key: Key): T | undefined {
    return this.#byKey.get(key)?.[1]
  }

  keys(): Iterable<Key> {
    return this.#byKey.keys()
  }

  set(key: Key, value: T): void {
    this.#byKey.set(key, [key, value])
    if (this.#sorted !== undefined) this.#stale.add(key)
  }

  delete(key: Key): void {
    if (this.#byKey.delete(key) && this.#sorted !== undefined) this.#stale.add(key)
  }

  all(): readonly Member<T>[] {
    if (this.#sorted === undefined || this.#stale.size > 8 + this.#sorted.length / 16) this.#sorted = [...this.#byKey.values()].sort(byKey)
    else if (this.#stale.size > 0) this.#sorted = this.#mended(this.#sorted)
    this.#stale.clear()
    return this.#sorted
  }

  #mended(sorted: readonly Member<T>[]): readonly Member<T>[] {
    const next = sorted.slice()
    for (const key of this.#stale) {
      const at = place(next, key)
      const present = next[at]?.[0] === key ? 1 : 0
      const member = this.#byKey.get(key)
      if (member === undefined) next.splice(at, present)
      else next.splice(at, present, member)
    }
    return next
  }
}
