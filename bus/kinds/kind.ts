import type { Schema } from "effect"

/**
 * A kind of value on the bus. Resource kinds are written by adapters under `resource.<name>.<ns>.<name>`; config
 * kinds are sections of units, `config.<plane>.<name>.<id>`, written by functions; `applied` (kinds/applied.ts) is what
 * gateways say.
 *
 * Keys: a resource's is `<namespace>/<name>` (`/<name>` where cluster-scoped), a config value's `<plane>/<id>`, an ack's
 * `<plane>/<pod>`.
 */
export interface Kind<T> {
  /** Subject token: lower case, no dots: `httproute`. Unique. */
  readonly name: string
  readonly stream: "RESOURCES" | "CONFIG" | "APPLIED"
  readonly schema: Schema.Codec<T, unknown>
  /** Many functions write it, each under ids `<function>/…`. Any other config kind has one writing function. */
  readonly open?: true
}

export const resourceKind = <T>(name: string, schema: Schema.Codec<T, unknown>): Kind<T> => ({ name, stream: "RESOURCES", schema })
export const configKind = <T>(name: string, schema: Schema.Codec<T, unknown>): Kind<T> => ({ name, stream: "CONFIG", schema })
export const openKind = <T>(name: string, schema: Schema.Codec<T, unknown>): Kind<T> => ({ name, stream: "CONFIG", schema, open: true })
