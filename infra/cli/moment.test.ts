import { expect, test } from "vitest"
import { changedPaths, changesText } from "./changes.ts"
import { MomentError, parseMoment, timeText, withMoments } from "./moment.ts"

const now = Date.parse("2026-11-21T14:30:00.500Z")

test("a moment is a time, a while ago, a sequence, or now", () => {
  expect(parseMoment("now", now)).toBe("now")
  expect(parseMoment("1234", now)).toEqual({ seq: 1234 })
  for (const [text, ms] of [["5m", 300_000], ["-5m", 300_000], ["5m ago", 300_000], ["30s", 30_000], ["1.5h", 5_400_000], ["250ms", 250], ["2d", 172_800_000]] as const) expect(parseMoment(text, now)).toEqual({ time: now - ms })
  expect(parseMoment("2026-11-21T14:03:05.123Z", now)).toEqual({ time: Date.parse("2026-11-21T14:03:05.123Z") })
  expect(parseMoment("2026-11-21T15:03:05+01:00", now)).toEqual({ time: Date.parse("2026-11-21T14:03:05Z") })
})

test("a time of day is today's, in local time", () => {
  for (const [text, hours, minutes, seconds, ms] of [["14:03", 14, 3, 0, 0], ["9:05:07", 9, 5, 7, 0], ["14:03:05.12", 14, 3, 5, 120]] as const) {
    expect(parseMoment(text, now)).toEqual({ time: new Date(now).setHours(hours, minutes, seconds, ms) })
  }
})

test("what is no moment is refused with what would be one", () => {
  for (const text of ["", "yesterday", "25:00", "14:60", "2026-11-21", "5 minutes", "1e3", "99999999999999999"]) expect(() => parseMoment(text, now), text).toThrow(MomentError)
})

test("a time is shown so that it can be asked for again", () => {
  expect(parseMoment(timeText(now), 0)).toEqual({ time: now })
})

test("on a command line -5m is no flag, and ago may stand alone", () => {
  expect(withMoments(["at", "-5m", "httproutes", "-n", "shop"])).toEqual(["at", "5m", "httproutes", "-n", "shop"])
  expect(withMoments(["diff", "5m", "ago", "now"])).toEqual(["diff", "5m", "now"])
  expect(withMoments(["get", "httproute", "ago"])).toEqual(["get", "httproute", "ago"])
})

test("changes are named by their deepest paths", () => {
  const before = { spec: { rules: [{ name: "a", filters: [1, 2] }], hostnames: ["x"] } }
  expect(changedPaths(before, { spec: { rules: [{ name: "b", filters: [1] }], hostnames: ["x"], timeouts: {} } })).toEqual(["spec.rules[0].name", "spec.rules[0].filters[1]", "spec.timeouts"])
  expect(changedPaths(before, structuredClone(before))).toEqual([])
  expect(changedPaths(1, { a: 1 })).toEqual([""])
  expect(changesText(["a", "b", "c", "d", "e"])).toBe("a, b, c, d and 1 more")
})
