import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Listener, Match, Route } from "../../bus/kinds/config.ts"
import { runs } from "../../test/fixtures/runs.ts"
import type { Batch } from "./compile.ts"
import { compiler, listener, match, request, route, rule } from "./fixture.ts"
import { look, RANKS, type Rank } from "./explain.ts"
import { oracle } from "./oracle.ts"
import { CompiledPort } from "./port.ts"
import { compileRegex } from "./regex.ts"
import type { RequestView, Table } from "./table.ts"

// Small alphabets on purpose: what matters is how patterns overlap, and random long strings never do.
const hostPattern = fc.constantFrom("*", "a.test", "b.a.test", "c.b.a.test", "*.a.test", "*.b.a.test", "*.test", "x.org", "*.org", "*.xa.test")
const host = fc.constantFrom("a.test", "b.a.test", "c.b.a.test", "d.c.b.a.test", "x.a.test", "x.test", "test", "x.org", "y.x.org", "", "xa.test", "q.xa.test", ".a.test")
const path = fc.array(fc.constantFrom("a", "ab", "b", "abc", ""), { maxLength: 4 }).map((parts) => `/${parts.join("/")}`)
const regex = fc.constantFrom("/a.*", "/(a|ab)/b", "/[a-c]+", "/.*", "/a/b?")
const query = fc.constantFrom("", "q=1", "q=2", "q=1&p=1", "p=1&q=1", "q=1&q=2", "q", "q=", "%71=1", "q=%31", "p=a+b", "p=a%20b", "=1", "&&q=1", "q=1%", "qq=1")
const header = fc.record({ name: fc.constantFrom("h", "g"), type: fc.constantFrom("exact" as const, "regex" as const), value: fc.constantFrom("1", "2", "1|2") })
const parameter = fc.record({ name: fc.constantFrom("q", "p"), type: fc.constantFrom("exact" as const, "regex" as const), value: fc.constantFrom("1", "a b", "", "[0-9]") })
const matches: fc.Arbitrary<Match> = fc
  .record({
    path: fc.oneof(path.map((value) => ({ type: "prefix" as const, value })), path.map((value) => ({ type: "exact" as const, value })), regex.map((value) => ({ type: "regex" as const, value })), regex.map((value) => ({ type: "regex" as const, value, late: true as const }))),
    method: fc.option(fc.constantFrom("GET", "POST"), { nil: undefined, freq: 2 }),
    headers: fc.array(header, { maxLength: 2 }),
    query: fc.array(parameter, { maxLength: 2 }),
  })
  .map(({ path: to, method, headers, query: params }) => ({ ...match(to.value, { headers, query: params, ...(method === undefined ? {} : { method }) }), path: to }))
