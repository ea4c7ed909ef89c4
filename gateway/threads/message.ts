/** What the main thread and its workers tell each other. In order, as every MessagePort delivers. */
import type { Span } from "../../bus/trace/span.ts"
import type { Bound } from "../acceptor.ts"
import type { ListeningSocket } from "../restart/listening-socket.ts"
import type { ServingSettings } from "../serving.ts"
import type { Batch, TableNote } from "../table/compile.ts"
import type { Sampler } from "../telemetry/sampler.ts"

/** What a worker starts with. */
export interface Beginning extends ServingSettings {
  /** Null: no request is traced. */
  readonly sampler: Sampler | null
  readonly ticketKey: Uint8Array
  /** Descriptor for the access log of all; `turn` says who writes, `writer` is this one's number. */
  readonly output: number
  readonly turn: Int32Array
  readonly writer: number
  /** Everything that is served, to be applied in this order. */
  readonly batches: readonly Batch[]
  /** Of the last batch that is in `batches`. */
  readonly number: number
  /** Connections are for one answer each. */
  readonly isLeaving: boolean
  /** Sockets are not touched before `release`; these are its own from a predecessor. Undefined: they are bound as tables want them. */
  readonly handed: readonly ListeningSocket[] | undefined
}

export type ToWorker =
  | { readonly is: "batch"; readonly number: number; readonly batch: Batch }
  | { readonly is: "ping" }
  | { readonly is: "ticket-key"; readonly octets: Uint8Array }
  | { readonly is: "leave" }
  /** `isHandedOver`: to a successor. */
  | { readonly is: "drain"; readonly milliseconds: number; readonly isHandedOver: boolean }
  | { readonly is: "hold" }
  | { readonly is: "release" }
  | { readonly is: "stop" }

/** What a worker serves now. */
export interface Report {
  /** Of the last batch it swapped to. */
  readonly number: number
  readonly generation: number
  readonly clusters: number
  readonly isSettled: boolean
  /** By a table's port: those tried. */
  readonly bound: ReadonlyMap<string, Bound>
  readonly notes: ReadonlyMap<string, TableNote>
}

export interface Counted {
  /** Prometheus text. */
  readonly metrics: string
  /** Client connections open. */
  readonly connections: number
}

export type FromWorker =
  | { readonly is: "report"; readonly report: Report }
  | { readonly is: "pong"; readonly counted: Counted }
  | { readonly is: "span"; readonly span: Span }
  /** An error nobody caught: it takes no more, and ends when what is under way has. */
  | { readonly is: "failed"; readonly error: string }
  | { readonly is: "drained"; readonly cut: number }
  | { readonly is: "held"; readonly sockets: readonly ListeningSocket[]; readonly error: string | undefined }
  /** The last word. */
  | { readonly is: "stopped"; readonly counted: Counted }
