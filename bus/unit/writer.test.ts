import { expect, test } from "vitest"
import type { Bus } from "../bus.ts"
import { memoryStore } from "../memory.ts"
import { HigherEpochError } from "./unit.ts"
import { openUnit } from "./writer.ts"
import { calm } from "./model/run.ts"
import { lastCommit, storedState } from "./model/reference.ts"
import { subjectOf, unit, WINDOW, World, type WorldOptions } from "./model/world.ts"

const small: WorldOptions = { partBytes: 60, sharesReader: false, isNumbered: false }
const whole: WorldOptions = { ...small, partBytes: 256 * 1024 }
const HORIZON = 30_000
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** A world with one writer, at rest, holding `always` and these entries. */
const settledWorld = async (options: WorldOptions, entries: Record<string, string> = {}): Promise<World> => {
  const world = new World(options)
  for (const [key, body] of Object.entries(entries)) world.edit(key, body)
  world.startWriter({ isTakeover: false })
  await calm(world, HORIZON)
  return world
}

const only = <T>(all: readonly T[], at = 0): T => {
  const one = all[at]
  if (one === undefined) throw new Error(`there is no number ${at}`)
  return one
}

const stored = (world: World): Record<string, string> => Object.fromEntries([...storedState(world.store.messages("CONFIG"))].map(([subject, body]) => [subject.split(".")[3] ?? "", body]))

/** Serves and answers one connection until a request to this subject is next. */
const until = async (world: World, writing: World["writings"][number], subject: RegExp): Promise<void> => {
  for (let i = 0; i < 1000 && !subject.test(writing.wire.requests[0]?.about ?? ""); i++) {
    if (writing.wire.requests.length > 0) writing.wire.serve()
    writing.wire.give()
    await turn()
  }
  expect(only(writing.wire.requests).about).toMatch(subject)
}

test("a commit of a dead writer that arrives after its successor opened is undone at once, with no edit", async () => {
  const world = await settledWorld(whole, { a: "1" })
  const old = only(world.writings)
  world.edit("a", "2")
  world.hear(old)
  await until(world, old, /commit/)
  world.edit("a", "1")
  world.kill(old)
  world.startWriter({ isTakeover: false })
  for (const late of old.wire.adrift.splice(0)) {
    await calm(world, HORIZON)
    expect(stored(world)).toEqual({ always: "here", a: "1" })
    await late().catch(() => undefined)
  }
  expect(lastCommit(world.store.messages("CONFIG"))?.epoch).toBe(1)
  await calm(world, HORIZON)
  expect(stored(world)).toEqual({ always: "here", a: "1" })
  expect(lastCommit(world.store.messages("CONFIG"))?.epoch).toBe(2)
})

test("a writer frozen before its commit is refused after a take-over that had nothing to change", async () => {
  const world = await settledWorld(whole, { a: "1" })
  const frozen = only(world.writings)
  world.edit("a", "2")
  world.hear(frozen)
  await until(world, frozen, /commit/)
  const held = frozen.wire.requests.splice(0)
  world.edit("a", "1")
  world.startWriter({ isTakeover: true })
  await calm(world, HORIZON)
  expect(lastCommit(world.store.messages("CONFIG"))?.epoch).toBe(2)
  frozen.wire.requests.push(...held)
  await calm(world, HORIZON)
  expect(lastCommit(world.store.messages("CONFIG"))?.epoch).toBe(2)
  expect(frozen.isOver).toBe(true)
  expect(stored(world)).toEqual({ always: "here", a: "1" })
})

test("a purge of parts that arrives late leaves the parts of the commit after it", async () => {
  const world = await settledWorld(small, { a: "1", b: "1" })
  const writing = only(world.writings)
  for (const key of ["a", "b"]) world.edit(key, "2")
  while (writing.knows < world.inputs.length - 1) world.hear(writing)
  await until(world, writing, /^purge/)
  const purge = only(writing.wire.requests.splice(0, 1))
  for (const key of ["a", "b"]) world.edit(key, "3")
  while (writing.knows < world.inputs.length - 1) world.hear(writing)
  await until(world, writing, /default\.route\./)
  await purge.run()
  expect(stored(world)).toEqual({ always: "here", a: "3", b: "3" })
})

test("a purge of a tombstone that arrives late leaves the entry that came back", async () => {
  const world = await settledWorld(whole, { a: "1" })
  const writing = only(world.writings)
  world.edit("a", null)
  world.hear(writing)
  await calm(world, HORIZON)
  while (writing.wire.due !== undefined) {
    writing.wire.fire()
    await turn()
    if (writing.wire.requests.length > 0) break
  }
  const purge = only(writing.wire.requests.splice(0, 1))
  expect(purge.about).toMatch(/^purge/)
  for (const key of ["a", "b"]) {
    world.edit(key, "2")
    world.hear(writing)
    await calm(world, HORIZON)
  }
  await purge.run()
  expect(stored(world)).toEqual({ always: "here", a: "2", b: "2" })
})

