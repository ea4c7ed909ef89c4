import { Effect, Schema } from "effect"
import { afterEach, describe, expect, test } from "vitest"
import type { Bus, Message } from "../bus/bus.ts"
import { canonical } from "../bus/canonical.ts"
import { CONTROL_PLANE } from "../bus/kinds/config.ts"
import { configKind, openKind, resourceKind } from "../bus/kinds/kind.ts"
import { memoryStore, type MemoryBus, type MemoryStore } from "../bus/memory.ts"
import { commitSubject, configSubject, parseSubject, resourceSubject } from "../bus/subject.ts"
import { readUnits } from "../bus/unit/reader.ts"
import type { UnitChange } from "../bus/unit/unit.ts"
import { given, run as once } from "./once.ts"
import { progressSubject } from "../bus/hints.ts"
import { type Progress, readProgress } from "./progress.ts"
import { reconcile, type Reconciler } from "./reconcile.ts"
import { runFunctions } from "./run.ts"

const Thing = Schema.Struct({ plane: Schema.String, size: Schema.Number })
const thing = resourceKind("thing", Thing)
const paint = resourceKind("paint", Schema.Struct({ color: Schema.String }))
const shape = configKind("shape", Schema.Struct({ size: Schema.Number, color: Schema.optionalKey(Schema.String) }))
const tint = openKind("tint", Schema.Struct({ color: Schema.String }))
const label = configKind("label", Schema.Struct({ text: Schema.String }))

/** A shape for each thing, in the thing's plane; size 13 throws, above 1,000 no body can be published, and for -1 there is none. */
const shapes = reconcile({
  name: "shapes",
  version: "1",
  reads: [thing, tint],
  writes: [shape],
  derive: ({ from, into }) => {
    const tints = from(tint)
    into(
      shape,
      from(thing).flatMap(({ plane, size }, read, key) => {
        if (size === 13) throw new Error("thirteen")
        const color = size > 1000 ? "x".repeat(500_000) : read(tints, `${plane}/painter${key}`)?.color
        return [[`${plane}/${key.slice(1)}`, { size: size === -1 ? Number.NaN : size, ...(color === undefined ? {} : { color }) }]]
      }),
    )
  },
})
const painter = reconcile({
  name: "painter",
  version: "1",
  reads: [paint],
  writes: [tint],
  derive: ({ from, into }) => into(tint, from(paint).flatMap((value, _read, key) => [[`p/painter${key}`, value]])),
})
const labels = reconcile({
  name: "labels",
  version: "1",
  reads: [shape],
  writes: [label],
  derive: ({ from, into }) => into(label, from(shape).map(({ size }) => ({ text: `size ${size}` }))),
})

const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

interface Run {
  readonly logs: readonly string[]
  readonly port: () => MemoryBus
  logged(text: string): Promise<void>
  /** SIGTERM. */
  stop(): Promise<void>
}

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()))
})

