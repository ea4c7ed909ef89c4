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
  /** While there is but one, as in most groups of an index, it needs no Map: there are 20,000 such groups. */
  #only: Member<T> | undefined
  #byKey: Map<Key, Member<T>> | undefined
  #sorted: readonly Member<T>[] | undefined
  /** Keys whose place in #sorted is out of date. */
  #stale: Set<Key> | undefined

  get size(): number {
    return this.#byKey?.size ?? (this.#only === undefined ? 0 : 1)
  }

  get(key: Key): T | undefined {
    return this.#at(key)?.[1]
  }

  set(key: Key, value: T): void {
    const member: Member<T> = [key, value]
    if (this.#byKey !== undefined) this.#byKey.set(key, member)
    else if (this.#only === undefined || this.#only[0] === key) this.#only = member
    else {
      this.#byKey = new Map([[this.#only[0], this.#only], [key, member]])
      this.#only = undefined
    }
    this.#outdated(key)
  }

  delete(key: Key): void {
    if (this.#at(key) === undefined) return
    if (this.#byKey !== undefined) this.#byKey.delete(key)
    else this.#only = undefined
    this.#outdated(key)
  }

  all(): readonly Member<T>[] {
    const stale = this.#stale
    if (this.#sorted === undefined || (stale !== undefined && stale.size > 8 + this.#sorted.length / 16)) this.#sorted = this.#fromScratch()
    else if (stale !== undefined) this.#sorted = this.#mended(this.#sorted, stale)
    this.#stale = undefined
    return this.#sorted
  }

  #at(key: Key): Member<T> | undefined {
    if (this.#byKey !== undefined) return this.#byKey.get(key)
    return this.#only?.[0] === key ? this.#only : undefined
  }

  #outdated(key: Key): void {
    if (this.#sorted !== undefined) (this.#stale ??= new Set()).add(key)
  }

  #fromScratch(): readonly Member<T>[] {
    if (this.#byKey !== undefined) return [...this.#byKey.values()].sort(byKey)
    return this.#only === undefined ? [] : [this.#only]
  }

  #mended(sorted: readonly Member<T>[], stale: ReadonlySet<Key>): readonly Member<T>[] {
    const next = sorted.slice()
    for (const key of stale) {
      const at = place(next, key)
      const present = next[at]?.[0] === key ? 1 : 0
      const member = this.#at(key)
      if (member === undefined) next.splice(at, present)
      else next.splice(at, present, member)
    }
    return next
  }
}