const listenerIds = ["l1", "l2", "l3", "l4"]
const created = fc.constantFrom("", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
const anyListener: fc.Arbitrary<Listener> = fc
  .record({ port: fc.constantFrom(80, 81), hostname: fc.option(hostPattern.filter((pattern) => pattern !== "*"), { nil: undefined }), created })
  .map(({ port, hostname, created: at }) => listener("l", { port, created: at, ...(hostname === undefined ? {} : { hostname }) }))
const anyRoute: fc.Arbitrary<Route> = fc
  .record({
    priority: fc.constantFrom(0, 0, 0, 0, 1, -1),
    created,
    attach: fc.array(fc.record({ listener: fc.constantFrom(...listenerIds), hostnames: fc.array(hostPattern, { minLength: 1, maxLength: 3 }) }), { maxLength: 3 }),
    rules: fc.array(fc.array(matches, { minLength: 1, maxLength: 2 }), { maxLength: 3 }),
  })
  .map(({ rules, ...rest }) => route("r", rules.map((list) => rule(list)), rest))
const routeIds = Array.from({ length: 8 }, (_, i) => `httproute/default/r${i}`)
/** One listener, one host, two paths, conditions that often hold together: what decides is precedence alone. */
const crowdedRoute: fc.Arbitrary<Route> = fc
  .record({
    created,
    rules: fc.array(
      fc.array(
        fc
          .record({
            path: fc.constantFrom({ type: "prefix" as const, value: "/" }, { type: "prefix" as const, value: "/a" }, { type: "exact" as const, value: "/a" }, { type: "regex" as const, value: "/a?" }, { type: "regex" as const, value: "/.*" }, { type: "regex" as const, value: "/.*", late: true as const }, { type: "regex" as const, value: "/a.*", late: true as const }),
            method: fc.constantFrom(undefined, "GET"),
            headers: fc.subarray([{ name: "h", type: "exact" as const, value: "1" }, { name: "g", type: "exact" as const, value: "1" }]),
            query: fc.subarray([{ name: "q", type: "exact" as const, value: "1" }, { name: "p", type: "exact" as const, value: "1" }]),
          })
          .map(({ path: to, method, headers, query: params }) => ({ ...match(to.value, { headers, query: params, ...(method === undefined ? {} : { method }) }), path: to })),
        { minLength: 1, maxLength: 3 },
      ),
      { minLength: 1, maxLength: 2 },
    ),
  })
  .map(({ created: at, rules }) => route("r", rules.map((list) => rule(list)), { created: at }))
const crowdedRequests = ["/", "/a", "/a/b"].flatMap((to) => ["", "?q=1", "?q=1&p=1"].flatMap((params) => [{}, { h: "1" }, { h: "1", g: "1" }].map((headers) => request("GET", `x.org${to}${params}`, headers))))

const batch = fc.record({
  listeners: fc.dictionary(fc.constantFrom(...listenerIds), fc.option(anyListener, { freq: 6 }), { maxKeys: 4 }).map((entries) => new Map(Object.entries(entries))),
  routes: fc.dictionary(fc.constantFrom(...routeIds), fc.option(anyRoute, { freq: 6 }), { maxKeys: 8 }).map((entries) => new Map(Object.entries(entries))),
})
const anyRequest: fc.Arbitrary<RequestView> = fc
  .record({ method: fc.constantFrom("GET", "POST", "HEAD"), host, path, query, headers: fc.dictionary(fc.constantFrom("h", "g"), fc.constantFrom("1", "2", "3"), { maxKeys: 2 }) })
  .map(({ method, host: at, path: to, query: params, headers }) => request(method, `${at}${to}${params === "" ? "" : `?${params}`}`, headers))

const answer = (table: Table, port: number, wanted: RequestView): string | null => table.ports.get(`*:${port}`)?.find(wanted)?.id ?? null

const fold = (batches: readonly Batch[]): { listeners: Map<string, Listener>; routes: Map<string, Route> } => {
  const listeners = new Map<string, Listener>()
  const routes = new Map<string, Route>()
  for (const one of batches) {
    for (const [id, value] of one.listeners ?? []) void (value === null ? listeners.delete(id) : listeners.set(id, value))
    for (const [id, value] of one.routes ?? []) void (value === null ? routes.delete(id) : routes.set(id, value))
  }
  return { listeners, routes }
}

describe("the table against the obvious matcher", () => {
  it("finds the same rule for every request, after any sequence of batches; older tables answer as before", () => {
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 5 }), fc.array(anyRequest, { minLength: 8, maxLength: 24 }), (batches, requests) => {
        const made = compiler()
        const seen: { table: Table; answers: (string | null)[] }[] = []
        batches.forEach((one, i) => {
          const table = made.apply(one)
          const { listeners, routes } = fold(batches.slice(0, i + 1))
          const answers: (string | null)[] = []
          for (const wanted of requests) {
            for (const port of [80, 81]) {
              const found = answer(table, port, wanted)
              expect(found).toBe(oracle(listeners, routes, port, wanted))
              answers.push(found)
            }
          }
          seen.push({ table, answers })
        })
        for (const { table, answers } of seen) expect(requests.flatMap((wanted) => [80, 81].map((port) => answer(table, port, wanted)))).toEqual(answers)
      }),
      { numRuns: runs(750) },
    )
  })

  it("puts many candidates of one path in the order of HTTPRouteRule.matches", () => {
    const ids = Array.from({ length: 6 }, (_, i) => `httproute/default/r${i}`)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...ids), fc.option(crowdedRoute, { freq: 8 })), { minLength: 2, maxLength: 10 }), (edits) => {
        const made = compiler()
        const listeners = new Map([["l", listener("l")]])
        made.apply({ listeners })
        const routes = new Map<string, Route>()
        for (const [id, value] of edits) {
          made.apply({ routes: new Map([[id, value]]) })
          void (value === null ? routes.delete(id) : routes.set(id, value))
        }
        for (const wanted of crowdedRequests) expect(answer(made.table, 80, wanted)).toBe(oracle(listeners, routes, 80, wanted))
      }),
      { numRuns: runs(250) },
    )
  })

  it("depends on the entries, not on the batches they came in", () => {
    fc.assert(
      fc.property(fc.array(batch, { minLength: 2, maxLength: 5 }), fc.array(anyRequest, { minLength: 8, maxLength: 16 }), (batches, requests) => {
        const incremental = compiler()
        for (const one of batches) incremental.apply(one)
        const scratch = compiler()
        scratch.apply(fold(batches))
        for (const wanted of requests) for (const port of [80, 81]) expect(answer(incremental.table, port, wanted)).toBe(answer(scratch.table, port, wanted))
        expect([...incremental.notes].sort()).toEqual([...scratch.notes].sort())
      }),
      { numRuns: runs(125) },
    )
  })
})