const start = (store: MemoryStore, functions: readonly Reconciler[], { holder = "one", ttl = 5_000, wrap = (bus: Bus): Bus => bus } = {}): Run => {
  const logs: string[] = []
  const stop = new AbortController()
  const waiting: { readonly text: string; readonly resolve: () => void }[] = []
  let port = store.bus()
  const say = (line: string) => {
    logs.push(line)
    for (const each of waiting) if (line.includes(each.text)) each.resolve()
  }
  const run = runFunctions({ functions, holder, ttl, log: (_level, message) => say(message), connect: () => Promise.resolve(wrap((port = store.bus()))) })
  const ended = Effect.runPromise(run, { signal: stop.signal }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  const end = async () => {
    stop.abort()
    await ended
  }
  ends.push(end)
  return {
    logs,
    port: () => port,
    stop: end,
    logged: (text) => new Promise((resolve) => (logs.some((line) => line.includes(text)) ? resolve() : waiting.push({ text, resolve }))),
  }
}

/** An adapter's work, and the eyes of a gateway. */
const world = (store: MemoryStore = memoryStore()) => {
  const bus = store.bus()
  const entries = new Map<string, string>()
  const changes: UnitChange[] = []
  let check = () => {}
  let reader = open()
  function open() {
    return readUnits(bus, {
      filter: "config.>",
      onChange: (change) => {
        changes.push(change)
        for (const [subject, body] of change.rows) {
          const entry = parseSubject(subject)
          if (entry?.is !== "entry") continue
          const name = `${entry.section} ${entry.plane}/${entry.id}`
          if (body === null) entries.delete(name)
          else entries.set(name, body)
        }
        check()
      },
      onCaughtUp: () => {},
      onLost: () => {
        entries.clear()
        reader = open()
      },
    })
  }
  ends.push(() => reader.stop())
  const send = (subject: string, value: unknown, headers: Record<string, string> = {}) => bus.publish({ subject, data: value === undefined ? "" : typeof value === "string" ? value : canonical(value), headers })
  const put = (kind: { readonly name: string }, key: string, value: unknown, headers: Record<string, string> = {}) => send(resourceSubject(kind.name, key), value, headers)
  return {
    store,
    bus,
    entries,
    changes,
    send,
    put,
    remove: (kind: { readonly name: string }, key: string) => put(kind, key, undefined, { "Hg-Deleted": "1" }),
    synced: async (...kinds: readonly { readonly name: string }[]) => {
      const { incarnation } = await bus.info("RESOURCES")
      for (const kind of kinds) await put({ name: "sync" }, `/${kind.name}`, { incarnation, complete: true })
    },
    until: (holds: () => boolean) =>
      new Promise<void>((resolve) => {
        check = () => {
          if (holds()) resolve()
        }
        check()
      }),
    names: (section: string) => [...entries.keys()].filter((name) => name.startsWith(`${section} `)).sort(),
    notes: () => [...entries].filter(([name]) => name.startsWith("note ")).map(([, body]) => body),
    stored: () => store.messages("RESOURCES").length + store.messages("CONFIG").length,
  }
}

const first = (messages: readonly Message[]): number => Math.min(...messages.map(({ time }) => time))

describe("what must be there before anything is published", () => {
  test("every resource kind read is synced in this incarnation", async () => {
    const it = world()
    const run = start(it.store, [shapes, painter])
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await it.put({ name: "sync" }, "/thing", { incarnation: "another", complete: true })
    await it.synced(paint)
    await turns()
    await it.put({ name: "sync" }, "/thing", { incarnation: (await it.bus.info("RESOURCES")).incarnation, complete: false })
    await turns()
    const mark = await it.put({ name: "sync" }, "/thing", { incarnation: (await it.bus.info("RESOURCES")).incarnation, complete: true })
    await run.logged("publishing")
    await it.until(() => it.entries.has("shape p/a"))
    const marked = it.store.messages("RESOURCES").find(({ seq }) => seq === mark.seq)
    expect(first(it.store.messages("CONFIG"))).toBeGreaterThan(marked?.time ?? Number.POSITIVE_INFINITY)
  })

  test("a derived kind of another process has a writer that has committed; with it, nothing read means nothing there", async () => {
    const it = world()
    const reading = start(it.store, [labels], { holder: "two" })
    await turns()
    expect(it.store.messages("CONFIG")).toEqual([])
    await it.synced(thing)
    const writing = start(it.store, [shapes])
    await writing.logged("publishing")
    await reading.logged("publishing")
    await it.until(() => it.entries.has(`function ${CONTROL_PLANE}/labels`))
    expect(it.names("label")).toEqual([])
    await it.put(thing, "/a", { plane: "p", size: 4 })
    await it.until(() => it.entries.has("label p/a"))
    expect(it.entries.get("label p/a")).toBe('{"text":"size 4"}')
  })

  test("demand emptied or not read while the reader restarts deletes nothing (I7)", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 4 })
    await start(it.store, [shapes, labels]).logged("publishing")
    await it.until(() => it.entries.has("label p/a"))
    await Promise.all(ends.splice(1).map((end) => end()))
    // Its own output is on the store, its input is not: as after a loss of one of two stores.
    const own = memoryStore()
    const other = world(own)
    for (const message of it.store.messages("CONFIG")) if (message.headers["Hg-Writer"] === "labels") await other.bus.publish({ subject: message.subject, data: message.data, headers: message.headers })
    const before = own.messages("CONFIG").length
    start(own, [labels], { holder: "two" })
    await turns()
    expect(own.messages("CONFIG").length).toBe(before)
  })
})

