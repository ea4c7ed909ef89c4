import type { Kind } from "../../bus/kinds/kind.ts"
import { encodeToken } from "../../bus/subject.ts"
import type { Key } from "../reconcile.ts"
import { mergeTriggers, type Trail, type Triggers } from "./causes.ts"
import type { Scope } from "./scope.ts"
import type { Dependent, Table } from "./table.ts"

/** A server breaks the connection over a line of more than 4,096 bytes, in which the subject is not alone. */
const LONGEST_SUBJECT = 3_600

/** One kind that one function publishes, and what of it has changed. */
export class Output<T> implements Dependent {
  readonly scope: Scope
  readonly kind: Kind<T>
  readonly table: Table<T>
  readonly changed = new Map<Key, Triggers>()
  /** Other functions' sources of this kind in the same graph. */
  readonly #readers: Dependent[] = []
  readonly #refused = new Map<Key, { trace(trail: Trail): void }>()

  constructor(scope: Scope, kind: Kind<T>, table: Table<T>) {
    this.scope = scope
    this.kind = kind
    this.table = table
    table.feed(this)
  }

  feed(reader: Dependent): void {
    this.#readers.push(reader)
  }

  get(key: Key): T | undefined {
    return this.#refused.has(key) ? undefined : this.table.get(key)
  }

  stale(key: Key, triggers: Triggers): void {
    const problem = this.#problem(key)
    if (problem !== undefined) {
      this.#refuse(key, problem, triggers)
      return
    }
    this.changed.set(key, mergeTriggers(this.changed.get(key), triggers))
    for (const reader of this.#readers) reader.stale(key, triggers)
  }

  /** Why a row under `key` cannot be published, or undefined. */
  #problem(key: Key): string | undefined {
    const slash = key.indexOf("/")
    if (slash < 1 || slash === key.length - 1) return "its key is not <plane>/<id>"
    if (!key.isWellFormed()) return "its key is not well-formed text"
    if (key.length * 12 > LONGEST_SUBJECT && encodeToken(key).length > LONGEST_SUBJECT) return `its key is longer than a subject can be (${LONGEST_SUBJECT} bytes, escapes included)`
    if (this.kind.open === true && !key.startsWith(`${this.scope.name}/`, slash + 1)) return `ids of ${this.kind.name} begin with the function's name and a slash: <plane>/${this.scope.name}/<id>`
    return undefined
  }

  #refuse(key: Key, problem: string, triggers: Triggers): void {
    const isThere = this.table.get(key) !== undefined
    const sayer = this.#refused.get(key) ?? { trace: (trail: Trail) => this.table.trace(key, trail) }
    if (isThere) this.#refused.set(key, sayer)
    else this.#refused.delete(key)
    const message = `${this.scope.name} made a ${this.kind.name} "${key.slice(0, 200).toWellFormed()}" that is not published: ${problem}.`
    this.scope.notes.say(sayer, isThere ? [{ schema: 1, severity: "error", reason: "BadKey", message }] : [], triggers)
  }
}
