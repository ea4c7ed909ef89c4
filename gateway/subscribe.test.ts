import fc from "fast-check"
import { afterEach, describe, expect, it } from "vitest"
import { canonical } from "../bus/canonical.ts"
import type { Bus } from "../bus/bus.ts"
import { memoryStore, type MemoryBus, type MemoryStore } from "../bus/memory.ts"
import { configSubject } from "../bus/subject.ts"
import { openUnit } from "../bus/unit/writer.ts"
import type { StagedChange, UnitWriter } from "../bus/unit/unit.ts"
import { Notes } from "./notes.ts"
import type { Units } from "./snapshot.ts"
import { Subscription, type SubscribeOptions } from "./subscribe.ts"
import { listener, match, request, route, rule } from "./table/fixture.ts"
import { Certificates } from "./tls/certificates.ts"
import { PlaneKeyFile } from "./tls/plane-key.ts"
import { LocalWorker } from "./workers.ts"

const plane = "default"
const entry = (section: string, id: string, value: unknown): StagedChange => ({ subject: configSubject(plane, section, id), body: value === null ? null : canonical(value), causes: [] })
const cluster = (id: string, ...addresses: readonly string[]): StagedChange =>
  entry("cluster", id, { schema: 1, source: { kind: "Service", namespace: "default", name: id }, protocol: "http", endpoints: addresses.map((address) => ({ address, port: 80 })) })
const plan = (...functions: readonly string[]): StagedChange => entry("plan", "plan", { schema: 1, functions })
const web = entry("listener", "l", listener("l"))
const to = (id: string, name: string): StagedChange => entry("route", id, route(id, [rule([match(`/${id}`)], name)]))

const open = (bus: Bus, fn: string, epoch = 1): Promise<UnitWriter> => openUnit(bus, { unit: { plane, fn }, epoch, writer: "test", version: "1", onSteppedDown: () => {} })

/** A gateway's control side on a port of a store. */
class Pod {
  readonly notes = new Notes()
  readonly worker: LocalWorker
  readonly subscription: Subscription
  readonly bus: MemoryBus
  swaps = 0
  #waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = []

  constructor(store: MemoryStore, options: Partial<SubscribeOptions> = {}) {
    this.bus = store.bus()
    this.worker = new LocalWorker({ endpoints: { get: (address, port) => ({ address, port }), keep: () => {} }, certificates: new Certificates({ plane, key: new PlaneKeyFile(undefined), onNotes: () => {} }), onSwap: () => void this.swaps++ })
    this.subscription = new Subscription({
      plane, workers: [this.worker], notes: this.notes,
      onStep: () => {}, onReplaced: () => {}, onRestored: () => {},
      onApplied: () => {
        const ready = this.#waiting.filter(({ holds }) => holds())
        this.#waiting = this.#waiting.filter((one) => !ready.includes(one))
        for (const { resolve } of ready) resolve()
      },
      ...options,
    })
    pods.push(this)
  }

  /** Which cluster answers `/id`, with its addresses: what a request would see. */
  find(id: string): string | null {
    const picked = this.worker.table.ports.get("*:80")?.find(request("GET", `h/${id}`))?.pick()?.cluster
    return picked === undefined || picked === null ? null : `${picked.id}:${picked.endpoints.map(({ address }) => address).join(",")}`
  }

  until(holds: () => boolean): Promise<void> {
    return holds() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ holds, resolve }))
  }

  folded(): string {
    return foldedOf(this.subscription.units)
  }
}

/** Everything served, as bytes. */
const foldedOf = (units: Units): string => canonical(Object.fromEntries([...units].map(([fn, { head, entries }]) => [fn, { digest: head.digest, count: head.count, entries: Object.fromEntries(entries) }])))

const pods: Pod[] = []
afterEach(async () => {
  for (const pod of pods.splice(0)) {
    await pod.subscription.stop()
    pod.worker.stop()
  }
})

const complete = async (store: MemoryStore): Promise<{ routes: UnitWriter; endpoints: UnitWriter }> => {
  const bus = store.bus()
  const [routes, endpoints] = await Promise.all([open(bus, "routes"), open(bus, "endpoints")])
  endpoints.stage([cluster("a", "10.0.0.1"), cluster("b", "10.0.0.2")])
  routes.stage([plan("endpoints", "routes"), web, to("r", "a")])
  await Promise.all([routes.settled(), endpoints.settled()])
  return { routes, endpoints }
}

