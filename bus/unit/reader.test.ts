import { expect, test } from "vitest"
import { memoryStore, type MemoryStore } from "../memory.ts"
import { readUnits } from "./reader.ts"
import type { UnitChange, UnitWriter } from "./unit.ts"
import { openUnit } from "./writer.ts"

const unit = { plane: "default", fn: "routes" }
const subject = (key: string): string => `config.default.route.${key}`

const open = (store: MemoryStore, options: { epoch?: number; partBytes?: number; fn?: string } = {}): Promise<UnitWriter> =>
  openUnit(store.bus(), { unit: { ...unit, fn: options.fn ?? "routes" }, epoch: 1, writer: "w", version: "1", onSteppedDown: (_, message) => { throw new Error(message) }, ...options })

const put = async (writer: UnitWriter, entries: Record<string, string | null>): Promise<void> => {
  writer.stage(Object.entries(entries).map(([key, body]) => ({ subject: subject(key), body, causes: [`httproute/default/${key}@1`] })))
  await writer.settled()
}

/** A reader that remembers, with something to wait on. */
const read = (store: MemoryStore) => {
  const changes: UnitChange[] = []
  const notes: string[] = []
  const waiting: { readonly until: () => boolean; readonly resolve: () => void }[] = []
  const check = (): void => { for (const { until, resolve } of waiting) if (until()) resolve() }
  let caughtUp = 0
  const reader = readUnits(store.bus(), {
    filter: "config.default.>",
    onChange: (change) => { changes.push(change); check() },
    onCaughtUp: () => { caughtUp++; check() },
    onLost: () => undefined,
    onNote: (reason) => { notes.push(reason); check() },
  })
  return {
    reader, changes, notes,
    times: () => caughtUp,
    state: (fn = "routes") => Object.fromEntries([...(reader.state({ ...unit, fn }) ?? [])].map(([key, body]) => [key.slice(subject("").length), body])),
    until: (until: () => boolean) => new Promise<void>((resolve) => { waiting.push({ until, resolve }); check() }),
  }
}

test("an empty store is caught up with at once, and only once", async () => {
  const { until, times, changes } = read(memoryStore())
  await until(() => times() > 0)
  expect([times(), changes]).toEqual([1, []])
})

test("all units that have a commit are handed on before the reader is caught up, which it says once", async () => {
  const store = memoryStore()
  await put(await open(store, { fn: "routes" }), { a: "1", b: "2" })
  await put(await open(store, { fn: "endpoints" }), { c: "3" })
  const { until, times, changes, state } = read(store)
  await until(() => times() > 0)
  expect(times()).toBe(1)
  expect(changes.map((change) => [change.unit.fn, change.commit.rev, change.rows.length])).toEqual([["routes", 1, 2], ["endpoints", 1, 1]])
  expect(changes[0]?.rows[0]).toEqual([subject("a"), "1", ["httproute/default/a@1"]])
  expect([state("routes"), state("endpoints")]).toEqual([{ a: "1", b: "2" }, { c: "3" }])
})

test("a live commit hands on what it changes, with causes; removals too; a diff in parts as well", async () => {
  const store = memoryStore()
  const writer = await open(store, { partBytes: 100 })
  const { until, changes, state } = read(store)
  await put(writer, { a: "1", b: "1", c: "1" })
  await put(writer, { a: "2", b: null })
  await until(() => changes.length === 2)
  expect(changes[1]?.rows).toEqual([[subject("a"), "2", ["httproute/default/a@1"]], [subject("b"), null, ["httproute/default/b@1"]]])
  expect(state()).toEqual({ a: "2", c: "1" })
})

test("a commit that continues another one than the last is not believed: the unit is read again", async () => {
  const store = memoryStore()
  await put(await open(store), { a: "1" })
  const { until, times, changes, notes, state } = read(store)
  await until(() => times() > 0)
  const last = store.messages("CONFIG").findLast((message) => message.subject.includes("commit"))
  const commit = JSON.parse(Buffer.from(last?.data ?? []).toString())
  await store.bus().publish({ subject: "config.default.commit.routes", data: JSON.stringify({ ...commit, rev: 9, prev: 8, diff: [] }), headers: last?.headers ?? {} })
  await until(() => changes.length === 2)
  expect(notes).toEqual(["CommitGap"])
  expect(changes[1]).toMatchObject({ commit: { rev: 9 }, rows: [] })
  expect(state()).toEqual({ a: "1" })
})

test.each([
  ["of a lower epoch", { epoch: 0, rev: 2, prev: 1 }, "LowerEpoch"],
  ["whose digest is another", { rev: 2, prev: 1, digest: "0".repeat(64) }, "DigestMismatch"],
  ["that cannot be read", { rev: "two" }, "CommitGap"],
  ["with rows of another plane", { rev: 2, prev: 1, diff: [["config.other.route.a", "1", []]] }, "CommitGap"],
])("a commit %s is not shown, and the next good one is", async (_, wrong, reason) => {
  const store = memoryStore()
  const writer = await open(store, { epoch: 1 })
  await put(writer, { a: "1" })
  await writer.stop()
  const { until, times, changes, notes, state } = read(store)
  await until(() => times() > 0)
  const last = store.messages("CONFIG").findLast((message) => message.subject.includes("commit"))
  const commit = JSON.parse(Buffer.from(last?.data ?? []).toString())
  await store.bus().publish({ subject: "config.default.commit.routes", data: JSON.stringify({ ...commit, ...wrong }), headers: { "Hg-Epoch": "0", "Hg-Rev": "2", "Hg-Writer": "routes" } })
  await until(() => notes.includes(reason))
  expect(changes.length).toBe(1)
  await put(await open(store, { epoch: 2 }), { a: "3" })
  await until(() => state()["a"] === "3")
})

test("entries that are not what the commit says are noted, never shown, and heal with the writer's next commit", async () => {
  const store = memoryStore()
  const writer = await open(store)
  await put(writer, { a: "1", b: "1" })
  await put(writer, { b: "2" })
  await writer.stop()
  await store.bus().publish({ subject: subject("a"), data: "tampered", headers: { "Hg-Writer": "routes" } })
  const { until, times, changes, notes, state } = read(store)
  await until(() => notes.includes("DigestMismatch"))
  expect([times(), changes]).toEqual([0, []])
  const next = await open(store)
  next.stage(["a", "b"].map((key) => ({ subject: subject(key), body: "3", causes: [] })), { complete: true })
  await until(() => times() > 0)
  expect(state()).toEqual({ a: "3", b: "3" })
})

test("what nobody's subject and nobody's entry say is noted and ignored", async () => {
  const store = memoryStore()
  await put(await open(store), { a: "1" })
  await store.bus().publish({ subject: subject("stray"), data: "x" })
  const { until, times, notes, state } = read(store)
  await until(() => times() > 0)
  expect(notes).toEqual(["StrayEntry"])
  await store.bus().publish({ subject: "config.default.commit.not_a_token", data: "x" })
  await until(() => notes.includes("StraySubject"))
  expect(state()).toEqual({ a: "1" })
})
