import type { Key, Member, Read } from "../reconcile.ts"
import { mergeTriggers, type Triggers } from "./causes.ts"
import { type Cell, CellNode } from "./cell.ts"
import { Claims } from "./claims.ts"
import { Made } from "./made.ts"
import type { Scope } from "./scope.ts"
import { type Input, Table } from "./table.ts"

/** At most one output a key, under the same key: map, filter, join, and group over an index. */
export class Mapping<I, U> extends CellNode<I, U | undefined> {
  readonly out: Table<U> = new Table<U>(this.order, this)
  readonly #f: (input: I, read: Read, key: Key) => U | undefined

  constructor(scope: Scope, input: Input<I>, f: (input: I, read: Read, key: Key) => U | undefined) {
    super(scope, input)
    this.#f = f
  }

  protected derive(input: I, key: Key): U | undefined {
    const value = this.#f(input, this.scope.tracker.read, key)
    if (value instanceof Promise) throw new TypeError("a derivation is synchronous: this one returned a promise")
    return value
  }

  protected replace(cell: Cell<U | undefined>, after: U | undefined, triggers: Triggers): void {
    this.out.set(cell.key, after, triggers)
  }

  protected settle(): void {}

  protected cellOf(key: Key): Cell<U | undefined> | undefined {
    return this.cell(key)
  }
}

/** Any outputs a key. Of several members that give one key, the one with the smallest member key stands. */
export class FlatMapping<I, U> extends CellNode<I, Made<U>> {
  readonly out: Table<U> = new Table<U>(this.order, this)
  readonly #f: (input: I, read: Read, key: Key) => Iterable<Member<U>>
  readonly #claims = new Claims<U>()
  readonly #touched = new Map<Key, Triggers>()

  constructor(scope: Scope, input: Input<I>, f: (input: I, read: Read, key: Key) => Iterable<Member<U>>) {
    super(scope, input)
    this.#f = f
  }

  protected derive(input: I, key: Key): Made<U> {
    return new Made(this.#f(input, this.scope.tracker.read, key))
  }

  protected replace(cell: Cell<Made<U>>, after: Made<U> | undefined, triggers: Triggers): void {
    for (const [key] of cell.output?.list ?? []) {
      if (after?.get(key) !== undefined) continue
      this.#claims.remove(key, cell)
      this.#touch(key, triggers)
    }
    for (const [key] of after?.list ?? []) {
      if (cell.output?.get(key) === undefined) this.#claims.add(key, cell)
      this.#touch(key, triggers)
    }
  }

  /** After all stale members ran: a key that moved from one member to another changes once, or not at all. */
  protected settle(): void {
    for (const [key, triggers] of this.#touched) this.out.set(key, this.#claims.holder(key)?.output?.get(key), triggers)
    this.#touched.clear()
  }

  protected cellOf(key: Key): Cell<Made<U>> | undefined {
    return this.#claims.holder(key)
  }

  #touch(key: Key, triggers: Triggers): void {
    this.#touched.set(key, mergeTriggers(this.#touched.get(key), triggers))
  }
}
