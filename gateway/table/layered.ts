/**
 * A map from strings that never changes: `with` answers a new one that shares the large base and carries a small
 * layer of what differs. One changed entry among 20,000 costs a copy of the layer, not of the map; a lookup costs
 * at most two.
 */
export class Layered<V extends object> {
  readonly #base: ReadonlyMap<string, V>
  /** null: removed from the base. */
  readonly #layer: ReadonlyMap<string, V | null> | null
  readonly size: number

  private constructor(base: ReadonlyMap<string, V>, layer: ReadonlyMap<string, V | null> | null, size: number) {
    this.#base = base
    this.#layer = layer
    this.size = size
  }

  static of<V extends object>(entries?: Iterable<readonly [string, V]>): Layered<V> {
    const base = new Map(entries)
    return new Layered(base, null, base.size)
  }

  get(key: string): V | undefined {
    if (this.#layer !== null) {
      const own = this.#layer.get(key)
      if (own !== undefined) return own === null ? undefined : own
    }
    return this.#base.get(key)
  }

  /** null removes. The layer is folded into a new base once copying it would cost more than that does. */
  with(changes: ReadonlyMap<string, V | null>): Layered<V> {
    if (changes.size === 0) return this
    let size = this.size
    for (const [key, value] of changes) {
      const had = this.get(key) !== undefined
      if (value === null ? had : !had) size += value === null ? -1 : 1
    }
    const layer = this.#layer === null ? new Map(changes) : new Map([...this.#layer, ...changes])
    if (layer.size <= 16 + (this.#base.size >> 5)) return new Layered(this.#base, layer, size)
    const base = new Map(this.#base)
    for (const [key, value] of layer) {
      if (value === null) base.delete(key)
      else base.set(key, value)
    }
    return new Layered(base, null, base.size)
  }

  /** In no promised order. */
  *entries(): Generator<readonly [string, V]> {
    for (const entry of this.#base) if (this.#layer === null || !this.#layer.has(entry[0])) yield entry
    if (this.#layer !== null) for (const [key, value] of this.#layer) if (value !== null) yield [key, value]
  }
}
