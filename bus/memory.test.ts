import fc from "fast-check"
import { expect, test } from "vitest"
import { BusError, type Message } from "./bus.ts"
import { memoryStore, type MemoryStore } from "./memory.ts"

const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => "resolved", (error: unknown) => (error instanceof BusError ? error.reason : String(error)))

const take = (store: MemoryStore, what: string): void => {
  const index = store.steps().findIndex((step) => step.what === what)
  expect(index, `a step ${what}`).toBeGreaterThanOrEqual(0)
  store.step(index)
}

test("with manual nothing happens until a step is taken", async () => {
  const store = memoryStore({ manual: true })
  const bus = store.bus()
  const seen: number[] = []
  bus.follow({ stream: "RESOURCES", filter: "resource.>", from: "state", onMessage: (message) => seen.push(message.seq) })
  const ack = bus.publish({ subject: "resource.a.n.x", data: "1" })
  expect(store.messages("RESOURCES")).toEqual([])
  take(store, "publish")
  expect(store.messages("RESOURCES")).toHaveLength(1)
  expect(seen).toEqual([])
  take(store, "attach")
  take(store, "deliver")
  expect(seen).toEqual([1])
  take(store, "ack")
  expect(await ack).toEqual({ seq: 1, duplicate: false })
  expect(store.step()).toBe(false)
})

test("a lost publish never arrives, a lost ack leaves it stored, an expired one arrives late", async () => {
  const store = memoryStore({ manual: true })
  const bus = store.bus()
  const lost = reasonOf(bus.publish({ subject: "resource.a.n.lost", data: "" }))
  store.steps()[0]?.lose?.()
  expect(await lost).toBe("timeout")
  const unacked = reasonOf(bus.publish({ subject: "resource.a.n.unacked", data: "" }))
  store.step()
  store.steps()[0]?.lose?.()
  expect(await unacked).toBe("timeout")
  const late = reasonOf(bus.publish({ subject: "resource.a.n.late", data: "" }))
  store.steps()[0]?.expire?.()
  expect(await late).toBe("timeout")
  expect(store.messages("RESOURCES").map((message) => message.subject)).toEqual(["resource.a.n.unacked"])
  await store.settle()
  expect(store.messages("RESOURCES").map((message) => message.subject)).toEqual(["resource.a.n.unacked", "resource.a.n.late"])
})

test("a killed port hears nothing more, and what it sent still arrives", async () => {
  const store = memoryStore({ manual: true })
  const bus = store.bus()
  let settled = false
  const seen: Message[] = []
  bus.follow({ stream: "RESOURCES", filter: "resource.>", from: "state", onMessage: (message) => seen.push(message) })
  bus.publish({ subject: "resource.a.n.x", data: "1" }).finally(() => { settled = true }).catch(() => undefined)
  bus.kill()
  await store.settle()
  expect(store.messages("RESOURCES")).toHaveLength(1)
  expect([settled, seen]).toEqual([false, []])
})

test("a port that was away when the store was wiped learns of it when it is back", async () => {
  const store = memoryStore()
  const bus = store.bus()
  await bus.publish({ subject: "resource.a.n.x", data: "1" })
  const stalls: boolean[] = []
  const lost = Promise.withResolvers<string>()
  bus.follow({ stream: "RESOURCES", filter: "resource.>", from: "state", onMessage: () => undefined, onLost: lost.resolve, onStalled: (stalled) => stalls.push(stalled) })
  await bus.info("RESOURCES")
  bus.disconnect()
  expect(await reasonOf(bus.publish({ subject: "resource.a.n.x", data: "2" }))).toBe("disconnected")
  store.wipe()
  bus.connect()
  expect(await lost.promise).toBe("recreated")
  expect(stalls).toEqual([true])
})

/** Whatever is delivered when, interrupted or not: each sequence at most once, in order, and no subject's last one missing. */
test("a follower of the state misses no subject, however its connection breaks and messages interleave", () => {
  const act = fc.oneof(fc.nat(5).map((subject) => ({ publish: subject })), fc.nat(7).map((step) => ({ step })), fc.constant({ cut: true }))
  fc.assert(fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
    const store = memoryStore({ manual: true })
    const writer = store.bus()
    const reader = store.bus()
    const seen: Message[] = []
    let caughtUp = 0
    reader.follow({ stream: "RESOURCES", filter: "resource.>", from: "state", onMessage: (message) => seen.push(message), onCaughtUp: () => caughtUp++ })
    for (const next of acts) {
      if ("publish" in next) void writer.publish({ subject: `resource.a.n.x${next.publish}`, data: "" }).catch(() => undefined)
      else if ("step" in next) store.step(next.step)
      else {
        reader.disconnect()
        reader.connect()
      }
    }
    while (store.step()) { /* to the end */ }
    const sequences = seen.map((message) => message.seq)
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
    const last = new Map(seen.map((message) => [message.subject, message.seq]))
    expect(last).toEqual(new Map(store.messages("RESOURCES").map((message) => [message.subject, message.seq])))
    expect(caughtUp).toBe(1)
  }), { numRuns: 500 })
})
