import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, test } from "vitest"
import { SENSITIVE } from "../field-kind.ts"
import { FieldList } from "../field-list.ts"
import { DynamicTable } from "./dynamic-table.ts"
import { HpackDecoder } from "./decoder.ts"
import { HpackEncoder } from "./encoder.ts"
import { huffmanDecode, huffmanEncode, huffmanLength, mostDecoded } from "./huffman.ts"
import { STATIC_COUNT, staticNames } from "./static-table.ts"

type Field = readonly [string, string]

const octets = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex")

const decodeTo = (decoder: HpackDecoder, block: Buffer, fields = new FieldList()): FieldList | null => (decoder.decode(block, 0, block.length, fields) ? fields : null)
const decoded = (decoder: HpackDecoder, hex: string): readonly Field[] | null => {
  const fields = decodeTo(decoder, octets(hex))
  return fields === null ? null : [...fields]
}

const listOf = (fields: readonly Field[]): FieldList => {
  const list = new FieldList()
  for (const [name, value] of fields) list.add(name, value)
  return list
}
const encoded = (encoder: HpackEncoder, fields: readonly Field[]): string => encoder.octets.toString("hex", 0, encoder.encode(listOf(fields)))

const tableOf = (table: DynamicTable): readonly Field[] => {
  const entries: Field[] = []
  for (let number = table.newest; number >= table.oldest; number--) entries.push([table.name(number), table.value(number)])
  return entries
}

