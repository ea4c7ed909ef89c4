/** A session's end: what it holds is given back, whenever that comes. */
import { Effect, Fiber } from "effect"
import { expect, test } from "vitest"
import { bodyText } from "../../../bus/envelope.ts"
import { memoryStore, type MemoryStore } from "../../../bus/memory.ts"
import { publishing, type Source } from "./session.ts"

const nothing: Source = {
  desired: new Map(), ready: Promise.resolve(), isWholeOrNothing: false,
  want: () => undefined, attach: () => undefined, detach: () => undefined, markSynced: () => undefined, trouble: () => undefined, summary: () => ({}),
}

const started = (store: MemoryStore) => Effect.runFork(publishing({ connect: () => Promise.resolve(store.bus("one")), adapter: "adapter.test", holder: "one", forgetAfter: 1e9, log: () => undefined }, nothing))

const leases = (store: MemoryStore): readonly string[] => store.messages("LEASES").map(({ data }) => bodyText(data))

/** What is promised has had time to happen. */
const turn = () => new Promise((resolve) => { setImmediate(resolve) })

test("interrupted in whatever moment, a session leaves no lease that another would have to wait for", async () => {
  let taken = 0
  for (let steps = 0; steps < 40; steps++) {
    const store = memoryStore({ manual: true })
    const session = started(store)
    for (let step = 0; step < steps; step++) {
      await turn()
      store.step()
    }
    const ended = Effect.runPromise(Fiber.interrupt(session))
    let isOver = false
    void ended.then(() => { isOver = true })
    while (!isOver) {
      await turn()
      await store.settle()
    }
    const last = leases(store).at(-1)
    if (last !== undefined) taken++
    expect(last === undefined || JSON.parse(last), `after ${steps} steps`).toSatisfy((lease) => lease === true || lease.released === true)
  }
  expect(taken).toBeGreaterThan(20)
})
