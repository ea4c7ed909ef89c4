import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Certificate, Cluster, Listener, Route } from "../bus/kinds/config.ts"
import { Barrier, PATIENCE, type Offer, type Step } from "./barrier.ts"
import type { EntryChange } from "./entries.ts"
import { certificatesNamed, clustersNamed } from "./table/entry.ts"
import { listener, match, route, rule } from "./table/fixture.ts"

const cluster: Cluster = { schema: 1, source: { kind: "Service", namespace: "default", name: "s" }, protocol: "http", endpoints: [] }
const clusterChange = (id: string, present: boolean): EntryChange => ({ section: "cluster", id, entry: present ? { section: "cluster", id, value: cluster } : null, named: [] })
const certificate: Certificate = { schema: 1, source: { kind: "Secret", namespace: "default", name: "s" }, names: [], empty: "NoSuchSecret" }
const certificateChange = (id: string, present: boolean, empty: NonNullable<Certificate["empty"]> = "NoSuchSecret"): EntryChange => ({ section: "certificate", id, entry: present ? { section: "certificate", id, value: { ...certificate, empty } } : null, named: [] })
const listenerChange = (id: string, named: readonly string[] | null): EntryChange => {
  if (named === null) return { section: "listener", id, entry: null, named: [] }
  const value = listener(id, { protocol: "HTTPS", tls: { certificates: named } })
  return { section: "listener", id, entry: { section: "listener", id, value }, named: certificatesNamed(value) }
}
const routeChange = (id: string, named: readonly string[] | null): EntryChange => {
  if (named === null) return { section: "route", id, entry: null, named: [] }
  const value = route(id, [rule([match("/")], named.map((name) => ({ weight: 1, cluster: name, filters: [] })))])
  return { section: "route", id, entry: { section: "route", id, value }, named: clustersNamed(value) }
}
const offer = (unit: string, commit: number, ...changes: EntryChange[]): Offer<number> => ({ unit, commit, changes })
const commitsOf = (step: Step<number> | undefined): readonly number[] => step?.commits.map(({ commit }) => commit) ?? []

