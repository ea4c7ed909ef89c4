/**
 * `applied.<plane>.<pod>` in APPLIED: what one gateway pod serves now; published after each swap and whenever a
 * field changes. Written by gateways (plain TypeScript: types only), read by people's tools and functions.
 */
import type { Note } from "./config.ts"

export interface Applied {
  readonly schema: 1
  readonly pod: string
  readonly plane: string
  readonly ready: boolean
  /** Why not ready, as a sentence. */
  readonly waiting?: string
  /** `http://127.0.0.1:9901` */
  readonly admin: string
  /** By function: the commit all workers have swapped to. */
  readonly units: Readonly<Record<string, { readonly rev: number; readonly epoch: number; readonly seq: number; readonly digest: string }>>
  readonly listeners: readonly AppliedListener[]
  /** Parked entries, barrier time-outs, ports in use. */
  readonly notes: readonly Omit<Note, "schema">[]
}

export interface AppliedListener {
  /** Listener entry id. */
  readonly id: string
  readonly protocol: string
  readonly address: string
  /** Actually bound; differs from specPort when that could not be. 0: not bound, `error` says why; without one it is about to be. */
  readonly port: number
  readonly specPort: number
  /** The listener entry's. */
  readonly generation?: number
  readonly error?: string
}
