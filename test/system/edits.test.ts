/** Edits under traffic: what a client sees while routes flip and while processes are killed. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, yaml } from "./manifests.ts"
import type { Part } from "./processes.ts"
import { ask, KEPT, traffic } from "./traffic.ts"
import type { Answer } from "./traffic.ts"
import { until } from "./until.ts"

const FLIPS = Number(process.env["HEADGATE_FLIPS"] ?? 400)

const world = newWorld("edits")
let port = 0
let running: Running
let a: Backend
let b: Backend

/** Two states that differ in backend and in filter: an answer must be wholly one of them. */
const edit = (version: number) =>
  drop(world.manifests, "web.yaml", yaml(version % 2 === 0 ? route("web", { gateway: "edge", backend: "a" }) : route("web", { gateway: "edge", backend: "b", filters: [setHeader("x-version", String(version))] })))

const shows = (answer: Answer, version: number) =>
  version % 2 === 0 ? answer.headers["x-backend"] === "a" && answer.headers["x-version"] === undefined : answer.headers["x-backend"] === "b" && answer.headers["x-version"] === String(version)

const isWhole = (answer: Answer) => (answer.headers["x-backend"] === "b") === (answer.headers["x-version"] !== undefined)

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  a = await startBackend("a")
  b = await startBackend("b")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: a.port }]), ...service("b", 80, [{ port: b.port }])))
  edit(0)
  running = await world.up()
})

afterAll(async () => {
  await world.end()
  await Promise.all([a.stop(), b.stop()])
})

test(`${FLIPS} flips of backend and filter, A→B→A in a burst included, fail no request and mix no two states`, { timeout: 60_000 + FLIPS * 100 }, async () => {
  let last: Answer | undefined
  const mixed: Answer[] = []
  const load = traffic({
    port,
    connections: 2,
    onAnswer: (answer) => {
      last = answer
      if (!isWhole(answer)) mixed.push(answer)
    },
  })
  for (let version = 1; version <= FLIPS; version++) {
    edit(version)
    if (version % 10 === 0) {
      // A→B→A without waiting: the last one must win, though it equals one that was stored a moment ago.
      edit(version + 1)
      edit(version)
    }
    await until(`version ${version} is answered`, () => last !== undefined && shows(last, version), 5_000)
  }
  await load.stop()
  expect(load.failures).toEqual([])
  expect(mixed).toEqual([])
  expect(load.answered).toBeGreaterThan(FLIPS)
})

describe("kill -9 under traffic while edits go on", () => {
  for (const part of ["functions", "adapter", "nats"] satisfies Part[]) {
    test(`of ${part}: no request fails and the newest edit wins`, async () => {
      let last: Answer | undefined
      const load = traffic({ port, connections: 2, onAnswer: (answer) => (last = answer) })
      let version = FLIPS
      let editing = true
      const editor = (async () => {
        while (editing) {
          edit(++version)
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      })()
      for (let round = 0; round < 3; round++) {
        const at = version
        await running.kill(part)
        await until(`an edit after kill ${round} of ${part} is answered`, () => Number(last?.headers["x-version"] ?? 0) > at + 1, 20_000)
      }
      editing = false
      await editor
      await until("the last edit is answered", () => last !== undefined && shows(last, version), 20_000)
      await load.stop()
      expect(load.failures).toEqual([])
    })
  }

  test("of the gateway: only requests in flight fail, new connections are served within 1 s", async () => {
    const connections = 4
    for (let round = 0; round < 3; round++) {
      const load = traffic({ port, connections, pause: 1 })
      await until("traffic flows", () => load.answered > 50)
      const { at: killed, gone } = await running.kill("gateway")
      const back = await until("a new connection is served", () => ask({ port }).then((answer) => answer.status === 200 && performance.now()), 10_000)
      await until("traffic flows again", () => load.lastGood > back)
      await load.stop()
      expect(back - killed).toBeLessThan(1000)
      // What was in flight is reset, waiting to be accepted included; what comes before the successor listens is refused at once.
      const refused = load.failures.filter((failure) => failure.what.includes("ECONNREFUSED"))
      // A connection that was open then may be found closed by the next request on it: once.
      const late = load.failures.filter((failure) => !refused.includes(failure) && failure.sent > gone)
      expect(late.filter(({ what }) => !what.endsWith(KEPT))).toEqual([])
      expect(late.length).toBeLessThanOrEqual(connections)
      expect(load.failures.filter((failure) => failure.failed < killed || failure.sent > back)).toEqual([])
    }
  })
})
