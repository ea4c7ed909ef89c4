/** The reflector against a real API server, with a proxy between that does what networks and API servers do on bad days. */
import { afterEach, beforeEach, expect, test } from "vitest"
import { systemClock } from "../../../bus/unit/clock.ts"
import { configOf, onApiServer } from "../../../test/cluster/api-server.ts"
import { faster } from "../../../test/cluster/applying.ts"
import { type Fault, type FaultProxy, type ProxiedRequest, startFaultProxy } from "../../../test/cluster/fault-proxy.ts"
import { until } from "../../../test/system/until.ts"
import { type ApiClient, connectApi } from "./client.ts"
import type { RawObject } from "./raw.ts"
import { Reflector, type ReflectorTiming } from "./reflector.ts"

let namespaces = 0

await onApiServer("a reflector", (server) => {
  let proxy: FaultProxy
  let client: ApiClient
  let path: string
  let reflectors: Reflector[]

  beforeEach(async () => {
    proxy = await startFaultProxy({ server: server().url, authority: server().authority })
    client = connectApi(() => configOf({ server: proxy.url, token: server().token }))
    const namespace = `t-${++namespaces}`
    await server().api.request({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: namespace } } })
    path = `/api/v1/namespaces/${namespace}/configmaps`
    reflectors = []
  })
  afterEach(async () => {
    for (const reflector of reflectors) reflector.stop()
    await client.close()
    await proxy.stop()
  })

  const create = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) await server().api.request({ method: "POST", path, body: { metadata: { name }, data: { text: "first" } } })
  }
  const change = (name: string, text: string) => server().api.request({ method: "PATCH", path: `${path}/${name}`, headers: { "content-type": "application/merge-patch+json" }, body: { data: { text } } })
  const remove = (name: string) => server().api.request({ method: "DELETE", path: `${path}/${name}` })

  /** Name → uid and version: as the API server has it. */
  const inApi = async (): Promise<ReadonlyMap<string, string>> => {
    const { items }: { items: { metadata: { name: string; uid: string; resourceVersion: string } }[] } = JSON.parse(JSON.stringify(await server().api.request({ path })))
    return new Map(items.map(({ metadata }) => [metadata.name, `${metadata.uid} ${metadata.resourceVersion}`]))
  }

  const reflect = (timing: Partial<ReflectorTiming> = {}, metadataOnly = false, clock = systemClock) => {
    const seen = new Map<string, RawObject>()
    const log: string[] = []
    const said: string[] = []
    let isSynced = false
    const nameOf = (key: string): string => key.slice(key.indexOf("/") + 1)
    const reflector = new Reflector({
      api: client, path, metadataOnly, clock, timing: { first: 20, max: 200, ...timing },
      events: {
        put: (object) => {
          seen.set(nameOf(object.key), object)
          log.push(`put ${nameOf(object.key)}`)
        },
        gone: (key) => {
          seen.delete(nameOf(key))
          log.push(`gone ${nameOf(key)}`)
        },
        batch: () => undefined,
        synced: () => { isSynced = true },
        trouble: (error) => { said.push(error === undefined ? "well" : `${error.status} ${error.reason}`) },
      },
    })
    reflectors.push(reflector)
    reflector.start()
    return {
      reflector, seen, log, said,
      synced: () => until("it is synced", () => isSynced),
      watches: () => until("it watches", () => proxy.watches(path) === 1),
      equal: () => until("it has what the API server has", async () => {
        const there = await inApi()
        return there.size === seen.size && [...there].every(([name, is]) => is === `${seen.get(name)?.uid} ${seen.get(name)?.resourceVersion}`)
      }),
    }
  }

  /** The fault for the next `times` requests of a sort; none after. */
  const next = (is: (request: ProxiedRequest) => boolean, fault: Fault, times = 1): void => {
    let left = times
    proxy.fault = (request) => (request.path === path && is(request) && left-- > 0 ? fault : undefined)
  }
  const watches = ({ isWatch }: ProxiedRequest): boolean => isWatch
  const lists = ({ isWatch }: ProxiedRequest): boolean => !isWatch
  const gone = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Expired", code: 410, message: "too old resource version" }

  test("1,200 objects come in three pages, each once; then every event, in order", async () => {
    await Promise.all(Array.from({ length: 6 }, (_, part) => create(...Array.from({ length: 200 }, (_, i) => `n-${part}-${i}`))))
    const { log, synced, equal } = reflect()
    await synced()
    expect(log.length).toBe(1_200)
    expect(proxy.requests.filter((request) => request.path === path && lists(request)).map(({ query }) => [query.get("limit"), query.has("continue")])).toEqual([["500", false], ["500", true], ["500", true]])
    await create("z")
    await change("z", "second")
    await remove("z")
    await create("z")
    await equal()
    expect(log.slice(1_200)).toEqual(["put z", "put z", "gone z", "put z"])
  })

  test("a list that has become too old on its second page begins anew", async () => {
    await Promise.all(Array.from({ length: 6 }, (_, part) => create(...Array.from({ length: 100 }, (_, i) => `n-${part}-${i}`))))
    next(({ query }) => query.has("continue"), { is: "answer", status: 410, body: gone })
    const { log, reflector, synced, equal } = reflect()
    await synced()
    await equal()
    expect(log.length).toBe(600)
    expect(reflector.counts.lists).toBe(2)
  })

  test.each([
    ["by HTTP", { is: "answer", status: 410, body: gone }],
    ["by an ERROR event", { is: "answer", status: 200, body: { type: "ERROR", object: gone } }],
  ] as const)("410 %s: it lists anew, says only what differs, and tells an object that came back from the one before", async (_how, fault) => {
    await create("same", "changed", "removed", "replaced")
    const { log, reflector, synced, watches: watching, equal } = reflect()
    await synced()
    await watching()
    // While nobody watches.
    proxy.fault = (request) => (request.path === path ? { is: "unanswered" } : undefined)
    proxy.cut()
    await change("changed", "second")
    await remove("removed")
    await remove("replaced")
    await create("replaced")
    await until("the watch is asked for again", () => proxy.requests.filter(watches).length > 1)
    next(watches, fault)
    proxy.cut()
    await equal()
    expect(log.slice(4).sort()).toEqual(["gone removed", "gone replaced", "put changed", "put replaced"])
    expect(log.indexOf("gone replaced")).toBeLessThan(log.lastIndexOf("put replaced"))
    expect(reflector.counts.lists).toBe(2)
  })

  test("429: it waits as long as it is told", async () => {
    await create("a")
    next(lists, { is: "answer", status: 429, headers: { "retry-after": "1" } })
    const began = performance.now()
    const { said, synced, equal } = reflect()
    await synced()
    expect(performance.now() - began).toBeGreaterThan(950)
    await equal()
    expect(said).toEqual(["429 Http429", "well"])
  })

  test("500 to lists, then to watches: it tries again until all is well, and lists once more at most", async () => {
    await create("a")
    next(lists, { is: "answer", status: 500 }, 3)
    const { said, reflector, synced, equal } = reflect()
    await synced()
    expect(said.slice(0, 3)).toEqual(["500 Http500", "500 Http500", "500 Http500"])
    await until("it watches", () => proxy.watches(path) === 1)
    next(watches, { is: "answer", status: 500 }, 4)
    proxy.cut()
    await create("b")
    await equal()
    expect(reflector.counts.lists).toBe(4)
    expect(said.at(-1)).toBe("well")
  })

  test.each([
    ["lists that are refused", lists],
    ["watches that are refused", watches],
  ])("%s are asked for again after pauses that grow to the longest", async (_what, sort) => {
    const times: number[] = []
    proxy.fault = (request) => {
      if (!sort(request)) return undefined
      times.push(performance.now())
      return { is: "answer", status: 500 }
    }
    const fast = 50
    reflect({ first: 500, max: 10_000 }, false, faster(fast))
    await until("it was asked for often", () => times.length === 12)
    const pauses = times.slice(1).map((at, index) => (at - (times[index] ?? at)) * fast)
    expect(Math.min(...pauses.slice(-4))).toBeGreaterThan(4_500)
  })

  test("a connection that is cut, again and again: nothing is missed, and nothing is listed anew", async () => {
    await create("a")
    const { log, reflector, synced, watches: watching, equal } = reflect()
    await synced()
    for (let round = 0; round < 5; round++) {
      await watching()
      proxy.cut()
      await create(`b${round}`)
      await equal()
    }
    expect(log).toEqual(["a", "b0", "b1", "b2", "b3", "b4"].map((name) => `put ${name}`))
    expect(reflector.counts.lists).toBe(1)
  })

  test("a half-open connection is given up when nothing comes for too long", async () => {
    const { reflector, synced, watches: watching, equal } = reflect({ quiet: 700 })
    await synced()
    await watching()
    proxy.freeze()
    await create("a")
    await equal()
    expect(reflector.counts.lists).toBe(1)
  })

  test("a watch that is silent from its first octet on is given up, and the next one has what was missed", async () => {
    next(watches, { is: "silent", after: 0 })
    const { reflector, synced, watches: watching, equal } = reflect({ quiet: 700 })
    await synced()
    await watching()
    await create("a", "b")
    await equal()
    expect(reflector.counts.watches).toBeGreaterThan(1)
  })

  test("a slow list: what changes meanwhile is not missed", async () => {
    await create("a", "b")
    next(lists, { is: "late", ms: 1_500 })
    const { synced, equal } = reflect()
    await until("it lists", () => proxy.requests.some(lists))
    await change("a", "second")
    await remove("b")
    await create("c")
    await synced()
    await equal()
  })

  test("a list that breaks off is asked for again", async () => {
    await create(...Array.from({ length: 40 }, (_, i) => `n-${i}`))
    next(lists, { is: "cut", after: 5_000 })
    const { log, synced, equal } = reflect()
    await synced()
    await equal()
    expect(log.length).toBe(40)
  })

  test("an event that breaks off in its middle is not handed on, and comes whole", async () => {
    next(watches, { is: "cut", after: 100 })
    const { log, reflector, synced, watches: watching, equal } = reflect()
    await synced()
    await watching()
    await create("a")
    await equal()
    expect(log).toEqual(["put a"])
    expect([reflector.counts.lists, reflector.counts.undecoded]).toEqual([1, 0])
  })

  test("a line that is no JSON is counted, and what it should have said is found by a list", async () => {
    next(watches, { is: "changed", by: (text) => text.replace(/.{40}\n$/, "\n") })
    const { log, reflector, synced, watches: watching, equal } = reflect()
    await synced()
    await watching()
    await create("a")
    await equal()
    expect(log).toEqual(["put a"])
    expect([reflector.counts.lists, reflector.counts.undecoded]).toEqual([2, 1])
  })

  test("the API server is killed, and back: it goes on", async () => {
    await create("a")
    const { synced, watches: watching, equal } = reflect()
    await synced()
    await watching()
    await server().kill()
    await server().restart()
    await change("a", "second")
    await create("b")
    await equal()
  })

  test("what may not be read is said with its reason, and read once it may", async () => {
    await create("a")
    next(() => true, { is: "answer", status: 403, body: { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Forbidden", code: 403, message: "configmaps is forbidden" } }, 3)
    const { said, synced, equal } = reflect()
    await synced()
    await equal()
    expect(said).toEqual(["403 Forbidden", "403 Forbidden", "403 Forbidden", "well"])
  })

  test("of objects whose metadata is asked for alone no content comes over the wire", async () => {
    await create("a")
    const { seen, synced, watches: watching, equal } = reflect({}, true)
    await synced()
    await watching()
    await create("b")
    await equal()
    for (const { object } of seen.values()) expect(object["data"]).toBeUndefined()
    expect(JSON.stringify([...seen.values()].map(({ object }) => object))).not.toContain('"first"')
  })
})