test("removed entries are purged after the window, and not before", async () => {
  const world = await settledWorld(whole, { a: "1" })
  const writing = only(world.writings)
  world.edit("a", null)
  world.hear(writing)
  await calm(world, WINDOW - 1000)
  const ofA = (): number => world.store.messages("CONFIG").filter(({ subject }) => subject === subjectOf("a")).length
  expect(ofA()).toBe(2)
  await calm(world, WINDOW)
  expect(ofA()).toBe(0)
})

test("nothing staged publishes nothing; the first commit of an empty unit is made only when asked for", async () => {
  const world = new World(whole)
  const wire = world.store.bus()
  const options = { unit, epoch: 1, writer: "w", version: "1", onSteppedDown: () => undefined }
  const writer = await openUnit(wire, options)
  writer.stage([])
  await writer.settled()
  expect(world.store.messages("CONFIG")).toEqual([])
  writer.stage([], { complete: true, force: true })
  await writer.settled()
  writer.stage([], { complete: true, force: true })
  await writer.settled()
  await writer.stop()
  expect(world.store.messages("CONFIG").map(({ subject }) => subject)).toEqual(["config.default.commit.routes"])
  await expect(openUnit(wire, { ...options, epoch: 0 })).rejects.toBeInstanceOf(HigherEpochError)
})

test("under constant change it is told what is settled: what is staged later is not waited for", async () => {
  const world = new World(whole)
  const port = world.store.bus()
  let staged = 0
  const change = (): void => writer.stage([{ subject: subjectOf("a"), body: String(++staged), causes: [] }])
  // Something new is staged while each commit is under way, so that the writer never comes to rest.
  const busy: Bus = { ...port, publish: (message) => {
    if (staged < 200 && message.subject.includes(".commit.")) change()
    return port.publish(message)
  } }
  const writer = await openUnit(busy, { unit, epoch: 1, writer: "w", version: "1", onSteppedDown: () => undefined })
  change()
  for (let i = 0; i < 5; i++) {
    const wanted = staged
    await writer.settled()
    expect(staged).toBeLessThan(200)
    expect(Number(stored(world)["a"])).toBeGreaterThanOrEqual(wanted)
  }
  await writer.stop()
})

test("each commit is in the history once, also when its writer died before it could copy it", async () => {
  const world = await settledWorld(small, { a: "1" })
  const writing = only(world.writings)
  world.edit("a", "2")
  world.hear(writing)
  await until(world, writing, /history/)
  writing.wire.requests.length = 0
  world.kill(writing)
  world.startWriter({ isTakeover: false })
  await calm(world, HORIZON)
  const revs = world.store.messages("HISTORY").filter(({ subject }) => subject.startsWith("history.commit")).map(({ headers }) => headers["Hg-Rev"])
  expect(revs).toEqual(["1", "2"])
})

test("a body too large for a message is refused before anything is staged", async () => {
  const world = await settledWorld(whole)
  const { writer } = only(world.writings)
  expect(() => writer?.stage([{ subject: subjectOf("a"), body: "1", causes: [] }, { subject: subjectOf("b"), body: "x".repeat(500_000), causes: [] }])).toThrow(RangeError)
  expect(() => writer?.stage([{ subject: "config.other.route.a", body: "1", causes: [] }])).toThrow(/not an entry of plane/)
  expect(writer?.state().size).toBe(1)
})

test("what is staged in the very moment a writer comes to rest is committed all the same", async () => {
  for (let moment = 0; moment < 30; moment++) {
    const bus = memoryStore().bus()
    const acked = Promise.withResolvers<void>()
    const watched: Bus = { ...bus, publish: (message) => {
      const ack = bus.publish(message)
      if (message.subject === subjectOf("a")) void ack.then(() => acked.resolve())
      return ack
    } }
    const writer = await openUnit(watched, { unit, epoch: 1, writer: "w", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
    writer.stage([{ subject: subjectOf("a"), body: "1", causes: [] }])
    await acked.promise
    for (let i = 0; i < moment; i++) await Promise.resolve()
    writer.stage([{ subject: subjectOf("b"), body: "1", causes: [] }])
    await writer.settled()
    expect(await bus.last("CONFIG", subjectOf("b")), `${moment} microtasks after the last ack`).toBeDefined()
    await writer.stop()
  }
})

test("a commit and its entries carry the trace they belong to", async () => {
  const store = memoryStore()
  const writer = await openUnit(store.bus(), { unit, epoch: 1, writer: "w", version: "1", onSteppedDown: () => undefined })
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
  writer.stage([{ subject: subjectOf("a"), body: "1", causes: [] }], { traceparent })
  await writer.settled()
  await writer.stop()
  expect(store.messages("CONFIG").map(({ subject, headers }) => [subject, headers["traceparent"]])).toEqual([["config.default.commit.routes", traceparent], [subjectOf("a"), traceparent]])
})
