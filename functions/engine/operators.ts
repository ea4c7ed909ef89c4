import type { Collection, Index, Key, Member, Read } from "../reconcile.ts"
import { FlatMapping, Mapping } from "./derivation.ts"
import { Lookup } from "./lookup.ts"
import type { Scope } from "./scope.ts"
import type { Table } from "./table.ts"
import { Union } from "./union.ts"

/** A collection as functions see it: a table, and the wiring of what is derived from it. */
export class TableCollection<T> implements Collection<T> {
  readonly table: Table<T>
  readonly scope: Scope

  constructor(scope: Scope, table: Table<T>) {
    this.scope = scope
    this.table = table
  }

  map<U>(f: (value: T, read: Read, key: Key) => U | undefined): Collection<U> {
    this.scope.mustWire()
    return new TableCollection(this.scope, new Mapping<T, U>(this.scope, this.table, f).out)
  }

  flatMap<U>(f: (value: T, read: Read, key: Key) => Iterable<Member<U>>): Collection<U> {
    this.scope.mustWire()
    return new TableCollection(this.scope, new FlatMapping<T, U>(this.scope, this.table, f).out)
  }

  filter(f: (value: T, key: Key) => boolean): Collection<T> {
    return this.map((value, _read, key) => (f(value, key) ? value : undefined))
  }

  index(by: (value: T, key: Key) => Iterable<string>): LookupIndex<T> {
    this.scope.mustWire()
    return new LookupIndex(this, new Lookup<T>(this.scope, this.table, by))
  }

  group<U>(by: (value: T, key: Key) => Iterable<string>, f: (members: readonly Member<T>[], read: Read, group: string) => U | undefined): Collection<U> {
    const { lookup } = this.index(by)
    return new TableCollection(this.scope, new Mapping<readonly Member<T>[], U>(this.scope, lookup, f).out)
  }

  join<U, V>(right: Collection<U>, f: (left: T, right: U | undefined, read: Read, key: Key) => V | undefined): Collection<V> {
    return this.map((value, read, key) => f(value, read(right, key), read, key))
  }

  union(other: Collection<T>): Collection<T> {
    this.scope.mustWire()
    return new TableCollection(this.scope, new Union<T>(this.scope, this.table, tableOf(other, this.scope)).out)
  }

  named(name: string): Collection<T> {
    this.scope.mustWire()
    this.scope.names.set(this.table.order, name)
    return this
  }
}

export class LookupIndex<T> implements Index<T> {
  readonly of: TableCollection<T>
  readonly lookup: Lookup<T>

  constructor(of: TableCollection<T>, lookup: Lookup<T>) {
    this.of = of
    this.lookup = lookup
  }
}

const foreign = () => new TypeError("a derivation reads a collection of another function or engine: functions speak through kinds")

const isOurs = <T>(collection: Collection<T>): collection is TableCollection<T> => collection instanceof TableCollection
const isOurIndex = <T>(index: Index<T>): index is LookupIndex<T> => index instanceof LookupIndex

/** The table behind a collection of `scope`. Throws TypeError for any other. */
export const tableOf = <T>(collection: Collection<T>, scope: object | undefined): Table<T> => {
  if (!isOurs(collection) || (scope !== undefined && collection.scope !== scope)) throw foreign()
  return collection.table
}

/** The lookup behind an index of `scope`. Throws TypeError for any other. */
export const lookupOf = <T>(index: Index<T>, scope: object | undefined): Lookup<T> => {
  if (!isOurIndex(index) || (scope !== undefined && index.of.scope !== scope)) throw foreign()
  return index.lookup
}
