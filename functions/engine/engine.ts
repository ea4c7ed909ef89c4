/**
 * Keeps what a set of functions derive equal to what a run from scratch would give. Values are staged, then one pass
 * in dependency order brings everything up to date: functions, and within each its collections in the order they were
 * wired; a derivation reads only what comes before it, so it runs at most once a pass and never sees a mixture.
 */
import type { Note } from "../../bus/kinds/config.ts"
import type { Kind } from "../../bus/kinds/kind.ts"
import type { Collection, Key, Member, Reconciler, Wiring } from "../reconcile.ts"
import { type EndsAt, Trail, type Triggers } from "./causes.ts"
import { Lookup } from "./lookup.ts"
import { tableOf, TableCollection } from "./operators.ts"
import { inOrder } from "./order.ts"
import { Output } from "./output.ts"
import { type About, type Node, Scope } from "./scope.ts"
import { Source } from "./source.ts"
import type { Origin } from "./table.ts"
import { Tracker } from "./tracker.ts"

/** A row that is other than after the last pass. */
export interface RowChange {
  readonly fn: string
  readonly kind: Kind<unknown>
  /** `<plane>/<id>` */
  readonly key: Key
  /** Undefined: removed. */
  readonly value: unknown
  /** The changed inputs that made it change; undefined in the first pass. */
  readonly triggers: Triggers
}

export interface EngineOptions {
  readonly functions: readonly Reconciler[]
  /** Where what derivations say goes: the kind, and the plane of the rows. */
  readonly notes: { readonly kind: Kind<Note>; readonly plane: string }
  /** Whom a note about an input member is about; default: its kind's name as it is on the bus, and its key. */
  readonly about?: About
}

/** A collection of `fn` ran for `runs` keys. `collection`: its name, or for what is published the kind it comes from and its own; the times are performance.now()'s. */
export type Ran = (fn: string, collection: string, from: number, to: number, runs: number) => void

export interface Engine {
  /** In the order they derive. */
  readonly functions: readonly Reconciler[]
  /** Kinds that are fed from outside: read by a function and not (or, if open, not only) written by one. */
  readonly inputs: readonly Kind<unknown>[]
  /** Derivations run so far. */
  readonly runs: number
  /** A value from outside, said at `seq` of its stream; undefined removes. Counts from the next pass on. */
  stage<T>(kind: Kind<T>, key: Key, value: T | undefined, seq: number): void
  /** Something is staged. */
  readonly isStale: boolean
  /** What the host of `fn` has to say about a member, in place of what it said about it before. Counts from the next pass on. */
  say(fn: string, member: Origin, notes: readonly Note[]): void
  /** Some function is declared `later`. */
  readonly hasLater: boolean
  /**
   * Brings everything up to date. Changes by function in order, kind and key; in the first pass: every row. In two parts:
   * what is "urgent", then functions declared `later`, from the inputs of the last urgent pass; both by default.
   */
  pass(ran?: Ran, part?: "urgent" | "later"): readonly RowChange[]
  /** Every current row of a kind a function writes, by key. */
  rows<T>(fn: string, kind: Kind<T>): readonly Member<T>[]
  /** The inputs a current row was made from, `<kind>/<key>@<seq>`, the one it was mapped from first; at most 64, then "…". Rows of other functions are followed to what they were made from, except where `endsAt`. */
  causes(fn: string, kind: Kind<unknown>, key: Key, endsAt?: EndsAt): readonly string[]
  /** `<kind>/<key>` of the inputs whose derivation in `fn` threw: what was last made of them stays. */
  parked(fn: string): ReadonlySet<string>
}

const isOf = <T>(source: Source<unknown>, kind: Kind<T>): source is Source<T> => source.kind === kind
const isOutputOf = <T>(output: Output<unknown>, kind: Kind<T>): output is Output<T> => output.kind === kind

const tracedTo = (input: { trace(key: Key, trail: Trail): void }, key: Key, endsAt?: EndsAt): readonly string[] => {
  const trail = new Trail(endsAt)
  input.trace(key, trail)
  return trail.causes()
}

