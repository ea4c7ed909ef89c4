/** A real nats-server on a disk that is full for a while, ended and started as in a pod; who publishes knows nothing of it. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type Bus, BusError } from "../../../bus/bus.ts"
import { connectBus } from "../../../bus/jetstream.ts"
import { credentialsOf, findNatsServer, roleNames } from "../../../bus/server.ts"
import { encodeToken } from "../../../bus/subject.ts"
import { acquireLease } from "../../../bus/unit/lease.ts"
import { readUnits } from "../../../bus/unit/reader.ts"
import { openUnit } from "../../../bus/unit/writer.ts"
import { freePorts } from "../../../test/fixtures/ports.ts"
import { canMountDisks, type SmallDisk, smallDisk } from "../../../test/fixtures/small-disk.ts"
import { until } from "../../../test/system/until.ts"
import { renderServer, type Settings } from "./configuration.ts"
import { listenProbes } from "./probes.ts"
import { type ServerProcess, startServer } from "./process.ts"
import { diskSize, StoreWatch } from "./store-watch.ts"

const passwords = { roles: new Map(roleNames([]).map((role) => [role, `password of ${role}`])), routes: "among servers", planes: new Map<string, string>() }
const LARGE = "x".repeat(20_000)
const unit = { plane: "default", fn: "routes" }

let folder: string
let disk: SmallDisk
let settings: Settings
let server: ServerProcess
let watch: StoreWatch
let starts: number
let said: string[]
let isOver: boolean
let running: Promise<void>

/** The server and its watch, as `headgate nats` has them; and again when it ends, as the kubelet does. */
const keepRunning = async (): Promise<void> => {
  const binary = disk.on(await findNatsServer())
  while (!isOver) {
    starts++
    watch = new StoreWatch({
      folder: disk.seen, every: 100,
      onStuck: (why) => void said.push(why),
      onRoom: (free) => {
        said.push(`room: ${free}`)
        server.signal("SIGTERM")
      },
    })
    server = startServer({ binary, file: join(folder, "nats.conf"), configuration: renderServer(settings, passwords), log: (line) => watch.said(line) })
    await server.ended
    watch.stop()
  }
}

const as = (role: string, history: boolean): Promise<Bus> => {
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  return connectBus({ url, name: role, history, access: { url, ...credentialsOf(role, `password of ${role}`) } })
}

