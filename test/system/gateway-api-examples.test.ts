/** The Gateway API repository's own HTTP examples, served by the whole: fixtures/gateway-api/expected.yaml says how. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { header, isDeleted } from "../../bus/envelope.ts"
import { appliedSubject } from "../../bus/subject.ts"
import { examples, manifestsOf, servicesOf } from "../fixtures/gateway-api/examples.ts"
import type { Example, ExpectedRequest } from "../fixtures/gateway-api/examples.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend, Echo } from "./backend.ts"
import { connectTo } from "./bus.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, take, yaml } from "./manifests.ts"
import { ask } from "./traffic.ts"
import type { Answer } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("examples")
const backends = new Map<string, Backend>()
let edge = 0
let running: Running
let bus: Bus

const isEcho = (value: unknown): value is Echo => typeof value === "object" && value !== null && "backend" in value && "headers" in value

beforeAll(async () => {
  ;[edge = 0] = await freePorts(1)
  const names = new Set(examples.flatMap((example) => servicesOf(example).map(({ namespace, name }) => `${namespace}/${name}`)))
  for (const name of [...names, "sentinel"]) backends.set(name, await startBackend(name))
  drop(world.manifests, "edge.yaml", yaml(gatewayClass(), gateway("edge", { http: edge }), ...service("sentinel", 80, [{ port: portOf("sentinel") }])))
  // Some examples bring a GatewayClass of somebody else's controller.
  running = await world.up({ args: ["--controller-name", "*"] })
  bus = await connectTo(running.ready)
  bus.follow({
    stream: "RESOURCES", filter: "resource.>", from: "state",
    onMessage: ({ subject, headers }) => void (isDeleted(headers) ? files.delete(subject) : files.set(subject, headers[header.source] ?? "")),
    onLost: (reason) => { throw new Error(`RESOURCES was lost: ${reason}`) },
  })
})

afterAll(async () => {
  await bus.close()
  await world.end()
  await Promise.all([...backends.values()].map((backend) => backend.stop()))
})

const portOf = (name: string): number => {
  const backend = backends.get(name)
  if (backend === undefined) throw new Error(`no backend ${name}`)
  return backend.port
}

const asked = (name: string): number => backends.get(name)?.requests ?? 0

/** Subject of each resource → the file that the store says it is from. */
const files = new Map<string, string>()
let loaded: string | undefined

/** The example in place of the one before, and derived: a route that is asked for when all of the example is stored answers only after it. */
const load = async (example: Example) => {
  const before = loaded
  loaded = `${example.name}.yaml`
  if (before !== undefined) take(world.manifests, before)
  drop(world.manifests, loaded, manifestsOf(example, ({ namespace, name }) => ({ address: "127.0.0.1", port: portOf(`${namespace}/${name}`) })))
  await until(`${example.name} is stored`, () => {
    const from = new Set(files.values())
    return loaded !== undefined && from.has(loaded) && (before === undefined || !from.has(before))
  })
  const host = `${example.name}.sentinel.example`
  drop(world.manifests, "sentinel.yaml", yaml(route(`sentinel-${example.name}`, { gateway: "edge", hostnames: [host], backend: "sentinel" })))
  await until(`${example.name} is live`, async () => (await ask({ port: edge, host })).status === 200)
}

/** Where the examples' port 80 is served here. */
const port80 = (): Promise<number> =>
  until("port 80 is served", async () => {
    const message = await bus.last("APPLIED", appliedSubject("default", "up"))
    const applied: unknown = JSON.parse(new TextDecoder().decode(message?.data))
    if (typeof applied !== "object" || applied === null || !("listeners" in applied) || !Array.isArray(applied.listeners)) return undefined
    for (const listener of applied.listeners) if (listener.specPort === 80 && listener.port > 0) return Number(listener.port)
    return undefined
  })

const send = async ({ request, headers = {} }: ExpectedRequest): Promise<Answer> => {
  const [method = "", url = ""] = request.split(" ")
  const { host, pathname, search } = new URL(url)
  return ask({ port: await port80(), method, host, path: `${pathname}${search}`, headers })
}

const from = (answer: Answer) => (answer.status === 200 ? String(answer.headers["x-backend"]) : String(answer.status))

const expectFields = (actual: object, { headers = {}, without = [] }: NonNullable<ExpectedRequest["answered"]>): void => {
  expect(actual).toMatchObject(headers)
  for (const name of without) expect(actual).not.toHaveProperty(name)
}

const ROUNDS = 200

describe.each(examples.map((example) => [example.name, example] as const))("example %s", (_name, example) => {
  beforeAll(() => load(example))

  // An example without requests still has to load beside the sentinel, which `load` has seen.
  test("loads", async () => {
    expect((await ask({ port: edge, host: `${example.name}.sentinel.example` })).headers["x-backend"]).toBe("sentinel")
  })

  const named = example.requests.map((expected) => [[expected.request, ...Object.entries(expected.headers ?? {}).map(([name, value]) => `${name}: ${value}`)].join(", "), expected] as const)
  test.each(named)("%s", async (_request, expected) => {
    if (expected.split !== undefined) {
      const counts: Record<string, number> = {}
      for (let round = 0; round < ROUNDS; round++) {
        const who = from(await send(expected))
        counts[who] = (counts[who] ?? 0) + 1
      }
      expect(Object.keys(counts).toSorted()).toEqual(Object.keys(expected.split).toSorted())
      for (const [who, share] of Object.entries(expected.split)) expect((counts[who] ?? 0) / ROUNDS, who).toBeCloseTo(share, 1)
      return
    }
    const before = (expected.mirrored ?? []).map((name) => [name, asked(name)] as const)
    const answer = await send(expected)
    for (const [name, count] of before) await until(`${name} has a copy`, () => asked(name) === count + 1)
    expect(answer.status).toBe(expected.status ?? 200)
    if (expected.backend !== undefined) expect(answer.headers["x-backend"]).toBe(expected.backend)
    if (expected.location !== undefined) expect(answer.headers["location"]).toBe(expected.location)
    expectFields(answer.headers, expected.answered ?? {})
    if (expected.seen === undefined) return
    const echo: unknown = JSON.parse(answer.body)
    if (!isEcho(echo)) throw new Error(`not an echo: ${answer.body}`)
    const { path, host } = expected.seen
    if (path !== undefined) expect(echo.path.split("?")[0]).toBe(path)
    if (host !== undefined) expect(echo.host).toBe(host)
    expectFields(echo.headers, expected.seen)
  })
})
