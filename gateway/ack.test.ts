import { expect, it, vi } from "vitest"
import { memoryStore } from "../bus/memory.ts"
import { AWAY_AFTER } from "../bus/presence.ts"
import { appliedSubject } from "../bus/subject.ts"
import { streams } from "../bus/streams.ts"
import type { Applied } from "../bus/kinds/applied.ts"
import { Acks } from "./ack.ts"

const applied = (rev: number): Applied => ({ schema: 1, pod: "p", plane: "default", ready: true, admin: "http://127.0.0.1:9901", units: { routes: { rev, epoch: 1, seq: rev, digest: "d" } }, listeners: [], notes: [] })

const scene = () => {
  const store = memoryStore()
  const state = { rev: 0 }
  const acks = new Acks(() => applied(state.rev))
  const bus = store.bus()
  /** The history keeps what was told before. */
  const told = (): unknown => JSON.parse(new TextDecoder().decode(store.messages("APPLIED").at(-1)?.data)).units.routes.rev
  return { store, state, acks, bus, told }
}

it("tells the newest state, and what changed while a message was under way in one more", async () => {
  const { store, state, acks, bus, told } = scene()
  const seen: number[] = []
  store.bus().follow({ stream: "APPLIED", filter: appliedSubject("default", "p"), from: "state", onMessage: ({ seq }) => void seen.push(seq) })
  acks.attach(bus)
  for (state.rev = 1; state.rev < 50; state.rev++) acks.request()
  await acks.flush()
  await store.settle()
  expect(told()).toBe(50)
  expect(seen.length).toBeLessThanOrEqual(2)
})

it("does not repeat itself, unless the stream may have lost it", async () => {
  const { store, acks, bus, told } = scene()
  acks.attach(bus)
  await acks.flush()
  const { lastSeq } = await bus.info("APPLIED")
  acks.request()
  await acks.flush()
  expect((await bus.info("APPLIED")).lastSeq).toBe(lastSeq)
  store.wipe()
  acks.repeat()
  await acks.flush()
  expect(told()).toBe(0)
})

it("tries again when the bus is away", async () => {
  const { store, state, acks, bus, told } = scene()
  acks.attach(bus)
  await acks.flush()
  bus.disconnect()
  state.rev = 7
  acks.request()
  await acks.flush()
  expect(told()).toBe(0)
  const arrived = new Promise<void>((resolve) => {
    store.bus().follow({ stream: "APPLIED", filter: appliedSubject("default", "p"), from: { after: 1 }, onMessage: () => resolve() })
  })
  bus.connect()
  await arrived
  expect(told()).toBe(7)
  acks.stop()
})

it("that stopped while the bus was away goes on when it is attached again", async () => {
  const { state, acks, bus, told } = scene()
  acks.attach(bus)
  await acks.flush()
  bus.disconnect()
  state.rev = 7
  acks.request()
  await acks.flush()
  acks.stop()
  bus.connect()
  acks.attach(bus)
  await acks.flush()
  expect(told()).toBe(7)
  acks.stop()
})

it("is told again before the stream lets it expire, or anybody takes the pod for gone", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
  try {
    const { acks, bus } = scene()
    acks.attach(bus)
    await acks.flush()
    const { lastSeq } = await bus.info("APPLIED")
    vi.advanceTimersByTime(Math.min(AWAY_AFTER, streams.APPLIED.maxAgeMs ?? Infinity))
    await acks.flush()
    expect((await bus.info("APPLIED")).lastSeq).toBeGreaterThan(lastSeq)
    acks.stop()
  } finally {
    vi.useRealTimers()
  }
})
