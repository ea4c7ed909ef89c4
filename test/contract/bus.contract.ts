/** What every Bus promises (bus/bus.ts). Run by memory.test.ts and jetstream.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { BusError, type Bus, type Message } from "../../bus/bus.ts"

export interface Subject {
  /** A fresh store; with `false`, made by somebody who wants no history. */
  open(history?: boolean): Promise<{ connect(): Promise<Bus>; wipe(): Promise<void>; close(): Promise<void> }>
}

const text = (message: Message | undefined): string | undefined => (message === undefined ? undefined : new TextDecoder().decode(message.data))

/** Follows and hands out what arrives, in order, as promises. */
const collect = (bus: Bus, filter: string, from: "state" | { after: number }) => {
  const messages: Message[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const caughtUp = Promise.withResolvers<void>()
  const lost = Promise.withResolvers<string>()
  const following = bus.follow({
    stream: "RESOURCES", filter, from,
    onMessage: (message) => {
      messages.push(message)
      for (const wait of waiting) if (messages.length >= wait.count) wait.resolve()
    },
    onCaughtUp: () => caughtUp.resolve(),
    onLost: (reason) => lost.resolve(reason),
  })
  const received = async (count: number): Promise<readonly Message[]> => {
    if (messages.length < count) await new Promise<void>((resolve) => waiting.push({ count, resolve }))
    return messages
  }
  return { following, messages, received, caughtUp: caughtUp.promise, lost: lost.promise }
}

const reasonOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise
    return "resolved"
  } catch (error) {
    return error instanceof BusError ? error.reason : String(error)
  }
}

