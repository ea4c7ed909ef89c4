import fc from "fast-check"
import { expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { splitDocuments } from "./split.ts"

test("documents keep the line they start at", () => {
  const source = "# licence\n---\na: 1\n---\n# only a comment\n---\n\nb: 2\n...\n---\nc: 3"
  expect(splitDocuments(source)).toEqual([
    { text: "\na: 1\n", line: 2 },
    { text: "\n\nb: 2\n", line: 6 },
    { text: "\nc: 3", line: 10 },
  ])
})

test("a marker may carry the document on its own line, and longer dashes are no marker", () => {
  expect(splitDocuments("--- {a: 1}\n--- # c\nb: |\n  ---\n  x\n----\n").map((piece) => piece.text)).toEqual([" {a: 1}\n", " # c\nb: |\n  ---\n  x\n----\n"])
})

test("directives stay with their document; a byte order mark and Windows line ends are no content", () => {
  expect(splitDocuments("\uFEFF%YAML 1.2\r\n---\r\na: 1\r\n---\r\n\r\n")).toEqual([{ text: "%YAML 1.2\r\n---\r\na: 1\r\n", line: 1 }])
})

test("millions of lines that say nothing are no document", () => {
  expect(splitDocuments(`${"#\n".repeat(3_000_000)}${"  \r\n".repeat(1_000_000)}`)).toEqual([])
})

test("a stream splits into what a YAML parser sees as its documents", () => {
  const value = fc.oneof(
    fc.integer().map((n) => `k: ${n}\n`),
    fc.constantFrom("- a\n- b\n", "k: |\n  ---\n  text\n", "k: >-\n  folded\n\n  more\n", "# comment\nk: 'a\n\n  b'\n", '{"a": [1,\n 2]}\n'),
  )
  const marker = fc.constantFrom("---\n", "--- # next\n", "...\n---\n", "---\r\n")
  fc.assert(
    fc.property(value, fc.array(fc.tuple(marker, value), { maxLength: 6 }), (first, rest) => {
      const source = first + rest.map(([mark, text]) => mark + text).join("")
      const whole = parseAllDocuments(source)
      if (!Array.isArray(whole)) throw new Error("no documents")
      const apart = splitDocuments(source).map((piece) => parseAllDocuments(piece.text)).flatMap((found) => (Array.isArray(found) ? found : []))
      expect(apart.map((document): unknown => document.toJS())).toEqual(whole.map((document): unknown => document.toJS()))
    }),
    { numRuns: 200 },
  )
})
