import type { Kind } from "../../bus/kinds/kind.ts"
import type { Key } from "../reconcile.ts"
import { mergeTriggers, type Trail, type Triggers } from "./causes.ts"
import type { Output } from "./output.ts"
import type { Node } from "./scope.ts"
import { type Dependent, type Origin, Table } from "./table.ts"

interface Staged<T> {
  readonly value: T | undefined
  readonly seq: number
}

/** The current values of one kind: from outside the graph, and from functions in it that write the kind. */
export class Source<T> implements Node, Dependent {
  readonly kind: Kind<T>
  readonly table: Table<T>
  readonly #outputs: readonly Output<T>[]
  /** From outside: what is there, and where in its stream it was said. */
  readonly #outside = new Map<Key, Staged<T>>()
  readonly #staged = new Map<Key, Staged<T>>()
  readonly #fed = new Map<Key, Triggers>()
  /** No pass has been made: what comes is not a change but all there is. */
  #isFirst = true

  constructor(kind: Kind<T>, order: number, outputs: readonly Output<T>[]) {
    this.kind = kind
    this.table = new Table<T>(order, this)
    this.#outputs = outputs
    for (const output of outputs) output.feed(this)
  }

  /** Said outside at `seq`; undefined: removed. Of several before one pass the last counts. */
  stage(key: Key, value: T | undefined, seq: number): void {
    this.#staged.set(key, { value, seq })
  }

  stale(key: Key, triggers: Triggers): void {
    this.#fed.set(key, mergeTriggers(this.#fed.get(key), triggers))
  }

  get isStale(): boolean {
    return this.#staged.size > 0 || this.#fed.size > 0
  }

  run(): void {
    for (const [key, staged] of this.#staged) {
      if (staged.value === undefined) this.#outside.delete(key)
      else this.#outside.set(key, staged)
      this.table.set(key, this.#made(key) ?? staged.value, this.#isFirst ? undefined : [`${this.kind.name}/${key}@${staged.seq}`])
    }
    this.#staged.clear()
    for (const [key, triggers] of this.#fed) this.table.set(key, this.#made(key) ?? this.#outside.get(key)?.value, triggers)
    this.#fed.clear()
    this.#isFirst = false
  }

  trace(key: Key, trail: Trail): void {
    const output = this.#outputs.find((each) => each.get(key) !== undefined)
    if (output !== undefined) {
      if (!trail.endsAt(this.kind, key, output.get(key))) output.table.trace(key, trail)
    } else trail.add(this.kind.name, key, this.#outside.get(key)?.seq ?? 0)
  }

  origin(key: Key): Origin {
    return { kind: this.kind.name, key }
  }

  #made(key: Key): T | undefined {
    for (const output of this.#outputs) {
      const value = output.get(key)
      if (value !== undefined) return value
    }
    return undefined
  }
}