export const busContract = (name: string, subject: Subject): void => {
  describe(`${name} keeps the bus contract:`, () => {
    let world: Awaited<ReturnType<Subject["open"]>>
    let bus: Bus
    beforeEach(async () => {
      world = await subject.open()
      bus = await world.connect()
    })
    afterEach(async () => {
      await bus.close()
      await world.close()
    })
    const put = (subjectName: string, data: string, extra: object = {}) => bus.publish({ subject: `resource.${subjectName}`, data, ...extra })

    test("sequences rise from 1 and acks carry them", async () => {
      const acks = await Promise.all([put("a.n.x", "1"), put("a.n.y", "2"), put("a.n.x", "3")])
      expect(acks.map((ack) => ack.seq)).toEqual([1, 2, 3])
    })

    test("the last message of a subject can be read, with headers, time and sequence", async () => {
      await put("a.n.x", "1")
      await put("a.n.x", "2", { headers: { "Hg-Kind": "a" } })
      const last = await bus.last("RESOURCES", "resource.a.n.x")
      expect(text(last)).toBe("2")
      expect(last).toMatchObject({ seq: 2, subject: "resource.a.n.x", headers: { "Hg-Kind": "a" } })
      expect(await bus.last("RESOURCES", "resource.a.n.z")).toBeUndefined()
      expect(text(await bus.at("RESOURCES", 1))).toBe("1")
      expect(await bus.at("RESOURCES", 9)).toBeUndefined()
    })

    test("a retry with the same message id is stored once", async () => {
      const first = await put("a.n.x", "1", { msgId: "7:1" })
      const again = await put("a.n.x", "1", { msgId: "7:1" })
      expect(again).toEqual({ seq: first.seq, duplicate: true })
      expect((await bus.info("RESOURCES")).messages).toBe(1)
    })

    test("an expected sequence that does not hold is a conflict and stores nothing", async () => {
      expect(await put("a.n.x", "1", { expect: { seq: 0 } })).toMatchObject({ seq: 1 })
      expect(await reasonOf(put("a.n.x", "2", { expect: { seq: 0 } }))).toBe("conflict")
      expect(await put("a.n.x", "2", { expect: { seq: 1 } })).toMatchObject({ seq: 2 })
      expect((await bus.info("RESOURCES")).messages).toBe(2)
    })

    test("a message can be fenced on another subject, also when pipelined", async () => {
      const commit = await bus.publish({ subject: "config.p.commit.f", data: "c" })
      const fenced = (seq: number) => bus.publish({ subject: "config.p.route.r", data: "r", expect: { seq, subject: "config.p.commit.f" } })
      await Promise.all([fenced(commit.seq), fenced(commit.seq)])
      await bus.publish({ subject: "config.p.commit.f", data: "d" })
      expect(await reasonOf(fenced(commit.seq))).toBe("conflict")
    })

    test("too large a message is refused by name and nothing else suffers", async () => {
      expect(await reasonOf(put("a.n.x", "x".repeat(2 * 1024 * 1024)))).toBe("too-large")
      expect(await put("a.n.x", "1")).toMatchObject({ seq: 1 })
    })

    test("too long a subject is refused and nothing else suffers", async () => {
      expect(await reasonOf(put(`a.n.${"x".repeat(5000)}`, "1"))).toBe("rejected")
      expect(await put("a.n.x", "1")).toMatchObject({ seq: 1 })
    })

    test("a follower gets the state, one message a subject in stream order, then what is new", async () => {
      for (const [name, value] of [["x", "1"], ["y", "2"], ["x", "3"]] as const) await put(`a.n.${name}`, value)
      const follower = collect(bus, "resource.>", "state")
      await follower.caughtUp
      expect(follower.messages.map((message) => [message.seq, text(message)])).toEqual([[2, "2"], [3, "3"]])
      await put("a.n.y", "4")
      expect((await follower.received(3)).map((message) => message.seq)).toEqual([2, 3, 4])
      expect(follower.following.seen).toBe(4)
      await follower.following.stop()
    })

    test("a follower of an empty stream is caught up at once", async () => {
      const follower = collect(bus, "resource.>", "state")
      await follower.caughtUp
      await put("a.n.x", "1")
      expect((await follower.received(1)).map(text)).toEqual(["1"])
    })

    test("a filter keeps other subjects away", async () => {
      const follower = collect(bus, "resource.a.>", "state")
      await follower.caughtUp
      await put("b.n.x", "1")
      await put("a.n.x", "2")
      expect((await follower.received(1)).map(text)).toEqual(["2"])
    })

    test("a follower from a sequence gets everything kept after it", async () => {
      for (const value of ["1", "2", "3"]) await put("a.n.x", value)
      const follower = collect(bus, "resource.>", { after: 1 })
      expect((await follower.received(2)).map(text)).toEqual(["2", "3"])
    })

    test("10,000 subjects arrive once each, in order", async () => {
      await Promise.all(Array.from({ length: 10_000 }, (_, i) => put(`a.n.x${i}`, String(i))))
      const follower = collect(bus, "resource.>", "state")
      await follower.caughtUp
      expect(follower.messages.map((message) => message.seq)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
    })

    test("only 64 messages a subject are kept, and an answer that needs more says it is incomplete", async () => {
      for (let i = 1; i <= 70; i++) await put("a.n.x", String(i))
      await put("a.n.y", "y")
      const now = await bus.asOf("RESOURCES", ["resource.>"], { seq: 70 })
      expect(now.messages.map(text)).toEqual(["70"])
      expect(now.complete).toBe(true)
      expect(await bus.asOf("RESOURCES", ["resource.a.n.x"], { seq: 3 })).toEqual({ messages: [], complete: false })
    })

    test("as of a time includes what was stored in its last millisecond, and nothing later", async () => {
      await put("a.n.x", "1")
      const first = await bus.at("RESOURCES", 1)
      await put("a.n.y", "2")
      while ((await bus.last("RESOURCES", "resource.a.n.y"))?.time === first?.time) await put("a.n.y", "2")
      const then = await bus.asOf("RESOURCES", ["resource.>"], { time: first?.time ?? 0 })
      expect(then.messages.find((message) => message.subject === "resource.a.n.x")?.seq).toBe(1)
      expect(then.messages.every((message) => message.time <= (first?.time ?? 0))).toBe(true)
      expect(await bus.asOf("RESOURCES", ["resource.>"], { time: (first?.time ?? 0) - 1 })).toEqual({ messages: [], complete: true })
    })

    test("as of by sequence answers each subject's last message by then", async () => {
      for (const [name, value] of [["x", "1"], ["y", "2"], ["x", "3"]] as const) await put(`a.n.${name}`, value)
      const { messages, complete } = await bus.asOf("RESOURCES", ["resource.a.n.x", "resource.a.n.y", "resource.a.n.z"], { seq: 2 })
      expect(messages.map((message) => [message.seq, text(message)]).sort()).toEqual([[1, "1"], [2, "2"]])
      expect(complete).toBe(true)
    })

    test("a follower from a sequence the stream never had says the store went back", async () => {
      await put("a.n.x", "1")
      expect(await collect(bus, "resource.>", { after: 5 }).lost).toBe("sequence-went-back")
    })

    test("hints reach whoever listens, and stop when it does not", async () => {
      const heard: string[] = []
      const got = Promise.withResolvers<void>()
      const off = bus.onHint("progress.>", (name, data) => { heard.push(`${name} ${data}`); got.resolve() })
      await bus.info("RESOURCES")
      bus.hint("progress.f", "1")
      await got.promise
      off()
      expect(heard).toEqual(["progress.f 1"])
    })

    test("purging a subject forgets it wholly", async () => {
      await put("a.n.x", "1")
      await put("a.n.x", "2")
      await bus.purge("RESOURCES", "resource.a.n.x")
      expect(await bus.last("RESOURCES", "resource.a.n.x")).toBeUndefined()
    })

    test("a bounded purge takes a filter and leaves what is newer than its bound", async () => {
      for (const name of ["a.n.x", "a.n.y", "b.n.x", "a.n.x"]) await put(name, name)
      await bus.purge("RESOURCES", "resource.a.n.*", 2)
      expect((await bus.last("RESOURCES", "resource.a.n.x"))?.seq).toBe(4)
      expect(await bus.at("RESOURCES", 1)).toBeUndefined()
      expect(await bus.last("RESOURCES", "resource.a.n.y")).toBeUndefined()
      expect((await bus.last("RESOURCES", "resource.b.n.x"))?.seq).toBe(3)
    })

    test("the history of resources holds every message under its own sequence and time, also what was dropped or purged", async () => {
      const seen: Message[] = []
      const first = Promise.withResolvers<void>()
      const all = Promise.withResolvers<void>()
      bus.follow({ stream: "RESOURCES_HISTORY", filter: "resource.>", from: { after: 0 }, onMessage: (message) => {
        seen.push(message)
        first.resolve()
        if (seen.length === 71) all.resolve()
      } })
      await put("a.n.y", "y", { headers: { "Hg-Kind": "a" } })
      await first.promise
      // One after the other, as adapters do it: what is sent in one go may be dropped before it is copied.
      for (let i = 1; i <= 70; i++) await put("a.n.x", String(i))
      await all.promise
      expect(seen.map((message) => [message.seq, text(message)])).toEqual([[1, "y"], ...Array.from({ length: 70 }, (_, i) => [i + 2, String(i + 1)])])
      const { time } = (await bus.at("RESOURCES", 71)) ?? {}
      expect(await bus.at("RESOURCES_HISTORY", 71)).toMatchObject({ seq: 71, time, subject: "resource.a.n.x" })
      await bus.purge("RESOURCES", "resource.a.n.y")
      expect(await bus.at("RESOURCES_HISTORY", 1)).toMatchObject({ subject: "resource.a.n.y", headers: { "Hg-Kind": "a" } })
      expect(await bus.asOf("RESOURCES_HISTORY", ["resource.a.n.x"], { seq: 4 })).toMatchObject({ messages: [{ seq: 4 }], complete: true })
      expect(await bus.info("RESOURCES_HISTORY")).toMatchObject({ firstSeq: 1, lastSeq: 71, messages: 71, subjects: 2 })
      expect(await bus.info("RESOURCES")).toMatchObject({ lastSeq: 71, subjects: 1 })
    })

    test("every ack of a pod is kept", async () => {
      for (let i = 1; i <= 3; i++) await bus.publish({ subject: "applied.p.pod", data: String(i) })
      expect((await bus.info("APPLIED")).messages).toBe(3)
      expect(text(await bus.last("APPLIED", "applied.p.pod"))).toBe("3")
    })

    test("a store made without a history stays without one, whoever connects, and keeps the last acks only", async () => {
      const plain = await subject.open(false)
      const other = await plain.connect()
      try {
        for (const stream of ["RESOURCES_HISTORY", "HISTORY", "CHECKPOINTS"] as const) expect(await reasonOf(other.info(stream))).toBe("no-stream")
        expect(await reasonOf(other.last("HISTORY", "history.commit.p.f"))).toBe("no-stream")
        for (let i = 1; i <= 3; i++) await other.publish({ subject: "applied.p.pod", data: String(i) })
        expect((await other.info("APPLIED")).messages).toBe(1)
      } finally {
        await other.close()
        await plain.close()
      }
    })

    test("a wiped store is noticed by its followers, and works again", async () => {
      await put("a.n.x", "1")
      const follower = collect(bus, "resource.>", "state")
      await follower.caughtUp
      const before = await bus.info("RESOURCES")
      await world.wipe()
      expect(["recreated", "sequence-went-back", "stream-missing"]).toContain(await follower.lost)
      expect(await put("a.n.x", "2")).toMatchObject({ seq: 1 })
      expect((await bus.info("RESOURCES")).incarnation).not.toBe(before.incarnation)
    })

    test("after close nothing is published and closing again is fine", async () => {
      await bus.close()
      expect(await reasonOf(put("a.n.x", "1"))).toBe("closed")
      await bus.close()
    })
  })
}
