import { expect, test } from "vitest"
import type { Bus } from "../bus.ts"
import { memoryStore } from "../memory.ts"
import type { Clock } from "../unit/unit.ts"
import { recordCheckpoints, type Checkpoint } from "./recorder.ts"

/** Time passes only by `look`: the recorder waits for its timer, which is then fired. */
const watched = (bus: Bus, events: number, start = 1_000_000) => {
  let wall = start
  let fire: (() => void) | undefined
  let waiting = Promise.withResolvers<void>()
  const made: Checkpoint[] = []
  const clock: Clock = {
    monotonic: () => wall, wall: () => wall, random: () => 0.5,
    after: (_, run) => {
      fire = run
      waiting.resolve()
      return () => undefined
    },
  }
  const stop = new AbortController()
  const over = recordCheckpoints({ bus, clock, signal: stop.signal, events, onCheckpoint: (checkpoint) => made.push(checkpoint) })
  return {
    made, over,
    /** Until it waits again. */
    look: async (ms = 0) => {
      await waiting.promise
      waiting = Promise.withResolvers()
      wall += ms
      fire?.()
      await waiting.promise
    },
    stop: async () => {
      stop.abort()
      fire?.()
      await over
    },
  }
}

const put = async (bus: Bus, count: number, name = "x"): Promise<void> => {
  for (let i = 0; i < count; i++) await bus.publish({ subject: `resource.a.n.${name}`, data: String(i) })
}

test("a checkpoint is made when there is something, then when enough has come, when it is old, and when a message is missing", async () => {
  const bus = memoryStore({ now: () => 1_000_000 }).bus()
  const recorder = watched(bus, 10)
  await recorder.look()
  expect(recorder.made).toHaveLength(0)
  await put(bus, 2, "kept")
  await recorder.look()
  expect(recorder.made).toHaveLength(1)
  await put(bus, 9)
  await recorder.look()
  expect(recorder.made).toHaveLength(1)
  await put(bus, 1)
  await recorder.look()
  expect(recorder.made.map(({ head }) => head.positions.RESOURCES)).toEqual([2, 12])
  await bus.purge("RESOURCES_HISTORY", "resource.a.n.x", 5)
  await recorder.look()
  expect(recorder.made).toHaveLength(3)
  await recorder.look()
  expect(recorder.made).toHaveLength(3)
  await recorder.look(13 * 3_600_000)
  expect(recorder.made).toHaveLength(4)
  await recorder.stop()
})

test("in a store without a history there is nothing to do", async () => {
  await watched(memoryStore({ history: false }).bus(), 10).over
})
