/** The adapter between a real API server and the memory bus. */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { Effect, Fiber } from "effect"
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { canonical } from "../../../bus/canonical.ts"
import { header, isDeleted } from "../../../bus/envelope.ts"
import { CONTROL_PLANE } from "../../../bus/kinds/config.ts"
import { memoryStore, type MemoryStore } from "../../../bus/memory.ts"
import { Redacted } from "../../../bus/redacted.ts"
import { objectName } from "../../../bus/planes.ts"
import { open, planeKey } from "../../../bus/seal.ts"
import { configSubject, parseSubject, resourceSubject } from "../../../bus/subject.ts"
import type { Span } from "../../../bus/trace/span.ts"
import { PlainTracing } from "../../../bus/trace/tracing.ts"
import type { UnitWriter } from "../../../bus/unit/unit.ts"
import { openUnit } from "../../../bus/unit/writer.ts"
import { applyDefinitions, configOf, gatewayDefinitions, onApiServer } from "../../../test/cluster/api-server.ts"
import { type FaultProxy, startFaultProxy } from "../../../test/cluster/fault-proxy.ts"
import { Authority, type Issued } from "../../../test/fixtures/authority.ts"
import { until } from "../../../test/system/until.ts"
import { syncedKinds } from "../publish/sync-mark.ts"
import { kubernetesAdapter } from "./adapter.ts"
import { EditTraces } from "./edit-trace.ts"
import { type ApiClient, connectApi, resourcePath } from "./client.ts"
import { KubernetesSource, type KubernetesSourceOptions } from "./source.ts"

const GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
const installation = { schema: 1, namespace: "headgate-system", image: "image", nats: "nats://nats:4222", mode: "Dedicated" } as const

let tests = 0

