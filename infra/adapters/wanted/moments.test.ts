import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { isMoment, Moments } from "./moments.ts"

const at = (ms: number): string => new Date(ms).toISOString().replace(".000", "")
const NOW = Date.parse("2026-11-21T12:00:00Z")
let said: string[] = []
let moments: Moments

beforeEach(() => {
  vi.useFakeTimers({ now: NOW })
  said = []
  moments = new Moments((moment, hasCome) => void said.push(`${hasCome ? "+" : "-"}${moment}`))
})
afterEach(() => {
  moments.stop()
  vi.useRealTimers()
})
const take = (): string[] => said.splice(0)

test("what is past is said at once, the newest first; what is not, when it comes and not before", () => {
  moments.want(new Set([at(NOW - 5_000), at(NOW), at(NOW + 1_000), at(NOW - 1_000), at(NOW + 3_000)]))
  expect(take()).toEqual([`+${at(NOW)}`, `+${at(NOW - 1_000)}`, `+${at(NOW - 5_000)}`])
  vi.advanceTimersByTime(999)
  expect(take()).toEqual([])
  vi.advanceTimersByTime(1)
  expect(take()).toEqual([`+${at(NOW + 1_000)}`])
  vi.advanceTimersByTime(2_000)
  expect(take()).toEqual([`+${at(NOW + 3_000)}`])
})

test("a moment beyond 2^31 ms comes when it comes", () => {
  const far = NOW + 2 ** 31 + 5_000
  const moment = at(far - (far % 1_000))
  moments.want(new Set([moment]))
  vi.advanceTimersByTime(Date.parse(moment) - NOW - 1)
  expect(take()).toEqual([])
  vi.advanceTimersByTime(1)
  expect(take()).toEqual([`+${moment}`])
})

test("what nobody wants any more is taken back, or never said; wanted again it is said again", () => {
  const [past, future] = [at(NOW - 1_000), at(NOW + 1_000)]
  moments.want(new Set([past, future]))
  moments.want(new Set())
  expect(take()).toEqual([`+${past}`, `-${past}`])
  vi.advanceTimersByTime(5_000)
  expect(take()).toEqual([])
  moments.want(new Set([future]))
  moments.want(new Set([future]))
  expect(take()).toEqual([`+${future}`])
})

test("a clock that is set, or a machine that slept, is noticed within a minute", () => {
  moments.want(new Set([at(NOW + 86_400_000)]))
  vi.setSystemTime(NOW + 90_000_000)
  vi.advanceTimersByTime(60_000)
  expect(take()).toEqual([`+${at(NOW + 86_400_000)}`])
})

test("only whole seconds of UTC are moments", () => {
  expect(["2026-11-21T12:00:00Z", "2026-11-21T12:00:00.5Z", "2026-11-21T12:00:00+01:00", "2026-13-21T12:00:00Z", "soon"].map(isMoment)).toEqual([true, false, false, false, false])
})
