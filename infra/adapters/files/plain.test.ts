import fc from "fast-check"
import { expect, test } from "vitest"
import { parseDocument, stringify } from "yaml"
import { lineOfField, parseText } from "./document.ts"
import { readPlain } from "./plain.ts"

const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute # a comment
metadata:
  name: web
  labels: {}
spec:
  parentRefs:
  - name: gw
  hostnames: ["a.example.com", b.example.com]
  rules:
    # another
    - matches:
        - path: 
            type: PathPrefix
            value: /v1
      backendRefs:
        - name: web
          port: 8080
          weight: 1
    -
      backendRefs: []
      timeouts: {}
      name: "say \\"hi\\" \\u00e9"
      address: 10.0.0.1
      none:
`

test("a manifest as people write them is read without the parser", () => {
  const plain = readPlain(route)
  expect(plain).toBeDefined()
  const parsed: unknown = parseDocument(route).toJS()
  expect(plain?.value).toEqual(parsed)
})

test.each([
  "a: |\n  b\n", "a: &x 1\nb: *x\n", "a: 1\na: 2\n", "a:\n\tb: 1\n", "a: b\n  c\n", "a: 0x10\n", "a: 1e3\n", "a: [1, 2]\n", "a: {b: 1}\n",
  "- - a\n", "? a\n: b\n", "a: !!str 1\n", "a: b: c\n", "  a: 1\nb: 2\n", "a: 'x\n", "1: a\n", "true: a\n", "__proto__: a\n", "<<: {a: 1}\n", "a: .5\n", "a: @x\n",
  "", "just text", "a: 1\n b: 2\n", "a: [true, b]\n",
])("leaves %j to the parser", (text) => {
  expect(readPlain(text)).toBeUndefined()
})

const word = fc.constantFrom(
  "a", "name", "spec.x", "gateway.networking.k8s.io/v1", "true", "null", "~", "12", "-3", "010", "1.5", "10.0.0.1", "1_000", "0o7", "yes", "a b", "a: b", "x#y", "x #y",
  "", "it's", 'say "x"', "-", "- a", "*", "&a", "!t", "[a", "{", ".", "..", "/a/*", "10Gi", "1e3", ".inf", "http://x:80/y", "a:", "é", "2026-11-21", "|", ">", "%", "@", "`", "?", "Null", "+1", "0x1F", "100m", "=", "<<",
)
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    word, fc.integer(), fc.boolean(), fc.constant(null), fc.string({ maxLength: 8 }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(word, fc.string({ maxLength: 5 })), tie("value"), { maxKeys: 4 }),
  ),
})).value

const agrees = (text: string): boolean => {
  const plain = readPlain(text)
  if (plain === undefined) return false
  const document = parseDocument(text, { merge: true })
  expect(document.errors, text).toEqual([])
  const value: unknown = document.toJS()
  expect(plain.value, text).toEqual(value)
  return true
}

test("whatever it reads is what the parser reads, however the value is written", () => {
  let read = 0
  fc.assert(
    fc.property(json, fc.constantFrom(2, 3, 4), fc.boolean(), fc.constantFrom<"PLAIN" | "QUOTE_DOUBLE" | "QUOTE_SINGLE">("PLAIN", "QUOTE_DOUBLE", "QUOTE_SINGLE"), (value, indent, indentSeq, style) => {
      if (agrees(stringify({ a: value }, { indent, indentSeq, defaultStringType: style, lineWidth: 0 }))) read++
    }),
    { numRuns: 1500 },
  )
  expect(read).toBeGreaterThan(300)
})

test("whatever it reads is what the parser reads, after any small damage", () => {
  let read = 0
  const damage = fc.record({ at: fc.nat(route.length), drop: fc.nat(4), put: fc.oneof(word, fc.constantFrom(" ", "\n", "  ", ": ", "- ", "#", " #", "'", '"', "\n  ", ",", "]")) })
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (edits) => {
      const text = edits.reduce((now, { at, drop, put }) => now.slice(0, at) + put + now.slice(at + drop), route)
      if (agrees(text)) read++
    }),
    { numRuns: 3000 },
  )
  expect(read).toBeGreaterThan(300)
})

test("a field leads back to its line, a missing one to its nearest ancestor", () => {
  expect(lineOfField(route, ["spec", "rules", 0, "backendRefs", 0, "port"])).toBe(18)
  expect(lineOfField(route, ["spec", "rules", 0, "filters", 2])).toBe(12)
  expect(lineOfField(route, [])).toBe(1)
})

test("broken YAML says where", () => {
  expect(parseText("a: 1\nb: [1\nc: 2\n")).toMatchObject({ ok: false, line: 3 })
  expect(parseText("a: &a [1]\nb: *b\n")).toMatchObject({ ok: false })
})