test("what gateways wait for is on its way before functions declared later derive at all, at the start and at each change", async () => {
  const it = world()
  const order: string[] = []
  const late = reconcile({
    name: "late", version: "1", later: true, reads: [thing], writes: [label],
    derive: ({ from, into }) =>
      into(label, from(thing).flatMap(({ size }, _read, key) => {
        order.push(`late derives ${size}`)
        return [[`p${key}`, { text: `size ${size}` }]]
      })),
  })
  // A server's answer takes longer than a turn.
  const wrap = (bus: Bus): Bus => ({
    ...bus,
    info: async (stream) => {
      await turns(5)
      return bus.info(stream)
    },
    publish: (message) => {
      if (message.subject === commitSubject("p", "shapes")) order.push("shapes commits")
      return bus.publish(message)
    },
  })
  await it.put(thing, "/a", { plane: "p", size: 1 })
  await it.synced(thing)
  start(it.store, [shapes, late], { wrap })
  await it.until(() => it.entries.get("label p/a") === '{"text":"size 1"}')
  await it.put(thing, "/a", { plane: "p", size: 2 })
  await it.until(() => it.entries.get("label p/a") === '{"text":"size 2"}')
  expect(order).toEqual(["shapes commits", "late derives 1", "shapes commits", "late derives 2"])
})

describe("a restart", () => {
  test("with nothing changed stores nothing; with what was deleted meanwhile it publishes the removal alone, planes included (I3)", async () => {
    const it = world()
    await it.synced(thing, paint)
    for (const [key, plane] of [["a", "p"], ["b", "p"], ["c", "q"]] as const) await it.put(thing, `/${key}`, { plane, size: 1 })
    let run = start(it.store, [shapes, painter, labels])
    await it.until(() => it.entries.has("label q/c"))
    await run.stop()
    for (let i = 0; i < 2; i++) {
      const before = it.stored()
      run = start(it.store, [shapes, painter, labels])
      await run.logged("publishing")
      await run.stop()
      expect(it.stored()).toBe(before)
    }
    await it.remove(thing, "/b")
    await it.remove(thing, "/c")
    const seen = it.changes.length
    run = start(it.store, [shapes, painter, labels])
    await it.until(() => it.names("label").length === 1 && it.names("shape").length === 1)
    await run.stop()
    expect(it.names("shape")).toEqual(["shape p/a"])
    const rows = it.changes.slice(seen).flatMap((change) => change.rows)
    expect(rows.map(([subject, body]) => [subject, body]).sort()).toEqual([configSubject("p", "label", "b"), configSubject("p", "shape", "b"), configSubject("q", "label", "c"), configSubject("q", "shape", "c")].map((subject) => [subject, null]))
    const after = it.stored()
    run = start(it.store, [shapes, painter, labels])
    await run.logged("publishing")
    await run.stop()
    expect(it.stored()).toBe(after)
  })

  test("keeps what was last made of a member that cannot be derived from, until it can or is gone", async () => {
    const it = world()
    await it.synced(thing)
    for (const key of ["a", "b", "c", "d"]) await it.put(thing, `/${key}`, { plane: "p", size: 1 })
    let run = start(it.store, [shapes])
    await it.until(() => it.names("shape").length === 4)
    await it.put(thing, "/a", { plane: "p", size: 13 })
    await it.put(thing, "/b", "{ not json")
    await it.until(() => it.notes().length === 2)
    expect(it.notes().join()).toMatch(/thirteen.*Parked/)
    expect(it.notes().join()).toMatch(/Unreadable/)
    await run.stop()
    await it.remove(thing, "/c")
    const quiet = it.notes().join()
    run = start(it.store, [shapes])
    await it.until(() => !it.entries.has("shape p/c"))
    expect(it.names("shape")).toEqual(["shape p/a", "shape p/b", "shape p/d"])
    expect(it.notes().join()).toBe(quiet)
    await it.remove(thing, "/a")
    await it.until(() => !it.entries.has("shape p/a"))
    await it.put(thing, "/b", { plane: "q", size: 2 })
    await it.until(() => it.entries.has("shape q/b") && !it.entries.has("shape p/b"))
    expect(it.notes()).toEqual([])
    await run.stop()
  })

  test("a row that changed names the edits that changed what it reads, and none that left another function's row as it was", async () => {
    const it = world()
    await it.synced(thing, paint)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await it.put(paint, "/a", { color: "red" })
    let run = start(it.store, [shapes, painter])
    await it.until(() => it.entries.get("shape p/a")?.includes("red") === true)
    const causesAfter = async (size: number, color: string): Promise<{ readonly edit: number; readonly paint: number; readonly causes: readonly string[] | undefined }> => {
      await run.stop()
      const [{ seq: painted }, { seq }] = [await it.put(paint, "/a", { color }), await it.put(thing, "/a", { plane: "p", size })]
      run = start(it.store, [shapes, painter])
      await it.until(() => it.entries.get("shape p/a")?.includes(`"size":${size}`) === true)
      return { edit: seq, paint: painted, causes: it.changes.findLast(({ unit }) => unit.fn === "shapes" && unit.plane === "p")?.commit.causes }
    }
    const same = await causesAfter(2, "red")
    expect(same.causes).toEqual([`thing//a@${same.edit}`])
    const both = await causesAfter(3, "blue")
    expect(both.causes).toEqual([`thing//a@${both.edit}`, `paint//a@${both.paint}`])
    await run.stop()
  })
})

