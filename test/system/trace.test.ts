/** An edit's trace, from the rename of its file to the ack of the gateway; what it costs to have none; a real collector. */
import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { SeenSpan } from "../../infra/cli/trace-spans.ts"
import { gapsIn } from "../../infra/cli/waterfall.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { whyNoGo } from "../fixtures/go-program.ts"
import { otlpSpans, startCollector, type Collector } from "./collector.ts"
import { newWorld, root, type Outcome, type Running, type World } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "./manifests.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

let backend: Backend
beforeAll(async () => { backend = await startBackend("a") })
afterAll(() => backend.stop())

const begin = async (name: string): Promise<{ readonly world: World; readonly port: number }> => {
  const world = newWorld(name)
  const [port = 0] = await freePorts(1)
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  edit(world, "web", 0)
  edit(world, "api", 0)
  return { world, port }
}

const edit = (world: World, name: string, version: number): void => void drop(world.manifests, `${name}.yaml`, yaml(route(name, { gateway: "edge", hostnames: [`${name}${version}.example`], backend: "a" })))

const served = (port: number, host: string) => until(`${host} is served`, async () => (await ask({ port, host })).status === 200)

/** Of the bus this world's `up` has told of. */
const trace = (world: World, ...args: string[]): Promise<Outcome> => world.cli(["trace", ...args], { HEADGATE_NATS_URL: "" })

const traced = async (world: World, object: string): Promise<readonly SeenSpan[]> => {
  const { code, stdout, stderr } = await trace(world, object, "-o", "json")
  if (code !== 0) throw new Error(stderr)
  return otlpSpans(stdout)
}

const names = (spans: readonly SeenSpan[], process: string): readonly string[] => spans.filter((span) => span.process === process).map(({ name }) => name)

/** The one span of a name, of a process that has it. */
const one = (spans: readonly SeenSpan[], name: string, process?: string): SeenSpan => {
  const [found, ...more] = spans.filter((span) => span.name === name && (process === undefined || span.process === process))
  if (found === undefined || more.length > 0) throw new Error(`${more.length + (found === undefined ? 0 : 1)} spans "${name}": ${spans.map((span) => `${span.process} ${span.name}`).join(", ")}`)
  return found
}

/** Every span is there, once, and hangs on the one it follows from. */
const expectWhole = (spans: readonly SeenSpan[], object: string): void => {
  const root_ = one(spans, `edit ${object}`)
  expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([root_.traceId]))
  expect(root_.parentId).toBe("")
  const publish = one(spans, `publish ${object}`)
  const commit = one(spans, "commit default/routes")
  const derive = spans.find(({ spanId }) => spanId === commit.parentId)
  for (const name of ["notice", "read", "parse"]) expect(one(spans, name)).toMatchObject({ process: "adapter", parentId: root_.spanId })
  expect(publish).toMatchObject({ process: "adapter", parentId: root_.spanId })
  expect(derive).toMatchObject({ name: "derive", process: "functions", parentId: publish.spanId })
  expect(spans.filter(({ name, parentId }) => name === "routes: entries of HTTPRoutes" && parentId === derive?.spanId)).toHaveLength(1)
  expect(spans.filter(({ name, parentId }) => name === "deliver" && parentId === publish.spanId)).toMatchObject([{ process: "functions" }])
  for (const name of ["deliver", "fold", "compile", "swap", "ack"]) expect(spans.filter((span) => span.name === name && span.parentId === commit.spanId), name).toMatchObject([{ process: "gateway up" }])
  const ack = one(spans, "ack")
  expect(ack.attributes).toMatchObject({ "headgate.pod": "up", "headgate.unit": "default/routes", "headgate.revision": commit.attributes["headgate.revision"], "headgate.digest": commit.attributes["headgate.digest"] })
  expect(commit.attributes["headgate.epoch"]).toBeGreaterThan(0)
  expect(Math.abs(ack.to - Date.now())).toBeLessThan(60_000)
}

/** Up to and with the ack: what functions make of it afterwards is not on the way. */
const upToAck = (spans: readonly SeenSpan[]): readonly SeenSpan[] => {
  const { to } = one(spans, "ack")
  return spans.filter((span) => span.from < to)
}