await onApiServer("the Kubernetes adapter", (server) => {
  let authority: Authority
  let issued: Issued
  let store: MemoryStore
  let proxy: FaultProxy
  let clients: ApiClient[]
  let stops: (() => Promise<void>)[]
  /** Of the test alone. */
  let namespace: string
  let controllerName: string
  let functions: UnitWriter

  beforeAll(() => {
    authority = new Authority()
    issued = authority.issue(["a.example"])
  })
  afterAll(() => authority.end())
  beforeEach(async () => {
    tests++
    namespace = `t-${tests}`
    controllerName = `example.com/t-${tests}`
    store = memoryStore()
    proxy = await startFaultProxy({ server: server().url, authority: server().authority })
    stops = []
    clients = []
    functions = await openUnit(store.bus(), { unit: { plane: CONTROL_PLANE, fn: "certs" }, epoch: 1, writer: "test", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
    await create("/api/v1/namespaces", { metadata: { name: namespace } })
  })
  afterEach(async () => {
    for (const stop of stops) await stop()
    await functions.stop()
    for (const client of clients) await client.close()
    await proxy.stop()
  })

  const create = (path: string, body: object) => server().api.request({ method: "POST", path, body })
  const patch = (path: string, body: object) => server().api.request({ method: "PATCH", path, headers: { "content-type": "application/merge-patch+json" }, body })
  const remove = (path: string) => server().api.request({ method: "DELETE", path })
  const inNamespace = (plural: string, group = ""): string => resourcePath({ group, version: "v1", plural, namespace })
  const gateways = (): string => inNamespace("gateways", "gateway.networking.k8s.io")
  const routes = (): string => inNamespace("httproutes", "gateway.networking.k8s.io")

  const gatewayClass = (name = namespace, controller = controllerName) => create(`${GATEWAY_API}/gatewayclasses`, { kind: "GatewayClass", apiVersion: "gateway.networking.k8s.io/v1", metadata: { name }, spec: { controllerName: controller } })
  const gateway = (name: string, { className = namespace, secret }: { className?: string; secret?: string } = {}) =>
    create(gateways(), { kind: "Gateway", apiVersion: "gateway.networking.k8s.io/v1", metadata: { name }, spec: { gatewayClassName: className, listeners: [secret === undefined ? { name: "http", port: 80, protocol: "HTTP" } : { name: "https", port: 443, protocol: "HTTPS", tls: { certificateRefs: [{ name: secret }] } }] } })
  const route = (name: string, parent: string, service: string, path = "/") =>
    create(routes(), { kind: "HTTPRoute", apiVersion: "gateway.networking.k8s.io/v1", metadata: { name }, spec: { parentRefs: [{ name: parent }], rules: [{ matches: [{ path: { type: "PathPrefix", value: path } }], backendRefs: [{ name: service, port: 80 }] }] } })
  const uidOf = async (name: string): Promise<string> => {
    const { metadata }: { metadata: { uid: string } } = JSON.parse(JSON.stringify(await server().api.request({ path: `${gateways()}/${name}` })))
    return metadata.uid
  }
  const sealedIn = (body: unknown): Readonly<Record<string, string>> => {
    const { tls }: { tls?: { sealed: Record<string, string> } } = JSON.parse(JSON.stringify(body))
    return tls?.sealed ?? {}
  }
  const service = (name: string, labels: Record<string, string> = {}) => create(inNamespace("services"), { metadata: { name, labels }, spec: { clusterIP: "None", ports: [{ port: 80 }] } })
  const slice = (name: string, of: string) => create(inNamespace("endpointslices", "discovery.k8s.io"), { metadata: { name, labels: { "kubernetes.io/service-name": of } }, addressType: "IPv4", endpoints: [{ addresses: ["10.1.2.3"], conditions: { ready: true } }], ports: [{ name: "", port: 8080 }] })
  const secret = (name: string, data: Record<string, string>, metadata: object = {}) => create(inNamespace("secrets"), { metadata: { name, ...metadata }, data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])) })

  interface Started {
    readonly stop: () => Promise<void>
    readonly synced: Promise<void>
  }

  const start = (to: MemoryStore, url: string, more: Partial<KubernetesSourceOptions> & { readonly holder?: string } = {}): Started => {
    const synced = Promise.withResolvers<void>()
    const api = connectApi(() => configOf({ server: url, token: server().token, ...(url === server().url ? { authority: server().authority } : {}) }))
    clients.push(api)
    const fiber = Effect.runFork(kubernetesAdapter({
      connect: () => Promise.resolve(to.bus()), api, controllerName, installation, namespaces: undefined, applies: false, holder: "test", forgetAfter: 1e15,
      timing: { first: 20, max: 200 }, discovery: { absent: 100, present: 300 },
      log: ({ message }) => { if (message === "in sync") synced.resolve() },
      ...more,
    }))
    const stop = (): Promise<void> => Effect.runPromise(Fiber.interrupt(fiber))
    stops.push(stop)
    return { stop, synced: synced.promise }
  }
  const started = async (more?: Partial<KubernetesSourceOptions>): Promise<() => Promise<void>> => {
    const { stop, synced } = start(store, proxy.url, more)
    await synced
    return stop
  }

  interface Seen {
    readonly body: unknown
    readonly uid: string
    readonly generation: string
  }

  /** `<kind>/<key>` → what RESOURCES says of it now; without marks. */
  const on = (of: MemoryStore): ReadonlyMap<string, Seen> => {
    const now = new Map<string, Seen>()
    for (const { subject, headers, data } of of.messages("RESOURCES")) {
      const parsed = parseSubject(subject)
      if (parsed?.is !== "resource") throw new Error(subject)
      const id = `${parsed.kind}/${parsed.key}`
      if (isDeleted(headers)) now.delete(id)
      else if (parsed.kind !== "sync") now.set(id, { body: JSON.parse(Buffer.from(data).toString()), uid: headers[header.uid] ?? "", generation: headers[header.generation] ?? "" })
    }
    return now
  }
  const has = (id: string) => until(`${id} is on the bus`, () => on(store).get(id))
  const hasNot = (id: string) => until(`${id} is not on the bus`, () => !on(store).has(id))
  /** `<kind>/<key>` in the order in which they were published; of the test's namespace and class. */
  const order = (): readonly string[] => store.messages("RESOURCES").flatMap(({ subject, headers }) => {
    const parsed = parseSubject(subject)
    return parsed?.is === "resource" && parsed.key.includes(namespace) ? [`${isDeleted(headers) ? "-" : ""}${parsed.kind}/${parsed.key}`] : []
  })
  const objectsOf = (state: ReadonlyMap<string, Seen>) => [...state].filter(([id]) => !id.startsWith("note/")).map(([id, { body, uid, generation }]) => `${id} ${uid} ${/^(gateway|gatewayclass|httproute|endpointslice)\//.test(id) ? generation : ""} ${canonical(body)}`).sort()

  /** What the bus says is what an adapter says that has just come, on an empty store. */
  const equalsAfresh = async (more?: Partial<KubernetesSourceOptions>): Promise<void> => {
    const fresh = memoryStore()
    const { synced, stop } = start(fresh, server().url, more)
    await synced
    await until("the bus is as the API server says", () => JSON.stringify(objectsOf(on(store))) === JSON.stringify(objectsOf(on(fresh)))).catch(() => expect(objectsOf(on(store))).toEqual(objectsOf(on(fresh))))
    await stop()
  }

  const marked = (): readonly string[] => [...new Set(store.messages("RESOURCES").filter(({ subject }) => subject.startsWith("resource.sync.")).map(({ subject }) => subject.split(".").at(-1) ?? ""))].sort()
  const want = async (name: string, plane: string | null): Promise<void> => {
    functions.stage([{ subject: configSubject(CONTROL_PLANE, "wanted", `certs/${name}`), body: plane === null ? null : canonical({ schema: 1, secret: { plane, namespace, name } }), causes: [] }], {})
    await functions.settled()
  }
  const isWatching = (plural: string) => until(`${plural} are watched`, () => proxy.watches(plural === "secrets" ? "/api/v1/secrets" : `${GATEWAY_API}/${plural}`) > 0)

  const definitions = () => gatewayDefinitions("gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants")

  test("without the Gateway API's definitions it starts, says so, and takes each up as it comes", async () => {
    await started()
    expect(marked()).toEqual([...syncedKinds].sort())
    expect([...on(store).keys()].filter((id) => id.startsWith("note/")).sort()).toEqual(["GRPCRoute", "Gateway", "GatewayClass", "GatewayParameters", "HTTPRoute", "ReferenceGrant"].map((kind) => `note/kubernetes/kind/${kind}`))
    expect(on(store).get("installation//")?.body).toEqual(installation)
    await applyDefinitions(server().api, await definitions())
    await gatewayClass()
    await gateway("web")
    await has(`gateway/${namespace}/web`)
    await until("the notes are gone", () => ![...on(store).keys()].some((id) => /^note\/.*(Gateway|HTTPRoute|GRPCRoute|GatewayClass|ReferenceGrant)$/.test(id)))
    await equalsAfresh()
  })

  test("what is ours is published, what is named before what names it, and nothing names what is not", async () => {
    await gatewayClass()
    await gatewayClass(`foreign-${namespace}`, "example.com/other")
    await gateway("web", { secret: "tls" })
    await gateway("alien", { className: `foreign-${namespace}`, secret: "alien" })
    for (const name of ["shop", "alien"]) {
      await service(name)
      await slice(`${name}-1`, name)
      await secret(name === "shop" ? "tls" : "alien", { "tls.crt": "x", "tls.key": "y" })
    }
    await route("shop", "web", "shop")
    await route("alien", "alien", "alien")
    await service("made", { "app.kubernetes.io/managed-by": "headgate", "headgate.dev/plane": "p" })
    await started()
    expect(order().filter((id) => !id.startsWith("sync/"))).toEqual([`namespace//${namespace}`, `secret/${namespace}/tls`, `endpointslice/${namespace}/shop-1`, ...[`service/${namespace}/made`, `service/${namespace}/shop`], `gatewayclass//${namespace}`, `gateway/${namespace}/web`, `httproute/${namespace}/shop`])
    expect(store.messages("RESOURCES").filter(({ subject, data }) => subject.includes("alien") || Buffer.from(data).toString().includes("alien"))).toEqual([])
    expect(on(store).get(`gateway/${namespace}/web`)).toMatchObject({ uid: await uidOf("web"), generation: "1" })
  })

  test("an edit, and what follows from it: Services of a route come before it and go after it", async () => {
    await gatewayClass()
    await gateway("web")
    await service("one")
    await service("two")
    await route("shop", "web", "one")
    await started()
    const before = order().length
    await patch(`${routes()}/shop`, { spec: { rules: [{ backendRefs: [{ name: "two", port: 80 }] }] } })
    await hasNot(`service/${namespace}/one`)
    expect(order().slice(before)).toEqual([`service/${namespace}/two`, `httproute/${namespace}/shop`, `-service/${namespace}/one`])
    expect(on(store).get(`httproute/${namespace}/shop`)?.generation).toBe("2")
    await remove(`${gateways()}/web`)
    await hasNot(`service/${namespace}/two`)
    expect(order().slice(before + 3)).toEqual([`-httproute/${namespace}/shop`, `-gateway/${namespace}/web`, `-service/${namespace}/two`])
    await equalsAfresh()
  })

  test("an edit is one trace, from when the API server told of it, also where it waits for what it names", async () => {
    const spans: Span[] = []
    await gatewayClass()
    await gateway("web")
    await service("here")
    await route("shop", "web", "here")
    await started({ edits: new EditTraces(new PlainTracing((span) => spans.push(span))) })
    const traced = (generation: string) => until("the edit is traced", () => store.messages("RESOURCES").find(({ subject, headers }) => subject === resourceSubject("httproute", `${namespace}/shop`) && headers[header.generation] === generation)?.headers[header.traceparent])
    await patch(`${routes()}/shop`, { spec: { hostnames: ["another.example"] } })
    const first = await traced("2")
    await patch(`${routes()}/shop`, { spec: { rules: [{ backendRefs: [{ name: "absent", port: 80 }] }] } })
    const second = await traced("3")
    await until("both are over", () => spans.filter(({ name }) => name.startsWith("edit httproute")).length === 2)
    expect(new Set([first, second].map((traceparent) => traceparent.split("-")[1]))).toEqual(new Set(spans.filter(({ name }) => name.startsWith("edit httproute")).map(({ traceId }) => traceId)))
    expect(spans.filter(({ name }) => name.startsWith("publish httproute"))).toHaveLength(2)
  })

  test("a class that comes late makes its Gateways and all that hangs on them ours at once", async () => {
    await gateway("web")
    await service("shop")
    await slice("shop-1", "shop")
    await route("shop", "web", "shop")
    await started()
    expect(order()).not.toContain(`httproute/${namespace}/shop`)
    await gatewayClass()
    await has(`httproute/${namespace}/shop`)
    await equalsAfresh()
    await remove(`${GATEWAY_API}/gatewayclasses/${namespace}`)
    await hasNot(`service/${namespace}/shop`)
    await equalsAfresh()
  })

  test("a restart publishes nothing, and then what changed meanwhile, deletions included", async () => {
    await gatewayClass()
    await gateway("web")
    await service("one")
    await route("one", "web", "one")
    await route("gone", "web", "one")
    const stop = await started()
    await stop()
    const before = store.messages("RESOURCES").length
    await (await started())()
    expect(store.messages("RESOURCES").length).toBe(before)
    await remove(`${routes()}/gone`)
    await patch(`${routes()}/one`, { metadata: { labels: { a: "b" } } })
    await remove(`${gateways()}/web`)
    await gateway("web")
    await started()
    expect(on(store).has(`httproute/${namespace}/gone`)).toBe(false)
    await equalsAfresh()
  })

  test("who stands by asks the API server for nothing; taking over it publishes what changed, and what changes", async () => {
    await gatewayClass()
    await gateway("web")
    const first = start(store, server().url)
    await first.synced
    const standsBy = Promise.withResolvers<void>()
    const inSync = Promise.withResolvers<void>()
    start(store, proxy.url, { holder: "other", log: ({ message }) => {
      if (message === "waiting for the lease") standsBy.resolve()
      if (message === "in sync") inSync.resolve()
    } })
    await standsBy.promise
    await gateway("seen-by-the-first")
    await has(`gateway/${namespace}/seen-by-the-first`)
    expect(proxy.requests).toEqual([])
    await first.stop()
    await inSync.promise
    await gateway("seen-by-the-other")
    await has(`gateway/${namespace}/seen-by-the-other`)
    expect(proxy.requests.length).toBeGreaterThan(0)
  })

  test("status and bookkeeping of the API server lead to no message; another generation of the same content does", async () => {
    await gatewayClass()
    await gateway("web")
    await started()
    const before = store.messages("RESOURCES").length
    const condition = { type: "Accepted", status: "True", reason: "Accepted", message: "", lastTransitionTime: "2026-11-21T00:00:00Z", observedGeneration: 1 }
    await patch(`${gateways()}/web/status`, { status: { conditions: [condition] } })
    await patch(`${gateways()}/web`, { metadata: { annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } } })
    await create(inNamespace("services"), { metadata: { name: "foreign" }, spec: { ports: [{ port: 80 }] } })
    await gateway("last")
    await has(`gateway/${namespace}/last`)
    expect(store.messages("RESOURCES").slice(before).map(({ subject }) => subject)).toEqual([resourceSubject("gateway", `${namespace}/last`)])
  })

  test("who writes into the cluster sees each object of ours as it is, and hears of every change of it", async () => {
    await gatewayClass()
    await gatewayClass(`foreign-${namespace}`, "example.com/other")
    await gateway("web")
    await gateway("alien", { className: `foreign-${namespace}` })
    const api = connectApi(() => configOf({ server: proxy.url, token: server().token }))
    clients.push(api)
    const source = new KubernetesSource({ api, controllerName, installation, namespaces: undefined, discovery: { absent: 100, present: 300 }, log: () => undefined })
    source.open()
    stops.push(async () => source.close())
    await source.ready
    const { observer } = source
    const key = `${namespace}/web`
    expect([observer.isSynced("gateway"), observer.versionOf("gateway"), observer.isSynced("gatewayparameters"), observer.versionOf("gatewayparameters")]).toEqual([true, "v1", false, undefined])
    expect(observer.get("gateway", key)).toMatchObject({ uid: await uidOf("web"), generation: 1 })
    expect(observer.get("gateway", `${namespace}/alien`)).toBeUndefined()
    const heard: string[] = []
    const off = observer.onChange((kind, of) => { heard.push(`${kind}/${of}`) })
    await patch(`${gateways()}/alien/status`, { status: { addresses: [{ value: "10.9.9.8" }] } })
    await patch(`${gateways()}/web/status`, { status: { addresses: [{ value: "10.9.9.9" }] } })
    await until("the status is seen", () => JSON.stringify(observer.get("gateway", key)?.status).includes("10.9.9.9"))
    await remove(`${gateways()}/web`)
    await until("it is gone", () => observer.get("gateway", key) === undefined)
    expect(heard).toEqual([`gateway/${key}`, `gateway/${key}`])
    off()
  })

  test("the store is lost: everything is published anew, and marked for the new one", async () => {
    await gatewayClass()
    await gateway("web")
    await service("shop")
    await route("shop", "web", "shop")
    await started()
    await functions.stop()
    store.wipe()
    await has(`httproute/${namespace}/shop`)
    await until("all kinds are marked", () => marked().length === syncedKinds.length)
    functions = await openUnit(store.bus(), { unit: { plane: CONTROL_PLANE, fn: "certs" }, epoch: 2, writer: "test", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
    await equalsAfresh()
  })

  test("a kind that cannot be listed: nothing of it or of what depends on it is taken away, and it is said", async () => {
    await gatewayClass()
    await gateway("web")
    await service("shop")
    await route("shop", "web", "shop")
    const stop = await started()
    await stop()
    const before = objectsOf(on(store))
    proxy.fault = ({ path }) => (path.endsWith("/gateways") ? { is: "answer", status: 403, body: { kind: "Status", code: 403, reason: "Forbidden", message: "gateways is forbidden" } } : undefined)
    await started()
    expect(objectsOf(on(store))).toEqual(before)
    expect(on(store).get("note/kubernetes/kind/Gateway")?.body).toMatchObject({ severity: "error", reason: "KindRefused" })
    await remove(`${routes()}/shop`)
    proxy.fault = () => undefined
    await hasNot(`httproute/${namespace}/shop`)
    await hasNot("note/kubernetes/kind/Gateway")
    await equalsAfresh()
  })

  test("after a start without rights, a route that waits for its Service is not taken away meanwhile; one that is gone by then is", async () => {
    await gatewayClass()
    await gateway("web")
    await service("shop")
    for (const name of ["stays", "goes"]) await route(name, "web", "shop")
    const stop = await started()
    await stop()
    const forbidden = { is: "answer", status: 403, body: { kind: "Status", code: 403, reason: "Forbidden", message: "it is forbidden" } } as const
    const taken: string[] = []
    const bus = store.bus()
    const following = bus.follow({ stream: "RESOURCES", filter: "resource.>", from: "state", onMessage: ({ subject, headers }) => { if (isDeleted(headers)) taken.push(subject) }, onLost: (reason) => { throw new Error(reason) } })
    stops.push(async () => { await following.stop(); await bus.close() })
    proxy.fault = ({ path }) => (/\/(gateways|httproutes|services)$/.test(path) ? forbidden : undefined)
    await started()
    // Services come last, and are looked for one by one in vain until then.
    proxy.fault = ({ path }) => (/\/services(\/shop)?$/.test(path) ? forbidden : undefined)
    await hasNot("note/kubernetes/kind/HTTPRoute")
    await hasNot("note/kubernetes/kind/Gateway")
    await remove(`${routes()}/goes`)
    await hasNot(`httproute/${namespace}/goes`)
    proxy.fault = () => undefined
    await hasNot("note/kubernetes/kind/Service")
    await equalsAfresh()
    expect(taken.filter((subject) => subject.startsWith("resource.httproute."))).toEqual([resourceSubject("httproute", `${namespace}/goes`)])
  })

  test("a Gateway whose Secret the watch has not told of yet waits for it", async () => {
    await gatewayClass()
    await started()
    await isWatching("secrets")
    await isWatching("gateways")
    proxy.fault = ({ path, isWatch }) => (path === "/api/v1/secrets" && isWatch ? { is: "late", ms: 300 } : undefined)
    proxy.cut()
    await isWatching("gateways")
    await secret("tls", { "tls.crt": "x", "tls.key": "y" })
    await gateway("web", { secret: "tls" })
    await gateway("none", { secret: "nowhere" })
    await has(`gateway/${namespace}/web`)
    await has(`gateway/${namespace}/none`)
    expect(order().filter((id) => /secret|web/.test(id))).toEqual([`secret/${namespace}/tls`, `gateway/${namespace}/web`])
  })

  test("of a Secret nothing but its name is read until it is wanted; then its key is sealed for the plane, again when it changes", async () => {
    const key = randomBytes(32)
    await gatewayClass()
    await gateway("web", { secret: "tls" })
    await secret("tls", { "tls.crt": issued.chain, "tls.key": readFileSync(issued.keyFile, "utf8") })
    await started()
    const bodyOf = () => on(store).get(`secret/${namespace}/tls`)?.body
    expect(bodyOf()).toMatchObject({ metadata: { name: "tls" }, keys: [] })
    const reads = () => proxy.requests.filter(({ path }) => path.includes("/secrets/")).length
    expect(reads()).toBe(0)
    const plane = `${namespace}.web`
    await want("tls", plane)
    await until("it says that there is no key", () => JSON.stringify(bodyOf()).includes("NoPlaneKey"))
    await secret("forged", { "plane.key": randomBytes(32).toString("hex") }, { labels: { "headgate.dev/plane": plane } })
    const uid = await uidOf("web")
    await secret(objectName("web", plane), { "plane.key": key.toString("hex") }, { labels: { "headgate.dev/plane": plane }, ownerReferences: [{ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", name: "web", uid }] })
    const sealed = await until("the key is sealed", () => sealedIn(bodyOf())[plane])
    expect([...open(planeKey(new Redacted(key)), `${plane}/${namespace}/tls`, sealed).reveal()]).toEqual([...issued.key])
    const other = authority.issue(["b.example"])
    await patch(`${inNamespace("secrets")}/tls`, { data: { "tls.crt": Buffer.from(other.chain).toString("base64"), "tls.key": Buffer.from(readFileSync(other.keyFile)).toString("base64") } })
    await until("the new chain is there", () => JSON.stringify(bodyOf()).includes(JSON.stringify(other.chain).slice(1, -1)))
    expect(store.messages("RESOURCES").some(({ data }) => Buffer.from(data).toString().includes("PRIVATE KEY"))).toBe(false)
    await want("tls", null)
    await until("the content is gone", () => Object.keys(sealedIn(bodyOf())).length === 0)
    expect(bodyOf()).not.toHaveProperty("tls")
  })

  test("objects of others that change without end cost the bus nothing", async () => {
    await gatewayClass()
    await started()
    await isWatching("httproutes")
    const before = store.messages("RESOURCES").length
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      await route(`alien-${i}`, "elsewhere", "nothing")
      for (let round = 0; round < 5; round++) await patch(`${routes()}/alien-${i}`, { spec: { hostnames: [`r${round}.example`] } })
      await secret(`alien-${i}`, { a: "b" })
    }))
    await gateway("web")
    await has(`gateway/${namespace}/web`)
    expect(store.messages("RESOURCES").length).toBe(before + 1)
  })

  test("limited to namespaces it asks for these alone", async () => {
    await gatewayClass()
    await gateway("web")
    await create("/api/v1/namespaces", { metadata: { name: `${namespace}-other` } })
    await create(`${GATEWAY_API}/namespaces/${namespace}-other/gateways`, { kind: "Gateway", apiVersion: "gateway.networking.k8s.io/v1", metadata: { name: "web" }, spec: { gatewayClassName: namespace, listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } })
    await started({ namespaces: [namespace] })
    expect([...on(store).keys()].filter((id) => id.startsWith("gateway/"))).toEqual([`gateway/${namespace}/web`])
    expect([...on(store).keys()].filter((id) => id.startsWith("namespace/"))).toEqual([`namespace//${namespace}`])
    expect(proxy.requests.filter(({ path }) => /\/(gateways|services|secrets|httproutes|endpointslices)$/.test(path) && !path.includes("/namespaces/"))).toEqual([])
    await equalsAfresh({ namespaces: [namespace] })
  })

  const edits = async (round: string): Promise<void> => {
    await service(`s-${round}`)
    await slice(`s-${round}-1`, `s-${round}`)
    await route(`r-${round}`, "web", `s-${round}`)
    if (round !== "0") await remove(`${routes()}/r-0`).catch(() => undefined)
    await patch(`${gateways()}/web`, { metadata: { labels: { round } } })
  }

  /** What goes wrong once all is well. */
  const faults: Readonly<Record<string, () => Promise<void>>> = {
    "connections that are cut": async () => proxy.cut(),
    "half-open connections": async () => proxy.freeze(),
    "410 to every watch, once": async () => refused(410),
    "429 to every watch, three times": async () => refused(429),
    "500 to every watch, three times": async () => refused(500),
    "watches that are silent": async () => {
      proxy.fault = ({ isWatch }) => (isWatch ? { is: "silent", after: 0 } : undefined)
      proxy.cut()
      await edits("during")
      proxy.fault = () => undefined
    },
    "watches that break off in the middle of an event": async () => {
      let left = 30
      proxy.fault = ({ isWatch }) => (isWatch && left-- > 0 ? { is: "cut", after: 700 } : undefined)
      proxy.cut()
      await edits("during")
    },
    "lines that are no JSON": async () => {
      let left = 20
      proxy.fault = ({ isWatch }) => (isWatch && left-- > 0 ? { is: "changed", by: (text) => text.replace(/.{30}\n/, "\n") } : undefined)
      proxy.cut()
      await edits("during")
    },
    "410, and then lists that take long": async () => {
      proxy.fault = ({ isWatch, query }) => (isWatch ? { is: "answer", status: 410 } : query.has("limit") ? { is: "late", ms: 1_000 } : undefined)
      proxy.cut()
      await edits("during")
      proxy.fault = ({ query, isWatch }) => (!isWatch && query.has("limit") ? { is: "late", ms: 1_000 } : undefined)
    },
    "an API server that is killed, and back": async () => {
      await server().kill()
      await server().restart()
    },
  }
  const refused = (status: number): void => {
    const times = new Map<string, number>()
    proxy.fault = ({ path, isWatch }) => {
      const time = (times.get(path) ?? 0) + 1
      times.set(path, time)
      return isWatch && time <= (status === 410 ? 1 : 3) ? { is: "answer", status } : undefined
    }
    proxy.cut()
  }

  test.each(Object.entries(faults))("after %s the bus is as the API server says", async (_what, fault) => {
    await gatewayClass()
    await gateway("web")
    await edits("0")
    await started({ timing: { first: 20, max: 200, quiet: 1_500 } })
    await isWatching("httproutes")
    await fault()
    await edits("after")
    await equalsAfresh()
  })

  test("rights that are withdrawn take nothing away, which is said; given back, it goes on", async () => {
    const bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    const bind = () => create(bindings, { metadata: { name: "reader" }, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" }, subjects: [{ kind: "User", name: "reader", apiGroup: "rbac.authorization.k8s.io" }] })
    await bind()
    await gatewayClass()
    await gateway("web")
    await edits("0")
    const api = connectApi(() => configOf({ server: proxy.url, token: "reader" }))
    clients.push(api)
    await started({ api })
    await isWatching("httproutes")
    const before = objectsOf(on(store))
    await remove(`${bindings}/reader`)
    proxy.cut()
    await has("note/kubernetes/kind/HTTPRoute")
    expect(on(store).get("note/kubernetes/kind/HTTPRoute")?.body).toMatchObject({ reason: "KindRefused", severity: "error" })
    expect(objectsOf(on(store))).toEqual(before)
    await edits("1")
    await bind()
    await hasNot("note/kubernetes/kind/HTTPRoute")
    await equalsAfresh()
  })

  test("a version that is served no more: what was read stays, and an older one is read on, until the newer is back", async () => {
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/referencegrants.gateway.networking.k8s.io"
    const serve = async (served: boolean): Promise<void> => {
      const definition: { spec: { versions: { name: string; served: boolean }[] } } = JSON.parse(JSON.stringify(await server().api.request({ path })))
      for (const version of definition.spec.versions) if (version.name === "v1") version.served = served
      await server().api.request({ method: "PUT", path, body: definition })
    }
    const grants = (version: string): string => resourcePath({ group: "gateway.networking.k8s.io", version, plural: "referencegrants", namespace })
    const grant = (version: string, name: string) => create(grants(version), { apiVersion: `gateway.networking.k8s.io/${version}`, kind: "ReferenceGrant", metadata: { name }, spec: { from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "x" }], to: [{ group: "", kind: "Service" }] } })
    await grant("v1", "first")
    await grant("v1", "second")
    await started()
    const before = store.messages("RESOURCES").length
    await serve(false)
    await has("note/kubernetes/kind/ReferenceGrant")
    await remove(`${grants("v1beta1")}/second`)
    await hasNot(`referencegrant/${namespace}/second`)
    await grant("v1beta1", "third")
    await has(`referencegrant/${namespace}/third`)
    await serve(true)
    await until("v1 is watched", () => proxy.watches(`${GATEWAY_API}/referencegrants`) > 0)
    await hasNot("note/kubernetes/kind/ReferenceGrant")
    expect(store.messages("RESOURCES").slice(before).filter(({ subject }) => subject.includes("first"))).toEqual([])
    await equalsAfresh()
  })

  test("definitions that are taken away take their objects along; a mistake in one leaves the version before it, but not one of an object that is gone", async () => {
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gatewayparameters.headgate.dev"
    const define = (...versions: readonly string[]) => server().api.request({ method: "PATCH", path, query: { fieldManager: "test", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: {
      apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: "gatewayparameters.headgate.dev" },
      spec: { group: "headgate.dev", scope: "Namespaced", names: { plural: "gatewayparameters", singular: "gatewayparameters", kind: "GatewayParameters", listKind: "GatewayParametersList" }, versions: versions.map((name, index) => ({ name, served: true, storage: index === 0, schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } })) },
    } })
    const stop = await started()
    await has("note/kubernetes/kind/GatewayParameters")
    await define("v1alpha1")
    await hasNot("note/kubernetes/kind/GatewayParameters")
    const parameters = resourcePath({ group: "headgate.dev", version: "v1alpha1", plural: "gatewayparameters", namespace })
    await create(parameters, { apiVersion: "headgate.dev/v1alpha1", kind: "GatewayParameters", metadata: { name: "few" }, spec: { replicas: 2 } })
    await has(`gatewayparameters/${namespace}/few`)
    await patch(`${parameters}/few`, { spec: { replicas: -1 } })
    const note = await until("its mistake is noted", () => [...on(store)].find(([id]) => id.startsWith("note/") && id.includes(`${namespace}/few`)))
    expect(note[1].body).toMatchObject({ severity: "error", field: "spec.replicas", about: { kind: "GatewayParameters", namespace, name: "few" } })
    expect(on(store).get(`gatewayparameters/${namespace}/few`)?.body).toMatchObject({ spec: { replicas: 2 } })
    await patch(`${parameters}/few`, { spec: { replicas: 3 } })
    await hasNot(note[0])
    await stop()
    await remove(`${parameters}/few`)
    await create(parameters, { apiVersion: "headgate.dev/v1alpha1", kind: "GatewayParameters", metadata: { name: "few" }, spec: { replicas: -1 } })
    await started()
    await hasNot(`gatewayparameters/${namespace}/few`)
    await has(note[0])
    await patch(`${parameters}/few`, { spec: { replicas: 2 } })
    await has(`gatewayparameters/${namespace}/few`)
    await remove(path)
    await hasNot(`gatewayparameters/${namespace}/few`)
    await has("note/kubernetes/kind/GatewayParameters")
  })
}, ["reader,reader,2"])
