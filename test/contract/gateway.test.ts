/** A gateway's share of the bus's contract: once as who may do everything, once as a data plane's user, who must not be served worse. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { BusError, type Bus, type Message } from "../../bus/bus.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { credentialsOf, findNatsServer, renderRoles, roleNames, startNatsServer, type NatsServer } from "../../bus/server.ts"
import { readUnits } from "../../bus/unit/reader.ts"
import { openUnit } from "../../bus/unit/writer.ts"

const PLANES = ["default", "other"]
const FILTER = "config.default.>"

for (const role of ["functions", "gateway.default"]) {
  describe(`as ${role}:`, () => {
    let folder: string
    let store: string
    let server: NatsServer
    let writer: Bus
    let bus: Bus
    const as = (name: string): Promise<Bus> =>
      connectBus({ url: server.url, name, access: { url: server.url, ...credentialsOf(name, name) }, ...(name.startsWith("gateway.") ? { streams: ["CONFIG", "APPLIED"] as const } : {}) })
    const start = async (port?: number): Promise<void> => {
      server = await startNatsServer({ binary: await findNatsServer(), storeDir: store, config: join(folder, "nats.conf"), ...(port === undefined ? {} : { port }) })
    }
    const kill = async (): Promise<void> => {
      const ended = new Promise((resolve) => server.process.once("exit", resolve))
      server.process.kill("SIGKILL")
      await ended
    }
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "headgate-gateway-"))
      store = join(folder, "store")
      await writeFile(join(folder, "nats.conf"), renderRoles(PLANES, new Map(roleNames(PLANES).map((name) => [name, name]))))
      await start()
      // The one that has to wait comes first.
      const waiting = as(role)
      writer = await as("functions")
      bus = await waiting
    })
    afterEach(async () => {
      await Promise.all([bus.close(), writer.close()])
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    })

    const put = (name: string, data: string) => writer.publish({ subject: `config.${name}`, data })
    const follow = (from: "state" | { after: number } = "state") => {
      const messages: Message[] = []
      const stalls: boolean[] = []
      const caughtUp = Promise.withResolvers<void>()
      const lost = Promise.withResolvers<string>()
      let check = (): void => undefined
      const following = bus.follow({
        stream: "CONFIG", filter: FILTER, from,
        onMessage: (message) => { messages.push(message); check() },
        onCaughtUp: () => caughtUp.resolve(),
        onLost: (reason) => lost.resolve(reason),
        onStalled: (stalled) => { stalls.push(stalled); check() },
      })
      const until = (holds: () => boolean): Promise<void> => new Promise((resolve) => {
        check = () => { if (holds()) resolve() }
        check()
      })
      return { following, messages, stalls, caughtUp: caughtUp.promise, lost: lost.promise, until }
    }

    test("state, then what is new, of its own plane and of nothing else", async () => {
      await put("default.route.a", "1")
      await put("other.route.a", "2")
      await put("default.route.a", "3")
      const seen = follow()
      await seen.caughtUp
      await put("other.route.b", "4")
      await put("default.route.b", "5")
      await seen.until(() => seen.messages.length === 2)
      expect(seen.messages.map(({ subject, seq }) => [subject, seq])).toEqual([["config.default.route.a", 3], ["config.default.route.b", 5]])
      expect((await bus.last("CONFIG", "config.default.route.a"))?.seq).toBe(3)
      expect(await bus.last("CONFIG", "config.default.route.none")).toBeUndefined()
      await seen.following.stop()
    })

    test("20,000 subjects arrive once each, in order; and 60 MB of large ones, more than the server lets wait for a slow reader at once", async () => {
      await Promise.all(Array.from({ length: 20_000 }, (_, i) => put(`default.route.x${i}`, "")))
      const large = "x".repeat(400 * 1024)
      for (let i = 0; i < 150; i++) await put(`default.part.f.${i}`, large)
      const seen = follow()
      await seen.caughtUp
      expect(seen.messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 20_150 }, (_, i) => i + 1))
      expect(seen.stalls).toEqual([])
    })

    test("what is stored is acked with its sequence; what is not as it expects is a conflict, and a retry is stored once", async () => {
      const subject = role === "functions" ? "config.default.route.r" : "applied.default.pod"
      const acks = await Promise.all([bus.publish({ subject, data: "1", expect: { seq: 0 } }), bus.publish({ subject, data: "2", msgId: "1:1" }), bus.publish({ subject, data: "2", msgId: "1:1" })])
      expect(acks).toEqual([{ seq: 1, duplicate: false }, { seq: 2, duplicate: false }, { seq: 2, duplicate: true }])
      await expect(bus.publish({ subject, data: "3", expect: { seq: 1 } })).rejects.toMatchObject({ name: "BusError", reason: "conflict" })
    })

    test("a unit in parts is read cold, also when a part has been followed by one of a commit that never came", async () => {
      const unit = { plane: "default", fn: "routes" }
      const rows = Array.from({ length: 40 }, (_, i) => ({ subject: `config.default.route.r${i}`, body: JSON.stringify("x".repeat(20)) }))
      const staged = await openUnit(writer, { unit, epoch: 1, writer: "test", version: "1", partBytes: 200, onSteppedDown: () => undefined })
      staged.stage(rows.map(({ subject, body }) => ({ subject, body, causes: [] })))
      await staged.settled()
      await staged.stop()
      const commit = await writer.last("CONFIG", "config.default.commit.routes")
      const parts: unknown = JSON.parse(new TextDecoder().decode(commit?.data)).parts
      if (!Array.isArray(parts)) throw new Error("the commit is not in parts")
      // As if its writer had died before the entries: without the first, the parts are needed; and had begun another commit.
      await writer.purge("CONFIG", "config.default.route.r0")
      for (const { k } of parts) await put(`default.part.routes.${k}`, "[]")
      const read = Promise.withResolvers<ReadonlyMap<string, string> | undefined>()
      const reader = readUnits(bus, { filter: FILTER, onChange: () => undefined, onCaughtUp: () => read.resolve(reader.state(unit)), onLost: (reason) => read.reject(new Error(reason)) })
      expect((await read.promise)?.get("config.default.route.r0")).toBe(rows[0]?.body)
      await reader.stop()
    })

    test("after the server was killed it goes on after the last sequence, each once", async () => {
      const seen = follow()
      await seen.caughtUp
      for (let i = 0; i < 10; i++) await put(`default.route.x${i}`, "")
      await seen.until(() => seen.messages.length === 10)
      await kill()
      await seen.until(() => seen.stalls.at(-1) === true)
      await start(server.port)
      await seen.until(() => seen.stalls.at(-1) === false)
      const began = performance.now()
      await put("default.route.y", "")
      await seen.until(() => seen.messages.length === 11)
      expect(performance.now() - began).toBeLessThan(2000)
      expect(seen.messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 11 }, (_, i) => i + 1))
    })

    test("a wiped store is noticed, and followed once somebody has made it anew", async () => {
      const seen = follow()
      await seen.caughtUp
      await put("default.route.x", "")
      await seen.until(() => seen.messages.length === 1)
      await kill()
      await rm(store, { recursive: true })
      await start(server.port)
      expect(["recreated", "sequence-went-back", "stream-missing"]).toContain(await seen.lost)
      await expect.poll(() => put("default.route.x", "").then(({ seq }) => seq, () => 0)).toBeGreaterThan(0)
      const again = follow()
      await again.caughtUp
      expect(again.messages.map(({ subject }) => subject)).toEqual(["config.default.route.x"])
    })

    test("no loss is reported while messages pour in during the check", async () => {
      const seen = follow()
      await seen.caughtUp
      const checks = Promise.all(Array.from({ length: 50 }, () => bus.info("CONFIG")))
      await Promise.all(Array.from({ length: 5000 }, (_, i) => put(`default.route.x${i % 100}`, "")))
      await checks
      await seen.until(() => seen.following.seen === 5000)
      expect(await Promise.race([seen.lost, Promise.resolve("no loss")])).toBe("no loss")
    })

    test("what it may not is refused at once, and said", async () => {
      const warned = new Promise<Error>((resolve) => process.once("warning", resolve))
      const reasonOf = (asked: Promise<unknown>) => asked.then(() => "", (error: unknown) => (error instanceof BusError ? `${error.reason} ${error.message}` : String(error)))
      const began = performance.now()
      expect(await reasonOf(role === "functions" ? bus.last("CHECKPOINTS", "checkpoint.x") : bus.at("CONFIG", 1))).toMatch(/^rejected .*Permissions Violation/)
      expect(await reasonOf(bus.publish({ subject: "resource.httproute.shop.web", data: "" }))).toMatch(/^rejected .*Permissions Violation/)
      expect(performance.now() - began).toBeLessThan(1000)
      expect((await warned).message).toContain(`user ${role}: Permissions Violation`)
    })
  })
}