describe.runIf(canMountDisks)("the disk is full", () => {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "headgate-disk-full-"))
    disk = await smallDisk(folder, "6g")
    const [clients = 0, routes = 0, monitor = 0] = await freePorts(3)
    settings = { name: "n0", store: join(disk.path, "store"), storeLimit: await diskSize(disk.seen), peers: [], address: "127.0.0.1", ports: { clients, routes, monitor } }
    ;[starts, said, isOver] = [0, [], false]
    running = keepRunning()
  })
  afterEach(async () => {
    isOver = true
    server.signal("SIGKILL")
    await running
    await disk.end()
    await rm(folder, { recursive: true, force: true })
  })

  test.each([
    ["one stream after the other stores nothing more", false, 0, "timeout", "SIGTERM"],
    ["nothing is stored any more, nor answered, which is what a mirror that cannot write leads to", true, 32_768, "no-stream", "SIGKILL"],
  ] as const)("%s: what is published meanwhile is stored once there is room, once and in order, and nobody takes the store for lost", async (_, history, left, reason, signal) => {
    const [functions, adapter] = await Promise.all([as("functions", history), as("adapter", history)])
    const lost: string[] = []
    const seen: number[] = []
    adapter.follow({ stream: "RESOURCES", filter: "resource.service.>", from: "state", onMessage: ({ headers }) => void seen.push(Number(headers["N"])), onLost: (reason) => void lost.push(reason) })
    const committed: number[] = []
    const reader = readUnits(functions, { filter: `config.${encodeToken(unit.plane)}.>`, onChange: ({ commit }) => void committed.push(commit.rev), onCaughtUp: () => undefined, onLost: (reason) => void lost.push(reason) })
    const writer = await openUnit(functions, { unit, epoch: 1, writer: "test", version: "1", onSteppedDown: (_reason, message) => void lost.push(message) })
    /** That failed. */
    let renewals = 0
    const counting: Bus = {
      ...functions,
      publish: (message) => functions.publish(message).catch((error: unknown) => {
        renewals++
        throw error
      }),
    }
    const lease = await acquireLease(counting, { name: "test", holder: "test", ttl: 1000, onLost: (_reason, message) => void lost.push(message) })
    let edits = 0
    const edit = (): void => {
      edits++
      writer.stage([{ subject: `config.default.route.r${edits % 50}`, body: JSON.stringify({ edits, LARGE }), causes: [] }])
    }
    let sent = 0
    const refusals = new Set<string>()
    /** Until it is stored, as adapters do. */
    const publish = async (): Promise<void> => {
      const n = String(++sent)
      for (;;) {
        try {
          await adapter.publish({ subject: `resource.service.default.s${sent % 50}`, data: LARGE, headers: { N: n }, msgId: n })
          return
        } catch (error) {
          if (!(error instanceof BusError)) throw error
          refusals.add(error.reason)
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
    }
    const [port = 0] = await freePorts(1)
    const probes = await listenProbes({ host: "127.0.0.1", port }, settings, () => watch.why)
    const readiness = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
      return `${answer.status} ${await answer.text()}`
    }
    for (let n = 0; n < 100; n++) {
      edit()
      await publish()
    }
    await writer.settled()
    expect(await readiness()).toBe("200 ok\n")

    // Before a mirror fails what it copies was stored: there is room for one more message, and not for its copy.
    await disk.fill(left)
    let hasStopped = false
    const publishing = (async () => {
      while (!hasStopped) {
        await publish()
        edit()
      }
    })()
    await until("it is noticed", () => said.length > 0)
    expect(said).toEqual([expect.stringMatching(/^the disk of .* is full: 0 of \d+ MiB free\. /)])
    expect(await readiness()).toMatch(/^503 the disk of .* is full/)
    await until("who publishes is told", () => refusals.has(reason) && renewals > 1, 20_000)
    // Ended by somebody else it comes back to the same full disk, and is no better for it.
    server.signal(signal)
    await until("it runs anew, and does not store either", () => said.length > 1, 30_000)
    const before = sent
    expect(starts).toBe(2)

    await disk.makeRoom()
    await until("publishing goes on", () => sent > before + 20, 30_000)
    hasStopped = true
    await publishing
    await writer.settled()
    expect(starts).toBe(3)
    expect(said.slice(1)).toEqual([expect.stringMatching(/^the disk of .* is full/), expect.stringMatching(/^room: /)])
    await until("all has arrived", () => seen.length === sent && reader.state(unit)?.get(`config.default.route.r${edits % 50}`) === JSON.stringify({ edits, LARGE }), 10_000)
    expect(seen).toEqual(Array.from({ length: sent }, (_unused, n) => n + 1))
    expect(committed).toEqual(Array.from({ length: committed.length }, (_unused, n) => n + 1))
    expect(lost).toEqual([])
    expect(await readiness()).toBe("200 ok\n")
    // Read by one that comes now: the store itself holds each once.
    const stored: number[] = []
    const late = await as("adapter", history)
    late.follow({ stream: "RESOURCES", filter: "resource.service.>", from: { after: 0 }, onMessage: ({ headers }) => void stored.push(Number(headers["N"])) })
    await until("all of it is read", () => stored.length >= sent, 10_000)
    expect(stored).toEqual(seen)
    probes.close()
    await Promise.all([writer.stop(), reader.stop(), lease.release()])
    await Promise.all([functions, adapter, late].map((bus) => bus.close()))
  }, 120_000)

  test("what JetStream itself may store is used up: who publishes is told which limit it is, and goes on when it is wider", async () => {
    const { storeLimit } = settings
    const restart = async (limit: number): Promise<void> => {
      settings = { ...settings, storeLimit: limit }
      const before = starts
      server.signal("SIGTERM")
      await until("it runs anew", () => starts > before)
    }
    await restart(100 * 2 ** 20)
    await expect(as("functions", false)).rejects.toMatchObject({ reason: "rejected", message: expect.stringMatching(/^APPLIED: insufficient storage resources.*: it may hold 512 MiB.*nats-server may store/) })
    await restart(storeLimit ?? 0)
    const bus = await as("functions", false)
    const publish = (): Promise<string> => bus.publish({ subject: "config.default.route.r", data: LARGE }).then(() => "stored", (error: unknown) => (error instanceof BusError ? error.message : "a bug"))
    expect(await publish()).toBe("stored")
    await restart(1)
    await until("it is refused by name", async () => /insufficient resources: JetStream has as much on its disk as it may \(max_file_store/.test(await publish()))
    await restart(storeLimit ?? 0)
    await until("it is stored", async () => (await publish()) === "stored")
    await bus.close()
    expect(said).toEqual([])
  }, 60_000)
})
