/** `headgate up` as a supervisor: what it shows, that it resumes, ends, and lives beside others. */
import { request } from "node:http"
import { connect } from "node:net"
import { afterEach, beforeEach, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld } from "./headgate.ts"
import type { World } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "./manifests.ts"
import { alive, descendants } from "./processes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

let backend: Backend
let worlds: World[] = []

const prepare = async (name: string, ports?: Readonly<Record<string, number>>) => {
  const world = newWorld(name)
  worlds.push(world)
  const [port = 0] = await freePorts(1)
  drop(world.manifests, "nested/deeper/gateway.yml", yaml(gatewayClass(), gateway("edge", ports ?? { http: port })))
  drop(world.manifests, "services.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: service("a", 80, [{ port: backend.port }]) }))
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a" })))
  return { world, port }
}

beforeEach(async () => {
  backend = await startBackend("a")
})

afterEach(async () => {
  for (const world of worlds) await world.end()
  worlds = []
  await backend.stop()
})

test("is ready only when traffic flows, and says where in one line", async () => {
  const { world, port } = await prepare("one")
  const { ready } = await world.up()
  expect((await ask({ port })).status).toBe(200)
  expect(ready.gateways).toEqual([{ namespace: "default", name: "edge", listeners: [expect.objectContaining({ name: "http", protocol: "HTTP", port, specPort: port })] }])
  expect(ready.nats).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/)
  expect((await fetch(`${ready.admin}/readyz`)).status).toBe(200)
})

test("is ready only when what changed while nothing ran is served", async () => {
  const { world, port } = await prepare("away")
  await (await world.up()).stop()
  for (let i = 0; i < 3; i++) {
    drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", path: `/${i}` })))
    const running = await world.up()
    expect([(await ask({ port, path: `/${i}` })).status, (await ask({ port, path: `/${i - 1}` })).status]).toEqual([200, 404])
    await running.stop()
  }
})

test("several run side by side, each with its own state", async () => {
  const [one, two] = await Promise.all([prepare("one"), prepare("two")])
  const [first, second] = await Promise.all([one.world.up(), two.world.up()])
  expect(first.ready.nats).not.toBe(second.ready.nats)
  expect(first.ready.admin).not.toBe(second.ready.admin)
  // Both look for a free admin port before either gateway listens: the one that comes second takes another.
  for (const { output } of [first, second]) expect(output()).not.toContain("gateway ended")
  expect([(await ask({ port: one.port })).status, (await ask({ port: two.port })).status]).toEqual([200, 200])
  await first.stop()
  expect((await ask({ port: two.port })).status).toBe(200)
})

test("ends with its children and status 0, and lets a request in flight finish", async () => {
  const { world, port } = await prepare("drain")
  const running = await world.up()
  const children = descendants(running.supervisor).map((process) => process.pid)
  expect(children.length).toBeGreaterThanOrEqual(4)
  // A request whose body is still on its way when the end is asked for.
  const { requests } = backend
  const answer = new Promise<number>((resolve, reject) => {
    const slow = request({ host: "127.0.0.1", port, method: "POST", headers: { "content-length": 2 } }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? 0))
    })
    slow.on("error", reject)
    slow.write("a", () => setTimeout(() => slow.end("b"), 500))
  })
  await until("the request has reached the backend", () => backend.requests > requests)
  const stopped = running.stop()
  expect(await answer).toBe(200)
  expect(await stopped).toBe(0)
  expect(children.filter(alive)).toEqual([])
})

test("a port below 1024 that cannot be bound is served 8000 higher, and both are shown", async () => {
  // As root every port can be bound: then both are the same.
  const { world } = await prepare("low", { http: 81 })
  const { ready } = await world.up()
  const listener = ready.gateways[0]?.listeners[0]
  expect(listener?.specPort).toBe(81)
  expect([81, 8081]).toContain(listener?.port)
  expect((await ask({ port: listener?.port ?? 0 })).status).toBe(200)
})

test("the demo is served when no folder is named; of two started together one on another port", async () => {
  const demos = [newWorld("demo 1"), newWorld("demo 2")]
  worlds.push(...demos)
  const all = await Promise.all(demos.map((world) => world.up({ demo: true })))
  const ports = all.map(({ ready }) => ready.gateways[0]?.listeners[0]?.port ?? 0)
  expect(new Set(ports).size).toBe(2)
  for (const port of ports) expect((await ask({ port })).status).toBe(200)
  for (const { port } of all.flatMap(({ ready }) => ready.gateways.flatMap(({ listeners }) => listeners))) expect((await ask({ port })).status).toBeLessThan(500)
})

test("a client that says nothing does not hold up the end", async () => {
  const { world, port } = await prepare("idle")
  const running = await world.up()
  const idle = connect(port, "127.0.0.1")
  await new Promise((resolve) => idle.once("connect", resolve))
  const started = performance.now()
  expect(await running.stop()).toBe(0)
  expect(performance.now() - started).toBeLessThan(10_000)
  idle.destroy()
})
