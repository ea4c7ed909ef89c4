import { expect, test } from "vitest"
import { configSubject } from "../../bus/subject.ts"
import { entryText } from "./history.ts"

test("entries are called by their ids, notes by what they say", () => {
  expect(entryText([configSubject("default", "route", "httproute/default/web"), "{}", []])).toBe("+route httproute/default/web")
  expect(entryText([configSubject("default", "route", "httproute/default/web"), null, []])).toBe("-route httproute/default/web")
  expect(entryText([configSubject("_", "note", "endpoints/8b37"), JSON.stringify({ reason: "BackendNotFound" }), []])).toBe("+note BackendNotFound")
  expect(entryText([configSubject("_", "note", "endpoints/8b37"), null, []])).toBe("-note")
})
