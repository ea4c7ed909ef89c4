/** A function, run once on given values: what a unit test needs, with neither bus nor cluster. */
import { Schema } from "effect"
import { CONTROL_PLANE, kinds, type Note } from "../bus/kinds/config.ts"
import type { Kind } from "../bus/kinds/kind.ts"
import { createEngine } from "./engine/engine.ts"
import type { Key, Reconciler } from "./reconcile.ts"

/** Values of one kind by key, as they would be written: defaults of the kind are filled in. */
export interface Given {
  readonly kind: Kind<unknown>
  readonly values: Readonly<Record<Key, unknown>>
}

export interface Outcome {
  /** What the function publishes as `kind`, by key (`<plane>/<id>`), sorted. */
  rows<T>(kind: Kind<T>): Readonly<Record<Key, T>>
  /** What it says, a derivation that threw (reason Parked) included. */
  readonly notes: readonly Note[]
  /** The inputs a row was made from: `<kind>/<key>@<n>`, n counting what was given from 1. */
  causes(kind: Kind<unknown>, key: Key): readonly string[]
}

const frozen = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) for (const member of Object.values(Object.freeze(value))) frozen(member)
  return value
}

export const given = (kind: Kind<unknown>, values: Given["values"]): Given => ({ kind, values })

/**
 * Derives from the given values alone. Throws for a value that is not of its kind and for a row the function made
 * that is not of its kind. Values are frozen: a derivation that changes its input is parked.
 */
export const run = (fn: Reconciler, inputs: readonly Given[]): Outcome => {
  const engine = createEngine({ functions: [fn], notes: { kind: kinds.note, plane: CONTROL_PLANE } })
  let seq = 0
  for (const { kind, values } of inputs) {
    const decode = Schema.decodeUnknownSync(kind.schema)
    for (const [key, value] of Object.entries(values)) engine.stage(kind, key, frozen(decode(value)), ++seq)
  }
  engine.pass()
  for (const kind of fn.writes) {
    const encode = Schema.encodeUnknownSync(kind.schema)
    for (const [, value] of engine.rows(fn.name, kind)) encode(value)
  }
  return {
    rows: (kind) => Object.fromEntries(engine.rows(fn.name, kind)),
    notes: engine.rows(fn.name, kinds.note).map(([, note]) => note),
    causes: (kind, key) => engine.causes(fn.name, kind, key),
  }
}
