import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Cluster, Route } from "../bus/kinds/config.ts"
import { Barrier, PATIENCE, type Offer, type Step } from "./barrier.ts"
import type { EntryChange } from "./entries.ts"
import { clustersNamed } from "./table/entry.ts"
import { match, route, rule } from "./table/fixture.ts"

const cluster: Cluster = { schema: 1, source: { kind: "Service", namespace: "default", name: "s" }, protocol: "http", endpoints: [] }
const clusterChange = (id: string, present: boolean): EntryChange => ({ section: "cluster", id, entry: present ? { section: "cluster", id, value: cluster } : null, clusters: [] })
const routeChange = (id: string, named: readonly string[] | null): EntryChange => {
  if (named === null) return { section: "route", id, entry: null, clusters: [] }
  const value = route(id, [rule([match("/")], named.map((name) => ({ weight: 1, cluster: name, filters: [] })))])
  return { section: "route", id, entry: { section: "route", id, value }, clusters: clustersNamed(value) }
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
    expect(step?.lacking).toEqual([])
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
    expect(step?.lacking).toEqual(["absent"])
    expect(barrier.deadline).toBe(1600 + PATIENCE)
    expect(commitsOf(barrier.advance(1600 + PATIENCE))).toEqual([3])
    expect(barrier.deadline).toBeUndefined()
  })

  it("starts over with what another fold has: nothing held, absent clusters removed", () => {
    const barrier = new Barrier<number>()
    barrier.offer(offer("endpoints", 1, clusterChange("a", true), clusterChange("b", true)), 0)
    barrier.advance(0)
    barrier.offer(offer("routes", 2, routeChange("r", ["absent"])), 0)
    barrier.reset(new Set(["b"]))
    expect(barrier.held).toBe(0)
    expect([...(barrier.advance(1)?.clusters ?? [])]).toEqual([["a", null]])
    barrier.offer(offer("routes", 3, routeChange("r", ["b"])), 2)
    expect(commitsOf(barrier.advance(2))).toEqual([3])
    barrier.offer(offer("routes", 4, routeChange("r", ["a"])), 3)
    expect(barrier.advance(3)).toBeUndefined()
  })
})

// I5. Commits of `routes` in order, of `endpoints` in order, interleaved at random with time passing in between.
const names = ["a", "b", "c"]
const ids = ["r1", "r2", "r3"]
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ is: fc.constant("routes" as const), rows: fc.uniqueArray(fc.tuple(fc.constantFrom(...ids), fc.option(fc.subarray(names), { freq: 4 })), { selector: ([id]) => id, minLength: 1, maxLength: 2 }) }) },
  { weight: 4, arbitrary: fc.record({ is: fc.constant("endpoints" as const), rows: fc.uniqueArray(fc.tuple(fc.constantFrom(...names), fc.boolean()), { selector: ([id]) => id, minLength: 1, maxLength: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant("time" as const), ms: fc.constantFrom(1, 500, 1999, 2000, 2500) }) },
)

describe("I5, for any interleaving of routes and endpoints commits", () => {
  it("no swap names an absent cluster unless it is overdue, and every held commit takes effect or is superseded in time, in order", () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 40 }), (events) => {
        const barrier = new Barrier<number>()
        const present = new Set<string>()
        const offeredAt = new Map<number, number>()
        const applied: number[] = []
        const live = new Map<string, Route | null>()
        let now = 0
        const offered: { commit: number; rows: readonly (readonly [string, readonly string[] | null])[] }[] = []
        const advance = (): void => {
          const heldBefore = offered.filter(({ commit }) => !applied.includes(commit))
          const step = barrier.advance(now)
          const wanted = longestPrefix(heldBefore, present, (commit) => now - (offeredAt.get(commit) ?? 0) >= PATIENCE)
          const routesCommits = step?.commits.filter(({ unit }) => unit === "routes").map(({ commit }) => commit) ?? []
          expect(routesCommits).toEqual(wanted)
          applied.push(...routesCommits)
          const lacking = new Set(step?.lacking)
          for (const [id, value] of step?.routes ?? []) {
            live.set(id, value)
            for (const name of value === null ? [] : clustersNamed(value)) if (!present.has(name)) expect(lacking).toContain(name)
          }
          if (lacking.size > 0) expect(routesCommits.some((commit) => now - (offeredAt.get(commit) ?? 0) >= PATIENCE)).toBe(true)
          if (barrier.deadline !== undefined) expect(barrier.deadline).toBeGreaterThan(now)
        }
        events.forEach((one, i) => {
          if (one.is === "time") now += one.ms
          else if (one.is === "endpoints") {
            for (const [name, is] of one.rows) void (is ? present.add(name) : present.delete(name))
            barrier.offer(offer("endpoints", i, ...one.rows.map(([name, is]) => clusterChange(name, is))), now)
          } else {
            offeredAt.set(i, now)
            offered.push({ commit: i, rows: one.rows })
            barrier.offer(offer("routes", i, ...one.rows.map(([id, named]) => routeChange(id, named))), now)
          }
          advance()
        })
        now += PATIENCE
        advance()
        // Everything took effect, in order, and what is live is what the last commits say.
        expect(applied).toEqual(offered.map(({ commit }) => commit))
        expect(barrier.held).toBe(0)
        const last = new Map(offered.flatMap(({ rows }) => rows))
        for (const [id, named] of last) expect([...clustersNamed(live.get(id) ?? route(id, []))].sort()).toEqual([...(named ?? [])].sort())
      }),
      { numRuns: 5000 },
    )
  })
})

/** The rule once more, slowly: overdue ones, then the most further ones whose merged rows name present clusters only. */
const longestPrefix = (
  held: readonly { readonly commit: number; readonly rows: readonly (readonly [string, readonly string[] | null])[] }[],
  present: ReadonlySet<string>,
  isOverdue: (commit: number) => boolean,
): readonly number[] => {
  const overdue = held.filter(({ commit }) => isOverdue(commit)).length
  for (let end = held.length; end > overdue; end--) {
    const rows = new Map(held.slice(overdue, end).flatMap((one) => one.rows))
    if ([...rows.values()].every((named) => (named ?? []).every((name) => present.has(name)))) return held.slice(0, end).map(({ commit }) => commit)
  }
  return held.slice(0, overdue).map(({ commit }) => commit)
}