describe("the barrier", () => {
  it("applies clusters at once and routes once their clusters are there", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("routes", 1, routeChange("r", ["a"])), 0)
    expect(barrier.advance(0)).toBeUndefined()
    barrier.offer(offer("endpoints", 2, clusterChange("a", true)), 5)
    const step = barrier.advance(5)
    expect(commitsOf(step)).toEqual([2, 1])
    expect([...(step?.clusters.keys() ?? [])]).toEqual(["a"])
    expect([...(step?.routes.keys() ?? [])]).toEqual(["r"])
    expect(step?.lacking).toEqual({ clusters: [], certificates: [] })
  })

  it("holds listeners while a Secret has not been read: what they name now is presented meanwhile", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("routes", 1, listenerChange("l", ["x"])), 0)
    barrier.offer(offer("certs", 2, certificateChange("x", true, "NotRead")), 1)
    expect(commitsOf(barrier.advance(1))).toEqual([2])
    expect(barrier.waitedFor("routes")).toEqual(["x"])
    barrier.offer(offer("certs", 3, certificateChange("x", true, "Unusable")), 2)
    expect(commitsOf(barrier.advance(2))).toEqual([3, 1])
    barrier.offer(offer("certs", 4, certificateChange("x", true, "NotRead")), 3)
    barrier.offer(offer("routes", 5, listenerChange("l", ["x"])), 3)
    expect(commitsOf(barrier.advance(3))).toEqual([4])
    const late = barrier.advance(3 + PATIENCE)
    expect(commitsOf(late)).toEqual([5])
    expect(late?.lacking).toEqual({ clusters: [], certificates: ["x"] })
  })

  it("applies certificates at once, empty ones too, and listeners once theirs are there; a removed one is not", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("routes", 1, listenerChange("l", ["x", "y"]), routeChange("r", ["a"])), 0)
    barrier.offer(offer("certs", 2, certificateChange("x", true), certificateChange("y", false)), 1)
    const step = barrier.advance(1)
    expect(commitsOf(step)).toEqual([2])
    expect([...(step?.certificates ?? [])]).toEqual([["x", certificate], ["y", null]])
    barrier.offer(offer("certs", 3, certificateChange("y", true)), 2)
    expect(commitsOf(barrier.advance(2))).toEqual([3])
    barrier.offer(offer("endpoints", 4, clusterChange("a", true)), 3)
    expect(commitsOf(barrier.advance(3))).toEqual([4, 1])
  })

  it("merges held commits: a cluster that came and went is not waited for", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("endpoints", 1, clusterChange("a", true)), 0)
    barrier.advance(0)
    barrier.offer(offer("routes", 2, routeChange("r", ["b"])), 1)
    expect(barrier.advance(1)).toBeUndefined()
    barrier.offer(offer("routes", 3, routeChange("r", ["a"])), 2)
    expect(commitsOf(barrier.advance(2))).toEqual([2, 3])
  })

  it("takes no removed cluster for a present one, though the live table still uses it", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("endpoints", 1, clusterChange("a", true)), 0)
    barrier.offer(offer("routes", 2, routeChange("r", ["a"])), 0)
    barrier.advance(0)
    barrier.offer(offer("endpoints", 3, clusterChange("a", false)), 1)
    expect(barrier.advance(1)?.clusters.get("a")).toBeNull()
    barrier.offer(offer("routes", 4, routeChange("other", ["a"])), 2)
    expect(barrier.advance(2)).toBeUndefined()
    barrier.offer(offer("endpoints", 5, clusterChange("a", true)), 3)
    expect(commitsOf(barrier.advance(3))).toEqual([5, 4])
  })

  it("keeps the order of a unit, also of commits that name nothing", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("routes", 1, routeChange("r", ["absent"])), 0)
    barrier.offer(offer("routes", 2), 1)
    barrier.offer(offer("routes", 3, routeChange("s", [])), 2)
    expect(barrier.advance(2)).toBeUndefined()
    barrier.offer(offer("another", 4, routeChange("t", [])), 3)
    expect(commitsOf(barrier.advance(3))).toEqual([4])
  })

  it("waits 2 s, then applies what is overdue and says what it lacked; later commits are not held back by it", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("routes", 1, routeChange("r", ["absent", "b"])), 0)
    barrier.offer(offer("routes", 2, routeChange("s", [])), 1500)
    barrier.offer(offer("routes", 3, routeChange("t", ["late"])), 1600)
    barrier.offer(offer("endpoints", 4, clusterChange("b", true)), 1700)
    barrier.advance(1700)
    expect(barrier.deadline).toBe(PATIENCE)
    expect(barrier.advance(PATIENCE - 1)).toBeUndefined()
    const step = barrier.advance(PATIENCE)
    expect(commitsOf(step)).toEqual([1, 2])
    expect(step?.lacking).toEqual({ clusters: ["absent"], certificates: [] })
    expect(barrier.deadline).toBe(1600 + PATIENCE)
    expect(commitsOf(barrier.advance(1600 + PATIENCE))).toEqual([3])
    expect(barrier.deadline).toBeUndefined()
  })

  it("starts over with what another fold has: nothing held, absent clusters removed", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("endpoints", 1, clusterChange("a", true), clusterChange("b", true)), 0)
    barrier.advance(0)
    barrier.offer(offer("routes", 2, routeChange("r", ["absent"])), 0)
    barrier.reset({ clusters: new Set(["b"]), certificates: new Set() })
    expect(barrier.held).toBe(0)
    expect([...(barrier.advance(1)?.clusters ?? [])]).toEqual([["a", null]])
    barrier.offer(offer("routes", 3, routeChange("r", ["b"])), 2)
    expect(commitsOf(barrier.advance(2))).toEqual([3])
    barrier.offer(offer("routes", 4, routeChange("r", ["a"])), 3)
    expect(barrier.advance(3)).toBeUndefined()
  })
})

// I5. Commits of `routes` (with listeners) in order, of `endpoints` and of `certs` in order, interleaved at random with time passing in between.
const names = ["a", "b", "c"]
const ids = ["r1", "r2", "r3"]
const listenerIds = ["l1", "l2"]
const rowsOf = (of: readonly string[], minLength: number) => fc.uniqueArray(fc.tuple(fc.constantFrom(...of), fc.option(fc.subarray(names), { freq: 4 })), { selector: ([id]) => id, minLength, maxLength: 2 })
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ is: fc.constant("routes" as const), routes: rowsOf(ids, 1), listeners: rowsOf(listenerIds, 0) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant("certs" as const), rows: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.boolean()), { selector: ([id]) => id, minLength: 1, maxLength: 2 }) }) },
  { weight: 4, arbitrary: fc.record({ is: fc.constant("endpoints" as const), rows: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.boolean()), { selector: ([id]) => id, minLength: 1, maxLength: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant("time" as const), ms: fc.constantFrom(1, 500, 1999, 2000, 2500) }) },
)