describe("a gateway's subscription", () => {
  it("is ready once the functions of its plan have committed, and says what it waits for until then", async () => {
    const store = memoryStore()
    const bus = store.bus()
    const pod = new Pod(store)
    expect(pod.subscription.waiting).toMatch(/bus has not been reached/)
    pod.subscription.attach(pod.bus)
    await store.settle()
    expect(pod.subscription.waiting).toMatch(/Nothing is configured/)
    const [routes, endpoints] = await Promise.all([open(bus, "routes"), open(bus, "endpoints")])
    routes.stage([plan("endpoints", "routes"), web, to("r", "a")])
    await routes.settled()
    expect(pod.subscription.waiting).toBe("Waiting for the first commit of endpoints.")
    expect(pod.find("r")).toBeNull()
    endpoints.stage([cluster("a", "10.0.0.1")])
    await endpoints.settled()
    expect(pod.subscription.isReady).toBe(true)
    expect(pod.find("r")).toBe("a:10.0.0.1")
    expect(pod.swaps).toBe(1)
  })

  it("serves live edits, and holds a route back until its cluster is there", async () => {
    const store = memoryStore()
    const { routes, endpoints } = await complete(store)
    const pod = new Pod(store)
    pod.subscription.attach(pod.bus)
    await store.settle()
    routes.stage([to("r", "b")])
    await routes.settled()
    expect(pod.find("r")).toBe("b:10.0.0.2")
    routes.stage([to("r", "new")])
    await routes.settled()
    expect([pod.find("r"), pod.subscription.held]).toEqual(["b:10.0.0.2", 1])
    endpoints.stage([cluster("new", "10.0.0.3"), { ...cluster("b"), body: null }])
    await endpoints.settled()
    expect([pod.find("r"), pod.subscription.held]).toEqual(["new:10.0.0.3", 0])
    endpoints.stage([cluster("new", "10.0.0.4", "10.0.0.5")])
    await endpoints.settled()
    expect(pod.find("r")).toBe("new:10.0.0.4,10.0.0.5")
  })

  it("applies what waited too long, with a note that goes when the cluster comes", async () => {
    const store = memoryStore()
    const { routes, endpoints } = await complete(store)
    const pod = new Pod(store, { patience: 20 })
    pod.subscription.attach(pod.bus)
    await store.settle()
    routes.stage([to("r", "never")])
    await routes.settled()
    await pod.until(() => pod.find("r") === "never:")
    expect(pod.notes.list()).toMatchObject([{ reason: "ClusterMissing", severity: "warning" }])
    endpoints.stage([cluster("never", "10.0.0.9")])
    await endpoints.settled()
    expect(pod.find("r")).toBe("never:10.0.0.9")
    expect(pod.notes.list()).toEqual([])
  })

  it("says what is lacking no longer than something served names it", async () => {
    const store = memoryStore()
    const { routes } = await complete(store)
    const pod = new Pod(store, { patience: 20 })
    pod.subscription.attach(pod.bus)
    await store.settle()
    routes.stage([to("r", "never"), to("s", "never")])
    await routes.settled()
    await pod.until(() => pod.find("s") === "never:")
    routes.stage([to("r", "a")])
    await routes.settled()
    expect(pod.find("r")).toBe("a:10.0.0.1")
    expect(pod.notes.list()).toMatchObject([{ reason: "ClusterMissing" }])
    routes.stage([entry("route", "s", null)])
    await routes.settled()
    expect(pod.find("s")).toBeNull()
    expect(pod.notes.list()).toEqual([])
  })

  it("holds a listener back until the Secret it names was read, also when all was read again meanwhile", async () => {
    const store = memoryStore()
    const bus = store.bus()
    const [routes, certs] = await Promise.all([open(bus, "routes"), open(bus, "certs")])
    const certificate = (empty: string): StagedChange => entry("certificate", "new", { schema: 1, source: { kind: "Secret", namespace: "default", name: "new" }, names: [], empty })
    certs.stage([certificate("NotRead")])
    routes.stage([plan("certs", "routes"), web])
    await Promise.all([routes.settled(), certs.settled()])
    const first = new Pod(store)
    first.subscription.attach(first.bus)
    await store.settle()
    const pod = new Pod(store)
    pod.subscription.restore({ incarnation: first.subscription.incarnation, units: new Map([...first.subscription.units].map(([fn, { head, entries }]) => [fn, { head, entries: new Map(entries) }])) })
    pod.subscription.attach(pod.bus)
    await store.settle()
    routes.stage([entry("listener", "l", listener("l", { protocol: "HTTPS", port: 443, tls: { certificates: ["new"] } }))])
    await routes.settled()
    expect([pod.subscription.held, pod.worker.listeners.get("l")?.protocol]).toEqual([1, "HTTP"])
    certs.stage([certificate("Unusable")])
    await certs.settled()
    expect([pod.subscription.held, pod.worker.listeners.get("l")?.protocol]).toEqual([0, "HTTPS"])
  })

  it("parks a bad entry and serves the rest; the last good version stays; a good one heals it", async () => {
    const store = memoryStore()
    const { routes } = await complete(store)
    const pod = new Pod(store)
    pod.subscription.attach(pod.bus)
    await store.settle()
    routes.stage([entry("route", "r", { schema: 2, anything: true }), to("s", "b"), entry("mystery", "x", { schema: 1 })])
    await routes.settled()
    expect([pod.find("r"), pod.find("s")]).toEqual(["a:10.0.0.1", "b:10.0.0.2"])
    expect(pod.notes.list().map(({ reason }) => reason).sort()).toEqual(["NewerSchema", "UnknownSection"])
    routes.stage([entry("route", "r", route("r", [rule([match("(", { type: "regex" })], "a")]))])
    await routes.settled()
    expect(pod.notes.list().map(({ reason }) => reason).sort()).toEqual(["UnknownSection", "UnsupportedRegex"])
    routes.stage([to("r", "b")])
    await routes.settled()
    expect([pod.find("r"), pod.notes.list().map(({ reason }) => reason)]).toEqual(["b:10.0.0.2", ["UnknownSection"]])
  })

  it("keeps serving when the store is lost, and takes the new one only when its plan is complete", async () => {
    const store = memoryStore()
    await complete(store)
    const pod = new Pod(store)
    pod.subscription.attach(pod.bus)
    await store.settle()
    store.wipe()
    await store.settle()
    expect(pod.find("r")).toBe("a:10.0.0.1")
    expect(pod.notes.list()).toMatchObject([{ reason: "StoreLost" }])
    const bus = store.bus()
    const [routes, endpoints] = await Promise.all([open(bus, "routes"), open(bus, "endpoints")])
    routes.stage([plan("endpoints", "routes"), web, to("r", "b")])
    await routes.settled()
    expect(pod.find("r")).toBe("a:10.0.0.1")
    endpoints.stage([cluster("b", "10.0.0.7")])
    await endpoints.settled()
    await pod.until(() => pod.find("r") === "b:10.0.0.7")
    expect(pod.notes.list()).toEqual([])
    expect([...pod.worker.table.clusters.keys()]).toEqual(["b"])
    routes.stage([to("s", "b")])
    await routes.settled()
    expect(pod.find("s")).toBe("b:10.0.0.7")
  })

  it("starts from what was on disk without a bus, and goes to what the bus has", async () => {
    const store = memoryStore()
    const { routes, endpoints } = await complete(store)
    const first = new Pod(store)
    first.subscription.attach(first.bus)
    await store.settle()
    const units: Units = new Map([...first.subscription.units].map(([fn, { head, entries }]) => [fn, { head, entries: new Map(entries) }]))
    const second = new Pod(store)
    second.subscription.restore({ incarnation: first.subscription.incarnation, units })
    expect([second.subscription.isReady, second.find("r")]).toEqual([true, "a:10.0.0.1"])
    routes.stage([to("r", "b"), to("s", "a")])
    endpoints.stage([cluster("b", "10.0.0.8")])
    await Promise.all([routes.settled(), endpoints.settled()])
    second.subscription.attach(second.bus)
    await store.settle()
    expect([second.find("r"), second.find("s")]).toEqual(["b:10.0.0.8", "a:10.0.0.1"])
    expect(second.folded()).toBe(first.folded())
  })

  it("swaps nothing when what it reads again is what it serves", async () => {
    const store = memoryStore()
    await complete(store)
    const pod = new Pod(store)
    pod.subscription.attach(pod.bus)
    await store.settle()
    const { generation } = pod.worker.table
    await Promise.all([pod.subscription.reload(), store.settle()])
    expect(pod.worker.table.generation).toBe(generation)
    expect(pod.find("r")).toBe("a:10.0.0.1")
  })

  it("goes on after the connection was lost", async () => {
    const store = memoryStore()
    const { routes } = await complete(store)
    const pod = new Pod(store)
    pod.subscription.attach(pod.bus)
    await store.settle()
    pod.bus.disconnect()
    await store.settle()
    expect(pod.notes.list()).toMatchObject([{ reason: "BusAway" }])
    routes.stage([to("r", "b")])
    await routes.settled()
    expect(pod.find("r")).toBe("a:10.0.0.1")
    pod.bus.connect()
    await store.settle()
    expect([pod.find("r"), pod.notes.list()]).toEqual(["b:10.0.0.2", []])
  })
})