describe("with tracing on", () => {
  let world: World
  let port = 0
  let running: Running
  beforeAll(async () => {
    ;({ world, port } = await begin("trace"))
    running = await world.up({ args: ["--trace"] })
  })
  afterAll(() => world.end())

  test("each of 10 renames is one whole trace of adapter, functions and gateway, and what takes more than 2 ms has a name", async () => {
    const gaps: number[] = []
    for (let version = 1; version <= 10; version++) {
      edit(world, "web", version)
      await served(port, `web${version}.example`)
      const spans = await traced(world, "httproute/web")
      expectWhole(spans, "httproute default/web")
      // Every collection that an edit runs through has a name.
      expect(names(spans, "functions").filter((name) => / > \d+$/.test(name))).toEqual([])
      gaps.push(gapsIn(upToAck(spans)).length)
    }
    // A process that is not let onto a processor shows as a gap, whatever is traced: on a busy machine some of ten.
    expect(gaps.filter((count) => count === 0).length, `gaps: ${gaps.join(" ")}`).toBeGreaterThanOrEqual(5)
  })

  test("it is drawn on 100 columns, by object, by id and by the beginning of an id", async () => {
    const { stdout, code } = await trace(world, "httproute", "default/web")
    expect(code).toBe(0)
    const lines = stdout.split("\n")
    expect(Math.max(...lines.slice(0, lines.indexOf("")).map((line) => line.length))).toBeLessThanOrEqual(100)
    expect(lines[0]).toMatch(/^PROCESS +SPAN +AT ms +TOOK ms$/)
    expect(lines[1]).toMatch(/^adapter +edit httproute default\/web +0\.00 +\d+\.\d\d █+$/)
    expect(stdout).toMatch(/^gateway up +ack +\d+\.\d\d +\d+\.\d\d +█+$/m)
    expect(stdout).toMatch(/^Served after: up \d+\.\d\d ms$/m)
    const [{ traceId } = { traceId: "" }] = await traced(world, "httproute/web")
    expect((await trace(world, traceId)).stdout).toBe(stdout)
    expect((await trace(world, traceId.slice(0, 12))).stdout).toBe(stdout)
  })

  test("edits that one pass takes up: it continues the first's trace, links to the others, and each of them shows it", async () => {
    const functions = running.pid("functions")
    process.kill(functions, "SIGSTOP")
    try {
      for (const name of ["web", "api"]) {
        edit(world, name, 20)
        await until(`${name} is published`, async () => (await world.cli(["get", "httproute", name, "-o", "json"], { HEADGATE_NATS_URL: "" })).stdout.includes(`${name}20.example`))
      }
    } finally {
      process.kill(functions, "SIGCONT")
    }
    await served(port, "web20.example")
    await served(port, "api20.example")
    const [first, second] = [await traced(world, "httproute/web"), await traced(world, "httproute/api")]
    const derive = first.filter(({ name, links }) => name === "derive" && links.length > 0)
    expect(derive).toMatchObject([{ links: [{ traceId: one(second, "edit httproute default/api").traceId }], traceId: one(first, "edit httproute default/web").traceId }])
    expect(second).toContainEqual(expect.objectContaining({ spanId: derive[0]?.spanId }))
    expect(second.filter(({ name }) => name === "ack").map(({ spanId }) => spanId)).toEqual(first.filter(({ name }) => name === "ack").map(({ spanId }) => spanId))
    expect(names(second, "adapter")).toContain("publish httproute default/api")
    expect((await trace(world, "httproute/api")).stdout).toContain("One pass took up 2 changes together")
  })

  test("a deleted file's trace ends in the gateway too", async () => {
    edit(world, "gone", 1)
    await served(port, "gone1.example")
    rmSync(join(world.manifests, "gone.yaml"))
    await until("it is not served", async () => (await ask({ port, host: "gone1.example" })).status === 404)
    const spans = await traced(world, "httproute/gone")
    expect(names(spans, "adapter")).toEqual(expect.arrayContaining(["edit httproute default/gone", "settle", "publish httproute default/gone"]))
    expect(one(spans, "ack").process).toBe("gateway up")
  })

  test("what is not there is said with exit status 3, what was not traced with 1", async () => {
    expect(await trace(world, "httproute/nobody")).toMatchObject({ code: 3, stderr: expect.stringContaining("there is no httproute default/nobody") })
    expect(await trace(world, "0123456789abcdef0123456789abcdef")).toMatchObject({ code: 3, stderr: expect.stringContaining("there is no trace 0123456789abcdef0123456789abcdef") })
    expect(await trace(world, "gateway/edge")).toMatchObject({ code: 1, stderr: expect.stringContaining("was not traced") })
    expect(await trace(world)).toMatchObject({ code: 2 })
  })
})

