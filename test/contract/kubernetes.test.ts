/**
 * The Kubernetes adapter, whole, and the functions, on a real API server: from objects that people make to statuses and
 * objects that the adapter makes, as the user whose rights are those that are rendered for it.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Fiber } from "effect"
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { bodyText, header } from "../../bus/envelope.ts"
import { GATEWAYS_EXIST } from "../../bus/kinds/status.ts"
import { memoryStore, type MemoryStore } from "../../bus/memory.ts"
import { resourceSubject } from "../../bus/subject.ts"
import { tracingOf } from "../../bus/trace/start.ts"
import { spanOf } from "../../bus/trace/tracing.ts"
import { builtIn } from "../../functions/list.ts"
import { PassTraces } from "../../functions/pass-trace.ts"
import { runFunctions } from "../../functions/run.ts"
import { parseFlags } from "../../gateway/flags.ts"
import { startGateway } from "../../gateway/main.ts"
import { kubernetesAdapter } from "../../infra/adapters/kubernetes/adapter.ts"
import { madeKinds } from "../../infra/adapters/kubernetes/apply/made-kinds.ts"
import { WriteTraces } from "../../infra/adapters/kubernetes/apply/write-trace.ts"
import { type ApiClient, connectApi, resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { EditTraces } from "../../infra/adapters/kubernetes/edit-trace.ts"
import { permissions } from "../../infra/adapters/kubernetes/permissions.ts"
import { spansIn } from "../../infra/cli/trace-spans.ts"
import { gatewayParametersDefinition } from "../../infra/manifests/crd.ts"
import { applyDefinitions, configOf, gatewayDefinitions, onApiServer } from "../cluster/api-server.ts"
import { ADAPTER, CONTROLLER, prepare, world, type World } from "../cluster/applying.ts"
import { type ProxiedRequest } from "../cluster/fault-proxy.ts"
import { until } from "../system/until.ts"

const GATEWAY_API = "gateway.networking.k8s.io/v1"

await onApiServer("the Kubernetes adapter and the functions", (server) => {
  let w: World
  let stops: (() => Promise<unknown>)[]
  beforeAll(async () => {
    await prepare(server())
    await applyDefinitions(server().api, await gatewayDefinitions("referencegrants"))
    await server().api.request({ method: "POST", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body: gatewayParametersDefinition({}) })
  })
  beforeEach(async () => {
    w = await world(server())
    stops = []
  })
  afterEach(async () => {
    for (const stop of stops) await stop()
    await w.stop()
  })

  const log: string[] = []
  const running = (effect: Effect.Effect<unknown, unknown>): (() => Promise<unknown>) => {
    const fiber = Effect.runFork(effect)
    const stop = (): Promise<unknown> => Effect.runPromise(Fiber.interrupt(fiber))
    stops.push(stop)
    return stop
  }
  /** Of an edit each process tells the store, as `headgate trace` reads it. */
  const tracing = async () => {
    const [adapter, functions] = await Promise.all(["adapter", "functions"].map((part) => tracingOf({ HEADGATE_TRACES: "on" }, { part, service: part, instance: "one" })))
    if (adapter === undefined || functions === undefined) throw new Error("tracing is off")
    return { adapter, functions }
  }

  /** The adapter, and the functions, on this store. */
  const start = (store: MemoryStore, holder: string, traced?: Awaited<ReturnType<typeof tracing>>): (() => Promise<void>) => {
    const api: ApiClient = connectApi(() => configOf({ server: w.proxy.url, token: "adapter" }))
    const ends = [
      running(kubernetesAdapter({
        connect: () => Promise.resolve(traced?.adapter.attach(store.bus()) ?? store.bus()), api, holder, controllerName: CONTROLLER, namespaces: undefined, applies: true, forgetAfter: 1e15,
        installation: { schema: 1, namespace: w.namespace, image: "headgate.dev/headgate:1", nats: "nats://nats:4222", mode: "Dedicated" },
        ...(traced === undefined ? {} : { edits: new EditTraces(traced.adapter), writes: new WriteTraces(traced.adapter) }),
        timing: { first: 20, max: 200 }, discovery: { absent: 100, present: 300 }, log: ({ message, reason }) => void log.push(`${message} ${typeof reason === "string" ? reason : ""}`),
      })),
      running(runFunctions({ connect: () => Promise.resolve(traced?.functions.attach(store.bus()) ?? store.bus()), traces: traced && new PassTraces(traced.functions), functions: builtIn, holder, log: () => undefined })),
    ]
    return async () => {
      await Promise.all(ends.map((end) => end()))
      await api.close()
    }
  }

  const create = (plural: string, apiVersion: string, kind: string, name: string, rest: object) => {
    const [group = "", version = "v1"] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion]
    return w.api.request({ method: "POST", path: resourcePath({ group, version, plural, namespace: kind === "GatewayClass" ? "" : w.namespace }), body: { apiVersion, kind, metadata: { name }, ...rest } })
  }
  const gatewayClass = () => create("gatewayclasses", GATEWAY_API, "GatewayClass", w.namespace, { spec: { controllerName: CONTROLLER } })
  const gateway = () => create("gateways", GATEWAY_API, "Gateway", "edge", { spec: { gatewayClassName: w.namespace, listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } })
  const route = (name: string, service: string) => create("httproutes", GATEWAY_API, "HTTPRoute", name, { spec: { parentRefs: [{ name: "edge" }], rules: [{ backendRefs: [{ name: service, port: 80 }] }] } })
  const service = () => create("services", "v1", "Service", "shop", { spec: { ports: [{ port: 80 }], selector: { app: "shop" } } })

  const conditionOf = async (kind: "gateway" | "gatewayclass", name: string, type: string) => (await w.get(kind, name)).status?.conditions?.find((each) => each.type === type)
  const routeCondition = async (name: string, type: string) => (await w.get("httproute", name)).status?.parents?.[0]?.conditions.find((each) => each.type === type)
  const MADE = [["", "secrets"], ["", "services"], ["", "serviceaccounts"], ["apps", "deployments"], ["policy", "poddisruptionbudgets"]] as const
  /** `<plural>/<name>` → uid and version. */
  const made = async (): Promise<ReadonlyMap<string, string>> => {
    const all = await Promise.all(MADE.map(async ([group, plural]) => {
      const { items }: { items: { metadata: { name: string; uid: string; resourceVersion: string } }[] } = JSON.parse(JSON.stringify(await w.api.request({ path: resourcePath({ group, version: "v1", plural, namespace: w.namespace }), query: { labelSelector: "app.kubernetes.io/managed-by=headgate" } })))
      return items.map(({ metadata: { name, uid, resourceVersion } }) => [`${plural}/${name}`, `${uid} ${resourceVersion}`] as const)
    }))
    return new Map(all.flat())
  }
  const everything = async () => {
    await gatewayClass()
    await service()
    await gateway()
    await route("web", "shop")
  }
  const settled = async () => {
    await until("the class is accepted", async () => (await conditionOf("gatewayclass", w.namespace, "Accepted"))?.status === "True")
    await until("the route is accepted", async () => (await routeCondition("web", "Accepted"))?.status === "True" && (await routeCondition("web", "ResolvedRefs"))?.status === "True")
    await until("attachedRoutes", async () => (await w.get("gateway", "edge")).status?.listeners?.[0]?.attachedRoutes === 1)
    await until("everything is made", async () => {
      const names = [...(await made()).keys()]
      return MADE.every(([, plural]) => names.some((name) => name.startsWith(`${plural}/`)))
    })
  }
  const versions = async () => JSON.stringify([[...(await made())].sort(), ...(await Promise.all([w.get("gatewayclass", w.namespace), w.get("gateway", "edge"), w.get("httproute", "web")])).map(({ metadata: { resourceVersion } }) => resourceVersion)])

  test("a Gateway gets its pods' objects and its status; what goes away goes with its label; a restart, and a store made anew, write nothing", async () => {
    await everything()
    const store = memoryStore({ now: Date.now })
    const stop = start(store, "one")
    await settled()
    expect(await conditionOf("gateway", "edge", "Programmed")).toMatchObject({ status: "False" })
    await stop()
    const before = await versions()
    const writes = w.writes().length
    const again = start(store, "two")
    await until("it leads", async () => log.filter((line) => line.startsWith("leads")).length >= 2)
    await again()
    expect(await versions()).toBe(before)
    const anew = start(memoryStore({ now: Date.now }), "three")
    await until("it leads", async () => log.filter((line) => line.startsWith("leads")).length >= 3)
    // What comes now comes after all that it found.
    await route("late", "shop")
    await until("the late one is accepted", async () => (await routeCondition("late", "Accepted"))?.status === "True")
    expect([...(await made())].sort()).toEqual(JSON.parse(before)[0])
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge` })
    await until("all of it is gone", async () => (await made()).size === 0)
    await anew()
    expect(w.writes().length).toBeGreaterThan(writes)
  }, 60_000)

  test("a class says whether the Gateway API's definitions are of a release that is known, and what becomes of that; its Gateways are served all the same", async () => {
    await everything()
    start(memoryStore({ now: Date.now }), "one")
    await settled()
    expect(await conditionOf("gatewayclass", w.namespace, "SupportedVersion")).toMatchObject({ status: "True", reason: "SupportedVersion", message: expect.stringContaining("v1.7.0") })
    const release = (version: string) => w.api.request({ method: "PATCH", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io", headers: { "content-type": "application/merge-patch+json" }, body: { metadata: { annotations: { "gateway.networking.k8s.io/bundle-version": version } } } })
    await release("v1.99.0")
    await until("it is not known", async () => (await conditionOf("gatewayclass", w.namespace, "SupportedVersion"))?.status === "False")
    expect(await conditionOf("gatewayclass", w.namespace, "SupportedVersion")).toMatchObject({ reason: "UnsupportedVersion", message: expect.stringContaining("httproutes: v1.99.0") })
    await route("late", "shop")
    await until("the late one is accepted", async () => (await routeCondition("late", "Accepted"))?.status === "True")
    await release("v1.7.0")
    await until("it is known again", async () => (await conditionOf("gatewayclass", w.namespace, "SupportedVersion"))?.status === "True")
    expect(await conditionOf("gatewayclass", w.namespace, "Accepted")).toMatchObject({ status: "True" })
  }, 60_000)

  test("a class that a Gateway uses stays when it is deleted, and is served, until none uses it; finalizers of others are theirs", async () => {
    const path = `/apis/${GATEWAY_API}/gatewayclasses/${w.namespace}`
    const finalizers = async () => JSON.parse(JSON.stringify(await w.api.request({ path }))).metadata.finalizers ?? []
    const set = (all: readonly string[]) => w.api.request({ method: "PATCH", path, headers: { "content-type": "application/merge-patch+json" }, body: { metadata: { finalizers: all } } })
    await gatewayClass()
    await set(["example.com/theirs"])
    start(memoryStore({ now: Date.now }), "one")
    await until("the class is accepted", async () => (await conditionOf("gatewayclass", w.namespace, "Accepted"))?.status === "True")
    expect(await finalizers()).toEqual(["example.com/theirs"])
    await service()
    await gateway()
    await route("web", "shop")
    await settled()
    await until("it has the finalizer", async () => (await finalizers()).includes(GATEWAYS_EXIST))
    await set(["example.com/theirs"])
    await until("it has it again, though somebody took it away", async () => (await finalizers()).includes(GATEWAYS_EXIST))
    await w.api.request({ method: "DELETE", path })
    await route("late", "shop")
    await until("the late one is accepted", async () => (await routeCondition("late", "Accepted"))?.status === "True")
    expect(await finalizers()).toEqual(["example.com/theirs", GATEWAYS_EXIST])
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge` })
    await until("theirs alone is left", async () => JSON.stringify(await finalizers()) === '["example.com/theirs"]')
    await set([])
    await until("it is gone", () => finalizers().then(() => false, () => true))
  }, 60_000)

  test("what another controller said of a route before any Gateway of ours was named by it stays", async () => {
    await everything()
    start(memoryStore({ now: Date.now }), "one")
    await settled()
    await create("httproutes", GATEWAY_API, "HTTPRoute", "both", { spec: { parentRefs: [{ name: "theirs" }, { name: "late" }] } })
    const theirs = { controllerName: "example.com/other", parentRef: { group: "gateway.networking.k8s.io", kind: "Gateway", name: "theirs" }, conditions: [{ type: "Accepted", status: "True", reason: "Accepted", message: "theirs", observedGeneration: 1, lastTransitionTime: "2026-01-01T00:00:00Z" }] }
    await w.api.request({ method: "PATCH", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/httproutes/both/status`, headers: { "content-type": "application/merge-patch+json" }, body: { status: { parents: [theirs] } } })
    await create("gateways", GATEWAY_API, "Gateway", "late", { spec: { gatewayClassName: w.namespace, listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } })
    const parents = async () => (await w.get("httproute", "both")).status?.parents ?? []
    await until("ours is said", async () => (await parents()).some(({ controllerName }) => controllerName === CONTROLLER))
    expect((await parents()).filter(({ controllerName }) => controllerName !== CONTROLLER)).toEqual([theirs])
  }, 60_000)

  test("an apply of a route is one trace, from the API server's event to the gateway's ack and the status that is written", async () => {
    await everything()
    const store = memoryStore({ now: Date.now })
    const stop = start(store, "one", await tracing())
    await settled()
    const data = await mkdtemp(join(tmpdir(), "headgate-trace-"))
    const flags = parseFlags(["--plane", `${w.namespace}.edge`, "--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--data", data, "--access-log", "off"], { HEADGATE_TRACES: "on" })
    if (flags === "help") throw new TypeError("help")
    const pod = await startGateway(flags, () => undefined)
    pod.attach(store.bus())
    await until("it is ready", () => pod.applied().ready)
    await route("late", "shop")
    await until("its status is written", async () => (await routeCondition("late", "Accepted"))?.status === "True")
    const trace = spanOf(store.messages("RESOURCES").find(({ subject }) => subject === resourceSubject("httproute", `${w.namespace}/late`))?.headers[header.traceparent])?.traceId ?? "none"
    await until("it is acked", () => store.messages("APPLIED").some(({ headers }) => headers[header.traceparent]?.includes(trace)))
    await pod.stop()
    await stop()
    const spans = store.messages("TRACES").flatMap((message) => spansIn(bodyText(message.data)))
    const object = `httproute ${w.namespace}/late`
    const named = (name: string) => spans.filter((span) => span.name === name)
    const parents = new Map(spans.map((span) => [span.spanId, span]))
    /** From the span of this name back to where its trace began. */
    const path = (name: string): readonly string[] => {
      const names: string[] = []
      for (let span = named(name).find(({ traceId }) => traceId === trace); span !== undefined; span = parents.get(span.parentId)) names.unshift(`${span.process.split(" ")[0]} ${span.name}`)
      return names
    }
    const start_ = [`adapter edit ${object}`, `adapter publish ${object}`, "functions derive"]
    expect(path("ack")).toEqual([...start_, `functions commit ${w.namespace}.edge/routes`, "gateway ack"])
    expect(path(`write ${object}`)).toEqual([...start_, "functions commit _/status", `adapter write ${object}`])
    expect(JSON.stringify(spans)).not.toContain("PathPrefix")
    await rm(data, { recursive: true })
  }, 60_000)

  test("1,000 routes: no more than 1.2 writes of a status an object, attachedRoutes right within 3 s of the last", async () => {
    await everything()
    start(memoryStore({ now: Date.now }), "one")
    await settled()
    const before = w.writes().length
    const began = performance.now()
    for (let i = 0; i < 1000; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => route(`r-${i + k}`, "shop")))
    const created = performance.now()
    await until("attachedRoutes are 1,001", async () => (await w.get("gateway", "edge")).status?.listeners?.[0]?.attachedRoutes === 1001, 30_000)
    const counted = performance.now()
    const written = async () => {
      const { items }: { items: unknown[] } = JSON.parse(JSON.stringify(await w.api.request({ path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/httproutes` })))
      return items.filter((item) => JSON.stringify(item).includes('"ResolvedRefs"')).length
    }
    await until("every route says what became of it", async () => (await written()) === 1001, 30_000)
    const all = performance.now()
    const statuses = w.writes().slice(before).filter((each) => each.endsWith("/status"))
    console.log(`1,000 routes made in ${Math.round(created - began)} ms: attachedRoutes right ${Math.round(counted - created)} ms after the last, all statuses ${Math.round(all - created)} ms; ${statuses.length} writes, of the Gateway ${statuses.filter((each) => each.includes("gateways/")).length}`)
    expect(statuses.length / 1001).toBeLessThanOrEqual(1.2)
    expect(counted - created).toBeLessThanOrEqual(3000)
  }, 120_000)

  test("every right is one that is used, and none is missed", async () => {
    await everything()
    await route("broken", "nobody")
    await create("grpcroutes", GATEWAY_API, "GRPCRoute", "call", { spec: { parentRefs: [{ name: "edge" }], hostnames: ["call.example"], rules: [{ backendRefs: [{ name: "nobody", port: 80 }] }] } })
    start(memoryStore({ now: Date.now }), "one")
    await until("the call's route is judged", async () => ((await w.get("grpcroute", "call")).status?.parents ?? []).length > 0)
    await until("the route is known to be broken", async () => (await routeCondition("broken", "ResolvedRefs"))?.status === "False")
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/httproutes/broken` })
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/grpcroutes/call` })
    await settled()
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge` })
    await until("all of it is gone", async () => (await made()).size === 0)
    await until("the Lease is renewed", () => w.proxy.requests.some(({ method, path }) => method === "PUT" && path.includes("/leases/")))
    const used = new Set(w.proxy.requests.flatMap((request) => rightsOf(request)))
    const allowed = new Set(permissions.flatMap(({ group, resource, verbs }) => verbs.map((verb) => `${verb} ${resource}.${group}`)))
    expect([...used].filter((right) => !allowed.has(right))).toEqual([])
    expect(log.filter((line) => line.includes("forbidden"))).toEqual([])
    expect([...allowed].filter((right) => !used.has(right)).sort()).toEqual([
      // Where somebody else writes the status at the same time.
      "get gateways.gateway.networking.k8s.io", "get grpcroutes.gateway.networking.k8s.io", "get httproutes.gateway.networking.k8s.io",
      // What is told again after a minute.
      "patch events.events.k8s.io",
      // Asked of the API server by an admission plugin that this one does not run.
      "update gatewayclasses/finalizers.gateway.networking.k8s.io", "update gateways/finalizers.gateway.networking.k8s.io",
    ])
  }, 60_000)
}, [ADAPTER])

/** `<verb> <resource>.<group>`; none: it asks of no resource, but which there are. */
const rightsOf = ({ method, path, isWatch }: ProxiedRequest): readonly string[] => {
  const [, group = "", plural, name, subresource] = /^\/(?:api|apis\/([^/]+))\/[^/]+(?:\/namespaces\/[^/]+(?=\/))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? []
  if (plural === undefined) return []
  const resource = `${plural}${subresource === undefined ? "" : `/${subresource}`}.${group}`
  if (method === "GET") return [`${name !== undefined ? "get" : isWatch ? "watch" : "list"} ${resource}`]
  // An apply of what is not there is a create too.
  const isApplied = method === "PATCH" && madeKinds.some((each) => each.plural === plural)
  return [`${VERBS[method] ?? method} ${resource}`, ...(isApplied ? [`create ${resource}`] : [])]
}
const VERBS: Readonly<Record<string, string>> = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" }