const get = (scheme: string, path: string, ...others: readonly Field[]): readonly Field[] => [[":method", "GET"], [":scheme", scheme], [":path", path], [":authority", "www.example.com"], ...others]
const requests = [get("http", "/"), get("http", "/", ["cache-control", "no-cache"]), get("https", "/index.html", ["custom-key", "custom-value"])]
const answer = (status: string, second: string, ...others: readonly Field[]): readonly Field[] => [[":status", status], ["cache-control", "private"], ["date", `Mon, 21 Oct 2013 20:13:${second} GMT`], ["location", "https://www.example.com"], ...others]
const answers = [answer("302", "21"), answer("307", "21"), answer("200", "22", ["content-encoding", "gzip"], ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"])]

describe("the examples of RFC 7541 Appendix C", () => {
  test("C.2: one field in each representation", () => {
    const decoder = new HpackDecoder()
    expect(decoded(decoder, "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")).toEqual([["custom-key", "custom-header"]])
    expect(decoder.table.octets).toBe(55)
    expect(decoded(decoder, "040c 2f73 616d 706c 652f 7061 7468")).toEqual([[":path", "/sample/path"]])
    const never = decodeTo(decoder, octets("1008 7061 7373 776f 7264 0673 6563 7265 74"))
    expect([...(never ?? [])]).toEqual([["password", "secret"]])
    expect((never?.kind(0) ?? 0) & SENSITIVE).toBe(SENSITIVE)
    expect(decoded(decoder, "82")).toEqual([[":method", "GET"]])
    expect(tableOf(decoder.table)).toEqual([["custom-key", "custom-header"]])
  })

  test.each([
    ["C.3", ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865", "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65"]],
    ["C.4, with Huffman", ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf", "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"]],
  ])("%s: requests", (_, blocks) => {
    const decoder = new HpackDecoder()
    expect(blocks.map((block) => [decoded(decoder, block), decoder.table.octets])).toEqual([[requests[0], 57], [requests[1], 110], [requests[2], 164]])
    expect(tableOf(decoder.table)).toEqual([["custom-key", "custom-value"], ["cache-control", "no-cache"], [":authority", "www.example.com"]])
  })

  test("C.4 is what our encoder writes", () => {
    const encoder = new HpackEncoder()
    expect(requests.map((fields) => encoded(encoder, fields))).toEqual(["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"])
  })

  test.each([
    ["C.5", [
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "4803 3330 37c1 c0bf",
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]],
    ["C.6, with Huffman", [
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]],
  ])("%s: responses, in a table of 256 octets that evicts", (_, blocks) => {
    const decoder = new HpackDecoder()
    decoder.table.resize(256)
    expect(blocks.map((block) => [decoded(decoder, block), decoder.table.octets])).toEqual([[answers[0], 222], [answers[1], 222], [answers[2], 215]])
    expect(tableOf(decoder.table)).toEqual([["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"], ["content-encoding", "gzip"], ["date", "Mon, 21 Oct 2013 20:13:22 GMT"]])
  })

  test("C.1: integers", () => {
    // 1337 with a prefix of 5 bits, as a size update.
    const decoder = new HpackDecoder()
    expect(decoded(decoder, "3f 9a 0a")).toEqual([])
    expect(decoder.table.maximum).toBe(1337)
  })
})

describe("the Huffman code", () => {
  test("gives every octet back, alone and among others", () => {
    for (let octet = 0; octet < 256; octet++) {
      for (const text of [String.fromCharCode(octet), `a${String.fromCharCode(octet)}z`, String.fromCharCode(octet, 255 - octet, octet)]) {
        const length = huffmanLength(text)
        const to = Buffer.alloc(length)
        expect(huffmanEncode(text, to, 0)).toBe(length)
        const back = Buffer.alloc(mostDecoded(length))
        expect(back.toString("latin1", 0, huffmanDecode(to, 0, length, back))).toBe(text)
      }
    }
  })

  test.each([
    ["padding of a whole octet", "1f ff"],
    ["padding that is not ones", "18"],
    ["EOS", "ff ff ff ff"],
    ["EOS after an octet", "1f ff ff ff ff"],
    ["the first octet of a long code alone", "ff"],
  ])("refuses %s", (_, hex) => {
    const given = octets(hex)
    expect(huffmanDecode(given, 0, given.length, Buffer.alloc(64))).toBe(-1)
  })

  test("takes up to 7 ones of padding", () => {
    // `a` is 00011, `0` 00000, `:` 1011100 and `&` 11111000
    for (const [hex, text] of [["1f", "a"], ["07", "0"], ["b9", ":"], ["f8", "&"], ["", ""]] as const) {
      const to = Buffer.alloc(8)
      const given = octets(hex)
      expect(to.toString("latin1", 0, huffmanDecode(given, 0, given.length, to))).toBe(text)
    }
  })
})

describe("a block is refused as COMPRESSION_ERROR", () => {
  test.each([
    ["index 0", "80"],
    ["an index beyond both tables", "be"],
    ["a name by an index beyond both tables", "7e 01 61"],
    ["an integer without its end", "ff ff"],
    ["an integer of more than 28 bits and the prefix", "ff ff ff ff ff 0f"],
    ["an integer that goes on with zeros", "ff 80 80 80 80 80 00"],
    ["a string longer than the block", "00 05 61 62"],
    ["a string without a length", "00"],
    ["a value that is missing", "00 01 61"],
    ["a Huffman string with wrong padding", "00 81 18 01 61"],
    ["a size update above SETTINGS_HEADER_TABLE_SIZE", "3f e2 1f"],
    ["a size update after a field", "82 20"],
  ])("%s", (_, hex) => {
    expect(decoded(new HpackDecoder(), hex)).toBeNull()
  })
})

describe("the size of the dynamic table", () => {
  test("may be set to what was announced, and twice", () => {
    const decoder = new HpackDecoder()
    expect(decoded(decoder, "3f e1 1f")).toEqual([])
    expect(decoded(decoder, "20 3f e1 1f 82")).toEqual([[":method", "GET"]])
  })

  test("must be reduced in the first block after a smaller one was acknowledged (RFC 9113 §4.3.1)", () => {
    const decoder = new HpackDecoder()
    decoder.setBound(100)
    expect(decoded(decoder, "82")).toBeNull()
    const obedient = new HpackDecoder()
    obedient.setBound(100)
    expect(decoded(obedient, "3f 45 82")).toEqual([[":method", "GET"]])
    expect(obedient.table.maximum).toBe(100)
  })

  test("is told by the encoder, the smallest first", () => {
    const encoder = new HpackEncoder()
    encoder.setBound(0)
    encoder.setBound(100)
    expect(encoded(encoder, [[":method", "GET"]])).toBe("203f4582")
    expect(encoded(encoder, [[":method", "GET"]])).toBe("82")
    encoder.setBound(100_000)
    expect(encoded(encoder, [])).toBe("3fe11f")
    expect(encoded(new HpackEncoder(0), [["a", "b"]])).toMatch(/^20/)
  })

  test("an entry larger than the table empties it (§4.4)", () => {
    const decoder = new HpackDecoder()
    decoder.table.resize(64)
    expect(decoded(decoder, "40 01 61 01 62")).toEqual([["a", "b"]])
    const wide = `40 01 63 28 ${"64".repeat(40)}`
    expect(decoded(decoder, wide)).toEqual([["c", "d".repeat(40)]])
    expect(decoder.table.count).toBe(0)
    expect(decoded(decoder, "be")).toBeNull()
  })
})

describe("limits of a list", () => {
  test("what is beyond them is left out, told of, and still goes into the table", () => {
    const decoder = new HpackDecoder()
    const block = octets("40 01 61 01 62 40 01 63 01 64")
    const byOctets = decodeTo(decoder, block, new FieldList({ listOctets: 40, fields: 10 }))
    expect([byOctets?.isOverLimit, byOctets?.octets, [...(byOctets ?? [])]]).toEqual([true, 68, [["a", "b"]]])
    expect(tableOf(decoder.table)).toEqual([["c", "d"], ["a", "b"]])
    const byCount = decodeTo(decoder, octets("be bf"), new FieldList({ listOctets: 1_000, fields: 1 }))
    expect([byCount?.isOverLimit, [...(byCount ?? [])]]).toEqual([true, [["c", "d"]]])
  })

  test("a bomb of references to one large entry costs nothing but the count", () => {
    const decoder = new HpackDecoder()
    const entry = Buffer.concat([octets("40 01 61 7f a1 1e"), Buffer.alloc(4_000, 0x62)])
    expect(decodeTo(decoder, entry)?.count).toBe(1)
    const bomb = Buffer.alloc(60_000, 0xbe)
    const before = process.memoryUsage().heapUsed
    const fields = decodeTo(decoder, bomb, new FieldList({ listOctets: 32_768, fields: 100 }))
    expect([fields?.isOverLimit, fields?.count, fields?.octets]).toEqual([true, 8, 60_000 * 4_033])
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000)
  })
})

describe("what the encoder puts into the table", () => {
  test.each([["authorization", "Basic eA=="], ["proxy-authorization", "Basic eA=="], ["cookie", "a=b"]])("never a sensitive %s", (name, value) => {
    const encoder = new HpackEncoder()
    const block = Buffer.from(encoded(encoder, [[name, value]]), "hex")
    expect(encoder.table.count).toBe(0)
    expect((decodeTo(new HpackDecoder(), block)?.kind(0) ?? 0) & SENSITIVE).toBe(SENSITIVE)
  })

  test("never what the hop before marked (§6.2.3)", () => {
    const encoder = new HpackEncoder()
    encoder.encode(new FieldList().add("x-token", "a".repeat(40), SENSITIVE))
    expect(encoder.table.count).toBe(0)
  })

  test("no values that seldom come twice, and none that takes half of it", () => {
    const encoder = new HpackEncoder()
    encoded(encoder, [["x-request-id", "1"], ["content-length", "12"], [":path", "/a"], ["x", "y".repeat(2_100)]])
    expect(encoder.table.count).toBe(0)
  })

  test("a copy of it, not the head it was a part of", () => {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    if (typeof collect !== "function") throw new Error("no gc")
    const used = (): number => {
      Reflect.apply(collect, undefined, [])
      return process.memoryUsage().heapUsed
    }
    const encoder = new HpackEncoder()
    const before = used()
    for (let turn = 0; turn < 100; turn++) {
      const head = `x-a-name-of-its-own-${turn}: a value of its own, number ${turn}; ${"-".repeat(100_000)}`
      encoder.encode(listOf([[head.slice(0, head.indexOf(":")), head.slice(head.indexOf(":") + 2, head.indexOf(";"))]]))
    }
    const growth = used() - before
    expect(encoder.table.count).toBeGreaterThan(20)
    expect(growth).toBeLessThan(1_000_000)
  })

  test("what comes again then takes one octet", () => {
    const encoder = new HpackEncoder()
    const fields: readonly Field[] = [[":status", "200"], ["content-type", "text/plain"], ["server", "s"], ["vary", "a"], ["vary", "b"]]
    expect(encoded(encoder, fields).length).toBeGreaterThan(20)
    expect(encoded(encoder, fields)).toHaveLength(2 * fields.length)
  })
})

test("the static table has the 61 entries of Appendix A in order", () => {
  expect([staticNames.length - 1, staticNames[1], staticNames[14], staticNames[28], staticNames[STATIC_COUNT]]).toEqual([61, ":authority", ":status", "content-length", "www-authenticate"])
})
