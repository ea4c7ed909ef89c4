import { expect, test } from "vitest"
import type { Clock } from "../../../../bus/unit/unit.ts"
import { Pace, type Outcome, type PaceOptions } from "./pace.ts"

/** Time passes when a test says so; all chance is none. */
const manual = () => {
  let now = 0
  const timers = new Set<{ readonly at: number; readonly run: () => void }>()
  const clock: Clock = {
    monotonic: () => now, wall: () => now, random: () => 1,
    after: (ms, run) => {
      const timer = { at: now + ms, run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const pass = async (ms: number): Promise<void> => {
    const end = now + ms
    for (;;) {
      await turn()
      const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      now = Math.max(now, next.at)
      timers.delete(next)
      next.run()
    }
    now = end
    await turn()
  }
  return { clock, pass, now: () => now }
}

const paced = (outcome: (key: string, n: number) => Outcome, more: Partial<PaceOptions> = {}) => {
  const time = manual()
  const began: (readonly [key: string, at: number])[] = []
  const pace = new Pace({
    perform: async (key) => {
      began.push([key, time.now()])
      return outcome(key, began.length)
    },
    concurrency: 2, spacing: 200, pause: { first: 100, max: 1000 }, mayBegin: () => true, clock: time.clock, ...more,
  })
  return { pace, began, ...time }
}
const done: Outcome = { is: "done" }

test("the first is done at once, and what follows no sooner than the spacing, however often it is asked for", async () => {
  const { pace, began, pass } = paced(() => done)
  for (let n = 0; n < 100; n++) {
    pace.touch("a")
    await pass(10)
  }
  await pass(1000)
  expect(began.map(([, at]) => at)).toEqual([0, 200, 400, 600, 800, 1000])
  await pace.settled()
})

test("one at a time of a key; what is asked for meanwhile is done once more", async () => {
  const gate = Promise.withResolvers<Outcome>()
  const { pace, began, pass } = paced(() => done, { perform: async (key) => {
    began.push([key, 0])
    return began.length === 1 ? gate.promise : done
  } })
  pace.touch("a")
  await pass(500)
  for (let n = 0; n < 10; n++) pace.touch("a")
  await pass(500)
  expect(began).toHaveLength(1)
  gate.resolve(done)
  await pass(1000)
  expect(began).toHaveLength(2)
})

test("no more at once than allowed, urgent ones first", async () => {
  const gates: (() => void)[] = []
  const order: string[] = []
  const { pace, pass } = paced(() => done, { isUrgent: (key) => key.startsWith("u"), perform: (key) => {
    order.push(key)
    return new Promise((resolve) => { gates.push(() => resolve(done)) })
  } })
  for (const key of ["a", "b", "c", "d", "u1"]) pace.touch(key)
  await pass(0)
  expect(order).toEqual(["a", "b"])
  gates.shift()?.()
  await pass(0)
  gates.shift()?.()
  await pass(0)
  expect(order).toEqual(["a", "b", "u1", "c"])
})

test("what fails is tried again after growing pauses; something new is reason enough to try at once", async () => {
  const { pace, began, pass } = paced((_key, n) => (n <= 4 ? { is: "failed" } : done))
  pace.touch("a")
  await pass(100 + 200 + 399)
  expect(began.map(([, at]) => at)).toEqual([0, 100, 300])
  pace.touch("a")
  expect(began).toHaveLength(3)
  pace.touch("a", { anew: true })
  await pass(0)
  expect(began.map(([, at]) => at)).toEqual([0, 100, 300, 699])
  await pass(100)
  expect(began).toHaveLength(5)
})

test("told to wait, everybody waits that long", async () => {
  const { pace, began, pass } = paced((key, n) => (key === "a" && n === 1 ? { is: "failed", after: 5000, busy: true } : done), { concurrency: 1 })
  for (const key of ["a", "b", "c"]) pace.touch(key)
  await pass(4999)
  expect(began).toEqual([["a", 0]])
  await pass(2)
  expect(began.map(([key]) => key).sort()).toEqual(["a", "a", "b", "c"])
})

test("nothing begins while it may not; what waited does when it may", async () => {
  let may = false
  const { pace, began, pass } = paced(() => done, { mayBegin: () => may })
  pace.touch("a")
  await pass(1000)
  expect(began).toEqual([])
  may = true
  pace.resume()
  await pass(0)
  expect(began.map(([key]) => key)).toEqual(["a"])
})

test("stopped, it begins nothing more and waits for what is under way", async () => {
  const gate = Promise.withResolvers<Outcome>()
  const { pace, pass } = paced(() => done, { perform: () => gate.promise, concurrency: 1 })
  pace.touch("a")
  pace.touch("b")
  await pass(0)
  let isOver = false
  const stopping = pace.stop().then(() => { isOver = true })
  await pass(1000)
  expect(isOver).toBe(false)
  gate.resolve({ is: "failed" })
  await stopping
})
