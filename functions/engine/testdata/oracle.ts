/**
 * What the engine must equal, written to be obvious: wired once, then every collection is computed anew from the whole
 * input at every step, in the order of wiring. The only memory is what a key made before its derivation began to throw.
 */
import type { Note } from "../../../bus/kinds/config.ts"
import type { Kind } from "../../../bus/kinds/kind.ts"
import type { Collection, Index, Key, Member, Read, Reconciler } from "../../reconcile.ts"

interface Row<T> {
  readonly value: T
  readonly causes: readonly string[]
}
type Rows<T> = ReadonlyMap<Key, Row<T>>
/** What one derivation returned, said, and was made from. */
interface Good<O> extends Row<O> {
  readonly notes: readonly Note[]
}

export interface Input {
  readonly kind: Kind<unknown>
  readonly key: Key
  readonly value: unknown
  readonly seq: number
}

const sorted = <T>(rows: Rows<T>): readonly (readonly [Key, Row<T>])[] => [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
const members = <T>(rows: readonly (readonly [Key, Row<T>])[]): readonly Member<T>[] => rows.map(([key, row]) => [key, row.value])

class Plain<T> implements Collection<T> {
  rows: Rows<T> = new Map()
  readonly world: Oracle

  constructor(world: Oracle, compute: () => Rows<T>) {
    this.world = world
    world.steps.push(() => {
      this.rows = compute()
    })
  }

  map<U>(f: (value: T, read: Read, key: Key) => U | undefined): Plain<U> {
    const run = this.world.derivation(f)
    return new Plain<U>(this.world, () => {
      const out = new Map<Key, Row<U>>()
      for (const [key, { value, causes }] of run(this.rows)) if (value !== undefined) out.set(key, { value, causes })
      return out
    })
  }

  flatMap<U>(f: (value: T, read: Read, key: Key) => Iterable<Member<U>>): Plain<U> {
    const run = this.world.derivation((value: T, read: Read, key: Key) => [...f(value, read, key)])
    return new Plain<U>(this.world, () => {
      const out = new Map<Key, Row<U>>()
      for (const [, { value, causes }] of run(this.rows)) for (const [key, each] of value) if (!out.has(key)) out.set(key, { value: each, causes })
      return out
    })
  }

  filter(f: (value: T, key: Key) => boolean): Plain<T> {
    return this.map((value, _read, key) => (f(value, key) ? value : undefined))
  }

  index(by: (value: T, key: Key) => Iterable<string>): PlainIndex<T> {
    const run = this.world.derivation((value: T, _read: Read, key: Key) => ({ value, names: [...by(value, key)] }))
    const index = new PlainIndex<T>(this)
    this.world.steps.push(() => {
      const groups = new Map<string, Map<Key, Row<T>>>()
      for (const [key, { value, causes }] of run(this.rows)) {
        for (const name of value.names) groups.set(name, (groups.get(name) ?? new Map<Key, Row<T>>()).set(key, { value: value.value, causes }))
      }
      index.groups = groups
    })
    return index
  }

  group<U>(by: (value: T, key: Key) => Iterable<string>, f: (members: readonly Member<T>[], read: Read, group: string) => U | undefined): Plain<U> {
    const index = this.index(by)
    const groups = new Plain<readonly Member<T>[]>(this.world, () => new Map([...index.groups].map(([name, rows]) => [name, { value: members(sorted(rows)), causes: sorted(rows).flatMap(([, row]) => row.causes) }])))
    return groups.map(f)
  }

  join<U, V>(right: Collection<U>, f: (left: T, right: U | undefined, read: Read, key: Key) => V | undefined): Plain<V> {
    return this.map((value, read, key) => f(value, read(right, key), read, key))
  }

  union(other: Collection<T>): Plain<T> {
    if (!isPlain(other)) throw new TypeError("a collection of another world")
    return new Plain<T>(this.world, () => new Map([...other.rows, ...this.rows]))
  }

  named(): Plain<T> {
    return this
  }
}

class PlainIndex<T> implements Index<T> {
  readonly of: Plain<T>
  groups: ReadonlyMap<string, Rows<T>> = new Map()
  constructor(of: Plain<T>) {
    this.of = of
  }
}

const isPlain = <T>(collection: Collection<T>): collection is Plain<T> => collection instanceof Plain
const isPlainIndex = <T>(index: Index<T>): index is PlainIndex<T> => index instanceof PlainIndex
const isOf = <T>(output: Written<unknown>, kind: Kind<T>): output is Written<T> => output.kind === kind

interface Written<T> {
  readonly fn: string
  readonly kind: Kind<T>
  readonly collection: Plain<T>
}

export class Oracle {
  readonly steps: (() => void)[] = []
  inputs: readonly Input[] = []
  notes: Note[] = []
  parked = 0
  readonly #written: Written<unknown>[] = []

  /** `functions` in dependency order. */
  constructor(functions: readonly Reconciler[]) {
    for (const fn of functions) {
      fn.derive({
        from: (kind) => this.#from(kind),
        into: (kind, collection) => {
          if (isPlain(collection)) this.#written.push({ fn: fn.name, kind, collection })
        },
      })
    }
  }

  compute(inputs: readonly Input[]): void {
    this.inputs = inputs
    this.notes = []
    this.parked = 0
    for (const step of this.steps) step()
  }

  /** `<fn> <kind> <key>` → row; under keys that may be published. */
  rows(): ReadonlyMap<string, Row<unknown>> {
    return new Map(this.#written.flatMap(({ fn, kind, collection }) => [...collection.rows].filter(([key]) => key.includes("/")).map(([key, row]) => [`${fn} ${kind.name} ${key}`, row] as const)))
  }

  /** Runs `f` for every row, and remembers for each what it last returned. */
  derivation<I, O>(f: (value: I, read: Read, key: Key) => O): (rows: Rows<I>) => readonly (readonly [Key, Good<O>])[] {
    let good = new Map<Key, Good<O>>()
    return (rows) => {
      const now = new Map<Key, Good<O>>()
      for (const [key, row] of sorted(rows)) {
        const causes = [...row.causes]
        const notes: Note[] = []
        const kept = good.get(key)
        try {
          now.set(key, { value: f(row.value, this.#read(causes, notes), key), causes, notes })
        } catch {
          this.parked++
          if (kept !== undefined) now.set(key, kept)
        }
      }
      good = now
      for (const each of now.values()) this.notes.push(...each.notes)
      return [...now]
    }
  }

  #from<T>(kind: Kind<T>): Plain<T> {
    const inside: Written<T>[] = []
    for (const output of this.#written) if (isOf(output, kind)) inside.push(output)
    return new Plain<T>(this, () => {
      const rows = new Map<Key, Row<T>>()
      for (const input of this.inputs) if (isValue(kind, input)) rows.set(input.key, { value: input.value, causes: [`${kind.name}/${input.key}@${input.seq}`] })
      for (const { collection } of inside) for (const [key, row] of collection.rows) if (key.includes("/")) rows.set(key, row)
      return rows
    })
  }

  #read(causes: string[], notes: Note[]): Read {
    function read<T>(from: Collection<T>, key: Key): T | undefined
    function read<T>(from: Index<T>, by: string): readonly Member<T>[]
    function read<T>(from: Collection<T> | Index<T>, key: string): T | undefined | readonly Member<T>[] {
      if ("of" in from) {
        if (!isPlainIndex(from)) throw new TypeError("not an index of this oracle")
        const group = sorted(from.groups.get(key) ?? new Map<Key, Row<T>>())
        causes.push(...group.flatMap(([, row]) => row.causes))
        return members(group)
      }
      if (!isPlain(from)) throw new TypeError("not a collection of this oracle")
      const row = from.rows.get(key)
      causes.push(...(row?.causes ?? []))
      return row?.value
    }
    return Object.assign(read, {
      all: <T>(collection: Collection<T>): readonly Member<T>[] => {
        if (!isPlain(collection)) throw new TypeError("not a collection of this oracle")
        const rows = sorted(collection.rows)
        causes.push(...rows.flatMap(([, row]) => row.causes))
        return members(rows)
      },
      note: (note: Omit<Note, "schema">) => {
        notes.push({ schema: 1, ...note })
      },
    })
  }
}

const isValue = <T>(kind: Kind<T>, input: Input): input is Input & { readonly value: T } => input.kind === kind
