import { Result, Schema, SchemaAST } from "effect"
import fc from "fast-check"
import { expect, test } from "vitest"
import { canonical } from "../canonical.ts"
import { resourceApis } from "./all.ts"
import { defaultsOf } from "./defaults.ts"

/** Bodies as users write them: any key may be missing, and now and then a value is of another type. */
const bodies = (ast: SchemaAST.AST): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 60, arbitrary: wellTyped(ast) }, { weight: 1, arbitrary: fc.constantFrom<unknown>("wrong", 7, [], {}) })

const wellTyped = (ast: SchemaAST.AST): fc.Arbitrary<unknown> => {
  if (SchemaAST.isArrays(ast)) return fc.array(bodies(ast.rest[0] ?? SchemaAST.unknown), { maxLength: 2 })
  if (SchemaAST.isUnion(ast)) return fc.oneof(...ast.types.map(bodies))
  if (SchemaAST.isLiteral(ast)) return fc.constant(ast.literal)
  if (SchemaAST.isNumber(ast)) return fc.nat(70_000)
  if (SchemaAST.isBoolean(ast)) return fc.boolean()
  if (!SchemaAST.isObjects(ast)) return fc.constantFrom("a", "", "Exact")
  if (ast.indexSignatures.length > 0) return fc.dictionary(fc.constantFrom("x", "y"), fc.constant("z"), { noNullPrototype: true })
  const keys = ast.propertySignatures.map(({ name, type }) => ({ name: String(name), type }))
  const optional = keys.map(({ name, type }) => fc.option(bodies(type).map((value) => [[name, value] as const]), { freq: 6, nil: [] }))
  return fc.tuple(...optional).map((members) => Object.fromEntries(members.flat()))
}

test.each(resourceApis)("$kindName: filled in and then read as it is, a body gives what the whole Schema gives", ({ kind: { schema } }) => {
  const whole = Schema.decodeUnknownResult(schema)
  const asItIs = Schema.decodeUnknownResult(Schema.toType(schema))
  const fill = defaultsOf(schema.ast)
  let accepted = 0
  fc.assert(
    fc.property(bodies(schema.ast), (body) => {
      const expected = whole(structuredClone(body))
      fill?.(body)
      const found = asItIs(body)
      expect(Result.isSuccess(found)).toBe(Result.isSuccess(expected))
      if (Result.isFailure(found) || Result.isFailure(expected)) return
      accepted++
      expect(canonical(found.success)).toBe(canonical(expected.success))
    }),
    { numRuns: 500 },
  )
  expect(accepted).toBeGreaterThan(20)
})
