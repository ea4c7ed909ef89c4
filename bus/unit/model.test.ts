/** The unit protocol against every order of its messages: see "Units" in bus/README.md for I1 to I9. */
import fc from "fast-check"
import { test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { storedState } from "./model/reference.ts"
import { calm, run } from "./model/run.ts"
import { isSame, subjectOf, unit, WINDOW, type World } from "./model/world.ts"

const options = fc.record({ partBytes: fc.constantFrom(40, 120, 256 * 1024), sharesReader: fc.boolean(), isNumbered: fc.boolean() })
const choices = fc.array(fc.nat(2 ** 30), { minLength: 20, maxLength: 160 })
/** One that once found a lost change. Others by hand: HEADGATE_MODEL_SEED, HEADGATE_MODEL_RUNS. */
const SEED = Number(process.env["HEADGATE_MODEL_SEED"] ?? 1_426_520_485)
const RUNS = Number(process.env["HEADGATE_MODEL_RUNS"] ?? runs(1000))

test(`any interleaving ends with what the newest writer wants, shown to every reader (seed ${SEED}, ${RUNS} runs)`, async () => {
  await fc.assert(fc.asyncProperty(options, choices, async (how, list) => {
    const world = await run(how, list)
    await calm(world, 30_000)
    const wanted = new Map([...(world.inputs.at(-1) ?? [])].map(([key, body]) => [subjectOf(key), body]))
    const stored = storedState(world.store.messages("CONFIG"))
    if (!isSame(stored, wanted)) throw new Error(`stored ${JSON.stringify([...stored])}, wanted ${JSON.stringify([...wanted])}`)
    const fresh = world.startReader()
    await calm(world, 30_000)
    for (const reading of world.readings) {
      if (!isSame(reading.reader.state(unit) ?? new Map(), wanted)) throw new Error(`I2: a reader holds ${JSON.stringify([...(reading.reader.state(unit) ?? [])])}`)
      if (reading.caughtUp !== 1) throw new Error(`a reader caught up ${reading.caughtUp} times`)
    }
    if (fresh.shown.length !== 1) throw new Error(`a cold read took ${fresh.shown.length} steps`)
    await quietRestart(world)
  }), { seed: SEED, numRuns: RUNS, endOnFailure: process.env["HEADGATE_MODEL_SHRINK"] === "0" })
}, 120_000)

/** I3 and I6: the same holder again publishes nothing; then tombstones expire, and again. */
const quietRestart = async (world: World): Promise<void> => {
  for (const horizon of [30_000, 100 * WINDOW, 200 * WINDOW]) {
    const before = world.store.messages("CONFIG").at(-1)?.seq ?? 0
    const state = storedState(world.store.messages("CONFIG"))
    world.startWriter({ isTakeover: false })
    await calm(world, horizon)
    const after = world.store.messages("CONFIG").at(-1)?.seq ?? 0
    if (after > before) throw new Error(`I3: a restart with nothing changed stored ${after - before} messages`)
    if (!isSame(storedState(world.store.messages("CONFIG")), state)) throw new Error("I6: the state changed when tombstones expired")
  }
  const last = new Map(world.store.messages("CONFIG").map((message) => [message.subject, message]))
  if ([...last.values()].some(({ headers }) => headers["Hg-Deleted"] !== undefined)) throw new Error("I6: an expired tombstone was kept")
}
