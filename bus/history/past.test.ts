/** Answers about the past against a recording, on the bus in the process. */
import fc from "fast-check"
import { expect, test } from "vitest"
import type { Bus } from "../bus.ts"
import { memoryStore, type MemoryStore } from "../memory.ts"
import { systemClock } from "../unit/clock.ts"
import type { UnitWriter } from "../unit/unit.ts"
import { openUnit } from "../unit/writer.ts"
import { Recorder, type Expected } from "./oracle.ts"
import { past } from "./past.ts"
import { checkpoint } from "./recorder.ts"
import type { PastState } from "./state.ts"

interface World {
  readonly store: MemoryStore
  readonly bus: Bus
  readonly recorder: Recorder
  readonly writers: readonly UnitWriter[]
  tick(ms: number): void
  /** Copies to the history wait until `release`. */
  hold(): void
  release(): void
}

/** Parts from 60 bytes on, so that both forms of a commit occur. */
const newWorld = async (history = true): Promise<World> => {
  let now = 1000
  const store = memoryStore({ now: () => now, history })
  const bus = store.bus()
  let copies = Promise.withResolvers<void>()
  copies.resolve()
  const lagging: Bus = { ...bus, publish: (message) => (message.subject.startsWith("history.") ? copies.promise.then(() => bus.publish(message)) : bus.publish(message)) }
  const writers = await Promise.all(["routes", "endpoints"].map((fn) =>
    openUnit(lagging, { unit: { plane: "default", fn }, epoch: 1, writer: "w", version: "1", partBytes: 60, onSteppedDown: (_, message) => { throw new Error(message) } })))
  return { store, bus, recorder: new Recorder(store.bus()), writers, tick: (ms) => { now += ms }, hold: () => { copies = Promise.withResolvers() }, release: () => copies.resolve() }
}

const put = (bus: Bus, name: string, value: string | null) =>
  bus.publish({ subject: `resource.httproute.n.${name}`, data: value ?? "", headers: { "Hg-Kind": "httproute", ...(value === null ? { "Hg-Deleted": "1" } : {}) } })

const op = fc.oneof(
  { weight: 6, arbitrary: fc.record({ what: fc.constant("resource" as const), name: fc.constantFrom("a", "b", "ü"), value: fc.option(fc.string({ maxLength: 3 })), tick: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ what: fc.constant("stage" as const), of: fc.nat(1), names: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 }), value: fc.option(fc.string({ maxLength: 40 })), tick: fc.nat(2), late: fc.constantFrom(0, 0, 0, 40, 3000) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("ack" as const), pod: fc.constantFrom("p", "q"), tick: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("checkpoint" as const), tick: fc.nat(2) }) },
)
type Op = typeof op extends fc.Arbitrary<infer T> ? T : never

const play = async (world: World, ops: readonly Op[]): Promise<void> => {
  const { bus, writers, store } = world
  /** What functions say they answer: the last message of RESOURCES. */
  let cause = "httproute/n/first@1"
  for (const [i, step] of ops.entries()) {
    world.tick(step.tick)
    if (step.what === "resource") {
      const { seq } = await put(bus, step.name === "ü" ? "_xc3_xbc" : step.name, step.value)
      cause = `httproute/n/${step.name}@${seq}`
    }
    else if (step.what === "ack") await bus.publish({ subject: `applied.default.${step.pod}`, data: JSON.stringify({ i }) })
    else if (step.what === "checkpoint") await checkpoint(bus, systemClock)
    else {
      const writer = writers[step.of]
      if (step.late > 0) world.hold()
      writer?.stage(step.names.map((name) => ({ subject: `config.default.s${step.of}.${name}`, body: step.value, causes: [`httproute/n/${name}@${i}`] })), { causes: [cause] })
      await writer?.settled()
      world.tick(step.late)
      world.release()
    }
    // Copies to the history, and what is purged, come behind.
    await store.settle()
  }
}

const shown = ({ resources, units, acks }: PastState): unknown => ({
  resources: new Map([...resources].map(([subject, { body }]) => [subject, body])),
  units: new Map([...units].map(([key, { commit, entries }]) => [key, { rev: commit.rev, entries: new Map([...entries].map(([subject, { body }]) => [subject, body])) }])),
  acks: new Map([...acks].map(([subject, { body }]) => [subject, body])),
})
const wanted = ({ resources, units, acks }: Expected): unknown => ({ resources, units, acks })

