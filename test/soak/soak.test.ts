/** The soak, short: HEADGATE_SOAK_MINUTES says how long (five seconds). From five minutes on memory and descriptors are judged too. */
import { expect, test } from "vitest"
import { grown } from "./samples.ts"
import { soak } from "./soak.ts"
import { swaps } from "./swaps.ts"

const MINUTES = Number(process.env["HEADGATE_SOAK_MINUTES"] ?? 1 / 12)
const JUDGED_FROM = 5
const seed = 1 + Math.floor(Math.random() * 1_000_000)
const options = { seed, pace: 5, say: (line: string) => console.log(line) }

test(`${MINUTES.toFixed(1)} minutes of mixed traffic with a swap every second: nothing fails, nothing grows`, { timeout: MINUTES * 60_000 + 120_000 }, async () => {
  console.log(`seed ${seed}`)
  const { failures, swaps: swapped, drift } = await soak({ ...options, seconds: MINUTES * 60 })
  console.log(`${swapped} swaps; memory and descriptors, first and last fifth: ${JSON.stringify(drift)}`)
  expect(failures).toEqual([])
  // A file that is written while another edit is read goes with it.
  expect(swapped).toBeGreaterThan(MINUTES * 60 * 0.5)
  if (MINUTES >= JUDGED_FROM) expect(grown(drift)).toEqual([])
})

test("swaps as fast as they are served fail nothing", { timeout: 120_000 }, async () => {
  expect(await swaps(50, options)).toEqual([])
})
