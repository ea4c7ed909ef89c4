import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { formatTraceparent, parseTraceparent } from "./context.ts"

const hex = (length: number) => fc.string({ unit: fc.constantFrom(..."0123456789abcdef".split("")), minLength: length, maxLength: length })
const nonZero = (length: number) => hex(length).filter((digits) => !/^0+$/.test(digits))
const parts = fc.record({ traceId: nonZero(32), spanId: nonZero(16), flags: hex(2) })

describe("traceparent", () => {
  it("what is written is read", () => {
    fc.assert(fc.property(nonZero(32), nonZero(16), fc.boolean(), (traceId, spanId, isSampled) => {
      expect(parseTraceparent(formatTraceparent(traceId, spanId, isSampled))).toEqual({ traceId, spanId, isSampled })
    }))
  })

  it("the last flag says whether it is sampled, whatever the others are", () => {
    fc.assert(fc.property(parts, ({ traceId, spanId, flags }) => {
      expect(parseTraceparent(`00-${traceId}-${spanId}-${flags}`)?.isSampled).toBe(Number.parseInt(flags, 16) % 2 === 1)
    }))
  })

  it("of a version that is not known yet the known part is read, and what follows it after a dash is passed over", () => {
    fc.assert(fc.property(parts, hex(2).filter((version) => version !== "ff" && version !== "00"), fc.string(), ({ traceId, spanId }, version, more) => {
      const known = `${version}-${traceId}-${spanId}-01`
      expect(parseTraceparent(known)?.traceId).toBe(traceId)
      expect(parseTraceparent(`${known}-${more}`)?.traceId).toBe(traceId)
      expect(parseTraceparent(`${known}x${more}`)).toBeUndefined()
      expect(parseTraceparent(`00-${traceId}-${spanId}-01-${more}`)).toBeUndefined()
    }))
  })

  it("one wrong character anywhere makes it none", () => {
    const wrong = fc.constantFrom("g", "A", "F", " ", "_", "\u00e9", "")
    fc.assert(fc.property(parts, fc.nat(54), wrong, ({ traceId, spanId, flags }, at, character) => {
      const whole = `00-${traceId}-${spanId}-${flags}`
      expect(parseTraceparent(whole.slice(0, at) + character + whole.slice(at + 1))).toBeUndefined()
    }))
  })

  it.each([
    ["no trace id", "00-00000000000000000000000000000000-b7ad6b7169203331-01"],
    ["no parent id", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
    ["a version that is none", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ["nothing", ""],
    ["two in one", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
  ])("%s is none", (_, text) => expect(parseTraceparent(text)).toBeUndefined())
})
