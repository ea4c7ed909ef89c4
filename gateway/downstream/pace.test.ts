import fc from "fast-check"
import { expect, test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { Pace } from "./pace.ts"

const GRACE = 10_000
const RATE = 100

test("who sends nothing has the grace", () => {
  const pace = new Pace()
  pace.start(5, GRACE)
  expect([pace.isOver(10_004), pace.isOver(10_005), pace.isSlow]).toEqual([false, true, false])
})

test("who keeps to the rate may pause for the grace, at any time", () => {
  const pace = new Pace()
  pace.start(0, GRACE)
  for (let now = 9_999; now < 1_000_000; now += 9_999) {
    expect(pace.isOver(now)).toBe(false)
    pace.earn(1_000, now, GRACE, RATE)
  }
  expect(pace.isSlow).toBe(false)
})

test("an octet now and then does not keep it going, unless no rate is asked for", () => {
  const lasts = (rate: number): number => {
    const pace = new Pace()
    pace.start(0, GRACE)
    for (let now = 1_000; now < 1_000_000; now += 1_000) {
      if (pace.isOver(now)) return now
      pace.earn(1, now, GRACE, rate)
    }
    return Infinity
  }
  expect([lasts(RATE), lasts(0)]).toEqual([11_000, Infinity])
})

test("a burst is good for the grace, and for no more", () => {
  const pace = new Pace()
  pace.start(0, GRACE)
  pace.earn(1_000_000_000, 1, GRACE, RATE)
  expect([pace.isOver(10_000), pace.isOver(10_001)]).toEqual([false, true])
})

test("a pause takes no time and gives none", () => {
  const pace = new Pace()
  pace.resume(0, GRACE)
  pace.pause(9_000)
  pace.resume(50_000, GRACE)
  expect([pace.isRunning, pace.isOver(50_999), pace.isOver(51_000)]).toEqual([true, false, true])
  pace.earn(200, 50_500, GRACE, RATE)
  pace.pause(50_500)
  expect([pace.isRunning, pace.isOver(1e12)]).toEqual([false, false])
  pace.resume(60_000, GRACE)
  expect([pace.isOver(62_499), pace.isOver(62_500)]).toEqual([false, true])
  pace.pause(70_000)
  pace.resume(80_000, GRACE)
  expect(pace.isOver(80_000)).toBe(true)
})

test("after a stop it begins anew, and a pause of what does not run means nothing", () => {
  const pace = new Pace()
  pace.resume(0, GRACE)
  pace.pause(9_999)
  pace.stop()
  pace.pause(20_000)
  pace.resume(20_000, GRACE)
  expect([pace.isOver(29_999), pace.isOver(30_000), pace.isSlow]).toEqual([false, true, false])
})

test("without a grace there is no end, and none while nobody is waited for", () => {
  const pace = new Pace()
  pace.start(0, 0)
  pace.earn(1, 1, 0, RATE)
  expect(pace.isOver(1e12)).toBe(false)
  pace.start(0, GRACE)
  pace.stop()
  expect([pace.isOver(1e12), pace.isRunning]).toEqual([false, false])
})

test("over all, nobody stays below the rate for longer than the grace", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 0, max: 2_000 })), { maxLength: 200 }), (steps) => {
    const pace = new Pace()
    pace.start(0, GRACE)
    let now = 0
    let octets = 0
    for (const [wait, came] of steps) {
      now += wait
      if (pace.isOver(now)) return
      expect(octets).toBeGreaterThanOrEqual((RATE * (now - GRACE)) / 1_000 - 1e-6)
      octets += came
      pace.earn(came, now, GRACE, RATE)
    }
  }), { numRuns: runs(300) })
})
