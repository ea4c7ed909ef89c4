/** Resource kinds that come from adapters themselves, not from what they watch. */
import { Schema } from "effect"
import { Note } from "./config.ts"
import { resourceKind } from "./kind.ts"

/**
 * Key `/<kind>`: the adapter has published its first full list of that kind into this incarnation of RESOURCES.
 * A mark of another incarnation says nothing.
 */
export const Sync = Schema.Struct({ incarnation: Schema.String, complete: Schema.Boolean })
export type Sync = typeof Sync.Type

export const sync = resourceKind("sync", Sync)

/** Key `<adapter>/<id>`: what an adapter has to say about its source: broken YAML, unknown kind, too large … */
export const adapterNote = resourceKind("note", Note)

/** Key `/<moment>`, as in Wanted: the moment has come. Published when it has, never before. */
export const Clock = Schema.Struct({ moment: Schema.String })
export type Clock = typeof Clock.Type

export const clock = resourceKind("clock", Clock)
