/** What must not be lost, and must not come back: a writer thawed too late, a store deleted, tombstones gone. */
import { rmSync } from "node:fs"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { afterEach, beforeEach, expect, test } from "vitest"
import { connectBus } from "../../bus/jetstream.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { commitSubject, configSubject, resourceSubject } from "../../bus/subject.ts"
import type { Bus } from "../../bus/bus.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { allRights } from "./bus.ts"
import { isReady, readConfiguration } from "./configuration.ts"
import { newWorld, root } from "./headgate.ts"
import type { Running, World } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml } from "./manifests.ts"
import { ask, traffic } from "./traffic.ts"
import { until } from "./until.ts"

let world: World
let port = 0
let backend: Backend
let running: Running
let bus: Bus
const others: ChildProcess[] = []

const versioned = (version: number) => route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(version))] })

const otherProcess = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const child = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), ...args], { env: { ...process.env, HEADGATE_DATA: world.data, ...env }, stdio: ["ignore", "ignore", "inherit"] })
  others.push(child)
  return child
}

/** A second gateway pod beside the first, from nothing: own address, own data. Gives the time to Ready in ms. */
const freshGateway = async (pod: string) => {
  const [admin = 0] = await freePorts(1)
  const started = performance.now()
  const child = otherProcess(["gateway", "--pod", pod, "--bind", "127.0.0.2", "--admin", `127.0.0.1:${admin}`, "--data", join(world.folder, pod)])
  await until(`gateway ${pod} is ready`, () => isReady(`http://127.0.0.1:${admin}`), 20_000)
  return { took: performance.now() - started, child, admin: `http://127.0.0.1:${admin}` }
}

beforeEach(async () => {
  world = newWorld("store")
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "web.yaml", yaml(versioned(0)))
  running = await world.up()
  bus = await connectBus({ url: running.ready.nats, name: "test", access: allRights(world, running) })
})

afterEach(async () => {
  for (const child of others.splice(0)) child.kill("SIGKILL")
  await bus.close()
  await world.end()
  await backend.stop()
})

test("a writer frozen for 15 s half-way through a commit takes nothing back when it thaws", async () => {
  const standby = otherProcess(["functions"], { HEADGATE_HOLDER: "standby" })
  await until("the standby runs", () => standby.pid !== undefined)
  let newest = 0
  const older: string[] = []
  const load = traffic({
    port,
    host: "web.example",
    connections: 2,
    onAnswer: (answer) => {
      const version = Number(answer.headers["x-version"])
      if (version < newest) older.push(`${version} after ${newest}`)
      newest = Math.max(newest, version)
    },
  })

  // A commit of 2,000 routes takes a while from its commit message to its last entry: freeze it in between.
  const live = running.pid("functions")
  const { lastSeq } = await bus.info("CONFIG")
  let stored = 0
  const frozen = new Promise<number>((resolve) => {
    const entries = bus.follow({ stream: "CONFIG", filter: configSubject("default", "route", "x").replace(/[^.]+$/, "*"), from: { after: lastSeq }, onMessage: () => stored++ })
    const commits = bus.follow({
      stream: "CONFIG",
      filter: commitSubject("default", "routes"),
      from: { after: lastSeq },
      onMessage: () => {
        process.kill(live, "SIGSTOP")
        void Promise.all([entries.stop(), commits.stop()]).then(() => resolve(performance.now()))
      },
    })
  })
  const many = Array.from({ length: 2000 }, (_, index) => route(`many-${index}`, { gateway: "edge", hostnames: [`many-${index}.example`], backend: "a" }))
  drop(world.manifests, "many.yaml", yaml(...many, versioned(1)))
  take(world.manifests, "web.yaml")
  const at = await frozen
  expect(stored).toBeLessThan(2000)

  drop(world.manifests, "many.yaml", yaml(...many, versioned(2)))
  await until("the standby has taken over and the edit is answered", () => newest === 2, 14_000)
  await until("15 s frozen", () => performance.now() - at > 15_000, 16_000)
  process.kill(live, "SIGCONT")
  drop(world.manifests, "many.yaml", yaml(...many, versioned(3)))
  await until("an edit after the thaw is answered", () => newest === 3, 10_000)

  const fresh = await freshGateway("fresh")
  expect(fresh.took).toBeLessThan(2000)
  // Reading verifies every unit's digest against its entries.
  const { entries } = await readConfiguration(bus)
  expect([...entries.keys()].filter((subject) => subject.startsWith("config.default.route.")).length).toBe(2001)
  await load.stop()
  expect(older).toEqual([])
  expect(load.failures).toEqual([])
})

