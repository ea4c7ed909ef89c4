/**
 * Puts the defaults of a Schema in place, so that what remains to be checked is the plain type, which compiled code
 * does in a tenth of the time (an adapter reads 20,000 objects before anything is served).
 */
import { SchemaAST } from "effect"

interface Default {
  readonly value: unknown
  readonly of: SchemaAST.AST
}

const declared = new WeakMap<SchemaAST.AST, Default>()

/** `key` is the Schema of a property, `of` the one of its value where it is there. */
export const declareDefault = (key: SchemaAST.AST, of: SchemaAST.AST, value: unknown): void => void declared.set(key, { of, value })

/** Fills in place. What is not of the expected shape is left alone: decoding tells what is wrong with it. */
export type Fill = (value: unknown) => void

/** Undefined where there is nothing to fill in. Properties of structs, in arrays too; not inside unions. */
export const defaultsOf = (ast: SchemaAST.AST): Fill | undefined => {
  const own = declared.get(ast)
  if (own !== undefined) return defaultsOf(own.of)
  if (SchemaAST.isArrays(ast)) return inItems(ast)
  return SchemaAST.isObjects(ast) ? inMembers(ast) : undefined
}

const inItems = ({ elements, rest: [item] }: SchemaAST.Arrays): Fill | undefined => {
  const fill = item === undefined || elements.length > 0 ? undefined : defaultsOf(item)
  if (fill === undefined) return undefined
  return (value) => {
    if (Array.isArray(value)) for (const each of value) fill(each)
  }
}

const inMembers = ({ propertySignatures }: SchemaAST.Objects): Fill | undefined => {
  const members = propertySignatures.flatMap(({ name, type }) => {
    const absent = declared.get(type)
    const fill = defaultsOf(type)
    return absent === undefined && fill === undefined ? [] : [{ name: String(name), absent, fill }]
  })
  if (members.length === 0) return undefined
  return (value) => {
    if (!isRecord(value)) return
    for (const { name, absent, fill } of members) {
      if (absent !== undefined && !Object.hasOwn(value, name)) value[name] = copy(absent.value)
      fill?.(value[name])
    }
  }
}

/** Defaults are small and plain; structuredClone takes longer than all the rest. */
const copy = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(copy)
  if (!isRecord(value)) return value
  const made = { ...value }
  for (const name of Object.keys(made)) made[name] = copy(made[name])
  return made
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)