/** URLs of what each part has loaded by its end. */
const loadedBy = async (name: string, env: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, readonly string[]>> => {
  const { world, port } = await begin(name)
  const folder = join(world.folder, "loaded")
  mkdirSync(folder)
  try {
    const running = await world.up({ env: { ...env, LOADED_TO: folder, NODE_OPTIONS: `--import=${join(root, "test/fixtures/loaded.mjs")}` } })
    edit(world, "web", 1)
    await served(port, "web1.example")
    if (env["HEADGATE_TRACES"] === undefined) expect(await trace(world, "httproute/web")).toMatchObject({ code: 1, stderr: expect.stringMatching(/was not traced: tracing was off.*headgate up --trace/) })
    await running.stop()
    const all = readdirSync(folder).map((file): unknown => JSON.parse(readFileSync(join(folder, file), "utf8")))
    const isLoaded = (value: unknown): value is { readonly argv: readonly string[]; readonly urls: readonly string[] } => typeof value === "object" && value !== null && "argv" in value && "urls" in value
    return new Map(all.filter(isLoaded).map(({ argv: [part = ""], urls }) => [part, urls]))
  } finally {
    await world.end()
  }
}

const parts = ["adapter", "functions", "gateway"]

test("off, no process loads any of it", async () => {
  const loaded = await loadedBy("trace off", {})
  for (const part of parts) {
    expect(loaded.get(part)?.length, part).toBeGreaterThan(20)
    expect(loaded.get(part)?.filter((url) => /@opentelemetry|\/bus\/trace\/(?!start|targets)|(?:edit|pass|swap|request)-trace|telemetry\/(?:tracing|otlp)/.test(url)), part).toEqual([])
  }
})

test("on, no process loads what sends to a collector while none is named; with one, adapter and functions load the SDK, and the gateway does not", async () => {
  const toTheBus = await loadedBy("trace on", { HEADGATE_TRACES: "on" })
  for (const part of parts) {
    expect(toTheBus.get(part)?.some((url) => url.includes("/bus/trace/store")), part).toBe(true)
    expect(toTheBus.get(part)?.filter((url) => /@opentelemetry|telemetry\/otlp/.test(url)), part).toEqual([])
  }
  // Nobody listens there: edits do not wait for a collector.
  const toNobody = await loadedBy("trace to nobody", { HEADGATE_TRACES: "on", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" })
  for (const part of ["adapter", "functions"]) expect(toNobody.get(part)?.some((url) => url.includes("/@opentelemetry/sdk-node/")), part).toBe(true)
  expect(toNobody.get("gateway")?.some((url) => url.includes("telemetry/otlp"))).toBe(true)
  expect(toNobody.get("gateway")?.filter((url) => url.includes("@opentelemetry"))).toEqual([])
})

const withoutCollector = whyNoGo()
describe.skipIf(withoutCollector !== undefined)(`with a collector${withoutCollector === undefined ? "" : ` (${withoutCollector})`}`, () => {
  let collector: Collector
  let world: World
  let port = 0
  beforeAll(async () => {
    collector = await startCollector()
    ;({ world, port } = await begin("trace collector"))
    await world.up({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test%20bench" } })
  }, 900_000)
  afterAll(async () => {
    await world.end()
    await collector.stop()
  })

  test("an edit arrives there whole, with the right parents, from all three processes, and nothing is kept on the bus", async () => {
    edit(world, "web", 1)
    await served(port, "web1.example")
    const edits = (): readonly SeenSpan[] => {
      const root_ = collector.spans().find(({ name }) => name === "edit httproute default/web")
      return collector.spans().filter(({ traceId }) => traceId === root_?.traceId)
    }
    await until("the ack is there", () => edits().some(({ name }) => name === "ack") && edits().some(({ name }) => name.startsWith("commit")))
    expectWhole(edits(), "httproute default/web")
    const resources = new Set(edits().map(({ resource }) => JSON.stringify(resource)))
    for (const service of ["headgate-adapter-files", "headgate-functions", "headgate-gateway"]) expect([...resources].filter((resource) => resource.includes(service) && resource.includes("test bench")), service).toHaveLength(1)
    expect(await trace(world, "httproute/web")).toMatchObject({ code: 1, stderr: expect.stringContaining("is not kept any more") })
  })

  test("a request that is sampled is a span under its W3C parent, and its backend is told of that span", async () => {
    const [traceId, parent] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]
    const answer = await ask({ port, host: "api0.example", headers: { traceparent: `00-${traceId}-${parent}-01`, tracestate: "vendor=1" } })
    expect(answer.status).toBe(200)
    const span = await until("the span is there", () => collector.spans().find((each) => each.traceId === traceId))
    expect(span).toMatchObject({ parentId: parent, kind: 2, state: "vendor=1", process: "gateway up", name: expect.stringMatching(/^GET httproute\/default\/api/), failed: false })
    expect(span.attributes).toMatchObject({ "http.response.status_code": 200, "headgate.upstream": `127.0.0.1:${backend.port}` })
    expect(JSON.parse(answer.body)).toMatchObject({ headers: { traceparent: `00-${traceId}-${span.spanId}-01`, tracestate: "vendor=1" } })
  })
})
