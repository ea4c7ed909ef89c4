/**
 * The engine → the bus: rows become canonical bodies in the units of their functions, one unit a plane. The first
 * time only the difference to what is stored is published, removals included; then what each pass changed.
 */
import type { Bus } from "../bus/bus.ts"
import { canonical } from "../bus/canonical.ts"
import { encoderOf } from "../bus/kinds/codec.ts"
import { CONTROL_PLANE, type FunctionDeclaration, kinds } from "../bus/kinds/config.ts"
import type { Kind } from "../bus/kinds/kind.ts"
import { configSubject } from "../bus/subject.ts"
import { MAX_BODY, type StagedChange, type UnitChange, type UnitReader, type UnitWriterOptions } from "../bus/unit/unit.ts"
import type { Engine, RowChange } from "./engine/engine.ts"
import type { PassTraces } from "./pass-trace.ts"
import { Publication } from "./publication.ts"
import type { Key, Reconciler } from "./reconcile.ts"

/** What a process that holds the leases of its functions writes with. */
export interface Mandate {
  readonly epoch: number
  /** Of the lease; see UnitWriterOptions. */
  readonly fence: number
}

export interface OutputsOptions {
  readonly bus: Bus
  /** Of all of CONFIG, `claimable`. */
  readonly reader: () => UnitReader
  readonly engine: Engine
  /** Names this process in its commits. */
  readonly writer: string
  /** `<kind>/<key>` of inputs that cannot be read: what was made of them before is not taken away. */
  readonly unreadable: ReadonlySet<string>
  /** Undefined: tracing is off. */
  readonly traces: PassTraces | undefined
  /** This process may write no more. */
  onOver(error: unknown): void
  onNote(reason: string, message: string): void
}

const encoders = new WeakMap<Kind<unknown>, (value: unknown) => unknown>()
const encode = (kind: Kind<unknown>, value: unknown): unknown => {
  let encoder = encoders.get(kind)
  if (encoder === undefined) encoders.set(kind, (encoder = encoderOf(kind)))
  return encoder(value)
}

