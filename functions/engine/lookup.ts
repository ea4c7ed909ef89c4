import type { Key, Member } from "../reconcile.ts"
import { mergeTriggers, type Trail, type Triggers } from "./causes.ts"
import { type Cell, CellNode } from "./cell.ts"
import { Members } from "./members.ts"
import type { Scope } from "./scope.ts"
import { type Dependent, type Input, type Origin, Slots, type Table, type Tracked } from "./table.ts"

/** Members of a table by values computed from them; as an input: one key a value, its members sorted. */
export class Lookup<T> extends CellNode<T, readonly string[]> implements Input<readonly Member<T>[]>, Tracked {
  readonly slots: Slots = new Slots(this)
  readonly #table: Table<T>
  readonly #by: (value: T, key: Key) => Iterable<string>
  readonly #groups = new Map<string, Members<T>>()
  readonly #touched = new Map<string, Triggers>()
  readonly #dependents: Dependent[] = []

  constructor(scope: Scope, table: Table<T>, by: (value: T, key: Key) => Iterable<string>) {
    super(scope, table)
    this.#table = table
    this.#by = by
  }

  get(by: string): readonly Member<T>[] | undefined {
    return this.#groups.get(by)?.all()
  }

  feed(dependent: Dependent): void {
    this.#dependents.push(dependent)
  }

  override trace(by: string | undefined, trail: Trail): void {
    if (by === undefined) return
    for (const [key] of this.#groups.get(by)?.all() ?? []) {
      if (trail.full) return
      this.#table.trace(key, trail)
    }
  }

  override origin(): Origin | undefined {
    return undefined
  }

  release(by: string | undefined): void {
    this.slots.release(by)
  }

  protected derive(value: T, key: Key): readonly string[] {
    const all = [...this.#by(value, key)]
    return all.length < 2 ? all : [...new Set(all)]
  }

  protected replace(cell: Cell<readonly string[]>, after: readonly string[] | undefined, triggers: Triggers): void {
    const value = this.#table.get(cell.key)
    for (const by of cell.output ?? []) {
      if (after?.includes(by) === true) continue
      this.#groups.get(by)?.delete(cell.key)
      this.#touch(by, triggers)
    }
    if (value === undefined) return
    for (const by of after ?? []) {
      let group = this.#groups.get(by)
      if (group === undefined) {
        group = new Members<T>()
        this.#groups.set(by, group)
      }
      group.set(cell.key, value)
      this.#touch(by, triggers)
    }
  }

  protected settle(): void {
    for (const [by, triggers] of this.#touched) {
      if (this.#groups.get(by)?.size === 0) this.#groups.delete(by)
      for (const dependent of this.#dependents) dependent.stale(by, triggers)
      this.slots.fire(by, triggers)
    }
    this.#touched.clear()
  }

  protected cellOf(): undefined {
    return undefined
  }

  #touch(by: string, triggers: Triggers): void {
    this.#touched.set(by, mergeTriggers(this.#touched.get(by), triggers))
  }
}