const plainly: About = ({ kind, key }) => {
  const slash = key.indexOf("/")
  return slash < 0 ? undefined : { kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

interface Label {
  readonly fn: string
  /** The kind it all comes from. */
  readonly source: string
  /** "": it has no name. */
  readonly made: string
  readonly collection: string
}

class Graph implements Engine {
  readonly functions: readonly Reconciler[]
  readonly #tracker = new Tracker()
  readonly #nodes: Node[] = []
  readonly #scopes: Scope[] = []
  readonly #sources: Source<unknown>[] = []
  readonly #outputs: Output<unknown>[] = []
  /** Order of the first node of a function → its name. */
  readonly #firsts = new Map<number, string>()
  /** Nodes of functions declared `later` are "later", but for inputs: what comes from elsewhere is taken up with all others, as one state. */
  readonly #parts: { readonly urgent: readonly Node[]; readonly later: readonly Node[] }
  #labels: ReadonlyMap<Node, Label> | undefined

  constructor({ functions, notes, about = plainly }: EngineOptions) {
    this.functions = inOrder(functions, notes.kind)
    let urgent = 0
    for (const fn of this.functions) {
      const scope = new Scope({ name: fn.name, plane: notes.plane, about }, this.#tracker, this.#nodes)
      this.#scopes.push(scope)
      this.#wire(fn, scope)
      this.#outputs.push(new Output(scope, notes.kind, scope.notes.out))
      if (fn.later !== true) urgent = this.#nodes.length
    }
    const inputs = new Set(this.#sources.map(({ table }) => table.order))
    const later = new Set(this.functions.flatMap((fn) => (fn.later === true ? fn.writes : [])))
    const fedLater = new Set(this.#sources.filter(({ kind }) => later.has(kind)).map(({ table }) => table.order))
    this.#parts = {
      urgent: this.#nodes.filter((_node, order) => order < urgent || inputs.has(order)),
      later: this.#nodes.filter((_node, order) => order >= urgent && (!inputs.has(order) || fedLater.has(order))),
    }
  }

  get hasLater(): boolean {
    return this.#parts.later.length > 0
  }

  get runs(): number {
    return this.#tracker.runs
  }

  get inputs(): readonly Kind<unknown>[] {
    return this.#sources.map((source) => source.kind).filter((kind) => kind.open === true || !this.functions.some((fn) => fn.writes.includes(kind)))
  }

  get isStale(): boolean {
    return this.#sources.some((source) => source.isStale) || this.#scopes.some((scope) => scope.notes.isStale)
  }

  stage<T>(kind: Kind<T>, key: Key, value: T | undefined, seq: number): void {
    const source = this.#source(kind)
    if (source === undefined) throw new TypeError(`no function reads "${kind.name}"`)
    source.stage(key, value, seq)
  }

  say(fn: string, member: Origin, notes: readonly Note[]): void {
    this.#scope(fn).sayFor(member, notes)
  }

  pass(ran?: Ran, part?: "urgent" | "later"): readonly RowChange[] {
    const nodes = part === undefined ? this.#nodes : this.#parts[part]
    if (ran === undefined) for (const node of nodes) node.run()
    else this.#runTold(nodes, ran)
    for (const scope of this.#scopes) scope.notes.settle()
    const changes: RowChange[] = []
    for (const output of this.#outputs) {
      for (const [key, triggers] of [...output.changed].sort(([a], [b]) => (a < b ? -1 : 1))) {
        changes.push({ fn: output.scope.name, kind: output.kind, key, value: output.get(key), triggers })
      }
      output.changed.clear()
    }
    return changes
  }

  rows<T>(fn: string, kind: Kind<T>): readonly Member<T>[] {
    const output = this.#output(fn, kind)
    return output.table.all().filter(([key]) => output.get(key) !== undefined)
  }

  causes(fn: string, kind: Kind<unknown>, key: Key, endsAt?: EndsAt): readonly string[] {
    return tracedTo(this.#output(fn, kind).table, key, endsAt)
  }

  parked(fn: string): ReadonlySet<string> {
    const refs = new Set<string>()
    for (const cell of this.#scope(fn).parked) {
      const origin = cell.node.input.origin(cell.key)
      if (origin !== undefined) refs.add(`${origin.kind}/${origin.key}`)
      else for (const ref of tracedTo(cell.node.input, cell.key)) refs.add(ref.slice(0, ref.lastIndexOf("@")))
    }
    return refs
  }

  #runTold(nodes: readonly Node[], ran: Ran): void {
    this.#labels ??= this.#named()
    // One look at the clock for each that ran: what nodes with nothing to do take counts with the next.
    let from = performance.now()
    for (const node of nodes) {
      const before = this.#tracker.runs
      node.run()
      const runs = this.#tracker.runs - before
      const label = runs === 0 ? undefined : this.#labels.get(node)
      if (label === undefined) continue
      const to = performance.now()
      ran(label.fn, label.collection, from, to, runs)
      from = to
    }
  }

  /** A collection that is no kind has the name it was given, or its place in its function. */
  #named(): ReadonlyMap<Node, Label> {
    const names = new Map(this.#scopes.flatMap((scope) => [...scope.names]))
    const labels: Label[] = []
    let first = 0
    let fn = ""
    for (const [order, node] of this.#nodes.entries()) {
      const owner = this.#firsts.get(order)
      if (owner !== undefined) [first, fn] = [order, owner]
      const kind = this.#sources.find(({ table }) => table.order === order)?.kind.name
      const input = labels[node.input?.order ?? -1]
      const source = kind ?? input?.source ?? ""
      const output = this.#outputs.find(({ table }) => table.order === order)?.kind.name
      const made = kind ?? output ?? names.get(order) ?? (node instanceof Lookup ? `${input?.made ?? source}, indexed` : undefined)
      labels.push({ fn, source, made: made ?? "", collection: made === undefined || output !== undefined ? `${source} > ${made ?? order - first + 1}` : made })
    }
    return new Map(labels.flatMap((label, order) => (this.#nodes[order] === undefined ? [] : [[this.#nodes[order], label]])))
  }

  #scope(fn: string): Scope {
    const scope = this.#scopes.find((each) => each.name === fn)
    if (scope === undefined) throw new TypeError(`there is no function "${fn}" here`)
    return scope
  }

  #source<T>(kind: Kind<T>): Source<T> | undefined {
    for (const source of this.#sources) if (isOf(source, kind)) return source
    return undefined
  }

  #output<T>(fn: string, kind: Kind<T>): Output<T> {
    for (const output of this.#outputs) if (output.scope.name === fn && isOutputOf(output, kind)) return output
    throw new TypeError(`${fn} does not write "${kind.name}"`)
  }

  #wire(fn: Reconciler, scope: Scope): void {
    this.#firsts.set(this.#nodes.length, fn.name)
    const asked = new Set<Kind<unknown>>()
    const made = new Set<Kind<unknown>>()
    const wiring: Wiring = {
      from: <T>(kind: Kind<T>): Collection<T> => {
        scope.mustWire()
        if (!fn.reads.includes(kind)) throw new TypeError(`${fn.name} derives from "${kind.name}", which is not in its reads`)
        asked.add(kind)
        return new TableCollection(scope, this.#sourceFor(kind, scope).table)
      },
      into: <T>(kind: Kind<T>, collection: Collection<T>): void => {
        scope.mustWire()
        if (!fn.writes.includes(kind)) throw new TypeError(`${fn.name} derives into "${kind.name}", which is not in its writes`)
        if (made.has(kind)) throw new TypeError(`${fn.name} derives into "${kind.name}" twice`)
        made.add(kind)
        this.#outputs.push(new Output(scope, kind, tableOf(collection, scope)))
      },
    }
    fn.derive(wiring)
    scope.wired()
    const unused = fn.reads.find((kind) => !asked.has(kind)) ?? fn.writes.find((kind) => !made.has(kind))
    if (unused !== undefined) throw new TypeError(`${fn.name} lists "${unused.name}" and does nothing with it`)
  }

  #sourceFor<T>(kind: Kind<T>, scope: Scope): Source<T> {
    const known = this.#source(kind)
    if (known !== undefined) return known
    const outputs: Output<T>[] = []
    for (const output of this.#outputs) if (isOutputOf(output, kind)) outputs.push(output)
    const node: Node = { run: () => source.run() }
    const source = new Source(kind, scope.add(node), outputs)
    this.#sources.push(source)
    return source
  }
}

/** Wires the functions. Throws TypeError for declarations that contradict themselves or each other. */
export const createEngine = (options: EngineOptions): Engine => new Graph(options)
