import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { RuleOverlay } from "../../bus/kinds/config.ts"
import { backend, compiler, listener, match, request, route, rule } from "./fixture.ts"
import type { CompiledRule, HeaderEdits, RequestView } from "./table.ts"

const serving = (overlays: readonly RuleOverlay[], prefix = "/", more: Parameters<typeof rule>[2] = {}) => {
  const made = compiler()
  made.apply({ listeners: new Map([["l", listener("l")]]), routes: new Map([["r", route("r", [rule([match(prefix)], [backend("x", 1), backend("y", 0)], { ...more, overlays: [...overlays] })])]]) })
  return (url: string, headers: Readonly<Record<string, string>> = {}): CompiledRule => {
    const found = made.table.ports.get("*:80")?.find(request("GET", url, headers))
    if (found == null) throw new Error(`nothing takes ${url}`)
    return found
  }
}
const when = (path: string, header?: string): RuleOverlay => ({ match: match(path, header === undefined ? {} : { headers: [{ name: header, type: "exact", value: "1" }] }), filters: [] })
const answering = (status: number) => ({ answer: { status, headers: [], body: "" } })
const setting = (value: string) => ({ filters: [{ type: "requestHeaders" as const, set: [["x", value] as const], add: [], remove: [] }] })
/** Values set, in order. */
const edits = (edit: ((headers: HeaderEdits) => void) | null): string[] => {
  const seen: string[] = []
  edit?.({ set: (_, value) => void seen.push(value), add: () => undefined, remove: () => undefined })
  return seen
}

describe("overlays", () => {
  it("leave the rule as it is where they do not match", () => {
    const find = serving([{ ...when("/a", "h"), ...answering(503) }])
    expect(find("t/a")).toBe(find("t/"))
    expect(find("t/a", { h: "1" })).toMatchObject({ id: "r#0", answer: { status: 503 } })
    expect(find("t/ab", { h: "1" })).toBe(find("t/"))
  })

  it("act in their order: headers add up, the last has its way in the rest", () => {
    const find = serving(
      [
        { ...when("/", "low"), ...answering(501), ...setting("low"), weights: [0, 1] },
        { filters: setting("always").filters },
        { ...when("/", "high"), ...answering(502), ...setting("high"), weights: [1, 0] },
      ],
      "/",
      setting("own"),
    )
    expect(edits(find("t/").requestHeaders)).toEqual(["own", "always"])
    const low = find("t/", { low: "1" })
    expect([low.answer?.status, low.pick()?.cluster?.id, ...edits(low.requestHeaders)]).toEqual([501, "y", "own", "low", "always"])
    const both = find("t/", { low: "1", high: "1" })
    expect([both.answer?.status, both.pick()?.cluster?.id, ...edits(both.requestHeaders)]).toEqual([502, "x", "own", "low", "always", "high"])
  })

  it("replace redirect and rewrite together", () => {
    const find = serving([{ ...when("/", "h"), filters: [{ type: "rewrite", hostname: "new.test" }] }], "/", { filters: [{ type: "redirect", hostname: "old.test", status: 302 }] })
    expect(find("t/")).toMatchObject({ rewrite: null, redirect: expect.any(Function) })
    expect(find("t/", { h: "1" })).toMatchObject({ redirect: null, rewrite: expect.any(Function) })
  })

  it("replace the prefix of their own match, else the one of the rule's", () => {
    const edit = { filters: [{ type: "rewrite" as const, path: { type: "prefix" as const, value: "/n" } }] }
    const rewritten = (overlay: RuleOverlay, url: string) => serving([overlay], "/a")(url).rewrite?.(request("GET", url)).path
    expect(rewritten({ ...when("/a/b"), ...edit }, "t/a/b/c")).toBe("/n/c")
    expect(rewritten({ ...when("/"), ...edit }, "t/a/b/c")).toBe("/n/b/c")
    expect(rewritten(edit, "t/a/b/c")).toBe("/n/b/c")
  })

  it("park the route when they cannot be compiled", () => {
    const made = compiler()
    const bad = (overlay: RuleOverlay) => made.apply({ routes: new Map([["r", route("r", [rule([match("/")], "c", { overlays: [overlay] })])]]) })
    bad({ match: match("(", { type: "regex" }), filters: [] })
    expect(made.notes.get("route/r")).toMatchObject({ reason: "UnsupportedRegex", field: "rules[0].overlays[0].match.path.value" })
    bad({ match: match("/a.*", { type: "regex" }), filters: [{ type: "rewrite", path: { type: "prefix", value: "/n" } }] })
    expect(made.notes.get("route/r")).toMatchObject({ reason: "PrefixEditNeedsPrefix", field: "rules[0].overlays[0].filters" })
  })

  it("never change which rule takes a request, and act exactly where their match holds", () => {
    const condition = fc
      .record({ path: fc.constantFrom("/", "/a", "/a/b", "/ab"), type: fc.constantFrom("exact" as const, "prefix" as const), method: fc.constantFrom(undefined, "GET"), header: fc.constantFrom(undefined, "h", "g"), query: fc.constantFrom(undefined, "q") })
      .map(({ path, type, method, header, query }) =>
        match(path, { type, ...(method === undefined ? {} : { method }), headers: header === undefined ? [] : [{ name: header, type: "exact", value: "1" }], query: query === undefined ? [] : [{ name: query, type: "exact", value: "1" }] }),
      )
    const routes = fc.array(fc.array(fc.record({ matches: fc.array(condition, { minLength: 1, maxLength: 2 }), overlays: fc.array(condition, { maxLength: 3 }) }), { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 3 })
    const requests = ["/", "/a", "/a/b", "/a/b/c", "/ab"].flatMap((path) => ["", "?q=1"].flatMap((query) => [{}, { h: "1" }, { h: "1", g: "1" }].map((headers) => request("GET", `t${path}${query}`, headers))))
    fc.assert(
      fc.property(routes, (given) => {
        const compiled = (withOverlays: boolean) => {
          const made = compiler()
          const entries = given.map((rules, i) => route(`r${i}`, rules.map(({ matches, overlays }) => rule(matches, "c", withOverlays ? { overlays: overlays.map((each, j) => ({ match: each, filters: [], ...answering(200 + j) })) } : {}))))
          made.apply({ listeners: new Map([["l", listener("l")]]), routes: new Map(entries.map((entry, i) => [`r${i}`, entry])) })
          return (wanted: RequestView) => made.table.ports.get("*:80")?.find(wanted) ?? null
        }
        const [plain, overlaid] = [compiled(false), compiled(true)]
        // The table itself is the oracle of a single match: one rule that has it, alone.
        const holds = (one: ReturnType<typeof match>, wanted: RequestView): boolean => {
          const made = compiler()
          made.apply({ listeners: new Map([["l", listener("l")]]), routes: new Map([["r", route("r", [rule([one])])]]) })
          return made.table.ports.get("*:80")?.find(wanted) != null
        }
        for (const wanted of requests) {
          const chosen = plain(wanted)
          const found = overlaid(wanted)
          expect(found?.id).toBe(chosen?.id)
          if (chosen === null) continue
          const [, routeIndex = 0, ruleIndex = 0] = (/^r(\d+)#(\d+)$/.exec(chosen.id) ?? []).map(Number)
          const last = (given[routeIndex]?.[ruleIndex]?.overlays ?? []).findLastIndex((each) => holds(each, wanted))
          expect(found?.answer?.status ?? -1).toBe(last === -1 ? -1 : 200 + last)
        }
      }),
      { numRuns: 150 },
    )
  })
})