const place = (key: Key): { readonly plane: string; readonly id: string } => {
  const slash = key.indexOf("/")
  return { plane: key.slice(0, slash), id: key.slice(slash + 1) }
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

const LIMIT = 64
const withoutSeq = (cause: string): string => cause.slice(0, cause.lastIndexOf("@"))
const seqOf = (cause: string): number => Number(cause.slice(cause.lastIndexOf("@") + 1))

interface Row {
  readonly kind: Kind<unknown>
  readonly key: Key
  readonly value: unknown
}

export class Outputs {
  readonly #options: OutputsOptions
  /** By `<plane>/<function>`; none before `start`. */
  readonly #units = new Map<string, Publication>()
  readonly #mandates = new Map<string, Mandate>()
  /** Causes of rows as the units' last commits say, until `start`. */
  #stored = new Map<string, readonly string[]>()
  /** Rows kept though nothing derives them now: subject → the members that cannot be derived from. */
  readonly #held = new Map<string, { readonly fn: Reconciler; readonly plane: string; readonly because: ReadonlySet<string> }>()
  /** `<fn> <kind>/<key>` of rows that cannot be published. */
  readonly #refused = new Set<string>()
  readonly #declared: Promise<void>[] = []
  /** Names of those that these functions read. */
  readonly #resourceKinds: ReadonlySet<string>
  #started = false
  #isOver = false

  constructor(options: OutputsOptions) {
    this.#options = options
    this.#resourceKinds = new Set(options.engine.functions.flatMap(({ reads }) => reads.filter(({ stream }) => stream === "RESOURCES").map(({ name }) => name)))
  }

  /** A commit of a unit of one of these functions, by the process before. */
  stored({ rows }: UnitChange): void {
    if (this.#started) return
    for (const [subject, body, causes] of rows) {
      if (body === null) this.#stored.delete(subject)
      else this.#stored.set(subject, causes)
    }
  }

  /** Publishes the difference between what is derived now and what is stored, functions declared `later` last. Resolves once it is staged. */
  async start(mandates: ReadonlyMap<string, Mandate>): Promise<void> {
    const { engine, reader } = this.#options
    for (const [fn, mandate] of mandates) this.#mandates.set(fn, mandate)
    const planes = new Map(engine.functions.map((fn) => [fn, new Set([CONTROL_PLANE, ...reader().units().filter((unit) => unit.fn === fn.name).map((unit) => unit.plane)])]))
    for (const [fn, known] of planes) for (const row of this.#rowsOf(fn)) known.add(place(row.key).plane)
    await Promise.all([...planes].flatMap(([fn, known]) => [...known].map((plane) => this.#unit(plane, fn).opened)))
    if (this.#isOver) return
    // What passed meanwhile is in the rows: from here on nothing waits, so nothing is missed or said twice.
    this.#started = true
    for (const fn of this.#backwards()) if (fn.later !== true) this.#stageAll(fn)
    if (engine.hasLater) {
      // What gateways wait for comes first: a large commit needs this thread until it is acked. Edits that come meanwhile go
      // before each of the others. Removals of those are known once they are derived from what is now.
      await Promise.all([...this.#units.values()].map((unit) => unit.committed())).catch(() => undefined)
      if (this.#isOver) return
      const later = this.#backwards().filter((fn) => fn.later === true)
      for (const fn of later) {
        await turn()
        if (this.#isOver) return
        // In one step: an edit taken up between the two would be named as a cause of rows that were made before it.
        this.publish(engine.pass(undefined, "later").filter((change) => !later.some(({ name }) => name === change.fn)), undefined)
        this.#stageAll(fn)
      }
    }
    this.#stored = new Map()
  }

  /** What a pass changed. The last functions first: a gateway has clusters before the routes that name them. */
  publish(changes: readonly RowChange[], traceparent: string | undefined): void {
    if (!this.#started) return
    for (const fn of this.#backwards()) {
      const byPlane = new Map<string, { readonly staged: StagedChange[]; readonly causes: Set<string> }>()
      for (const change of changes) {
        if (change.fn !== fn.name) continue
        const { plane } = place(change.key)
        let unit = byPlane.get(plane)
        if (unit === undefined) byPlane.set(plane, (unit = { staged: [], causes: new Set() }))
        const staged = this.#changeOf(fn, change, this.#unit(plane, fn))
        if (staged === undefined) continue
        const why = change.triggers === undefined ? staged : { ...staged, triggers: change.triggers }
        unit.staged.push(change.value === undefined ? { ...why, causes: change.triggers ?? [] } : why)
        for (const cause of change.triggers ?? staged.causes) if (unit.causes.size < LIMIT + 1) unit.causes.add(cause)
      }
      for (const [plane, { staged, causes }] of byPlane) {
        if (staged.length === 0) continue
        this.#unit(plane, fn).stage(staged, { causes: [...causes], ...(traceparent === undefined ? {} : { traceparent }) })
        this.#options.traces?.staged({ plane, fn: fn.name }, traceparent)
      }
    }
    if (this.#held.size > 0) this.#letGo()
  }

  /** Sequence of the newest commit of these functions. */
  get committed(): number {
    let newest = 0
    for (const { seq } of this.#units.values()) newest = Math.max(newest, seq)
    return newest
  }

  /** Everything staged so far is committed and stored. Rejects when this process may write no more. */
  async settled(): Promise<void> {
    await Promise.all(this.#declared)
    await Promise.all([...this.#units.values()].map((unit) => unit.settled()))
  }

  async stop(): Promise<void> {
    this.#started = false
    await Promise.all([...this.#units.values()].map((unit) => unit.stop()))
  }

  /** Those declared `later` come last also here. */
  #backwards(): readonly Reconciler[] {
    const { functions } = this.#options.engine
    return [...functions.filter(({ later }) => later !== true).toReversed(), ...functions.filter(({ later }) => later === true).toReversed()]
  }

  #unit(plane: string, fn: Reconciler): Publication {
    const key = `${plane}/${fn.name}`
    const known = this.#units.get(key)
    if (known !== undefined) return known
    const mandate = this.#mandates.get(fn.name)
    if (mandate === undefined) throw new TypeError(`the lease of ${fn.name} is not held`)
    const { bus, reader, writer, onNote, traces } = this.#options
    const onOver = (error: unknown): void => {
      this.#isOver = true
      this.#options.onOver(error)
    }
    const options: UnitWriterOptions = {
      unit: { plane, fn: fn.name },
      ...mandate,
      writer,
      version: fn.version,
      reader: reader(),
      onSteppedDown: (reason, message) => onOver(new Error(`${reason}: ${message}`)),
      onNote,
      ...traces?.commits({ plane, fn: fn.name }),
    }
    const unit = new Publication(bus, options, onOver)
    this.#units.set(key, unit)
    return unit
  }

  *#rowsOf(fn: Reconciler): Generator<Row> {
    for (const kind of [...fn.writes, kinds.note]) for (const [key, value] of this.#options.engine.rows(fn.name, kind)) yield { kind, key, value }
  }

  #stageAll(fn: Reconciler): void {
    const wanted = new Map<string, { readonly changes: StagedChange[]; readonly subjects: Set<string> }>()
    const rows = [...this.#rowsOf(fn)]
    // A plane that came up while the others were opened has its unit only now.
    for (const { key } of rows) this.#unit(place(key).plane, fn)
    const units = [...this.#units].filter(([key, { plane }]) => key === `${plane}/${fn.name}`).map(([, unit]) => unit)
    for (const { plane } of units) wanted.set(plane, { changes: [], subjects: new Set() })
    for (const row of rows) {
      const { plane, id } = place(row.key)
      const change = this.#changeOf(fn, row, this.#unit(plane, fn))
      const unit = wanted.get(plane)
      unit?.subjects.add(configSubject(plane, row.kind.name, id))
      if (change !== undefined) unit?.changes.push(this.#sinceStored(fn, row, change))
    }
    const declaration = declarationOf(fn)
    wanted.get(CONTROL_PLANE)?.subjects.add(declaration.subject)
    const parked = this.#options.engine.parked(fn.name)
    for (const unit of units) {
      const { changes, subjects } = wanted.get(unit.plane) ?? { changes: [], subjects: new Set() }
      for (const subject of unit.state.keys()) {
        if (subjects.has(subject)) continue
        const because = this.#stuck(this.#stored.get(subject) ?? [], parked)
        if (because.size > 0) this.#held.set(subject, { fn, plane: unit.plane, because })
        else changes.push({ subject, body: null, causes: [] })
      }
      if (changes.length > 0) unit.stage(changes, { causes: [...new Set(changes.flatMap(({ causes, triggers }) => triggers ?? causes))].slice(0, LIMIT + 1) })
    }
    this.#declare(fn, declaration, units.filter((unit) => unit.plane !== CONTROL_PLANE))
  }

  /**
   * What was changed while nobody derived: the inputs that are others than those of what is stored. What another
   * function's row was made from counts only where that row is another one too.
   */
  #sinceStored(fn: Reconciler, { kind, key }: Row, change: StagedChange): StagedChange {
    const stored = this.#stored.get(change.subject)
    if (stored === undefined) return change
    const others = (causes: readonly string[]): readonly string[] => causes.filter((cause) => !stored.includes(cause))
    const narrow = others(this.#options.engine.causes(fn.name, kind, key, (read, of, value) => this.#wasReadFrom(read, of, value, stored)))
    const triggers = narrow.length > 0 ? narrow : others(change.causes)
    return triggers.length === 0 ? change : { ...change, triggers }
  }

  /**
   * Whether what is stored, made from `causes`, was made with this row of another function as it is now: it is stored
   * so, and since nothing newer than them. (Rows of one pass are on their way together, those that read first.)
   */
  #wasReadFrom(kind: Kind<unknown>, key: Key, value: unknown, causes: readonly string[]): boolean {
    const { engine } = this.#options
    const { plane, id } = place(key)
    const subject = configSubject(plane, kind.name, id)
    const writer = engine.functions.find(({ writes }) => writes.some(({ name }) => name === kind.name))
    const body = writer && this.#units.get(`${plane}/${writer.name}`)?.state.get(subject)
    if (body === undefined || body !== canonical(encode(kind, value))) return false
    // Sequences of one stream can be compared.
    const isResource = (cause: string): boolean => this.#resourceKinds.has(cause.slice(0, cause.indexOf("/")))
    const newest = Math.max(0, ...causes.filter(isResource).map(seqOf))
    return this.#stored.get(subject)?.every((cause) => isResource(cause) && seqOf(cause) <= newest) === true
  }

  /** Says that everything derived so far is committed: only after it is. */
  #declare(fn: Reconciler, declaration: StagedChange, others: readonly Publication[]): void {
    const unit = this.#unit(CONTROL_PLANE, fn)
    if (unit.state.get(declaration.subject) === declaration.body) return
    // A writer that is over rejects here, and has said so by onOver.
    this.#declared.push(Promise.all(others.map((other) => other.settled())).then(() => unit.stage([declaration], {}), () => undefined))
  }

  /**
   * Of what a row was made from, what cannot be derived from now: the member it was mapped from is parked, or any is
   * unreadable. After a restart the last good output of such a member is known only as what is published.
   */
  #stuck(causes: readonly string[], parked: ReadonlySet<string>): ReadonlySet<string> {
    const { unreadable } = this.#options
    const members = causes.map(withoutSeq)
    const [first] = members
    const stuck = members.filter((member) => unreadable.has(member))
    return new Set(first !== undefined && parked.has(first) ? [first, ...stuck] : stuck)
  }

  /** Takes away what was held for members that can be derived from again, or are gone. */
  #letGo(): void {
    const { engine, unreadable } = this.#options
    for (const [subject, { fn, plane, because }] of this.#held) {
      const parked = engine.parked(fn.name)
      if ([...because].some((member) => parked.has(member) || unreadable.has(member))) continue
      this.#held.delete(subject)
      this.#unit(plane, fn).stage([{ subject, body: null, causes: [] }], {})
    }
  }

  /** Undefined when the unit has it so already, or it cannot be published: then what was published stays. */
  #changeOf(fn: Reconciler, { kind, key, value }: Row, unit: Publication): StagedChange | undefined {
    const { plane, id } = place(key)
    const subject = configSubject(plane, kind.name, id)
    this.#held.delete(subject)
    if (value === undefined) {
      this.#accept(fn, kind, key)
      return { subject, body: null, causes: [] }
    }
    try {
      const stored = unit.state.get(subject)
      if (stored !== undefined && stored === canonical(value)) {
        this.#accept(fn, kind, key)
        return undefined
      }
      const body = canonical(encode(kind, value))
      if (Buffer.byteLength(body) > MAX_BODY) throw new RangeError(`its ${Buffer.byteLength(body)} bytes are above the limit of ${MAX_BODY}`)
      this.#accept(fn, kind, key)
      return { subject, body, causes: this.#options.engine.causes(fn.name, kind, key) }
    } catch (error) {
      this.#refuse(fn, kind, key, error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, " ") : String(error))
      return undefined
    }
  }

  #refuse(fn: Reconciler, kind: Kind<unknown>, key: Key, why: string): void {
    this.#refused.add(`${fn.name} ${kind.name}/${key}`)
    const message = `${fn.name} made a ${kind.name} "${key}" that cannot be published: ${why}. What was published before stays.`
    this.#options.engine.say(fn.name, { kind: kind.name, key }, [{ schema: 1, severity: "error", reason: "Unpublishable", message }])
  }

  #accept(fn: Reconciler, kind: Kind<unknown>, key: Key): void {
    if (this.#refused.delete(`${fn.name} ${kind.name}/${key}`)) this.#options.engine.say(fn.name, { kind: kind.name, key }, [])
  }
}

const declarationOf = (fn: Reconciler): StagedChange => {
  const names = (list: readonly Kind<unknown>[]) => list.map(({ name }) => name).sort()
  const value: FunctionDeclaration = { schema: 1, version: fn.version, reads: names(fn.reads), writes: names(fn.writes) }
  return { subject: configSubject(CONTROL_PLANE, kinds.function.name, fn.name), body: canonical(value), causes: [] }
}
