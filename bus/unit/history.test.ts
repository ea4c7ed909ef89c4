import { expect, test } from "vitest"
import type { Bus } from "../bus.ts"
import { header } from "../envelope.ts"
import { memoryStore, type MemoryStore } from "../memory.ts"
import type { UnitWriter } from "./unit.ts"
import { openUnit } from "./writer.ts"

const SUBJECT = "config.default.route.a"
const OTHER = "config.default.route.b"
let epoch = 0

const open = (bus: Bus, onNote: (reason: string) => void = () => undefined): Promise<UnitWriter> =>
  openUnit(bus, { unit: { plane: "default", fn: "routes" }, epoch: ++epoch, writer: "w", version: "1", onSteppedDown: () => undefined, onNote })

const commit = async (writer: UnitWriter, body: string, subject = SUBJECT): Promise<void> => {
  writer.stage([{ subject, body, causes: [] }])
  await writer.settled()
}

const copies = (store: MemoryStore) => store.messages("HISTORY").filter(({ subject }) => subject.startsWith("history.commit"))
const revisions = (store: MemoryStore) => copies(store).map(({ headers }) => headers[header.rev])

/** Of commits by a writer that died before it could copy any. */
const uncopied = async (store: MemoryStore, count: number): Promise<void> => {
  const bus = store.bus()
  const writer = await open({ ...bus, publish: (message) => (message.subject.startsWith("history.") ? new Promise(() => undefined) : bus.publish(message)) })
  for (let rev = 1; rev <= count; rev++) await commit(writer, String(rev))
}

test("a writer stopped while it reads what was not copied copies nothing behind it: the next one copies all", async () => {
  const store = memoryStore()
  await uncopied(store, 3)
  const bus = store.bus()
  const reading = Promise.withResolvers<void>()
  // Of what was not copied the first arrives, and then nothing.
  const slow: Bus = { ...bus, follow: (follower) => bus.follow(typeof follower.from === "object" && follower.from.after === 0 && follower.stream === "CONFIG" ? {
    ...follower,
    onMessage: (message) => {
      reading.resolve()
      if (message.headers[header.rev] === "1") follower.onMessage(message)
    },
    onCaughtUp: () => undefined,
  } : follower) }
  const stopped = await open(slow)
  await commit(stopped, "4")
  await reading.promise
  await stopped.stop()
  expect(revisions(store)).toEqual([])

  const next = await open(bus)
  await commit(next, "5")
  await next.stop()
  expect(revisions(store)).toEqual(["1", "2", "3", "4", "5"])
})

test("what follows a state that was not what its commit said is copied as part of the same store", async () => {
  const store = memoryStore()
  const bus = store.bus()
  const before = await open(bus)
  await commit(before, "1")
  await commit(before, "2", OTHER)
  await before.stop()
  await bus.publish({ subject: SUBJECT, data: "not by its writer", headers: { [header.writer]: "routes" } })

  const writer = await open(bus)
  await commit(writer, "3")
  await writer.stop()
  const { incarnation } = await bus.info("CONFIG")
  expect(copies(store).map(({ headers }) => [headers[header.rev], headers[header.incarnation]])).toEqual(["1", "2", "3"].map((rev) => [rev, incarnation]))
})

test("what stands there as a commit and is none is left out, and what came before and after it is copied", async () => {
  const store = memoryStore()
  await uncopied(store, 1)
  const bus = store.bus()
  await bus.publish({ subject: "config.default.commit.routes", data: "no commit", headers: { [header.rev]: "2", [header.epoch]: "1" } })
  const notes: string[] = []
  const writer = await open(bus, (reason) => notes.push(reason))
  await commit(writer, "3")
  await writer.stop()
  expect(revisions(store)).toEqual(["1", "3"])
  expect(notes).toContain("HistoryGap")
})

test("a writer that is stopped while it waits for copies commits nothing more", async () => {
  const store = memoryStore()
  const bus = store.bus()
  const gate = Promise.withResolvers<void>()
  const writer = await open({ ...bus, publish: (message) => (message.subject.startsWith("history.") ? gate.promise.then(() => bus.publish(message)) : bus.publish(message)) })
  const commits = () => Number(store.messages("CONFIG").findLast(({ subject }) => subject.includes(".commit."))?.headers[header.rev] ?? 0)
  let before = -1
  for (let i = 0; before < commits(); i++) {
    before = commits()
    writer.stage([{ subject: SUBJECT, body: String(i), causes: [] }])
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(before).toBeGreaterThan(256)
  const stopped = writer.stop()
  gate.resolve()
  await stopped
  expect(commits()).toBe(before)
})