describe("while it runs", () => {
  test("a commit carries the first edit's trace, the edits it answers, and for each row what it was made from", async () => {
    const it = world()
    await it.synced(thing, paint)
    await start(it.store, [shapes, painter]).logged("publishing")
    const [a, b] = await Promise.all([it.put(thing, "/a", { plane: "p", size: 1 }, { traceparent: "00-first" }), it.put(thing, "/b", { plane: "p", size: 1 }, { traceparent: "00-second" })])
    await it.until(() => it.entries.has("shape p/b"))
    const change = it.changes.at(-1)
    expect(change?.traceparent).toBe("00-first")
    expect(change?.commit.causes).toEqual([`thing//a@${a.seq}`, `thing//b@${b.seq}`])
    expect(change?.rows[0]?.[2]).toEqual([`thing//a@${a.seq}`])
    const red = await it.put(paint, "/a", { color: "red" })
    await it.until(() => it.entries.get("shape p/a")?.includes("red") === true)
    const shaped = it.changes.findLast(({ unit }) => unit.fn === "shapes")
    expect(shaped?.commit.causes).toEqual([`paint//a@${red.seq}`])
    expect(shaped?.rows).toEqual([[configSubject("p", "shape", "a"), '{"color":"red","size":1}', [`thing//a@${a.seq}`, `paint//a@${red.seq}`]]])
  })

  test("readers of a kind are committed before its writer, so that names mean something when they arrive", async () => {
    const it = world()
    await it.synced(thing)
    await start(it.store, [shapes, labels]).logged("publishing")
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("shape p/a") && it.entries.has("label p/a"))
    expect(it.changes.filter(({ unit }) => unit.plane === "p").map(({ unit }) => unit.fn)).toEqual(["labels", "shapes"])
  })

  test("edits that come together are one commit, and an edit undone at once is none", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    let together: (() => void)[] | undefined
    const wrap = (bus: Bus): Bus => ({
      ...bus,
      follow: (follower) => bus.follow({ ...follower, onMessage: (message) => (together === undefined || follower.stream !== "RESOURCES" ? follower.onMessage(message) : void together.push(() => follower.onMessage(message))) }),
    })
    await start(it.store, [shapes], { wrap }).logged("publishing")
    await it.until(() => it.entries.has("shape p/a"))
    together = []
    await Promise.all([it.put(thing, "/a", { plane: "p", size: 2 }), it.put(thing, "/b", { plane: "p", size: 2 }), it.put(thing, "/a", { plane: "p", size: 1 })])
    await turns()
    expect(together.length).toBe(3)
    for (const deliver of together) deliver()
    together = undefined
    await it.until(() => it.entries.has("shape p/b"))
    expect(it.changes.filter(({ unit }) => unit.plane === "p").map(({ rows }) => rows.map(([subject]) => subject))).toEqual([[configSubject("p", "shape", "a")], [configSubject("p", "shape", "b")]])
  })

  test("a row that cannot be published is noted, what was published stays, and it heals", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await start(it.store, [shapes]).logged("publishing")
    await it.until(() => it.entries.has("shape p/a"))
    await it.put(thing, "/a", { plane: "p", size: 1001 })
    await it.until(() => it.notes().length === 1)
    expect(it.notes()[0]).toMatch(/its 500024 bytes.*Unpublishable/)
    expect(it.entries.get("shape p/a")).toBe('{"size":1}')
    await it.put(thing, "/a", { plane: "p", size: -1 })
    await it.until(() => /NaN has no canonical form.*Unpublishable/.test(it.notes()[0] ?? ""))
    await it.put(thing, "/a", { plane: "p", size: 2 })
    await it.until(() => it.notes().length === 0)
    expect(it.entries.get("shape p/a")).toBe('{"size":2}')
  })

  test("a plane that comes up while the units are being opened is published whole", async () => {
    const it = world()
    await it.synced(thing)
    const opening = Promise.withResolvers<void>()
    const derived = Promise.withResolvers<void>()
    const wrap = (bus: Bus): Bus => ({
      ...bus,
      last: async (stream, subject) => {
        if (stream === "CONFIG") {
          opening.resolve()
          await derived.promise
        }
        return bus.last(stream, subject)
      },
    })
    start(it.store, [shapes], { wrap })
    await opening.promise
    await it.put(thing, "/a", { plane: "new", size: 1 })
    await turns()
    derived.resolve()
    await it.until(() => it.entries.has("shape new/a") && it.names("function").length === 1)
  })

  test("an entry outside its writer's key space, or of another function, is left out and noted", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    const stray = reconcile({ name: "stray", version: "1", reads: [thing], writes: [configKind("tint", tint.schema), configKind("shape", shape.schema)], derive: ({ from, into }) => {
      const things = from(thing)
      const [tints, shaped] = stray.writes
      if (tints !== undefined) into(tints, things.flatMap((_value, _read, key) => [[`p/painter${key}`, { color: "stolen" }]]))
      if (shaped !== undefined) into(shaped, things.flatMap(({ plane }, _read, key) => [[`${plane}/${key.slice(1)}`, { size: 99 }]]))
    } })
    await start(it.store, [shapes]).logged("publishing")
    await start(it.store, [labels], { holder: "two" }).logged("publishing")
    await it.until(() => it.entries.has("label p/a"))
    await start(it.store, [stray], { holder: "three" }).logged("publishing")
    await it.until(() => it.notes().length === 2)
    expect(it.notes().join()).toMatch(/ids of tint begin with.*ForeignEntry/)
    expect(it.notes().join()).toMatch(/function shapes writes it.*ForeignEntry/)
    expect(it.entries.get("label p/a")).toBe('{"text":"size 1"}')
    expect(it.changes.findLast(({ unit }) => unit.fn === "shapes" && unit.plane === "p")?.rows.map(([, body]) => body)).toEqual(['{"size":1}'])
  })

  test("progress says what is committed, and again when asked", async () => {
    const it = world()
    await it.synced(thing)
    await start(it.store, [shapes]).logged("publishing")
    const { seq } = await it.put(thing, "/a", { plane: "p", size: 1 })
    const reached = (ask: () => void) =>
      new Promise<void>((resolve) => {
        const off = it.bus.onHint(progressSubject("shapes"), (_subject, data) => {
          if (!data.includes(`"resources":${seq}`)) return
          expect(it.store.messages("CONFIG").some(({ subject }) => subject === configSubject("p", "shape", "a"))).toBe(true)
          off()
          resolve()
        })
        ask()
      })
    await reached(() => {})
    await reached(() => it.bus.hint("ask.progress", ""))
  })

  test("progress across processes: a reader says which commits of its writer it has answered; a successor goes on from there", async () => {
    const it = world()
    await it.synced(thing)
    await start(it.store, [shapes]).logged("publishing")
    const two = start(it.store, [labels], { holder: "two" })
    await two.logged("publishing")
    const { seq } = await it.put(thing, "/a", { plane: "p", size: 1 })
    const says = (fn: string, holds: (progress: Progress) => boolean, ask = false) =>
      new Promise<Progress>((resolve) => {
        const off = it.bus.onHint(progressSubject(fn), (_subject, data) => {
          const progress = readProgress(data)
          if (progress === undefined || !holds(progress)) return
          off()
          resolve(progress)
        })
        if (ask) it.bus.hint("ask.progress", "")
      })
    const shaped = await says("shapes", ({ resources }) => resources >= seq, true)
    expect(shaped).toMatchObject({ together: ["shapes"], committed: it.changes.findLast(({ unit }) => unit.fn === "shapes" && unit.plane === "p")?.seq })
    await it.until(() => it.entries.has("label p/a"))
    const labelled = await says("labels", ({ config }) => config >= shaped.committed, true)
    expect(labelled.resources).toBeGreaterThanOrEqual(seq)
    expect(labelled.committed).toBe(it.changes.findLast(({ unit }) => unit.fn === "labels" && unit.plane === "p")?.seq)
    await two.stop()
    await start(it.store, [labels], { holder: "three" }).logged("publishing")
    const again = await says("labels", ({ config }) => config >= shaped.committed, true)
    expect(again).toMatchObject({ together: ["labels"], committed: labelled.committed })
    expect(again.resources).toBeGreaterThanOrEqual(seq)
  })
})

