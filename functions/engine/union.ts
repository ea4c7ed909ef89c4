import type { Key } from "../reconcile.ts"
import { mergeTriggers, type Trail, type Triggers } from "./causes.ts"
import type { Node, Scope } from "./scope.ts"
import { type Dependent, type Origin, type Provenance, Table } from "./table.ts"

/** The members of two tables; where both have a key, the first one's. */
export class Union<T> implements Node, Dependent, Provenance {
  readonly out: Table<T>
  /** The first. */
  readonly input: Table<T>
  readonly #second: Table<T>
  readonly #touched = new Map<Key, Triggers>()

  constructor(scope: Scope, first: Table<T>, second: Table<T>) {
    this.input = first
    this.#second = second
    this.out = new Table<T>(scope.add(this), this)
    first.feed(this)
    second.feed(this)
  }

  stale(key: Key, triggers: Triggers): void {
    this.#touched.set(key, this.#touched.has(key) ? mergeTriggers(this.#touched.get(key), triggers) : triggers)
  }

  run(): void {
    for (const [key, triggers] of this.#touched) this.out.set(key, this.#holder(key).get(key), triggers)
    this.#touched.clear()
  }

  trace(key: Key, trail: Trail): void {
    this.#holder(key).trace(key, trail)
  }

  origin(key: Key): Origin | undefined {
    return this.#holder(key).origin(key)
  }

  #holder(key: Key): Table<T> {
    return this.input.get(key) === undefined ? this.#second : this.input
  }
}
