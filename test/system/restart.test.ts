/** Starting again with nothing changed says nothing on the bus. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { commitSubject, configSubject } from "../../bus/subject.ts"
import { stateOf } from "../../infra/cli/explain-read.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { connectTo } from "./bus.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, yaml } from "./manifests.ts"
import type { Part } from "./processes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("restart")
let port = 0
let backend: Backend
let running: Running
let bus: Bus
let version = 0

const edit = () => drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", filters: [setHeader("x-version", String(++version))] })))

/**
 * Makes one edit and waits for its answer, its entry and its status. The edit passes through every process, so whatever
 * a process wanted to say before it is stored by then: positions afterwards are the ones before + what the edit itself costs.
 */
const editAndWait = async () => {
  edit()
  const wanted = String(version)
  await until(`version ${wanted} is answered`, async () => (await ask({ port })).headers["x-version"] === wanted)
  const body = async (plane: string, section: string) => new TextDecoder().decode((await bus.last("CONFIG", configSubject(plane, section, "httproute/default/web")))?.data)
  // Each edit is a generation.
  await until("its entry and its status are stored", async () => (await body("default", "route")).includes(`"x-version","${wanted}"`) && (await body(CONTROL_PLANE, "status")).includes(`"observedGeneration":${wanted}`))
}

const positions = async () => ({ resources: (await bus.info("RESOURCES")).lastSeq, config: (await bus.info("CONFIG")).lastSeq })

/** What one edit costs: its resource; the commit of `routes` and the one entry it changes, and the same of `status`. */
const oneEdit = { resources: 1, config: 4 }
/** Subjects of what CONFIG was told after a sequence. */
const toldAfter = async (seq: number): Promise<readonly string[]> => (await stateOf(bus, "CONFIG", "config.>", { after: seq })).map(({ subject }) => subject)

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "broken.yaml", "kind: [\n")
  for (let index = 0; index < 20; index++) drop(world.manifests, `other-${index}.yaml`, yaml(route(`other-${index}`, { gateway: "edge", hostnames: [`other-${index}.example`], backend: index % 2 === 0 ? "a" : "missing" })))
  edit()
  running = await world.up()
  bus = await connectTo(running.ready)
})

afterAll(async () => {
  await bus.close()
  await world.end()
  await backend.stop()
})

test("an edit costs one message of state, two of configuration and two of status", async () => {
  await editAndWait()
  const before = await positions()
  await editAndWait()
  await until("the entry is stored", async () => (await positions()).config >= before.config + oneEdit.config)
  const after = await positions()
  expect({ resources: after.resources - before.resources, config: after.config - before.config }).toEqual(oneEdit)
})

describe("kill -9 with nothing changed publishes nothing", () => {
  for (const part of ["adapter", "functions", "gateway", "nats"] satisfies Part[]) {
    test(part, async () => {
      const before = await positions()
      await running.kill(part)
      await editAndWait()
      await until("the entry is stored", async () => (await positions()).config >= before.config + oneEdit.config)
      const after = await positions()
      expect({ resources: after.resources - before.resources, config: after.config - before.config }).toEqual(oneEdit)
    })
  }
})

test("stopping and starting everything publishes nothing but that the pod was away, and serves what it served", async () => {
  const before = await positions()
  await bus.close()
  expect(await running.stop()).toBe(0)
  running = await world.up()
  bus = await connectTo(running.ready)
  expect((await ask({ port })).headers["x-version"]).toBe(String(version))
  await editAndWait()
  expect((await positions()).resources - before.resources).toBe(oneEdit.resources)
  // That its pod was away is in a Gateway's status: in one commit or two, by itself or with the edit's.
  const ofStatus = [commitSubject(CONTROL_PLANE, "status"), ...["httproute/default/web", "gateway/default/edge"].map((id) => configSubject(CONTROL_PLANE, "status", id))]
  const told = (await toldAfter(before.config)).filter((subject) => !ofStatus.includes(subject))
  expect(told.sort()).toEqual([commitSubject("default", "routes"), configSubject("default", "route", "httproute/default/web")])
})

test("a change made while everything was down is live once everything is up", async () => {
  await running.stop()
  edit()
  running = await world.up()
  await until("it is answered", async () => (await ask({ port })).headers["x-version"] === String(version), 5_000)
})
