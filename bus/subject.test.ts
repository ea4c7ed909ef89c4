import fc from "fast-check"
import { expect, test } from "vitest"
import { configSubject, decodeToken, encodeToken, parseSubject, resourceSubject, subjectMatches } from "./subject.ts"

const name = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.constantFrom("", ".", "*", ">", "_", "_d", "a.b/c", "*.example.com"))

test("any name becomes one token and comes back", () => {
  fc.assert(fc.property(name, (text) => {
    const token = encodeToken(text)
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(decodeToken(token)).toBe(text)
  }), { numRuns: 2000 })
})

test("different names never share a token", () => {
  fc.assert(fc.property(name, name, (a, b) => { expect(encodeToken(a) === encodeToken(b)).toBe(a === b) }), { numRuns: 2000 })
})

test("subjects parse back to what made them", () => {
  fc.assert(fc.property(name, name, name, (a, b, c) => {
    expect(parseSubject(configSubject(a, `s${b}`, c))).toEqual({ is: "entry", plane: a, section: `s${b}`, id: c })
    const namespace = a.replaceAll("/", "")
    expect(parseSubject(resourceSubject(b, `${namespace}/${c}`))).toEqual({ is: "resource", kind: b, key: `${namespace}/${c}` })
  }))
})

test("foreign and malformed subjects parse to nothing", () => {
  for (const subject of ["", "a", "foo.a.b.c", "config.a", "resource.a.b", "resource._q.b.c", "config.a.b.c.d"]) expect(parseSubject(subject)).toBeUndefined()
})

test("filters match as NATS says", () => {
  expect(subjectMatches("config.a.>", "config.a.b.c")).toBe(true)
  expect(subjectMatches("config.a.>", "config.a")).toBe(false)
  expect(subjectMatches("config.*.commit.*", "config.a.commit.b")).toBe(true)
  expect(subjectMatches("config.*.commit.*", "config.a.part.b")).toBe(false)
})