for (const [how, lose] of [
  [
    "its streams deleted",
    async () => {
      const connection = await connect({ servers: running.ready.nats, user: "test", pass: "test" })
      const manager = await jetstreamManager(connection)
      for (const name of ["RESOURCES", "CONFIG"]) await manager.streams.delete(name)
      await connection.close()
    },
  ],
  [
    "its files deleted and its server killed",
    async () => {
      rmSync(join(world.data, "nats"), { recursive: true })
      await running.kill("nats")
    },
  ],
] satisfies readonly (readonly [string, () => Promise<void>])[]) {
  test(`a store lost under load (${how}) fails no request, and is rebuilt to the same configuration`, async () => {
    for (let index = 0; index < 50; index++) drop(world.manifests, `other-${index}.yaml`, yaml(route(`other-${index}`, { gateway: "edge", hostnames: [`other-${index}.example`], backend: "a" })))
    await until("all are answered", async () => (await ask({ port, host: "other-49.example" })).status === 200)
    // What nobody waits for comes last: the status of each route, and in the Gateway's how many there are and that a pod serves it.
    const before = await until("every status is stored", async () => {
      const now = await readConfiguration(bus)
      const status = (id: string) => now.entries.get(configSubject(CONTROL_PLANE, "status", id))
      const edge = status("gateway/default/edge") ?? ""
      return edge.includes(`"attachedRoutes":51`) && !/"status":"(?:False|Unknown)","type":"Programmed"/.test(edge) && Array.from({ length: 50 }, (_, index) => status(`httproute/default/other-${index}`)).every((each) => each !== undefined) && now
    })
    const load = traffic({ port, host: "web.example", connections: 2 })
    await lose()
    await until(
      "the configuration is rebuilt, to the same bytes",
      async () => {
        const now = await readConfiguration(bus)
        return isDeepStrictEqual(now.entries, before.entries)
      },
      30_000,
    )
    drop(world.manifests, "web.yaml", yaml(versioned(7)))
    await until("an edit is answered", async () => (await ask({ port, host: "web.example" })).headers["x-version"] === "7", 20_000)
    await load.stop()
    expect(load.failures).toEqual([])
  })
}

test("a deleted route stays deleted when its tombstones are purged and everything starts anew", async () => {
  drop(world.manifests, "gone.yaml", yaml(route("gone", { gateway: "edge", hostnames: ["gone.example"], backend: "a" })))
  await until("it is answered", async () => (await ask({ port, host: "gone.example", path: "/" })).status === 200)
  take(world.manifests, "gone.yaml")
  await until("it is gone", async () => (await ask({ port, host: "gone.example" })).status === 404)
  await bus.purge("RESOURCES", resourceSubject("httproute", "default/gone"))
  await bus.purge("CONFIG", configSubject("default", "route", "httproute/default/gone"))
  expect((await readConfiguration(bus)).entries.has(configSubject("default", "route", "httproute/default/gone"))).toBe(false)
  await bus.close()
  await running.stop()
  running = await world.up()
  bus = await connectBus({ url: running.ready.nats, name: "test", access: allRights(world, running) })
  expect((await ask({ port, host: "gone.example" })).status).toBe(404)
  drop(world.manifests, "web.yaml", yaml(versioned(1)))
  await until("edits still go through", async () => (await ask({ port, host: "web.example" })).headers["x-version"] === "1")
  const { entries } = await readConfiguration(bus)
  expect([...entries.keys()].filter((subject) => subject.includes("gone"))).toEqual([])
})
