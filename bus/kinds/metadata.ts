/** What every object of the outside carries, trimmed to what functions need. */
import { Effect, Schema } from "effect"
import { declareDefault } from "./defaults.ts"

const Labels = Schema.Record(Schema.String, Schema.String)

/** A key that may be absent in what a user wrote and has the API server's default afterwards. */
export const defaulted = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]): Schema.withDecodingDefaultKey<S> => {
  const key = Schema.withDecodingDefaultKey<S>(Effect.succeed(value))(schema)
  declareDefault(key.ast, schema.ast, value)
  return key
}

export const Metadata = Schema.Struct({
  /** Empty for cluster-scoped objects. */
  namespace: defaulted(Schema.String, ""),
  name: Schema.String,
  uid: Schema.optionalKey(Schema.String),
  generation: Schema.optionalKey(Schema.Number),
  /** RFC 3339; absent in file mode. */
  creationTimestamp: Schema.optionalKey(Schema.String),
  /** RFC 3339: somebody deletes it, and it stays until its finalizers are gone. */
  deletionTimestamp: Schema.optionalKey(Schema.String),
  labels: Schema.optionalKey(Labels),
  annotations: Schema.optionalKey(Labels),
})
export type Metadata = typeof Metadata.Type

/** metav1.LabelSelector: all of both lists must hold; an empty selector takes everything. */
export const LabelSelector = Schema.Struct({
  matchLabels: Schema.optionalKey(Labels),
  matchExpressions: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        key: Schema.String,
        operator: Schema.Literals(["In", "NotIn", "Exists", "DoesNotExist"]),
        values: Schema.optionalKey(Schema.Array(Schema.String)),
      }),
    ),
  ),
})
export type LabelSelector = typeof LabelSelector.Type