test("at every millisecond around a message and every sequence, what is answered is exactly what a recording says", async () => {
  await fc.assert(fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 40 }), async (ops) => {
    const world = await newWorld()
    await put(world.bus, "first", "1")
    await world.store.settle()
    await play(world, ops)
    const asked = past(world.bus)
    const { from, fromSeq, toSeq } = await asked.window()
    const end = Math.max(...[...world.recorder.resources, ...world.recorder.commits, ...world.recorder.acks].map(({ time }) => time))
    const times = new Set([...world.recorder.resources, ...world.recorder.commits, ...world.recorder.acks].flatMap(({ time }) => [time - 1, time, time + 1]).filter((time) => time >= from && time <= end + 1))
    const moments = [...[...times].map((time) => ({ time })), ...Array.from({ length: toSeq - fromSeq + 1 }, (_, i) => ({ seq: fromSeq + i }))]
    for (const moment of moments) {
      const { value, doubts } = await asked.stateAt(moment)
      expect(doubts).toEqual([])
      expect(shown(value), JSON.stringify(moment)).toEqual(wanted(world.recorder.at(moment)))
      const one = await asked.resourceAt("resource.httproute.n.a", moment)
      expect(one.value?.body).toBe(world.recorder.at(moment).resources.get("resource.httproute.n.a"))
    }
    expect(shown((await asked.stateAt("now")).value)).toEqual(wanted(world.recorder.at({ time: end })))
  }), { numRuns: 60 })
}, 120_000)

/** Every commit that was copied, with its rows: a plain reading of all of HISTORY. */
const copied = (store: MemoryStore): readonly { readonly rev: string; readonly causes: readonly string[]; readonly rows: readonly (readonly [string, string | null])[] }[] => {
  const parts = new Map<number, [string, string | null][]>()
  return store.messages("HISTORY").flatMap(({ subject, seq, data }) => {
    const body = JSON.parse(Buffer.from(data).toString("utf8"))
    if (subject.startsWith("history.part.")) return (parts.set(seq, body), [])
    return [{ rev: `${subject.split(".").at(-1)}@${body.rev}`, causes: body.causes, rows: body.diff ?? body.parts.flatMap((part: { seq: number }) => parts.get(part.seq)) }]
  })
}

test("versions of every entry, and commits that answer any version of a resource, are those that a reading of everything finds", async () => {
  await fc.assert(fc.asyncProperty(fc.array(op, { minLength: 1, maxLength: 60 }), async (ops) => {
    const world = await newWorld()
    await put(world.bus, "first", "1")
    await world.store.settle()
    await play(world, ops)
    const [asked, commits] = [past(world.bus), copied(world.store)]
    for (const subject of new Set(commits.flatMap(({ rows }) => rows.map(([of]) => of)))) {
      const { value, doubts } = await asked.versionsOf(subject)
      expect(doubts).toEqual([])
      expect(value.map(({ body, commit }) => [`${commit?.unit.fn}@${commit?.commit.rev}`, body ?? null]))
        .toEqual(commits.flatMap(({ rev, rows }) => rows.filter(([of]) => of === subject).map(([, body]) => [rev, body])))
    }
    const versions = (await asked.versionsOf("resource.httproute.n.a")).value
    const answering = await asked.commitsCausedBy("resource.httproute.n.a", versions)
    expect(answering.map(({ unit, commit }) => `${unit.fn}@${commit.rev}`).sort())
      .toEqual(commits.filter(({ causes }) => causes.some((cause) => cause.startsWith("httproute/n/a@"))).map(({ rev }) => rev).sort())
  }), { numRuns: 60 })
}, 120_000)

test("an entry that changed more often than its messages are kept is told of wholly", async () => {
  const { bus, store, writers: [routes] } = await newWorld()
  for (let i = 0; i < 70; i++) {
    routes?.stage([{ subject: "config.default.route.a", body: String(i), causes: [] }])
    await routes?.settled()
  }
  await store.settle()
  const asked = past(bus)
  expect((await asked.versionsOf("config.default.route.a")).value.map(({ body }) => body)).toEqual(Array.from({ length: 70 }, (_, i) => String(i)))
  expect((await asked.versionsOf("config.default.route.none")).value).toEqual([])
})

test("versions of a resource and of an entry are all that were, each with what made it", async () => {
  const { bus, writers: [routes], store } = await newWorld()
  for (const value of ["1", null, "3"]) {
    const { seq } = await put(bus, "a", value)
    routes?.stage([{ subject: "config.default.route.a", body: value, causes: [`httproute/n/a@${seq}`] }], { causes: [`httproute/n/a@${seq}`] })
    await routes?.settled()
    await store.settle()
  }
  const asked = past(bus)
  const resource = await asked.versionsOf("resource.httproute.n.a")
  expect(resource).toMatchObject({ doubts: [], value: [{ seq: 1, body: "1" }, { seq: 2, body: undefined }, { seq: 3, body: "3" }] })
  const entry = await asked.versionsOf("config.default.route.a")
  expect(entry.value.map(({ body, commit }) => [body, commit?.commit.rev, commit?.commit.causes])).toEqual([["1", 1, ["httproute/n/a@1"]], [undefined, 2, ["httproute/n/a@2"]], ["3", 3, ["httproute/n/a@3"]]])
  const caused = await asked.commitsCausedBy("resource.httproute.n.a", resource.value.slice(1, 2))
  expect(caused.map(({ unit, commit }) => [unit.fn, commit.rev])).toEqual([["routes", 2]])
})