type NamedRow = readonly [id: string, named: readonly string[] | null]
interface Offered {
  readonly commit: number
  readonly routes: readonly NamedRow[]
  readonly listeners: readonly NamedRow[]
}

describe("I5, for any interleaving of routes, endpoints and certs commits", () => {
  it("no swap names an absent cluster or certificate unless it is overdue, and every held commit takes effect or is superseded in time, in order", () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 40 }), (events) => {
        const barrier = new Barrier<number>()
        const present = { clusters: new Set<string>(), certificates: new Set<string>() }
        const offeredAt = new Map<number, number>()
        const applied: number[] = []
        const liveRoutes = new Map<string, Route | null>()
        const liveListeners = new Map<string, Listener | null>()
        let now = 0
        const offered: Offered[] = []
        const isOverdue = (commit: number): boolean => now - (offeredAt.get(commit) ?? 0) >= PATIENCE
        const advance = (): void => {
          const heldBefore = offered.filter(({ commit }) => !applied.includes(commit))
          const step = barrier.advance(now)
          const wanted = longestPrefix(heldBefore, present, isOverdue)
          const held = step?.commits.filter(({ unit }) => unit === "routes").map(({ commit }) => commit) ?? []
          expect(held).toEqual(wanted)
          applied.push(...held)
          for (const [id, value] of step?.routes ?? []) {
            liveRoutes.set(id, value)
            for (const name of value === null ? [] : clustersNamed(value)) if (!present.clusters.has(name)) expect(step?.lacking.clusters).toContain(name)
          }
          for (const [id, value] of step?.listeners ?? []) {
            liveListeners.set(id, value)
            for (const name of value === null ? [] : certificatesNamed(value)) if (!present.certificates.has(name)) expect(step?.lacking.certificates).toContain(name)
          }
          if (step !== undefined && step.lacking.clusters.length + step.lacking.certificates.length > 0) expect(held.some(isOverdue)).toBe(true)
          if (barrier.deadline !== undefined) expect(barrier.deadline).toBeGreaterThan(now)
        }
        events.forEach((one, i) => {
          if (one.is === "time") now += one.ms
          else if (one.is === "routes") {
            offeredAt.set(i, now)
            offered.push({ commit: i, routes: one.routes, listeners: one.listeners })
            barrier.offer(offer("routes", i, ...one.routes.map(([id, named]) => routeChange(id, named)), ...one.listeners.map(([id, named]) => listenerChange(id, named))), now)
          } else {
            const [there, change] = one.is === "certs" ? [present.certificates, certificateChange] as const : [present.clusters, clusterChange] as const
            for (const [name, is] of one.rows) void (is ? there.add(name) : there.delete(name))
            barrier.offer(offer(one.is, i, ...one.rows.map(([name, is]) => change(name, is))), now)
          }
          advance()
        })
        now += PATIENCE
        advance()
        // Everything took effect, in order, and what is live is what the last commits say.
        expect(applied).toEqual(offered.map(({ commit }) => commit))
        expect(barrier.held).toBe(0)
        const lastRoutes = new Map(offered.flatMap(({ routes }) => routes))
        for (const [id, named] of lastRoutes) expect([...clustersNamed(liveRoutes.get(id) ?? route(id, []))].sort()).toEqual([...(named ?? [])].sort())
        const lastListeners = new Map(offered.flatMap(({ listeners }) => listeners))
        for (const [id, named] of lastListeners) expect([...certificatesNamed(liveListeners.get(id) ?? listener(id))].sort()).toEqual([...(named ?? [])].sort())
      }),
      { numRuns: 5000 },
    )
  })
})

/** The rule once more, slowly: overdue ones, then the most further ones whose merged rows name only what is present. */
const longestPrefix = (held: readonly Offered[], present: { readonly clusters: ReadonlySet<string>; readonly certificates: ReadonlySet<string> }, isOverdue: (commit: number) => boolean): readonly number[] => {
  const isComplete = (rows: readonly NamedRow[], there: ReadonlySet<string>): boolean => [...new Map(rows).values()].every((named) => (named ?? []).every((name) => there.has(name)))
  const overdue = held.filter(({ commit }) => isOverdue(commit)).length
  for (let end = held.length; end > overdue; end--) {
    const going = held.slice(overdue, end)
    if (isComplete(going.flatMap(({ routes }) => routes), present.clusters) && isComplete(going.flatMap(({ listeners }) => listeners), present.certificates)) return held.slice(0, end).map(({ commit }) => commit)
  }
  return held.slice(0, overdue).map(({ commit }) => commit)
}
