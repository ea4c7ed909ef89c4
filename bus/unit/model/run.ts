/** Chooses what happens next in a world: by numbers, so that a run can be repeated and shrunk; then everything that is left. */
import { WINDOW, World, type WorldOptions } from "./world.ts"

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

interface Choice {
  readonly weight: number
  run(): void
}

/** Messages on their way: each may go next. */
const moves = (world: World): Choice[] => {
  const all: Choice[] = []
  for (const wire of world.wires) {
    if (!wire.isConnected) {
      all.push({ weight: 2, run: () => wire.resume() })
      continue
    }
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
    { weight: 8, run: () => world.edit(`k${n % world.keys}`, n % 3 === 0 ? null : `value ${n % 2}`) },
    { weight: 1, run: () => void world.startWriter({ isTakeover: n % 2 === 0 }) },
    { weight: 1, run: () => void world.startReader() },
    { weight: 0.1, run: () => { world.wipe(); world.reconnect(); world.startWriter({ isTakeover: false }) } },
  ]
  for (const wire of world.wires) {
    if (wire.requests.length > 0) all.push({ weight: 1.5, run: () => wire.delayRequest() })
    if (wire.answers.length > 0) all.push({ weight: 0.7, run: () => wire.loseAnswer() })
    if (wire.isConnected && wire.requests.length > 0) all.push({ weight: 0.2, run: () => wire.interrupt() })
    if (wire.adrift.length > 0) all.push({ weight: 2, run: () => void wire.adrift.splice(n % wire.adrift.length, 1)[0]?.().catch(() => undefined) })
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

/** Nothing fails any more: everything on its way arrives, timers fire up to `horizon` ms from now, until nothing is left. */
export const calm = async (world: World, horizon: number): Promise<void> => {
  await turn()
  const ends = new Map(world.wires.map((wire) => [wire, wire.now + horizon]))
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
    const wire = world.wires.filter((wire) => wire.due !== undefined && wire.due <= (ends.get(wire) ?? horizon)).sort((a, b) => (a.due ?? 0) - (b.due ?? 0))[0]
    if (wire === undefined) return
    await step(world, () => wire.fire())
  }
}

export const run = async (options: WorldOptions, choices: readonly number[]): Promise<World> => {
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