describe("the explaining look", () => {
  /** One condition of a match by itself, as the Gateway API's text has it; shares nothing with what is held to it. */
  const holds = ({ path: { type, value }, method, headers, query: params }: Match, condition: string, test: number, wanted: RequestView): boolean => {
    const is = (one: Match["headers"][number] | undefined, got: string | null | undefined): boolean =>
      one !== undefined && typeof got === "string" && (one.type === "exact" ? got === one.value : compileRegex(one.value, "").test(got))
    if (condition === "method") return method === undefined || method === wanted.method
    if (condition === "header") return is(headers[test], wanted.header(headers[test]?.name ?? ""))
    if (condition === "query") return is(params[test], new URLSearchParams(wanted.query).get(params[test]?.name ?? ""))
    if (type === "exact") return value === wanted.path
    if (type === "regex") return compileRegex(value, "").test(wanted.path)
    const have = wanted.path.split("/")
    return value.replace(/\/$/, "").split("/").every((segment, i) => have[i] === segment)
  }
  const holdsAll = (one: Match, wanted: RequestView): boolean =>
    ["path", "method"].every((condition) => holds(one, condition, 0, wanted)) && one.headers.every((_, i) => holds(one, "header", i, wanted)) && one.query.every((_, i) => holds(one, "query", i, wanted))
  const hostRank = (pattern: string): number => (pattern === "*" ? 0 : pattern.startsWith("*.") ? pattern.length : 1000)

  const check = (table: Table, routes: ReadonlyMap<string, Route>, port: number, wanted: RequestView): void => {
    const found = table.ports.get(`*:${port}`)
    if (!(found instanceof CompiledPort)) return
    const { candidates, rule: won, listeners, hosts } = look(found, wanted)
    expect(won?.id ?? null).toBe(found.find(wanted)?.id ?? null)
    const listed = candidates.map(({ candidate }) => `${candidate.rule.route} ${candidate.ruleIndex} ${candidate.matchIndex}`)
    expect(new Set(listed).size).toBe(listed.length)
    const serving = listeners.find(({ verdict }) => verdict === "serves")?.id
    const takes = (pattern: string): boolean => pattern === "*" || pattern === wanted.host || (pattern.startsWith("*.") && wanted.host.endsWith(pattern.slice(1)) && wanted.host.length >= pattern.length)
    for (const { pattern, takes: said } of hosts) expect(said).toBe(takes(pattern))
    const reachable = [...routes].flatMap(([id, { attach, rules }]) =>
      attach.some(({ listener: at, hostnames }) => at === serving && hostnames.some(takes)) ? rules.flatMap((each, i) => each.matches.map((_, j) => `${id} ${i} ${j}`)) : [])
    expect([...listed].sort()).toEqual(reachable.sort())
    const matchOf = ({ candidate: { rule: { route: id }, ruleIndex, matchIndex } }: (typeof candidates)[number]): Match => {
      const one = routes.get(id)?.rules[ruleIndex]?.matches[matchIndex]
      if (one === undefined) throw new Error("a candidate of no match")
      return one
    }
    const ranks = (one: (typeof candidates)[number]): Readonly<Record<Rank, number | string>> => {
      const { path: { type, value, late }, method, headers, query: params } = matchOf(one)
      const { priority, created: at } = routes.get(one.candidate.rule.route) ?? route("none", [])
      return {
        priority: -priority, host: -hostRank(one.host), "path type": type === "exact" ? 0 : type === "regex" && late !== true ? 1 : 2,
        "path length": type === "exact" ? 0 : type === "regex" ? -value.length / (late === true ? 1_000_000 : 1) : -value.replace(/\/$/, "").length,
        method: method === undefined ? 1 : 0, headers: -headers.length, query: -params.length, age: at, "route id": one.candidate.rule.route,
        "rule order": one.candidate.ruleIndex, "match order": one.candidate.matchIndex,
      }
    }
    const winner = candidates.find(({ verdict }) => verdict.is === "wins")
    for (const one of candidates) {
      const { verdict } = one
      if (verdict.is === "fails") expect(holds(matchOf(one), verdict.failed.condition, "test" in verdict.failed ? verdict.failed.test : 0, wanted)).toBe(false)
      else expect(holdsAll(matchOf(one), wanted)).toBe(true)
      if (verdict.is !== "loses" || winner === undefined) continue
      const [best, worse] = [ranks(winner), ranks(one)]
      expect(verdict.by).toBe(RANKS.find((rank) => best[rank] !== worse[rank]))
      expect(best[verdict.by] < worse[verdict.by]).toBe(true)
    }
    expect(candidates.filter(({ verdict }) => verdict.is === "wins")).toHaveLength(won === null ? 0 : 1)
  }

  it("agrees with find, lists every candidate once, and gives reasons that are true", () => {
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 3 }), fc.array(anyRequest, { minLength: 8, maxLength: 16 }), (batches, requests) => {
        const made = compiler()
        for (const one of batches) made.apply(one)
        const { routes } = fold(batches)
        for (const wanted of requests) for (const port of [80, 81]) check(made.table, routes, port, wanted)
      }),
      { numRuns: runs(375) },
    )
  })

  it("says what decides among many that take a request", () => {
    fc.assert(
      fc.property(fc.array(crowdedRoute, { minLength: 2, maxLength: 6 }), (list) => {
        const made = compiler()
        const routes = new Map(list.map((one, i) => [`httproute/default/r${i}`, one]))
        made.apply({ listeners: new Map([["l", listener("l")]]), routes })
        for (const wanted of crowdedRequests) check(made.table, routes, 80, wanted)
      }),
      { numRuns: runs(125) },
    )
  })
})
