/** Who writes, and when nobody does: two processes, an API server that goes away, a bus that goes away. */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import type { Status } from "../../../../bus/kinds/status.ts"
import { memoryStore } from "../../../../bus/memory.ts"
import { onApiServer } from "../../../../test/cluster/api-server.ts"
import { ADAPTER, CONTROLLER, faster, prepare, world, type World } from "../../../../test/cluster/applying.ts"
import { startFaultProxy } from "../../../../test/cluster/fault-proxy.ts"
import { until } from "../../../../test/system/until.ts"

const GATEWAY_API = "gateway.networking.k8s.io/v1"

await onApiServer("the leader of the apply half", (server) => {
  let w: World
  beforeAll(() => prepare(server()))
  beforeEach(async () => {
    w = await world(server())
    await w.declare()
  })
  afterEach(() => w.stop())

  const makeRoute = (name: string) =>
    w.api.request({ method: "POST", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/httproutes`, body: { apiVersion: GATEWAY_API, kind: "HTTPRoute", metadata: { name }, spec: { parentRefs: [{ name: "edge" }] } } })
  const statusOf = (name: string, status: "True" | "False"): Status => ({
    schema: 1, source: { kind: "HTTPRoute", namespace: w.namespace, name }, observedGeneration: 1,
    parents: [{ parentRef: { group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" }, controllerName: CONTROLLER, conditions: [{ type: "Accepted", status, reason: "Valid", message: "", observedGeneration: 1 }] }],
  })
  const say = (name: string, status: "True" | "False", store = w.store) => w.say(`httproute/${w.namespace}/${name}`, statusOf(name, status), store)
  const accepted = async (name: string) => (await w.get("httproute", name)).status?.parents?.[0]?.conditions[0]?.status
  const lease = async () => {
    const { spec, metadata }: { spec: { holderIdentity: string; leaseTransitions: number }; metadata: { annotations: Record<string, string> } } = JSON.parse(JSON.stringify(await w.api.request({ path: `/apis/coordination.k8s.io/v1/namespaces/${w.namespace}/leases/headgate-adapter` })))
    return { ...spec, annotations: metadata.annotations }
  }
  const ofMain = (method: string, path: string): boolean => method === "PATCH" && path.includes("httproutes")

  test("of two processes one writes; the second waits, and has the Lease at once when the first gives it back", async () => {
    await makeRoute("web")
    const one = w.start({ holder: "one" })
    await until("one leads", () => one.apply.leads)
    const two = w.start({ holder: "two" })
    await say("web", "True")
    await until("it is written", async () => (await accepted("web")) === "True")
    await one.apply.statuses.settled()
    expect(two.apply.leads).toBe(false)
    expect(two.apply.statuses.writes).toBe(0)
    expect(await lease()).toMatchObject({ holderIdentity: "one", leaseTransitions: 0, annotations: { "headgate.dev/epoch": "1" } })
    await one.stop()
    const began = performance.now()
    await until("two leads", () => two.apply.leads)
    expect(performance.now() - began).toBeLessThan(4000)
    await until("what it knew stands: it writes nothing", async () => (await lease()).holderIdentity === "two")
    await say("web", "False")
    await until("two writes", async () => (await accepted("web")) === "False")
    expect(two.apply.statuses.writes).toBe(1)
  })

  test.each([
    ["while it is asked for", 0, "POST"],
    ["while it is renewed", 1, "PUT"],
  ])("whoever stops %s gives it back as soon as that is answered", async (_when, renewals, method) => {
    const cut = await startFaultProxy({ server: server().url, authority: server().authority })
    let answered = 0
    cut.fault = (request) => (request.path.includes("/leases") && request.method !== "GET" && answered++ === renewals ? { is: "late", ms: 300 } : undefined)
    const one = w.start({ through: cut })
    await until("it is on its way", () => cut.requests.some((request) => request.method === method && request.path.includes("/leases")))
    await one.stop()
    expect(await lease()).toMatchObject({ holderIdentity: "" })
    await cut.stop()
  })

  test("who stops after a renewal that failed gives it back all the same", async () => {
    const cut = await startFaultProxy({ server: server().url, authority: server().authority })
    const one = w.start({ through: cut })
    await until("it leads", () => one.apply.leads)
    cut.fault = ({ method, path }) => (path.includes("/leases") && method === "PUT" ? { is: "answer", status: 500 } : undefined)
    await until("a renewal failed", () => one.log.some(({ message }) => message === "the Lease was not renewed"))
    expect(one.apply.leads).toBe(true)
    cut.fault = () => undefined
    await one.stop()
    expect(await lease()).toMatchObject({ holderIdentity: "" })
    await cut.stop()
  })

  test("who cannot renew stops writing before another may begin, and is not heard when it thaws", async () => {
    await makeRoute("web")
    const clock = faster(10)
    const cut = await startFaultProxy({ server: server().url, authority: server().authority })
    const one = w.start({ holder: "one", clock, through: cut })
    await until("one leads", () => one.apply.leads)
    const two = w.start({ holder: "two", clock })
    const [ended, began] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()]
    const watching = setInterval(() => {
      if (!one.apply.leads) ended.resolve(performance.now())
      if (two.apply.leads) began.resolve(performance.now())
    }, 1)
    // Renewals are not answered any more; everything else is.
    cut.fault = ({ path }) => (path.includes("/leases") ? { is: "unanswered" } : undefined)
    const gap = (await began.promise) - (await ended.promise)
    clearInterval(watching)
    expect(gap).toBeGreaterThan(0)
    await say("web", "True")
    await until("two writes", async () => (await accepted("web")) === "True")
    await two.apply.statuses.settled()
    expect(cut.requests.filter(({ method, path }) => ofMain(method, path))).toEqual([])
    cut.fault = () => undefined
    await until("one asks again", () => one.log.filter(({ message }) => message === "the Lease was not renewed").length > 0)
    expect(one.apply.leads).toBe(false)
    await one.stop()
    await cut.stop()
  })

  test("rights withdrawn are a note for as long as they are; nothing is written, and all of it after", async () => {
    await makeRoute("web")
    const { apply, notes } = w.start({ clock: faster(10) })
    await until("it leads", () => apply.leads)
    const forbidden = (path: string) => ({ is: "answer", status: 403, body: { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Forbidden", code: 403, message: `${path} is forbidden: User "adapter" cannot do that` } }) as const
    w.proxy.fault = ({ path }) => (path.includes("/leases") || path.endsWith("/serviceaccounts") ? forbidden(path) : undefined)
    w.proxy.cut()
    await until("notes", () => notes.has("apply/leader") && notes.has("apply/made/serviceaccounts"))
    expect([...notes.values()].map(({ reason }) => reason)).toEqual(["Forbidden", "Forbidden"])
    await until("it does not lead", () => !apply.leads)
    await say("web", "True")
    w.proxy.fault = () => undefined
    await until("it is written", async () => (await accepted("web")) === "True")
    await until("no note is left", () => notes.size === 0, 30_000)
  }, 60_000)

  test("the API server away: nothing is believed to be written; back again the newest is, once", async () => {
    await makeRoute("web")
    await makeRoute("other")
    const clock = faster(10)
    const { apply } = w.start({ clock })
    await say("web", "True")
    await until("it is written", async () => (await accepted("web")) === "True")
    await server().kill()
    const before = apply.statuses.writes
    await until("it does not lead", () => !apply.leads)
    for (let n = 0; n < 20; n++) {
      await say("web", n % 2 === 0 ? "False" : "True")
      await say("other", "True")
    }
    await say("web", "False")
    await server().restart()
    await until("it leads again", () => apply.leads, 60_000)
    await until("the newest is written", async () => (await accepted("web")) === "False" && (await accepted("other")) === "True")
    await apply.statuses.settled()
    expect(apply.statuses.writes - before).toBeLessThanOrEqual(4)
  }, 120_000)

  test("the bus away: nothing is written from what was known before; back again what was said meanwhile is", async () => {
    await makeRoute("web")
    const { apply, bus } = w.start()
    await say("web", "True")
    await until("it is written", async () => (await accepted("web")) === "True")
    bus.disconnect()
    await say("web", "False")
    // Somebody else's write would make it write, had it heard.
    await w.api.request({ method: "PATCH", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/httproutes/web/status`, headers: { "content-type": "application/merge-patch+json" }, body: { status: { parents: [] } } })
    await makeRoute("mark")
    const seen = w.proxy.requests.length
    await until("the Lease was renewed meanwhile", () => w.proxy.requests.slice(seen).some(({ method, path }) => method === "PUT" && path.includes("/leases")))
    expect(await accepted("web")).toBeUndefined()
    expect(apply.statuses.writes).toBe(1)
    bus.connect()
    await until("what was said is written", async () => (await accepted("web")) === "False")
    expect(apply.statuses.writes).toBe(2)
  })

  test("a store made anew: nothing is written from it before all of it is there, and nothing flips", async () => {
    await makeRoute("web")
    const one = w.start()
    await say("web", "True")
    await until("it is written", async () => (await accepted("web")) === "True")
    await one.apply.statuses.settled()
    await one.stop()
    const { metadata } = await w.get("httproute", "web")
    const anew = memoryStore()
    const two = w.start({ holder: "two", store: anew })
    await until("it leads", () => two.apply.leads)
    // What a function that has not read everything would say.
    await say("web", "False", anew)
    const seen = w.proxy.requests.length
    await until("the Lease was renewed meanwhile", () => w.proxy.requests.slice(seen).some(({ method, path }) => method === "PUT" && path.includes("/leases")))
    expect((await w.get("httproute", "web")).metadata.resourceVersion).toBe(metadata.resourceVersion)
    await say("web", "True", anew)
    await w.declare(anew)
    await two.apply.statuses.settled()
    expect((await w.get("httproute", "web")).metadata.resourceVersion).toBe(metadata.resourceVersion)
    expect(two.apply.statuses.writes).toBe(0)
  })

  test.each([
    ["", 0],
    [", also by a clock that is an hour ahead", 3_600_000],
  ])("a store made anew%s, in which no gateway pod has said yet that it serves: what was Programmed stays so for a while, and is not for ever", async (_what, ahead) => {
    await w.api.request({ method: "POST", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways`, body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name: "edge" }, spec: { gatewayClassName: "ours", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } } })
    const programmed = (status: "True" | "False", reason: string): Status => ({ schema: 1, source: { kind: "Gateway", namespace: w.namespace, name: "edge" }, observedGeneration: 1, listeners: [], conditions: [{ type: "Programmed", status, reason, message: "", observedGeneration: 1 }] })
    const id = `gateway/${w.namespace}/edge`
    const stands = async () => (await w.get("gateway", "edge")).status?.conditions?.find(({ type }) => type === "Programmed")
    const one = w.start()
    await w.say(id, programmed("True", "Programmed"))
    await until("it is written", async () => (await stands())?.status === "True")
    await one.apply.statuses.settled()
    await one.stop()
    // Its times are the clock's: it is young.
    const anew = memoryStore({ now: () => Date.now() + ahead })
    await w.say(id, programmed("False", "NoResources"), anew)
    await w.declare(anew)
    const two = w.start({ holder: "two", store: anew, clock: faster(10) })
    await until("it leads", () => two.apply.leads)
    const seen = w.proxy.requests.length
    await until("the Lease was renewed meanwhile", () => w.proxy.requests.slice(seen).filter(({ method, path }) => method === "PUT" && path.includes("/leases")).length >= 2)
    expect(await stands()).toMatchObject({ status: "True" })
    expect(two.apply.statuses.writes).toBe(0)
    await until("nobody came", async () => (await stands())?.reason === "NoResources")
  })
}, [ADAPTER])
