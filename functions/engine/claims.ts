import type { Key } from "../reconcile.ts"
import type { Cell } from "./cell.ts"
import type { Made } from "./made.ts"

type Claimant<U> = Cell<Made<U>>

/** Several cells that want one key: the smallest cell key at the top of a binary heap; who left is skipped there. */
class Contest<U> {
  readonly claimants = new Set<Claimant<U>>()
  #heap: Claimant<U>[] = []
  readonly #inHeap = new Set<Claimant<U>>()

  add(cell: Claimant<U>): void {
    this.claimants.add(cell)
    if (this.#inHeap.has(cell)) return
    this.#inHeap.add(cell)
    const heap = this.#heap
    let at = heap.length
    heap.push(cell)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || parent.key <= cell.key) break
      heap[at] = parent
      at = up
    }
    heap[at] = cell
  }

  remove(cell: Claimant<U>): void {
    this.claimants.delete(cell)
    if (this.#heap.length <= 16 + 2 * this.claimants.size) return
    this.#heap = [...this.claimants].sort((a, b) => (a.key < b.key ? -1 : 1))
    this.#inHeap.clear()
    for (const kept of this.#heap) this.#inHeap.add(kept)
  }

  first(): Claimant<U> | undefined {
    for (;;) {
      const top = this.#heap[0]
      if (top === undefined || this.claimants.has(top)) return top
      this.#pop()
    }
  }

  #pop(): void {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (top !== undefined) this.#inHeap.delete(top)
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      const down = right !== undefined && left !== undefined && right.key < left.key ? 2 * at + 2 : 2 * at + 1
      const child = heap[down]
      if (child === undefined || last.key <= child.key) break
      heap[at] = child
      at = down
    }
    heap[at] = last
  }
}

/** Which cells want which output key. O(1) where a key has one claimant, O(log n) where n want it. */
export class Claims<U> {
  readonly #byKey = new Map<Key, Claimant<U> | Contest<U>>()

  add(key: Key, cell: Claimant<U>): void {
    const held = this.#byKey.get(key)
    if (held === undefined) this.#byKey.set(key, cell)
    else if (held instanceof Contest) held.add(cell)
    else {
      const contest = new Contest<U>()
      contest.add(held)
      contest.add(cell)
      this.#byKey.set(key, contest)
    }
  }

  remove(key: Key, cell: Claimant<U>): void {
    const held = this.#byKey.get(key)
    if (!(held instanceof Contest)) {
      this.#byKey.delete(key)
      return
    }
    held.remove(cell)
    const last = held.claimants.size === 1 ? held.first() : undefined
    if (last !== undefined) this.#byKey.set(key, last)
  }

  holder(key: Key): Claimant<U> | undefined {
    const held = this.#byKey.get(key)
    return held instanceof Contest ? held.first() : held
  }
}