test("a message that was never copied makes answers inexact that may need it, until the next checkpoint", async () => {
  const world = await newWorld()
  for (const name of ["a", "b", "lost", "c"]) {
    await put(world.bus, name, name)
    world.tick(10)
  }
  await world.bus.purge("RESOURCES_HISTORY", "resource.httproute.n.lost")
  const asked = past(world.bus)
  expect((await asked.stateAt({ time: 1000 })).doubts).toEqual([])
  // When it came is not known: between the second and the fourth.
  for (const time of [1010, 1019, 1020, 1030]) expect((await asked.stateAt({ time })).doubts).toEqual(["sequence 3 of RESOURCES is not in the history"])
  expect((await asked.resourceAt("resource.httproute.n.a", { time: 1030 })).doubts).toHaveLength(1)
  expect((await asked.stateAt({ seq: 2 })).doubts).toHaveLength(1)
  await checkpoint(world.bus, systemClock)
  const after = await asked.stateAt({ time: 1040 })
  expect(after.doubts).toEqual([])
  expect(after.value.resources.get("resource.httproute.n.lost")?.body).toBe("lost")
})

test("a checkpoint goes on from the one before, and is read anew where anything since is missing", async () => {
  const { bus, store, writers: [routes] } = await newWorld()
  const made: string[] = []
  const make = async (): Promise<void> => {
    const { from, head } = await checkpoint(bus, systemClock)
    made.push(from)
    expect(head.positions.RESOURCES).toBe((await bus.info("RESOURCES")).lastSeq)
  }
  await put(bus, "a", "1")
  await make()
  await put(bus, "b", "2")
  await make()
  await put(bus, "lost", "3")
  await put(bus, "c", "4")
  await bus.purge("RESOURCES_HISTORY", "resource.httproute.n.lost")
  await make()
  await put(bus, "a", null)
  await make()
  for (const name of ["a", "b"]) routes?.stage([{ subject: `config.default.route.${name}`, body: "1", causes: [] }])
  await routes?.settled()
  await store.settle()
  await bus.purge("HISTORY", "history.>")
  await make()
  expect(made).toEqual(["streams", "checkpoint", "streams", "checkpoint", "streams"])
  const { value, doubts } = await past(bus).stateAt("now")
  expect(doubts).toEqual([])
  expect([...value.resources.keys()].map((subject) => subject.slice(-1)).sort()).toEqual(["b", "c", "t"])
  expect(value.units.get("default.routes")?.entries.size).toBe(2)
})

test("a commit that was never copied is named, until a digest proves that nothing of it is left", async () => {
  const { bus, store, tick, writers: [routes, endpoints] } = await newWorld()
  await put(bus, "a", "1")
  endpoints?.stage([{ subject: "config.default.cluster.a", body: "1", causes: [] }])
  const commit = async (name: string, body: string | null): Promise<void> => {
    tick(10)
    routes?.stage([{ subject: `config.default.route.${name}`, body, causes: [] }])
    await routes?.settled()
    await store.settle()
  }
  await commit("a", "1")
  await commit("b", "2")
  await bus.purge("HISTORY", "history.commit.default.routes")
  await commit("a", "3")
  const asked = past(bus)
  expect((await asked.stateAt({ time: 1030 })).doubts).toEqual(["revisions 1 to 2 of the unit default/routes are not in the history"])
  await commit("b", null)
  const { value, doubts } = await asked.stateAt({ time: 1040 })
  expect(doubts).toEqual([])
  expect([...(value.units.get("default.routes")?.entries ?? [])].map(([subject, { body }]) => [subject, body])).toEqual([["config.default.route.a", "3"]])
})

test("a moment before the window, a sequence still to come and a store without a history are errors that say what is kept", async () => {
  const { bus } = await newWorld()
  await put(bus, "a", "1")
  const asked = past(bus)
  await expect(asked.stateAt({ time: 999 })).rejects.toMatchObject({ reason: "outside-window", message: expect.stringContaining("1970-01-01T00:00:01.000Z") })
  await expect(asked.stateAt({ seq: 2 })).rejects.toMatchObject({ reason: "outside-window", message: expect.stringContaining("the last of RESOURCES is 1") })
  await expect(asked.stateAt({ seq: 0 })).rejects.toMatchObject({ reason: "outside-window" })
  const plain = await newWorld(false)
  await put(plain.bus, "a", "1")
  await expect(past(plain.bus).stateAt("now")).rejects.toMatchObject({ reason: "off" })
})
