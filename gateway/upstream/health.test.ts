import { afterEach, expect, it } from "vitest"
import { clock, tick } from "../clock.ts"
import { Health } from "./health.ts"

afterEach(() => void tick())

const settings = { ejectAfter: 3, ejectBase: 1_000, ejectMax: 30_000 }
const ejected = (): Health => {
  const health = new Health(settings)
  for (let i = 0; i < settings.ejectAfter; i++) health.failed()
  return health
}

it("failures of requests that were under way when it was ejected do not prolong its time", () => {
  const health = ejected()
  for (let i = 0; i < 60; i++) health.failed()
  clock.now += settings.ejectBase
  expect(health.isAvailable).toBe(true)
})

it("a try that fails after its time ejects it for twice as long", () => {
  const health = ejected()
  clock.now += settings.ejectBase
  health.chosen()
  expect(health.isAvailable).toBe(false)
  health.failed()
  clock.now += settings.ejectBase
  expect(health.isAvailable).toBe(false)
  clock.now += settings.ejectBase
  expect(health.isAvailable).toBe(true)
})
