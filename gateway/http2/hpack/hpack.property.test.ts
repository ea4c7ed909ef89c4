import * as fc from "fast-check"
import { expect, test } from "vitest"
import { runs } from "../../../test/fixtures/runs.ts"
import { KIND, SENSITIVE } from "../field-kind.ts"
import { FieldList } from "../field-list.ts"
import { HpackDecoder } from "./decoder.ts"
import { HpackEncoder } from "./encoder.ts"
import { huffmanDecode, huffmanEncode, huffmanLength, mostDecoded } from "./huffman.ts"

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 60 })
// Few names and values, so that what was said comes again, and is evicted, and comes again.
const name = fc.oneof(fc.constantFrom("a", "x-b", "content-type", ":path", ":status", "cookie", "authorization", "accept", "x-request-id"), latin1)
const value = fc.oneof(fc.constantFrom("", "1", "200", "/", "text/html", "v".repeat(90), "w".repeat(300)), latin1)
const field = fc.record({ name, value, isSensitive: fc.boolean() })
const step = fc.oneof({ weight: 6, arbitrary: fc.array(field, { maxLength: 12 }) }, { weight: 1, arbitrary: fc.constantFrom(0, 32, 64, 100, 300, 4_096, 20_000) })

test("decode ∘ encode is the same list, over a connection with changing table sizes, and both tables stay equal", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(0, 200, 4_096, 16_384), (steps, most) => {
      const encoder = new HpackEncoder(most)
      const decoder = new HpackDecoder()
      for (const one of steps) {
        if (typeof one === "number") {
          encoder.setBound(one)
          decoder.setBound(one)
          continue
        }
        const sent = new FieldList()
        for (const { name: of, value: is, isSensitive } of one) sent.add(of, is, isSensitive ? SENSITIVE : 0)
        const length = encoder.encode(sent)
        const received = new FieldList()
        expect(decoder.decode(encoder.octets, 0, length, received)).toBe(true)
        expect([...received]).toEqual([...sent])
        for (let i = 0; i < sent.count; i++) if ((sent.kind(i) & SENSITIVE) !== 0) expect(received.kind(i) & SENSITIVE).toBe(SENSITIVE)
        expect([decoder.table.count, decoder.table.octets, decoder.table.maximum]).toEqual([encoder.table.count, encoder.table.octets, encoder.table.maximum])
        let octets = 0
        for (let number = decoder.table.oldest; number <= decoder.table.newest; number++) {
          expect([decoder.table.name(number), decoder.table.value(number)]).toEqual([encoder.table.name(number), encoder.table.value(number)])
          octets += decoder.table.name(number).length + decoder.table.value(number).length + 32
        }
        expect(octets).toBe(decoder.table.octets)
        expect(octets).toBeLessThanOrEqual(decoder.table.maximum)
      }
    }),
    { numRuns: runs(150) },
  )
})

test("a kind kept in the table is the kind found anew", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 10 }), (fields) => {
      const sent = new FieldList()
      for (const { name: of, value: is } of fields) sent.add(of, is)
      const encoder = new HpackEncoder()
      const decoder = new HpackDecoder()
      const [first, again] = [new FieldList(), new FieldList()]
      for (const list of [first, again]) {
        const length = encoder.encode(sent)
        decoder.decode(encoder.octets, 0, length, list)
      }
      expect(again.kinds).toEqual(first.kinds)
      for (const kind of first.kinds) expect(kind & KIND).toBeLessThan(40)
    }),
    { numRuns: runs(150) },
  )
})

test("Huffman gives back what it was given", () => {
  fc.assert(
    fc.property(latin1, (text) => {
      const length = huffmanLength(text)
      const to = Buffer.alloc(length + 1, 0xaa)
      expect(huffmanEncode(text, to, 0)).toBe(length)
      expect(to[length]).toBe(0xaa)
      const back = Buffer.alloc(mostDecoded(length))
      expect(back.toString("latin1", 0, huffmanDecode(to, 0, length, back))).toBe(text)
    }),
    { numRuns: runs(300) },
  )
})

test("any octets are decoded or refused, and the table stays in its bounds", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (blocks) => {
      const decoder = new HpackDecoder()
      const fields = new FieldList({ listOctets: 4_096, fields: 50 })
      for (const block of blocks) {
        const isDecoded = decoder.decode(Buffer.from(block), 0, block.length, fields.clear())
        expect(fields.count).toBeLessThanOrEqual(50)
        expect(decoder.table.octets).toBeLessThanOrEqual(4_096)
        if (!isDecoded) return
      }
    }),
    { numRuns: runs(500) },
  )
})
