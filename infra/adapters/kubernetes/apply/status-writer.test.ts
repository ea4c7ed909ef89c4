/** Statuses on a real API server, as the user whose rights are those of permissions.ts. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Condition, Status } from "../../../../bus/kinds/status.ts"
import { onApiServer } from "../../../../test/cluster/api-server.ts"
import { ADAPTER, CONTROLLER, prepare, world, type World } from "../../../../test/cluster/applying.ts"
import { until } from "../../../../test/system/until.ts"

const GATEWAY_API = "gateway.networking.k8s.io/v1"

const condition = (type: string, status: Condition["status"], observedGeneration = 1, reason = status === "True" ? "Valid" : "Invalid"): Condition => ({ type, status, reason, message: `${type} is ${status}.`, observedGeneration })

await onApiServer("statuses in the API", (server) => {
  let w: World
  beforeAll(() => prepare(server()))
  beforeEach(async () => { w = await world(server()) })
  afterEach(() => w.stop())

  const at = (plural: string): string => `/apis/${GATEWAY_API}/namespaces/${w.namespace}/${plural}`
  const makeRoute = (name: string, ...parents: readonly string[]) =>
    w.api.request({ method: "POST", path: at("httproutes"), body: { apiVersion: GATEWAY_API, kind: "HTTPRoute", metadata: { name }, spec: { parentRefs: (parents.length === 0 ? ["edge"] : parents).map((parent) => ({ name: parent })), rules: [{ backendRefs: [{ name: "a", port: 80 }] }] } } })
  const makeGateway = (name: string, listeners: readonly string[] = ["http"]) =>
    w.api.request({ method: "POST", path: at("gateways"), body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name }, spec: { gatewayClassName: "ours", listeners: listeners.map((listener, i) => ({ name: listener, port: 80 + i, protocol: "HTTP" })) } } })

  const parentOf = (parent: string, conditions: readonly Condition[]) => ({ parentRef: { group: "gateway.networking.k8s.io", kind: "Gateway", name: parent }, controllerName: CONTROLLER, conditions: [...conditions] })
  const routeStatus = (name: string, conditions: readonly Condition[], { parents = ["edge"], uid, observedGeneration = 1 }: { readonly parents?: readonly string[]; readonly uid?: string; readonly observedGeneration?: number } = {}): Status => ({
    schema: 1, source: { kind: "HTTPRoute", namespace: w.namespace, name }, ...(uid === undefined ? {} : { uid }), observedGeneration,
    parents: parents.map((parent) => parentOf(parent, conditions.map((each) => ({ ...each, observedGeneration })))),
  })
  const gatewayStatus = (name: string, conditions: readonly Condition[], attachedRoutes = 0, listeners: readonly string[] = ["http"], extra: readonly Condition[] = []): Status => ({
    schema: 1, source: { kind: "Gateway", namespace: w.namespace, name }, observedGeneration: 1, conditions: [...conditions], addresses: [{ type: "IPAddress", value: "192.0.2.7" }],
    listeners: listeners.map((listener) => ({ name: listener, supportedKinds: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute" }], attachedRoutes, conditions: [condition("Accepted", "True"), ...extra] })),
  })
  const sayRoute = (name: string, status: Status | undefined) => w.say(`httproute/${w.namespace}/${name}`, status)
  const sayGateway = (name: string, status: Status | undefined) => w.say(`gateway/${w.namespace}/${name}`, status)
  const parents = async (name: string) => (await w.get("httproute", name)).status?.parents ?? []
  const acceptedOf = async (name: string) => (await parents(name)).find(({ controllerName }) => controllerName === CONTROLLER)?.conditions.find(({ type }) => type === "Accepted")
  const asOther = (name: string, entries: readonly unknown[]) => w.api.request({ method: "PATCH", path: `${at("httproutes")}/${name}/status`, headers: { "content-type": "application/merge-patch+json" }, body: { status: { parents: entries } } })
  const conflicts = () => w.proxy.requests.filter(({ method, path }) => method === "GET" && /httproutes\/[^/]+$/.test(path)).length

  test("nothing is written before the function that says statuses has committed all of them in this store; then it is", async () => {
    await makeRoute("web")
    await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
    const { apply } = w.start()
    await until("it leads", () => apply.leads)
    await makeRoute("mark")
    expect(w.writes()).toEqual([])
    await w.declare()
    await until("it is written", async () => (await acceptedOf("web"))?.status === "True")
    expect(w.writes()).toEqual(["PATCH httproutes/web/status"])
  })

  describe("with a function that has", () => {
    beforeEach(() => w.declare())

    test("a condition keeps its time while its status is the same, and no other; where only a time would change nothing is written", async () => {
      await makeRoute("web")
      const { apply } = w.start()
      await asOther("web", [{ ...parentOf("edge", [condition("Accepted", "True"), condition("ResolvedRefs", "False")]), conditions: [condition("Accepted", "True"), condition("ResolvedRefs", "False")].map((each) => ({ ...each, lastTransitionTime: "2020-01-01T00:00:00Z" })) }])
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True"), condition("ResolvedRefs", "True")]))
      await until("it is written", async () => (await parents("web"))[0]?.conditions.find(({ type }) => type === "ResolvedRefs")?.status === "True")
      const [own] = await parents("web")
      expect(own?.conditions.find(({ type }) => type === "Accepted")?.lastTransitionTime).toBe("2020-01-01T00:00:00Z")
      expect(Date.parse(own?.conditions.find(({ type }) => type === "ResolvedRefs")?.lastTransitionTime ?? "")).toBeGreaterThan(Date.now() - 60_000)
      const { metadata } = await w.get("httproute", "web")
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True"), condition("ResolvedRefs", "True")]))
      await apply.statuses.settled()
      expect((await w.get("httproute", "web")).metadata.resourceVersion).toBe(metadata.resourceVersion)
      expect(w.writes()).toHaveLength(1)
    })

    test("entries of other controllers stay as they are, in their places; own ones that are no longer wanted go, and all of them when the route is none of ours any more", async () => {
      const others = [
        { controllerName: "example.com/a", parentRef: { name: "edge", sectionName: "x" }, conditions: [{ ...condition("Accepted", "False"), lastTransitionTime: "2021-02-03T04:05:06Z" }] },
        { controllerName: "example.com/b", parentRef: { group: "", kind: "Service", name: "mesh", port: 7 }, conditions: [{ ...condition("Accepted", "True"), lastTransitionTime: "2022-02-03T04:05:06Z" }] },
      ]
      await makeRoute("web", "edge", "more")
      await asOther("web", others)
      const before = JSON.stringify((await parents("web")))
      const { apply } = w.start()
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")], { parents: ["edge", "more"] }))
      await until("both are there", async () => (await parents("web")).length === 4)
      const foreign = async () => JSON.stringify((await parents("web")).filter(({ controllerName }) => controllerName !== CONTROLLER))
      expect(await foreign()).toBe(before)
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")], { parents: ["more"] }))
      await until("one is left", async () => (await parents("web")).length === 3)
      expect((await parents("web")).map(({ parentRef }) => parentRef.name)).toEqual(["edge", "mesh", "more"])
      await sayRoute("web", undefined)
      await until("none is left", async () => (await parents("web")).length === 2)
      expect(await foreign()).toBe(before)
      await apply.statuses.settled()
      expect(w.writes()).toHaveLength(3)
    })

    test("what another controller writes meanwhile is not lost: the list is read again", async () => {
      await makeRoute("web")
      const { apply } = w.start()
      await until("it leads", () => apply.leads)
      w.proxy.fault = ({ method }) => (method === "PATCH" ? { is: "late", ms: 300 } : undefined)
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("it is on its way", () => w.writes().length === 1)
      w.proxy.fault = () => undefined
      await asOther("web", [{ controllerName: "example.com/a", parentRef: { name: "edge" }, conditions: [{ ...condition("Accepted", "False"), lastTransitionTime: "2021-02-03T04:05:06Z" }] }])
      await until("both are there", async () => (await parents("web")).length === 2)
      expect((await parents("web")).map(({ controllerName }) => controllerName)).toEqual(["example.com/a", CONTROLLER])
      expect(conflicts()).toBe(1)
    })

    test("a status of an older generation than the one that is said already, and one of an object before this one of its name, are not written", async () => {
      const made: { readonly metadata: { readonly uid: string } } = JSON.parse(JSON.stringify(await makeRoute("web")))
      await w.api.request({ method: "PATCH", path: `${at("httproutes")}/web`, headers: { "content-type": "application/merge-patch+json" }, body: { spec: { hostnames: ["a.example"] } } })
      const { apply } = w.start()
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")], { uid: made.metadata.uid, observedGeneration: 2 }))
      await until("it is written", async () => (await acceptedOf("web"))?.observedGeneration === 2)
      await sayRoute("web", routeStatus("web", [condition("Accepted", "False")], { uid: made.metadata.uid, observedGeneration: 1 }))
      await apply.statuses.settled()
      expect(await acceptedOf("web")).toMatchObject({ status: "True", observedGeneration: 2 })
      // One of a generation that is not there yet says nothing of what is there.
      await sayRoute("web", routeStatus("web", [condition("Accepted", "False")], { uid: made.metadata.uid, observedGeneration: 3 }))
      await apply.statuses.settled()
      expect(await acceptedOf("web")).toMatchObject({ status: "True", observedGeneration: 2 })
      await sayRoute("web", routeStatus("web", [condition("Accepted", "False")], { uid: made.metadata.uid, observedGeneration: 1 }))
      await w.api.request({ method: "DELETE", path: `${at("httproutes")}/web` })
      await makeRoute("web")
      await makeRoute("mark")
      await sayRoute("mark", routeStatus("mark", [condition("Accepted", "True")]))
      await until("what came after it is written", async () => (await acceptedOf("mark"))?.status === "True")
      await apply.statuses.settled()
      expect(await parents("web")).toEqual([])
      const again = await w.get("httproute", "web")
      await sayRoute("web", routeStatus("web", [condition("Accepted", "False")], { uid: again.metadata.uid }))
      await until("its own is written", async () => (await acceptedOf("web"))?.status === "False")
    })

    test("a Gateway's status is applied beside conditions of others; what is ours and no longer wanted goes", async () => {
      await makeGateway("edge", ["http", "more"])
      const { apply } = w.start()
      const ofOthers = { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name: "edge", namespace: w.namespace }, status: { conditions: [{ ...condition("example.com/Seen", "True"), lastTransitionTime: "2021-02-03T04:05:06Z" }] } }
      await w.api.request({ method: "PATCH", path: `${at("gateways")}/edge/status`, query: { fieldManager: "other" }, headers: { "content-type": "application/apply-patch+yaml" }, body: ofOthers })
      await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "True"), condition("headgate.dev/Extra", "True")], 1, ["http", "more"], [condition("OverlappingTLSConfig", "True")]))
      const types = async () => ((await w.get("gateway", "edge")).status?.conditions ?? []).map(({ type }) => type).sort()
      await until("it is written", async () => (await types()).length === 4)
      expect((await w.get("gateway", "edge")).status?.listeners?.map(({ name, attachedRoutes }) => [name, attachedRoutes])).toEqual([["http", 1], ["more", 1]])
      await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "True")], 1, ["http"]))
      await until("what is left", async () => (await types()).length === 3)
      expect(await types()).toEqual(["Accepted", "Programmed", "example.com/Seen"])
      const { status } = await w.get("gateway", "edge")
      expect(status?.listeners?.map(({ name }) => name)).toEqual(["http"])
      expect(JSON.stringify(status)).not.toContain("OverlappingTLSConfig")
      await apply.statuses.settled()
      expect(w.writes()).toHaveLength(2)
    })

    test("a new generation of a Gateway that was served: that no pod has it yet is said only when it stays so", async () => {
      const served = (observedGeneration: number, programmed: Condition["status"]): Status => {
        const each = condition("Programmed", programmed, observedGeneration, programmed === "True" ? "Programmed" : "Pending")
        const { listeners = [], ...status } = gatewayStatus("edge", [each])
        return { ...status, observedGeneration, listeners: listeners.map((listener) => ({ ...listener, conditions: [each] })) }
      }
      const said = async () => ((await w.get("gateway", "edge")).status?.conditions ?? []).map(({ type, status, observedGeneration }) => `${type} ${status} ${observedGeneration}`)
      const edit = (port: number) => w.api.request({ method: "PATCH", path: `${at("gateways")}/edge`, headers: { "content-type": "application/merge-patch+json" }, body: { spec: { listeners: [{ name: "http", port, protocol: "HTTP" }] } } })
      await makeGateway("edge")
      w.start()
      await sayGateway("edge", served(1, "False"))
      await until("of a new one it is said at once", async () => (await said()).includes("Programmed False 1"))
      await sayGateway("edge", served(1, "True"))
      await until("it is served", async () => (await said()).includes("Programmed True 1"))
      const before = w.writes().length
      await edit(81)
      await makeRoute("mark")
      const began = performance.now()
      await sayGateway("edge", served(2, "False"))
      // Twice what came after it, so that the pause between two writes of one object is over.
      for (const is of ["True", "False"] as const) {
        await sayRoute("mark", routeStatus("mark", [condition("Accepted", is)]))
        await until("what came after it is written", async () => (await acceptedOf("mark"))?.status === is)
      }
      await sayGateway("edge", served(2, "True"))
      const took = performance.now() - began
      await until("it is served", async () => (await said()).includes("Programmed True 2"))
      const writes = w.writes().filter((write) => write.includes("gateways")).length
      // On a machine with much to do the second may be over.
      if (took < 900) expect(writes).toBe(before + 1)
      await edit(82)
      await sayGateway("edge", served(3, "False"))
      await until("it stays so", async () => (await said()).includes("Programmed False 3"))
      expect(w.writes().filter((write) => write.includes("gateways"))).toHaveLength(writes + 1)
    })

    test("a restart writes nothing, whatever others say besides", async () => {
      await makeGateway("edge")
      await makeRoute("web")
      const first = w.start()
      await w.api.request({ method: "PATCH", path: `${at("gateways")}/edge/status`, query: { fieldManager: "other" }, headers: { "content-type": "application/apply-patch+yaml" }, body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name: "edge", namespace: w.namespace }, status: { conditions: [{ ...condition("example.com/Seen", "True"), lastTransitionTime: "2021-02-03T04:05:06Z" }] } } })
      await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "True")]))
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("both are written", () => w.writes().length === 2)
      await first.apply.statuses.settled()
      await first.stop()
      const second = w.start({ holder: "two" })
      await until("it leads", () => second.apply.leads)
      await second.apply.statuses.settled()
      expect(w.writes()).toHaveLength(2)
      expect(second.apply.statuses.writes).toBe(0)
    })

    test("what somebody writes into our status is put right again", async () => {
      await makeRoute("web")
      w.start()
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("it is written", async () => (await acceptedOf("web"))?.status === "True")
      await asOther("web", [])
      await until("it is written again", async () => (await acceptedOf("web"))?.status === "True")
    })

    test("of a Gateway whose routes change a thousand times a few statuses are written, and the last of them", async () => {
      await makeGateway("edge")
      const { apply } = w.start()
      await until("it leads", () => apply.leads)
      const began = performance.now()
      for (let n = 1; n <= 1000; n++) {
        await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "True")], n))
        if (n % 10 === 0) await w.api.request({ path: "/readyz" }).catch(() => undefined)
      }
      await until("the last", async () => (await w.get("gateway", "edge")).status?.listeners?.[0]?.attachedRoutes === 1000)
      const seconds = (performance.now() - began) / 1000
      expect(apply.statuses.writes).toBeGreaterThan(1)
      expect(apply.statuses.writes).toBeLessThanOrEqual(Math.ceil(seconds / 0.2) + 1)
    })

    test("an API server that is asked too much is given the time it asks for", async () => {
      await makeRoute("web")
      const { apply } = w.start()
      await until("it leads", () => apply.leads)
      let refusedAt = 0
      w.proxy.fault = ({ method, path }) => {
        if (method !== "PATCH" || !path.endsWith("/status") || refusedAt > 0) return undefined
        refusedAt = performance.now()
        return { is: "answer", status: 429, headers: { "retry-after": "1" } }
      }
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("it is written", async () => (await acceptedOf("web"))?.status === "True")
      expect(performance.now() - refusedAt).toBeGreaterThanOrEqual(990)
      expect(w.writes()).toHaveLength(2)
    })

    test("what is refused is a note with the API's words, until it heals", async () => {
      await makeRoute("web")
      const { apply, notes } = w.start()
      await until("it leads", () => apply.leads)
      const wrong = { ...condition("Accepted", "True"), reason: "not a reason" }
      await sayRoute("web", routeStatus("web", [wrong]))
      const note = await until("a note", () => notes.get(`apply/status/httproute/${w.namespace}/web`))
      expect(note).toMatchObject({ severity: "error", reason: "Invalid", about: { kind: "HTTPRoute", namespace: w.namespace, name: "web" } })
      expect(note.message).toContain("status.parents[0].conditions[0].reason")
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("it heals", () => notes.size === 0)
      expect((await acceptedOf("web"))?.status).toBe("True")
    })

    test("a route that is gone is dropped, one that comes is written when it is there", async () => {
      const { apply } = w.start()
      await sayRoute("web", routeStatus("web", [condition("Accepted", "True")]))
      await until("it leads", () => apply.leads)
      await apply.statuses.settled()
      expect(w.writes()).toEqual([])
      await makeRoute("web")
      await until("it is written", async () => (await acceptedOf("web"))?.status === "True")
    })

    test("people are told once what became worse, on the object, and nothing of what only passes", async () => {
      await makeGateway("edge")
      w.start()
      const events = async () => {
        const { items }: { items: { reason: string; note: string; regarding: { kind: string; name: string }; type: string }[] } = JSON.parse(JSON.stringify(await w.api.request({ path: `/apis/events.k8s.io/v1/namespaces/${w.namespace}/events` })))
        return items
      }
      await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "False", 1, "Pending")]))
      await until("it is written", () => w.writes().length === 1)
      await sayGateway("edge", gatewayStatus("edge", [condition("Accepted", "True"), condition("Programmed", "False", 1, "AddressNotUsable")]))
      const [told, ...more] = await until("an Event", async () => (await events()).length > 0 && events())
      expect(more).toEqual([])
      expect(told).toMatchObject({ type: "Warning", reason: "AddressNotUsable", note: "Programmed is False: Programmed is False.", regarding: { kind: "Gateway", name: "edge" } })
    })
  })
}, [ADAPTER])