describe("several processes", () => {
  test("a second one stands by, warm, and takes over at once when the first stops, without a message of its own", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    const one = start(it.store, [shapes])
    await one.logged("publishing")
    await it.until(() => it.entries.has("shape p/a"))
    const two = start(it.store, [shapes], { holder: "two" })
    await two.logged("standing by: one runs shapes")
    await it.put(thing, "/b", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("shape p/b"))
    await turns()
    const before = it.stored()
    await one.stop()
    await two.logged("publishing")
    expect(it.stored()).toBe(before)
    await it.put(thing, "/c", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("shape p/c"))
    expect(it.changes.at(-1)?.commit.writer).toBe("two")
  })

  test("one that is cut off is replaced, and stands by when it is back", async () => {
    const it = world()
    await it.synced(thing)
    const one = start(it.store, [shapes], { ttl: 300 })
    await one.logged("publishing")
    const two = start(it.store, [shapes], { holder: "two", ttl: 300 })
    await two.logged("standing by")
    one.port().disconnect()
    await two.logged("publishing")
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("shape p/a"))
    one.port().connect()
    await one.logged("standing by: two runs shapes")
    await it.put(thing, "/b", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("shape p/b"))
    expect(it.changes.filter(({ unit }) => unit.plane === "p").map(({ commit }) => commit.writer)).toEqual(["two", "two"])
  })

  test("one that is cut off while it opens its units ends when it is told to", async () => {
    const it = world()
    await it.synced(thing)
    const opening = Promise.withResolvers<void>()
    const wrap = (bus: Bus): Bus => ({
      ...bus,
      last: (stream, subject) => {
        if (stream === "CONFIG") {
          run.port().disconnect()
          opening.resolve()
        }
        return bus.last(stream, subject)
      },
    })
    const run = start(it.store, [shapes], { wrap })
    await opening.promise
    await turns()
    await run.stop()
  })

  test("one that shares a function with another runs the rest, and all of them once it can", async () => {
    const it = world()
    await it.synced(thing)
    const one = start(it.store, [shapes])
    await one.logged("publishing shapes")
    const both = start(it.store, [shapes, labels], { holder: "two", ttl: 200 })
    await both.logged("publishing labels")
    await it.put(thing, "/a", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("label p/a"))
    expect(it.changes.findLast(({ unit }) => unit.fn === "shapes")?.commit.writer).toBe("one")
    await one.stop()
    await both.logged("publishing shapes, labels")
    await it.put(thing, "/b", { plane: "p", size: 1 })
    await it.until(() => it.entries.has("label p/b"))
    expect(it.changes.findLast(({ unit }) => unit.fn === "shapes")?.commit.writer).toBe("two")
  })

  test("a store that is lost is filled anew, once the adapters have filled theirs", async () => {
    const it = world()
    await it.synced(thing)
    await it.put(thing, "/a", { plane: "p", size: 1 })
    const run = start(it.store, [shapes, labels])
    await run.logged("publishing")
    await it.until(() => it.entries.has("label p/a"))
    it.store.wipe()
    await run.logged("beginning anew")
    await it.put(thing, "/a", { plane: "p", size: 2 })
    await turns()
    expect(it.store.messages("CONFIG")).toEqual([])
    await it.synced(thing)
    await it.until(() => it.entries.get("label p/a") === '{"text":"size 2"}')
  })
})

