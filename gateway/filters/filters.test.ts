import { describe, expect, it } from "vitest"
import type { Filter } from "../../bus/kinds/config.ts"
import { request } from "../table/fixture.ts"
import type { ClusterHandle, HeaderEdit, HeaderEdits } from "../table/table.ts"
import * as compile from "./compile.ts"
import { encodePath, pathEdit } from "./path.ts"

const clusterOf = (id: string): ClusterHandle => ({ id, endpoints: [], isHttp2: false, emptyStatus: 503, turn: 0 })
const compileFilters = (filters: readonly Filter[], prefix: string) => compile.compileFilters(filters, prefix, clusterOf)

const edited = (edit: HeaderEdit | null): readonly string[] => {
  const calls: string[] = []
  const headers: HeaderEdits = { set: (name, value) => void calls.push(`set ${name}=${value}`), add: (name, value) => void calls.push(`add ${name}=${value}`), remove: (name) => void calls.push(`remove ${name}`) }
  edit?.(headers)
  return calls
}
const headers = (type: "requestHeaders" | "responseHeaders", set: readonly (readonly [string, string])[], add: readonly (readonly [string, string])[], remove: readonly string[]): Filter => ({ type, set, add, remove })

describe("header edits", () => {
  it("remove, then set, then add, filter by filter, requests and responses apart", () => {
    const filters = [headers("requestHeaders", [["a", "1"]], [["b", "2"]], ["a"]), headers("responseHeaders", [["c", "3"]], [], []), headers("requestHeaders", [["a", "4"]], [], [])]
    const compiled = compileFilters(filters, "")
    expect(edited(compiled.requestHeaders)).toEqual(["remove a", "set a=1", "add b=2", "set a=4"])
    expect(edited(compiled.responseHeaders)).toEqual(["set c=3"])
  })

  it("is nothing at all where nothing is edited", () => {
    expect(compileFilters([headers("requestHeaders", [], [], [])], "").requestHeaders).toBeNull()
  })
})

describe("path edits, as in the table of HTTPPathModifier.replacePrefixMatch", () => {
  it.each([
    ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
    ["/foo", "/foo", "/xyz", "/xyz"],
    ["/foo/", "/foo", "/xyz", "/xyz/"],
    ["/foo/bar", "/foo", "", "/bar"],
    ["/foo/", "/foo", "", "/"],
    ["/foo", "/foo", "", "/"],
    ["/foo/", "/foo", "/", "/"],
    ["/foo", "/foo", "/", "/"],
    ["/a/b", "/", "/xyz", "/xyz/a/b"],
    ["/a/b", "/", "/", "/a/b"],
    ["/a/b", "/a", "xyz", "/xyz/b"],
  ])("%s under prefix %s with %s becomes %s", (path, prefix, value, expected) => {
    const matched = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix
    expect(pathEdit({ type: "prefix", value }, matched)(request("GET", `h${path}`))).toBe(expected)
  })

  it("replaces the full path", () => {
    expect(pathEdit({ type: "full", value: "/new" }, "/a")(request("GET", "h/a/b"))).toBe("/new")
    expect(pathEdit({ type: "full", value: "" }, "/a")(request("GET", "h/a/b"))).toBe("/")
  })

  it("puts nothing on the wire that would end the target or begin a query", () => {
    expect(encodePath("/a b?c#d\r\n€%20é")).toBe("/a%20b%3Fc%23d%0D%0A%E2%82%AC%20%C3%A9")
  })
})

describe("rewrites", () => {
  it("keep the query, and what is not named", () => {
    const both = compileFilters([{ type: "rewrite", hostname: "Other.Test", path: { type: "prefix", value: "/x" } }], "/a").rewrite
    expect(both?.(request("GET", "h/a/b?q=1"))).toEqual({ host: "other.test", path: "/x/b?q=1" })
    const hostOnly = compileFilters([{ type: "rewrite", hostname: "other.test" }], "/a").rewrite
    expect(hostOnly?.(request("GET", "h/a?q=1"))).toEqual({ host: "other.test", path: undefined })
    expect(compileFilters([{ type: "rewrite" }], "").rewrite).toBeNull()
  })

  it("of several, the first that says something about host or path stands", () => {
    const rewrite = compileFilters([{ type: "rewrite", hostname: "one" }, { type: "rewrite", hostname: "two", path: { type: "full", value: "/p" } }], "").rewrite
    expect(rewrite?.(request("GET", "h/a"))).toEqual({ host: "one", path: "/p" })
  })
})

describe("redirects: Location as HTTPRequestRedirectFilter says", () => {
  const location = (filter: Omit<Extract<Filter, { type: "redirect" }>, "type" | "status">, scheme = "http", port = 80, url = "a.test/p/q?x=1"): string | undefined =>
    compileFilters([{ type: "redirect", status: 302, ...filter }], "/p").redirect?.(request("GET", url), scheme, port).location

  it.each([
    ["keeps everything it does not name", {}, "http", 80, "http://a.test/p/q?x=1"],
    ["names the listener's port unless it is the scheme's", {}, "http", 8080, "http://a.test:8080/p/q?x=1"],
    ["names no 443 of https", {}, "https", 443, "https://a.test/p/q?x=1"],
    ["names 80 of https", { port: 80 }, "https", 443, "https://a.test:80/p/q?x=1"],
    ["takes a scheme's own port instead of the listener's", { scheme: "https" }, "http", 8080, "https://a.test/p/q?x=1"],
    ["takes the listener's port for a scheme without one", { scheme: "ws" }, "http", 8080, "ws://a.test:8080/p/q?x=1"],
    ["prefers its own port", { scheme: "https", port: 8443 }, "http", 80, "https://a.test:8443/p/q?x=1"],
    ["names no 80 of http though the listener has another", { port: 80 }, "http", 8080, "http://a.test/p/q?x=1"],
    ["replaces host and path", { hostname: "b.test", path: { type: "prefix", value: "/n" } }, "http", 80, "http://b.test/n/q?x=1"],
    ["replaces the full path", { path: { type: "full", value: "/n" } }, "http", 80, "http://a.test/n?x=1"],
  ] as const)("%s", (_, filter, scheme, port, expected) => {
    expect(location(filter, scheme, port)).toBe(expected)
  })

  it("is relative for a request that names no host", () => {
    expect(location({}, "http", 80, "/p?x=1")).toBe("/p?x=1")
  })

  it("says its status", () => {
    expect(compileFilters([{ type: "redirect", status: 308 }], "").redirect?.(request("GET", "h/"), "http", 80).status).toBe(308)
  })
})

it("knows which filters depend on the prefix that matched", () => {
  expect(compile.needsPrefix([{ type: "rewrite", path: { type: "prefix", value: "/" } }])).toBe(true)
  expect(compile.needsPrefix([{ type: "redirect", status: 301, path: { type: "full", value: "/" } }])).toBe(false)
})

describe("mirrors", () => {
  it.each([
    [1, 1, [true, true, true]],
    [0, 100, [false, false, false]],
    [1, 2, [false, true, false, true]],
    [25, 50, [false, true, false, true]],
    [2, 3, [false, true, true, false, true, true]],
  ])("%i in %i requests, evenly spread", (numerator, denominator, due) => {
    const [mirror] = compileFilters([{ type: "mirror", cluster: "m", numerator, denominator }], "").mirrors ?? []
    expect(due.map(() => mirror?.isDue())).toEqual(due)
    expect(mirror?.cluster.id).toBe("m")
  })
})
