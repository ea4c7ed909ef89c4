/**
 * The port to the log. `jetstream.ts` implements it on a nats-server, `memory.ts` in the process; one contract
 * suite (test/contract) holds both to what is written here. Plain TypeScript: the gateway process uses it too.
 */

/** See streams.ts for what each holds and its limits. */
export type StreamName = "RESOURCES" | "CONFIG" | "APPLIED" | "RESOURCES_HISTORY" | "HISTORY" | "CHECKPOINTS" | "LEASES" | "TRACES"

/** Header names are case-sensitive as stored; the ones in use are listed in envelope.ts. */
export type Headers = Readonly<Record<string, string>>

export interface Message {
  readonly subject: string
  /** Position in the stream, from 1, unique, rising. */
  readonly seq: number
  /** When the server stored it, milliseconds since 1970. */
  readonly time: number
  readonly headers: Headers
  readonly data: Uint8Array
}

export interface Outgoing {
  readonly subject: string
  readonly data: string | Uint8Array
  readonly headers?: Headers
  /** Makes a retry safe inside the server's duplicate window. Never derived from content. */
  readonly msgId?: string
  /** Store only if the last message of `subject` (default: this message's) has this sequence; 0: there is none. */
  readonly expect?: { readonly seq: number; readonly subject?: string }
}

export interface Ack {
  readonly seq: number
  /** True when a message with the same msgId was stored before; `seq` is that one's. */
  readonly duplicate: boolean
}

export type BusErrorReason =
  | "conflict" // `expect` did not hold
  | "timeout" // no answer in 1 s: stored or not is unknown
  | "too-large" // above the server's max payload
  | "disconnected"
  | "no-stream"
  | "closed"
  | "rejected" // the server said no for another reason, see message

export class BusError extends Error {
  override readonly name = "BusError"
  readonly reason: BusErrorReason
  constructor(reason: BusErrorReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

export interface StreamInfo {
  /** Identifies this incarnation of the stream: changes when it is deleted and made anew. */
  readonly incarnation: string
  readonly firstSeq: number
  readonly lastSeq: number
  readonly messages: number
  /** That have a message, tombstones too. */
  readonly subjects: number
}

export type LostReason = "recreated" | "sequence-went-back" | "stream-missing"

/** Callbacks are synchronous; what one throws is a bug and ends the process. */
export interface Follower {
  readonly stream: StreamName
  /** One subject filter: exact, or with `*` and `>`. */
  readonly filter: string
  /** "state": the last message of each subject, then everything new; a number: everything after that sequence. */
  readonly from: "state" | { readonly after: number }
  /**
   * In stream order; each sequence at most once. Only a replay of the state that had to begin anew may deliver, before
   * onCaughtUp, a message older than one before it.
   */
  onMessage(message: Message): void
  /** Once: everything stored when the follower attached has been delivered. Also for an empty stream. */
  onCaughtUp?(info: StreamInfo): void
  /** The store was lost: deleted, made anew or set back. Nothing more is delivered; the owner starts over. Never a false alarm (I8). */
  onLost?(reason: LostReason): void
  /** The server cannot be reached (true) or is back and the follower re-attached after its last sequence (false). */
  onStalled?(stalled: boolean): void
}

export interface Following {
  /** Highest sequence delivered, 0 before the first. */
  readonly seen: number
  stop(): Promise<void>
}

export interface Bus {
  /** Resolves when stored. Rejects with BusError. Messages of one caller are sent in call order (pipelined). */
  publish(message: Outgoing): Promise<Ack>
  /**
   * Survives restart, freeze and loss of the server: re-attaches after the last sequence seen, at once on
   * reconnect, else on a missed heartbeat or every 10 s.
   */
  follow(follower: Follower): Following
  /** The last message of one subject, or undefined. */
  last(stream: StreamName, subject: string): Promise<Message | undefined>
  /** One message by sequence, or undefined when it is no longer kept. For users who may read the whole stream: a sequence names no subject. */
  at(stream: StreamName, seq: number): Promise<Message | undefined>
  /**
   * Last message of each of ≤ 1,024 subjects (wildcards allowed) as of a time (ms) or sequence, for small questions.
   * `complete` is false when a subject's kept history does not reach back so far: then its answer is left out.
   */
  asOf(
    stream: StreamName,
    subjects: readonly string[],
    upTo: { readonly time: number } | { readonly seq: number },
  ): Promise<{ readonly messages: readonly Message[]; readonly complete: boolean }>
  info(stream: StreamName): Promise<StreamInfo>
  /**
   * Removes every message of the subjects a filter matches, tombstones included, up to and with sequence `upTo`
   * (default: all); the only allowed way to forget a subject. The bound makes a purge by a stale writer harmless.
   */
  purge(stream: StreamName, filter: string, upTo?: number): Promise<void>
  /** Core NATS, not stored: coalesced hints such as `progress.<function>`. */
  hint(subject: string, data: string): void
  onHint(filter: string, on: (subject: string, data: string) => void): () => void
  /** Waits for everything sent, then closes. Idempotent. */
  close(): Promise<void>
}
