/** Between a kind's values and what its bodies on the bus say, for who handles many of them. */
import { Result, Schema, SchemaAST } from "effect"
import { enable } from "effect/schema/SchemaJITCompiler"
import type { Kind } from "./kind.ts"

/**
 * Throws for a body that is not of the kind. What adapters and functions publish has its defaults in place, so it is
 * first read as the value it is, by compiled code; what an older version left out is filled in by the whole Schema.
 */
export const decoderOf = <T>({ schema }: Kind<T>): ((body: unknown) => T) => {
  const type = Schema.toType(schema)
  enable(type.ast)
  const asItIs = Schema.decodeUnknownResult(type)
  const whole = Schema.decodeUnknownSync(schema)
  return (body) => {
    const read = asItIs(body)
    return Result.isSuccess(read) ? read.success : whole(body)
  }
}

/** Throws for a value that is not of the kind. */
export const encoderOf = ({ schema }: Kind<unknown>): ((value: unknown) => unknown) => {
  enable(SchemaAST.flip(schema.ast))
  return Schema.encodeUnknownSync(schema)
}
