/** The unit protocol against every order of its messages: see "Units" in bus/README.md for I1 to I9. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { storedState } from "./model/reference.ts"
import { isSame, subjectOf, unit, WINDOW, World, type WorldOptions } from "./model/world.ts"

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

interface Choice {
  readonly weight: number
  run(): void
}

/** Messages on their way: each may go next. */
const moves = (world: World): Choice[] => {
  const all: Choice[] = []
  for (const wire of world.wires) {
    if (!wire.isConnected) continue
    if (wire.requests.length > 0) all.push({ weight: 8, run: () => wire.serve() })
    if (wire.answers.length > 0) all.push({ weight: 8, run: () => wire.give() })
    for (const lane of wire.lanes) {
      if (lane.inner === undefined) all.push({ weight: 6, run: () => wire.attach(lane) })
      else if (lane.queue.length > 0) all.push({ weight: 6, run: () => lane.queue.shift()?.() })
    }
  }
  return all
}

/** What goes wrong, and what the outside does. */
const events = (world: World, n: number): Choice[] => {
  const all: Choice[] = [
    { weight: 8, run: () => world.edit(`k${n % 5}`, n % 3 === 0 ? null : `value ${n % 2}`) },
    { weight: 1, run: () => void world.startWriter({ isTakeover: n % 2 === 0 }) },
    { weight: 1, run: () => void world.startReader() },
    { weight: 0.1, run: () => { world.wipe(); world.reconnect(); world.startWriter({ isTakeover: false }) } },
  ]
  for (const wire of world.wires) {
    if (wire.requests.length > 0) all.push({ weight: 0.7, run: () => wire.delayRequest() })
    if (wire.answers.length > 0) all.push({ weight: 0.7, run: () => wire.loseAnswer() })
    if (wire.adrift.length > 0) all.push({ weight: 1, run: () => void wire.adrift.splice(n % wire.adrift.length, 1)[0]?.().catch(() => undefined) })
    if (wire.due !== undefined && (wire.due - wire.now < WINDOW / 2 || n % 8 === 0)) all.push({ weight: 2, run: () => wire.fire() })
  }
  for (const writing of world.writings) {
    if (writing.isOver) continue
    all.push({ weight: 0.2, run: () => world.kill(writing) })
    if (writing.writer !== undefined && !writing.isDeaf && writing.knows < world.inputs.length - 1) all.push({ weight: 8, run: () => world.hear(writing) })
  }
  return all
}

const choose = (choices: readonly Choice[], n: number): void => {
  let left = ((n % 1000) / 1000) * choices.reduce((sum, { weight }) => sum + weight, 0)
  for (const choice of choices) {
    left -= choice.weight
    if (left < 0) return choice.run()
  }
}

const step = async (world: World, run: () => void): Promise<void> => {
  run()
  await turn()
  world.check()
}

/** Nothing fails any more: everything on its way arrives, timers fire up to `horizon`, until nothing is left. */
const calm = async (world: World, horizon: number): Promise<void> => {
  for (let steps = 0; ; steps++) {
    if (steps > 5000) throw new Error("never comes to rest")
    const [move] = moves(world)
    if (move !== undefined) {
      await step(world, () => move.run())
      continue
    }
    const adrift = world.wires.find((wire) => wire.adrift.length > 0)
    if (adrift !== undefined) {
      await step(world, () => void adrift.adrift.shift()?.().catch(() => undefined))
      continue
    }
    const behind = world.writings.find(({ isOver, isDeaf, writer, knows }) => !isOver && !isDeaf && writer !== undefined && knows < world.inputs.length - 1)
    if (behind !== undefined) {
      await step(world, () => world.hear(behind))
      continue
    }
    const wire = world.wires.filter(({ due }) => due !== undefined && due <= horizon).sort((a, b) => (a.due ?? 0) - (b.due ?? 0))[0]
    if (wire === undefined) return
    await step(world, () => wire.fire())
  }
}

const run = async (options: WorldOptions, choices: readonly number[]): Promise<World> => {
  const world = new World(options)
  world.startReader()
  world.startWriter({ isTakeover: false })
  for (const n of choices) {
    // Mostly messages move; one choice in four is an event.
    const open = moves(world)
    const isEvent = open.length === 0 || n % 4 === 0
    await step(world, () => choose(isEvent ? events(world, n >> 2) : open, n >> 2))
  }
  if (world.writings.every(({ isOver, isDeaf }) => isOver || isDeaf)) world.startWriter({ isTakeover: true })
  return world
}

const options = fc.record({ partBytes: fc.constantFrom(40, 120, 256 * 1024), sharesReader: fc.boolean() })
const choices = fc.array(fc.nat(2 ** 30), { minLength: 20, maxLength: 160 })
const SEED = Number(process.env["HEADGATE_MODEL_SEED"] ?? Math.floor(Math.random() * 2 ** 31))
const RUNS = Number(process.env["HEADGATE_MODEL_RUNS"] ?? 2000)

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
      if (reading.caughtUp < 1) throw new Error("a reader never caught up")
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
