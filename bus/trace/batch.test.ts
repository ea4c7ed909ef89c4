import fc from "fast-check"
import { expect, it } from "vitest"
import { decodeBatch, encodeBatch } from "./batch.ts"
import { kind, type Span } from "./span.ts"

const hex = (length: number) => fc.string({ unit: fc.constantFrom(..."0123456789abcdef".split("")), minLength: length, maxLength: length })
const id = fc.record({ traceId: hex(32), spanId: hex(16) })
const attributes = fc.dictionary(fc.string().filter((key) => key !== "__proto__"), fc.oneof(fc.string(), fc.integer(), fc.boolean()), { noNullPrototype: true })
const microseconds = fc.integer({ min: 1_600_000_000_000_000, max: 1_600_000_100_000_000 })

const span: fc.Arbitrary<Span> = fc.record({
  traceId: hex(32), spanId: hex(16), parentId: fc.oneof(fc.constant(""), hex(16)), state: fc.string(), name: fc.string(), kind: fc.constantFrom(...Object.values(kind)),
  from: microseconds, took: fc.nat(1_000_000), attributes, links: fc.array(id, { maxLength: 3 }), failed: fc.boolean(),
}).map(({ from, took, ...rest }) => ({ ...rest, from: from / 1000, to: (from + took) / 1000 }))

/** To the microsecond. */
const rounded = ({ from, to, ...rest }: Span) => ({ ...rest, from: Math.round(from * 1000), to: Math.round(to * 1000) })
const byId = (spans: readonly Span[]) => [...spans].sort((a, b) => (a.spanId < b.spanId ? -1 : 1)).map(rounded)

it("what is written is read", () => {
  fc.assert(fc.property(attributes, fc.uniqueArray(span, { selector: ({ spanId }) => spanId, minLength: 1, maxLength: 20 }), (resource, spans) => {
    const read = decodeBatch(encodeBatch(resource, spans))
    expect(read.resource).toEqual(resource)
    expect(byId(read.spans)).toEqual(byId(spans))
  }))
})

it("a span that says little is short", () => {
  const plain: Span = { traceId: "a".repeat(32), spanId: "b".repeat(16), parentId: "c".repeat(16), state: "", name: "fold", kind: 1, from: 1_700_000_000_000.125, to: 1_700_000_000_001, attributes: {}, links: [], failed: false }
  expect(encodeBatch({}, [plain])).toBe(`{"at":1700000000000,"resource":{},"traces":{"${plain.traceId}":[["${plain.spanId}","${plain.parentId}","fold",1,125,875]]}}`)
})

it("anything at all can be read", () => {
  fc.assert(fc.property(fc.json(), (body) => { expect(Array.isArray(decodeBatch(body).spans)).toBe(true) }))
  for (const body of ["", "nonsense", "null", `{"traces":{"a":[null,[],[1,2,3,4,5,6,7,8,9,10]]}}`, `{"traces":{"a":7}}`, `{"traces":[[]]}`]) expect(() => decodeBatch(body)).not.toThrow()
})
