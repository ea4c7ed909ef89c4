/**
 * What a gateway and the one that takes its place tell each other over the IPC channel between them. The sockets come before that,
 * as descriptors of the process from FIRST_FD on, described in ENVIRONMENT.
 *
 *   predecessor                                   successor
 *   leaves its sockets as they are, starts it ──> restores the snapshot, reads the log, accepts nothing
 *                                             <── ready
 *   no acks, no snapshot any more             ──> go
 *                                             <── serving: accepts, answers probes, acknowledges
 *   closes its sockets, finishes, ends
 */
import type { WorkersSocket } from "./listening-socket.ts"

/** Name of the variable with what is handed over, as JSON. */
export const ENVIRONMENT = "HEADGATE_HANDED_OVER"
/** After standard input, output and error, and the IPC channel. */
export const FIRST_FD = 4

export interface HandedOver {
  /** As many serve as have sockets. */
  readonly workers: number
  readonly sockets: readonly WorkersSocket[]
}

/** What a successor is at, in this order. */
export type Stage = "ready" | "serving"
export const isStage = (message: unknown): message is Stage => message === "ready" || message === "serving"

export const GO = "go"