const ids = ["r1", "r2", "r3", "r4"]
const clusters = ["c1", "c2", "c3"]
const event = fc.oneof(
  fc.record({ unit: fc.constant("routes" as const), id: fc.constantFrom(...ids), cluster: fc.constantFrom(...clusters) }).map(({ unit, id, cluster: name }) => ({ unit, key: id, change: to(id, name) })),
  fc.record({ unit: fc.constant("endpoints" as const), id: fc.constantFrom(...clusters), octet: fc.integer({ min: 1, max: 9 }) }).map(({ unit, id, octet }) => ({ unit, key: id, change: cluster(id, `10.0.0.${octet}`) })),
)
/** Events about different things, in some order, some of them more than once. */
const histories = fc
  .uniqueArray(event, { minLength: 1, maxLength: 7, selector: ({ key }) => key })
  .chain((events) => fc.tuple(fc.constant(events), fc.array(fc.shuffledSubarray([...events, ...events], { minLength: events.length }).filter((played) => events.every((one) => played.includes(one))), { minLength: 2, maxLength: 3 })))

describe("the folded configuration", () => {
  it("is the same bytes for any permutation and duplication of the same events, whenever a gateway starts, and whatever connection it loses", async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.infiniteStream(fc.nat(5)), async ([, orders], chance) => {
        const folded = new Set<string>()
        for (const order of orders) {
          const store = memoryStore()
          const bus = store.bus()
          const [routes, endpoints] = await Promise.all([open(bus, "routes"), open(bus, "endpoints")])
          routes.stage([plan("endpoints", "routes"), web], { force: true })
          endpoints.stage(clusters.map((name) => cluster(name)), { force: true })
          const own: Pod[] = []
          const start = (): void => {
            const pod = new Pod(store, { patience: 1 })
            pod.subscription.attach(pod.bus)
            own.push(pod)
          }
          start()
          for (const { unit, change } of order) {
            ;(unit === "routes" ? routes : endpoints).stage([change])
            const dice = chance.next().value
            if (dice === 0) await store.settle()
            else if (dice === 1) start()
            else if (dice === 2) own[0]?.bus.disconnect()
            else if (dice === 3) own[0]?.bus.connect()
          }
          own[0]?.bus.connect()
          start()
          await Promise.all([routes.settled(), endpoints.settled()])
          await store.settle()
          const live = clusters.map((name) => endpoints.state().get(configSubject(plane, "cluster", name)))
          expect(live.every((body) => body !== undefined)).toBe(true)
          for (const pod of own) {
            expect(pod.subscription.isReady).toBe(true)
            folded.add(pod.folded())
            for (const id of ids) {
              const body = routes.state().get(configSubject(plane, "route", id))
              const name = clusters.find((one) => body?.includes(`"cluster":"${one}"`))
              const addresses = clusters.indexOf(name ?? "") < 0 ? null : [...(live[clusters.indexOf(name ?? "")] ?? "").matchAll(/10\.0\.0\.\d/g)].join(",")
              expect(pod.find(id)).toBe(addresses === null ? null : `${name ?? ""}:${addresses}`)
            }
            await pod.subscription.stop()
            pod.worker.stop()
          }
          pods.splice(0)
          await bus.close()
        }
        expect(folded.size).toBe(1)
      }),
      { numRuns: 1000 },
    )
  }, 60_000)
})