test("a row whose key is too long for a subject is refused by name: the server would break the connection over it", () => {
  const long = reconcile({ name: "long", version: "1", reads: [thing], writes: [shape], derive: ({ from, into }) => into(shape, from(thing).flatMap(({ plane, size }) => [[`${plane}/${"é".repeat(size)}`, { size }]])) })
  const made = (size: number) => once(long, [given(thing, { "/a": { plane: "p", size } })])
  expect(Object.keys(made(300).rows(shape))).toHaveLength(1)
  expect(made(1000).rows(shape)).toEqual({})
  expect(made(1000).notes).toMatchObject([{ reason: "BadKey" }])
  expect(made(1000).notes[0]?.message.length).toBeLessThan(400)
})

test("functions that contradict each other are refused at once", async () => {
  const loop = reconcile({ name: "loop", version: "1", reads: [label], writes: [tint], derive: ({ from, into }) => into(tint, from(label).map(() => ({ color: "" }))) })
  const run = Effect.runPromise(runFunctions({ functions: [shapes, labels, loop], holder: "one", log: () => {}, connect: () => Promise.reject(new Error("not asked")) }))
  await expect(run).rejects.toThrow(/circle.*labels -\(label\)-> loop -\(tint\)-> shapes -\(shape\)-> labels/)
})
