/**
 * `applied.<plane>.<pod>` in APPLIED: what one gateway pod serves now; published after each swap and whenever a
 * field changes, and from time to time though nothing has (bus/presence.ts). Written by gateways (plain TypeScript: types
 * only), read by people's tools and functions.
 */
import { Schema, Struct as Fields } from "effect"
import { Note } from "./config.ts"
import type { Kind } from "./kind.ts"

const { Struct, String, Number, Boolean, Array, Literal, Literals, Record, optionalKey } = Schema

export const AppliedListener = Struct({
  /** Listener entry id. Once for each address. */
  id: String,
  protocol: String,
  /** The listener entry's; without one it takes every name. */
  hostname: optionalKey(String),
  address: String,
  /** Actually bound; differs from specPort when that could not be. 0: not bound, `error` says why; without one it is about to be. */
  port: Number,
  specPort: Number,
  /** The listener entry's. */
  generation: optionalKey(Number),
  error: optionalKey(String),
  /** What `error` is about where it is not the port: this machine does not have the address. */
  reason: optionalKey(Literals(["AddressNotUsable"])),
})
export type AppliedListener = typeof AppliedListener.Type

export const Applied = Struct({
  schema: Literal(1),
  pod: String,
  plane: String,
  /** False again once the pod has said that it stops; one that is killed says nothing. */
  ready: Boolean,
  /** Why not ready, as a sentence. */
  waiting: optionalKey(String),
  /** `http://127.0.0.1:9901` */
  admin: String,
  /** By function: the commit all workers have swapped to. */
  units: Record(String, Struct({ rev: Number, epoch: Number, seq: Number, digest: String })),
  listeners: Array(AppliedListener),
  /** Parked entries, barrier time-outs, ports in use. */
  notes: Array(Note.mapFields(Fields.omit(["schema"]))),
})
export type Applied = typeof Applied.Type

/** Key `<plane>/<pod>`. */
export const applied: Kind<Applied> = { name: "applied", stream: "APPLIED", schema: Applied }
