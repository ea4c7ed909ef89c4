/**
 * A unit is (data plane, function): a map from subject to bytes with one writer. Its snapshots are commits. The
 * protocol is DESIGN §3; its invariants I1 to I9 are listed in bus/README.md and checked by unit/model.test.ts.
 */

export interface UnitId {
  readonly plane: string
  readonly fn: string
}

/**
 * One changed entry: subject, canonical body (null: removed), and the inputs that made it what it is, each
 * `<kind>/<key>@<sequence in its stream>` (for explain; not part of the digest).
 */
export type Row = readonly [subject: string, body: string | null, causes: readonly string[]]

/** Body of `config.<plane>.commit.<function>`: the authority for the unit's state at `rev`. */
export interface Commit {
  readonly rev: number
  readonly prev: number
  /** Of the writer's lease; a higher epoch always wins. */
  readonly epoch: number
  readonly writer: string
  /** Version of the function. */
  readonly version: string
  /** Σ SHA-256(subject ‖ 0 ‖ body) mod 2²⁵⁶ over the whole state, hex. */
  readonly digest: string
  /** Entries in the whole state. */
  readonly count: number
  /** The changed inputs this commit answers, as in Row. At most 64, then "…". */
  readonly causes: readonly string[]
  /** Exactly one of the two. */
  readonly diff?: readonly Row[]
  readonly parts?: readonly { readonly k: number; readonly seq: number }[]
}

/** What a reader hands on: a verified step from the state it last handed on (empty at first) to this commit's. */
export interface UnitChange {
  readonly unit: UnitId
  readonly commit: Omit<Commit, "diff" | "parts">
  /** Sequence of the commit message in CONFIG, and the server's time of it (ms). */
  readonly seq: number
  readonly time: number
  readonly rows: readonly Row[]
  readonly traceparent: string | undefined
}

/**
 * Folds one filter of CONFIG (`config.<plane>.>` in a gateway, `config.>` in functions) into verified units.
 * Implemented by unit/reader.ts.
 */
export interface UnitReaderOptions {
  readonly filter: string
  /** Synchronous. Only verified commits arrive here; a gap or a mismatch is re-read first. */
  onChange(change: UnitChange): void
  /** Once: every unit that had a commit when the reader attached has been handed on. Nothing there: at once. */
  onCaughtUp(incarnation: string): void
  /** Store lost; nothing more arrives; make a new reader. */
  onLost(reason: string): void
  /** A mismatch, re-read, ignored lower epoch …, for notes and metrics. */
  onNote?(reason: string, message: string): void
  onStalled?(stalled: boolean): void
}

export interface UnitReader {
  /** Current verified state of one unit: subject → body. */
  state(unit: UnitId): ReadonlyMap<string, string> | undefined
  units(): readonly UnitId[]
  stop(): Promise<void>
}

/** Implemented by unit/writer.ts: `openUnit(bus, options): Promise<UnitWriter>` reads and mends the unit first. */
export interface UnitWriterOptions {
  readonly unit: UnitId
  readonly epoch: number
  readonly writer: string
  readonly version: string
  /** Called once: someone with a higher epoch writes this unit, or the store was lost. Nothing more is published. */
  onSteppedDown(reason: "higher-epoch" | "store-lost", message: string): void
  /** After each commit's ack, synchronously: hand the result on in memory. */
  onCommitted?(commit: Commit, seq: number): void
}

export interface StagedChange {
  readonly subject: string
  /** Canonical JSON; null removes. Equal to what is there: no change. */
  readonly body: string | null
  readonly causes: readonly string[]
}

export interface UnitWriter {
  readonly unit: UnitId
  /** The state as staged: committed plus in flight plus waiting. */
  state(): ReadonlyMap<string, string>
  /**
   * Stages changes; synchronous. One commit in flight a unit: what arrives meanwhile coalesces into the next.
   * With `force`, commits even when nothing differs (the first commit of a unit that has none).
   */
  stage(changes: Iterable<StagedChange>, options?: { causes?: readonly string[]; traceparent?: string; force?: boolean }): void
  /** Resolves when everything staged is committed and its entries are acked. Rejects when stepped down. */
  settled(): Promise<void>
  stop(): Promise<void>
}
