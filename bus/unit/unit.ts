/**
 * A unit is (data plane, function): a map from subject to bytes with one writer. Its snapshots are commits. The
 * protocol, its invariants I1 to I9 and the tests that show them are in bus/README.md, "Units".
 */

import type { Message } from "../bus.ts"
import type { UnitSnapshot } from "./fold.ts"

export interface UnitId {
  readonly plane: string
  readonly fn: string
}

/**
 * One changed entry: subject, canonical body (null: removed), the inputs that made it what it is, each
 * `<kind>/<key>@<sequence in its stream>` (for explain; not part of the digest), and, where they are not all of the
 * commit's causes, the changed inputs that changed this entry.
 */
export type Row = readonly [subject: string, body: string | null, causes: readonly string[], triggers?: readonly string[]]

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

export type CommitHead = Omit<Commit, "diff" | "parts">

/** What a reader hands on: a verified step from the state it last handed on (empty at first) to this commit's. */
export interface UnitChange {
  readonly unit: UnitId
  readonly commit: CommitHead
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
  /** A commit was received, and is looked at now. */
  onTaken?(): void
  /** Synchronous. Only verified commits arrive here; a gap or a mismatch is re-read first. */
  onChange(change: UnitChange): void
  /** Once: every unit that had a commit when the reader attached has been handed on. Nothing there: at once. */
  onCaughtUp(incarnation: string): void
  /** Store lost; nothing more arrives; make a new reader. */
  onLost(reason: string): void
  /** A mismatch, re-read, ignored lower epoch …, for notes and metrics. */
  onNote?(reason: string, message: string): void
  onStalled?(stalled: boolean): void
  /** Keeps what `claim` needs to hand a unit to a writer without another read. Costs memory: not in a gateway. */
  readonly claimable?: boolean
  readonly clock?: Clock
}

export interface UnitReader {
  /** Current verified state of one unit: subject → body. */
  state(unit: UnitId): ReadonlyMap<string, string> | undefined
  units(): readonly UnitId[]
  /** Sequence in CONFIG up to which every commit was handed on, 0 before all that was stored has been. */
  readonly seen: number
  /**
   * Hands a unit over to a writer in this process (UnitWriterOptions.reader): the reader folds it no longer, only
   * tells of its commits. Undefined when the writer has to read for itself: not caught up, in doubt, or a commit
   * was applied since the cold read, so that nobody here knows which of its entries are stored.
   */
  claim(unit: UnitId, onCommit: (message: Message) => void): ClaimedUnit | undefined
  stop(): Promise<void>
}

/** `snapshot` is undefined when the unit has no commit. */
export interface ClaimedUnit {
  readonly incarnation: string
  readonly snapshot: UnitSnapshot | undefined
}

/** Time and chance, so that the model test can decide them. Default: clock.ts. */
export interface Clock {
  /** Milliseconds, never going back; only differences mean something. */
  monotonic(): number
  /** Milliseconds since 1970. */
  wall(): number
  /** From 0 to 1, for jitter. */
  random(): number
  /** Returns the cancellation. */
  after(ms: number, run: () => void): () => void
}

/** Implemented by unit/writer.ts: `openUnit(bus, options): Promise<UnitWriter>` reads and mends the unit first. */
export interface UnitWriterOptions {
  readonly unit: UnitId
  readonly epoch: number
  readonly writer: string
  readonly version: string
  /** Called once: someone with a higher epoch writes this unit, or the store was lost. Nothing more is published. */
  onSteppedDown(reason: "higher-epoch" | "store-lost", message: string): void
  /**
   * Before a commit is sent, with the number of its rows and the trace it was staged for. What is returned is the
   * traceparent it carries instead.
   */
  onCommitting?(commit: CommitHead, rows: number, traceparent: string | undefined): string | undefined
  /** After each commit's ack, synchronously: hand the result on in memory. */
  onCommitted?(commit: CommitHead, seq: number): void
  /** A reader (made with `claimable`) of a filter that covers the unit: its read and its follower are shared. */
  readonly reader?: UnitReader
  /**
   * `Lease.fence`: when the unit's last commit is of an epoch below this, commit at once even if nothing differs, so
   * that a writer frozen before the take-over is refused from now on. 0: never. No effect on a unit without commit.
   */
  readonly fence?: number
  /** Bytes of diff above which it travels in parts. Default PART_BYTES (commit.ts); the model test sets it low. */
  readonly partBytes?: number
  /** How long a removed entry's tombstone is kept before its subject is purged, ms. Default 7 days. */
  readonly tombstoneWindow?: number
  /** A retry, a repair, a gap in history …, for notes and metrics. */
  onNote?(reason: string, message: string): void
  /** Stops the writer also while it is being opened, which lasts as long as the server is away: openUnit then rejects. */
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

/** openUnit rejects with this: the unit's last commit is of a later lease. Acquire again, above `epoch`. */
export class HigherEpochError extends Error {
  override readonly name = "HigherEpochError"
  readonly unit: UnitId
  readonly epoch: number
  constructor(unit: UnitId, epoch: number) {
    super(`unit ${unit.plane}/${unit.fn} was committed by a writer of the higher epoch ${epoch}`)
    this.unit = unit
    this.epoch = epoch
  }
}

export interface StagedChange {
  readonly subject: string
  /** Canonical JSON; null removes. Equal to what is there: no change. */
  readonly body: string | null
  readonly causes: readonly string[]
  /** The changed inputs this change answers; left out: those of the whole commit. */
  readonly triggers?: readonly string[]
}

export interface StageOptions {
  readonly causes?: readonly string[]
  /** The first one given until the next commit names that commit's trace. */
  readonly traceparent?: string
  /** A unit that has no commit gets one even when there is nothing in it. */
  readonly force?: boolean
  /** `changes` is the whole state: what it does not name is removed. */
  readonly complete?: boolean
}

/** Bytes one canonical body may have: escaped twice it still fits the server's 1 MiB message. */
export const MAX_BODY = 480 * 1024

export interface UnitWriter {
  readonly unit: UnitId
  /** The state as staged: committed plus in flight plus waiting. */
  state(): ReadonlyMap<string, string>
  /**
   * Stages changes; synchronous. One commit in flight a unit: what arrives meanwhile coalesces into the next.
   * Throws RangeError, staging nothing, for a body above MAX_BODY bytes or a subject outside the plane.
   */
  stage(changes: Iterable<StagedChange>, options?: StageOptions): void
  /** Resolves when everything staged so far is committed and its entries are acked. Rejects when stepped down. */
  settled(): Promise<void>
  /** Sequence of the last commit as far as the writer knows, 0: none. */
  readonly seq: number
  stop(): Promise<void>
}
