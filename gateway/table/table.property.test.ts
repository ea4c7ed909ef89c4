import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Listener, Match, Route } from "../../bus/kinds/config.ts"
import type { Batch } from "./compile.ts"
import { compiler, listener, match, request, route, rule } from "./fixture.ts"
import { oracle } from "./oracle.ts"
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
    path: fc.oneof(path.map((value) => ({ type: "prefix" as const, value })), path.map((value) => ({ type: "exact" as const, value })), regex.map((value) => ({ type: "regex" as const, value }))),
    method: fc.option(fc.constantFrom("GET", "POST"), { nil: undefined, freq: 2 }),
    headers: fc.array(header, { maxLength: 2 }),
    query: fc.array(parameter, { maxLength: 2 }),
  })
  .map(({ path: { type, value }, method, headers, query: params }) => match(value, { type, headers, query: params, ...(method === undefined ? {} : { method }) }))
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
            path: fc.constantFrom({ type: "prefix" as const, value: "/" }, { type: "prefix" as const, value: "/a" }, { type: "exact" as const, value: "/a" }, { type: "regex" as const, value: "/a?" }, { type: "regex" as const, value: "/.*" }),
            method: fc.constantFrom(undefined, "GET"),
            headers: fc.subarray([{ name: "h", type: "exact" as const, value: "1" }, { name: "g", type: "exact" as const, value: "1" }]),
            query: fc.subarray([{ name: "q", type: "exact" as const, value: "1" }, { name: "p", type: "exact" as const, value: "1" }]),
          })
          .map(({ path: { type, value }, method, headers, query: params }) => match(value, { type, headers, query: params, ...(method === undefined ? {} : { method }) })),
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
      { numRuns: 3000 },
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
      { numRuns: 1000 },
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
      { numRuns: 500 },
    )
  })
})
