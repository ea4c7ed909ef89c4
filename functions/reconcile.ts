/**
 * How a reconcile function is declared: a plain value, nothing registers itself. `derive` wires collections once;
 * the engine (functions/engine) keeps every derived collection equal to what a run from scratch would give.
 * Derivations are pure: no I/O, no clock, no randomness, no Effect.
 */
import type { Kind } from "../bus/kinds/kind.ts"
import type { Note } from "../bus/kinds/config.ts"

/** `<namespace>/<name>` of a resource, `<plane>/<id>` of a config value, `<plane>/<pod>` of an ack, anything in between. */
export type Key = string

/** One member of a collection. */
export type Member<T> = readonly [key: Key, value: T]

/** Reads other collections from inside a derivation; what was read is tracked, and a change of it reruns only this. */
export interface Read {
  <T>(collection: Collection<T>, key: Key): T | undefined
  /** Members under one index value, sorted by key. */
  <T>(index: Index<T>, by: string): readonly Member<T>[]
  /** Every member, sorted by key. Reruns on any change of the collection: keep such collections small. */
  all<T>(collection: Collection<T>): readonly Member<T>[]
  /** Says why something was dropped, shadowed, in conflict …; gone when the derivation no longer says it. */
  note(note: Omit<Note, "schema">): void
}

export interface Collection<T> {
  /** One output a member, same key; undefined: none. */
  map<U>(f: (value: T, read: Read, key: Key) => U | undefined): Collection<U>
  /** Any outputs a member. When two members give the same key, the one with the smaller member key stands. */
  flatMap<U>(f: (value: T, read: Read, key: Key) => Iterable<Member<U>>): Collection<U>
  filter(f: (value: T, key: Key) => boolean): Collection<T>
  index(by: (value: T, key: Key) => Iterable<string>): Index<T>
  /** One output a group; the group's members sorted by key. Gone when the group is empty. */
  group<U>(by: (value: T, key: Key) => Iterable<string>, f: (members: readonly Member<T>[], read: Read, group: string) => U | undefined): Collection<U>
  /** Same key on both sides; left decides membership. */
  join<U, V>(right: Collection<U>, f: (left: T, right: U | undefined, read: Read, key: Key) => V | undefined): Collection<V>
  /** Members of both; where both have a key, this one's stands. */
  union(other: Collection<T>): Collection<T>
  /** The same, and what it is called where people see what ran: a word or two. One that is published has its kind's name. */
  named(name: string): Collection<T>
}

export interface Index<T> {
  readonly of: Collection<T>
}

export interface Wiring {
  /** Current values of a kind in `reads`. */
  readonly from: <T>(kind: Kind<T>) => Collection<T>
  /** Publishes a collection as a kind in `writes`; keys `<plane>/<id>`. Once a kind. */
  readonly into: <T>(kind: Kind<T>, collection: Collection<T>) => void
}

export interface Reconciler {
  /** Lower case letters, digits and dashes; names the unit, lease, metrics and spans. */
  readonly name: string
  /** Changes when the derivation's meaning does; recorded in every commit. */
  readonly version: string
  readonly reads: readonly Kind<unknown>[]
  readonly writes: readonly Kind<unknown>[]
  /** No gateway waits for what it writes: it is derived and published after everything else, and reads what that made. */
  readonly later?: true
  readonly derive: (wiring: Wiring) => void
}

/** Checks the declaration and returns it. Throws TypeError naming what is wrong. */
export const reconcile = (declaration: Reconciler): Reconciler => {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(declaration.name)) throw new TypeError(`reconcile: "${declaration.name}" is not a name (lower case letters, digits, dashes)`)
  if (declaration.version === "") throw new TypeError(`reconcile ${declaration.name}: version is empty`)
  for (const kind of declaration.writes) if (kind.stream !== "CONFIG") throw new TypeError(`reconcile ${declaration.name}: writes "${kind.name}", which ${kind.stream === "APPLIED" ? "gateways" : "adapters"} write`)
  return declaration
}
