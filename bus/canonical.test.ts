import fc from "fast-check"
import { expect, test } from "vitest"
import { canonical } from "./canonical.ts"

test("equal values are equal bytes whatever the order of keys, and parse back", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
    const shuffled = Object.fromEntries(Object.entries(value).reverse())
    expect(canonical(shuffled)).toBe(canonical(value))
    expect(JSON.parse(canonical(value))).toEqual(JSON.parse(JSON.stringify(value)))
  }))
})

test("what JSON cannot say throws", () => {
  for (const value of [NaN, 1n, () => 0]) expect(() => canonical({ value })).toThrow(TypeError)
})
