import type { Key, Member } from "../reconcile.ts"

/** Below this a look through a list costs less than a Map, above all in memory: most members make one or two. */
const FEW = 8

/** What one member made: any outputs by key, each key once. */
export class Made<U> {
  readonly list: readonly Member<U>[]
  readonly #byKey: ReadonlyMap<Key, U> | undefined

  /** Of a key given twice the first stands; a value that is undefined is no output. */
  constructor(outputs: Iterable<Member<U>>) {
    const all: readonly Member<U>[] = Array.isArray(outputs) ? outputs : [...outputs]
    const [only] = all
    if (only === undefined || (all.length === 1 && only[1] !== undefined)) {
      this.list = all
      return
    }
    const byKey = new Map<Key, U>()
    for (const [key, value] of all) if (value !== undefined && !byKey.has(key)) byKey.set(key, value)
    this.list = byKey.size === all.length ? all : [...byKey]
    if (all.length > FEW) this.#byKey = byKey
  }

  get(key: Key): U | undefined {
    if (this.#byKey !== undefined) return this.#byKey.get(key)
    for (const [each, value] of this.list) if (each === key) return value
    return undefined
  }
}
