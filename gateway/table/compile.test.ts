import { describe, expect, it } from "vitest"
import type { Cluster, Route } from "../../bus/kinds/config.ts"
import { backend, compiler, listener, match, request, route, rule } from "./fixture.ts"
import type { TableCompiler } from "./compile.ts"

const cluster = (addresses: readonly string[], empty?: Cluster["empty"]): Cluster => ({
  schema: 1, source: { kind: "Service", namespace: "default", name: "s" }, protocol: "http",
  endpoints: addresses.map((address) => ({ address, port: 80 })), ...(empty === undefined ? {} : { empty }),
})
const serving = (...routes: readonly (readonly [string, Route])[]): TableCompiler => {
  const made = compiler()
  made.apply({ listeners: new Map([["l", listener("l")]]), routes: new Map(routes) })
  return made
}
/** Milliseconds of this thread's work: what else runs on the machine does not count. */
const work = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
const find = (made: TableCompiler, method: string, url: string, headers = {}) => made.table.ports.get("*:80")?.find(request(method, url, headers)) ?? null

describe("matching", () => {
  it("takes prefixes by segment, trailing slash or not", () => {
    const made = serving(["r", route("r", [rule([match("/a/")])])])
    expect(["/a", "/a/", "/a/b", "/ab", "/", "/b/a"].map((path) => find(made, "GET", `h${path}`) !== null)).toEqual([true, true, true, false, false, false])
  })

  it("falls back to a shorter prefix, then to a wider host, when a header does not hold", () => {
    const made = serving(
      ["narrow", route("narrow", [rule([match("/a/b", { headers: [{ name: "x", type: "exact", value: "1" }] })])], { hosts: ["www.a.test"] })],
      ["shorter", route("shorter", [rule([match("/a", { method: "GET" })])], { hosts: ["www.a.test"] })],
      ["wider", route("wider", [rule([match("/")])], { hosts: ["*.a.test"] })],
    )
    expect(find(made, "GET", "www.a.test/a/b", { x: "1" })?.route).toBe("narrow")
    expect(find(made, "GET", "www.a.test/a/b")?.route).toBe("shorter")
    expect(find(made, "POST", "www.a.test/a/b")?.route).toBe("wider")
    expect(find(made, "POST", "a.test/a/b")).toBeNull()
  })

  it("puts the route first whose own hostname is more specific, where the listener makes the hosts of several the same", () => {
    const on = (own: string) => ({ attach: [{ listener: "l", hostnames: ["abc.a.test"], own: [own] }] })
    const made = compiler()
    made.apply({
      listeners: new Map([["l", listener("l", { hostname: "abc.a.test" })]]),
      routes: new Map([
        ["older", route("older", [rule([match("/a")])], { created: "2026-01-01T00:00:00Z", ...on("*") })],
        ["wildcard", route("wildcard", [rule([match("/a")])], { created: "2026-01-02T00:00:00Z", ...on("*.a.test") })],
        ["exact", route("exact", [rule([match("/")]), rule([match("/a/b", { method: "GET" })])], { created: "2026-01-03T00:00:00Z", ...on("abc.a.test") })],
        ["narrow", route("narrow", [rule([match("/c", { method: "GET" })])], { created: "2026-01-04T00:00:00Z", attach: [{ listener: "l", hostnames: ["abc.a.test"] }] })],
      ]),
    })
    expect(["/a", "/a/b", "/c"].map((path) => find(made, "GET", `abc.a.test${path}`)?.route)).toEqual(["exact", "exact", "narrow"])
    made.apply({ routes: new Map([["exact", null]]) })
    expect(["/a", "/c"].map((path) => find(made, "GET", `abc.a.test${path}`)?.route)).toEqual(["wildcard", "narrow"])
    made.apply({ routes: new Map([["wildcard", null]]) })
    expect(["/a", "/c"].map((path) => find(made, "GET", `abc.a.test${path}`)?.route)).toEqual(["older", "narrow"])
    expect(find(made, "GET", "other.a.test/a")).toBeNull()
  })

  it("puts priority before host and path", () => {
    const made = serving(
      ["exact", route("exact", [rule([match("/a", { type: "exact" })])], { hosts: ["a.test"] })],
      ["first", route("first", [rule([match("/")])], { hosts: ["*"], priority: 5 })],
      ["last", route("last", [rule([match("/")])], { hosts: ["a.test"], priority: -5 })],
    )
    expect(find(made, "GET", "a.test/a")?.route).toBe("first")
    made.apply({ routes: new Map([["first", null]]) })
    expect(find(made, "GET", "a.test/a")?.route).toBe("exact")
    expect(find(made, "GET", "a.test/b")?.route).toBe("last")
  })

  it("puts a regular expression between exact and prefix", () => {
    const made = serving(["r", route("r", [rule([match("/a/b")], "c", { name: "prefix" }), rule([match("/a/.*", { type: "regex" })], "c", { name: "regex" }), rule([match("/a/b", { type: "exact" })], "c", { name: "exact" })])])
    expect(["/a/b", "/a/b/c", "/a/x"].map((path) => find(made, "GET", `h${path}`)?.id)).toEqual(["r#exact", "r#regex", "r#regex"])
  })

  it("keeps listeners of one port apart where they are bound at others, and tells of the port that was asked for", () => {
    const made = compiler()
    made.apply({
      listeners: new Map([["a", listener("a", { bindPort: 10_080 })], ["b", listener("b", { bindPort: 20_000 })]]),
      routes: new Map([["to-a", route("to-a", [rule([match("/a")])], { on: "a" })], ["to-b", route("to-b", [rule([match("/b")])], { on: "b" })]]),
    })
    const at = (key: string, path: string) => made.table.ports.get(key)?.find(request("GET", `h${path}`))?.route
    expect([...made.table.ports].map(([key, { port }]) => [key, port])).toEqual([["*:10080", 80], ["*:20000", 80]])
    expect([at("*:10080", "/a"), at("*:10080", "/b"), at("*:20000", "/a"), at("*:20000", "/b")]).toEqual(["to-a", undefined, undefined, "to-b"])
    expect(made.notes.size).toBe(0)
  })

  it("belongs to the most specific listener, even when that one has no route", () => {
    const made = compiler()
    made.apply({
      listeners: new Map([["any", listener("any")], ["wild", listener("wild", { hostname: "*.a.test" })], ["exact", listener("exact", { hostname: "www.a.test" })]]),
      routes: new Map([["r", route("r", [rule([match("/")])], { attach: [{ listener: "any", hostnames: ["*"] }, { listener: "wild", hostnames: ["*.a.test"] }] })]]),
    })
    expect(["b.test", "x.a.test", "www.a.test"].map((host) => find(made, "GET", `${host}/`) !== null)).toEqual([true, true, false])
  })

  it("matches paths beyond ASCII as they are on the wire", () => {
    expect(find(serving(["r", route("r", [rule([match("/café", { type: "exact" })])])]), "GET", "h/caf%C3%A9")).not.toBeNull()
    expect(find(serving(["r", route("r", [rule([match("/c%61f%c3%a9%2fx", { type: "exact" })])])]), "GET", "h/caf%C3%A9%2Fx")).not.toBeNull()
  })

  it("takes time linear in the query, whatever is in it", () => {
    const made = serving(["r", route("r", [rule([match("/", { query: [{ name: "q", type: "exact", value: "1" }] })])])])
    const long = request("GET", `h/?${"&".repeat(60_000)}`)
    const started = work()
    for (let i = 0; i < 10; i++) expect(made.table.ports.get("*:80")?.find(long)).toBeNull()
    expect(work() - started).toBeLessThan(500)
  })
})

describe("rules", () => {
  it("share one rule among matches, and make one a prefix where an edit replaces it", () => {
    const plain = serving(["r", route("r", [rule([match("/a"), match("/b")])])])
    expect(find(plain, "GET", "h/a")).toBe(find(plain, "GET", "h/b"))
    const edited = serving(["r", route("r", [rule([match("/a"), match("/b/c")], "c", { filters: [{ type: "rewrite", path: { type: "prefix", value: "/n" } }] })])])
    expect(["/a/x", "/b/c/x"].map((path) => find(edited, "GET", `h${path}`)?.rewrite?.(request("GET", `h${path}`)).path)).toEqual(["/n/x", "/n/x"])
  })

  it("pick by weight; none without weight or backends", () => {
    const made = serving(["r", route("r", [rule([match("/a")], [backend("x", 0), backend("y", 3)]), rule([match("/b")], [backend("x", 0)]), rule([match("/c")], [])])])
    expect(["/a", "/b", "/c"].map((path) => find(made, "GET", `h${path}`)?.pick()?.cluster?.id ?? null)).toEqual(["y", null, null])
  })

  it("answer 500 for a share that names nothing", () => {
    const made = serving(["r", route("r", [rule([match("/")], [{ weight: 1, filters: [] }])])])
    expect(find(made, "GET", "h/")?.pick()).toMatchObject({ cluster: null, answer: { status: 500 } })
  })
})

describe("clusters are live", () => {
  it("an endpoint change reaches rules without a new table", () => {
    const made = serving(["r", route("r", [rule([match("/")])])])
    const before = made.table
    const handle = find(made, "GET", "h/")?.pick()?.cluster
    expect(handle).toMatchObject({ endpoints: [], emptyStatus: 503 })
    made.apply({ clusters: new Map([["c", cluster(["10.0.0.1"])]]) })
    expect(made.table).toBe(before)
    expect(handle?.endpoints).toEqual([{ address: "10.0.0.1", port: 80 }])
    made.apply({ clusters: new Map([["c", cluster([], "NoSuchService")]]) })
    expect(handle).toMatchObject({ endpoints: [], emptyStatus: 500 })
  })

  it("a removed cluster keeps its endpoints while a route names it, and is gone with the last", () => {
    const made = serving(["r", route("r", [rule([match("/")])])], ["s", route("s", [rule([match("/s")])])])
    made.apply({ clusters: new Map([["c", cluster(["10.0.0.1"])]]) })
    made.apply({ clusters: new Map([["c", null]]) })
    expect(find(made, "GET", "h/")?.pick()?.cluster?.endpoints).toHaveLength(1)
    made.apply({ routes: new Map([["r", null]]) })
    expect(made.table.clusters.has("c")).toBe(true)
    made.apply({ routes: new Map([["s", route("s", [rule([match("/s")], "d")])]]) })
    expect([...made.table.clusters.keys()]).toEqual(["d"])
    expect(made.endpoints().size).toBe(0)
  })
})

describe("what cannot be served", () => {
  it("parks a route whose edit cannot be compiled, keeps its last good version, and heals", () => {
    const made = serving(["r", route("r", [rule([match("/")])])], ["other", route("other", [rule([match("/o")])])])
    const bad = route("r", [rule([match("(", { type: "regex" })])])
    made.apply({ routes: new Map([["r", bad]]) })
    expect(made.notes.get("route/r")).toMatchObject({ severity: "error", reason: "UnsupportedRegex", field: "rules[0].matches[0].path.value" })
    expect(find(made, "GET", "h/x")?.route).toBe("r")
    expect(find(made, "GET", "h/o")?.route).toBe("other")
    made.apply({ routes: new Map([["r", route("r", [rule([match("/n")])])]]) })
    expect(made.notes.size).toBe(0)
    expect(find(made, "GET", "h/x")).toBeNull()
  })

  it("gives a port and host to the oldest Gateway and notes the others; the next one takes over when it goes", () => {
    const made = compiler()
    const older = listener("older", { created: "2026-01-01T00:00:00Z" })
    const younger = listener("younger", { created: "2026-01-02T00:00:00Z", gateway: { namespace: "x", name: "y" } })
    const on = (id: string) => route(id, [rule([match("/")])], { attach: [{ listener: id, hostnames: ["*"] }] })
    made.apply({ listeners: new Map([["a", younger], ["b", older]]), routes: new Map([["a", on("a")], ["b", on("b")]]) })
    expect(find(made, "GET", "h/")?.route).toBe("b")
    expect(made.notes.get("listener/a")).toMatchObject({ reason: "ListenerConflict", about: { kind: "Gateway", namespace: "x", name: "y" } })
    made.apply({ listeners: new Map([["b", null]]) })
    expect(find(made, "GET", "h/")?.route).toBe("a")
    expect(made.notes.size).toBe(0)
    made.apply({ listeners: new Map([["a", null]]) })
    expect(made.table.ports.size).toBe(0)
  })
})

it("gives a port's protocol to the oldest Gateway; a listener of the other protocol is noted, and takes over when it goes", () => {
  const made = compiler()
  const secure = { protocol: "HTTPS", tls: { certificates: [] } } as const
  const on = (id: string) => route(id, [rule([match("/")])], { attach: [{ listener: id, hostnames: ["*"] }] })
  made.apply({
    listeners: new Map([["a", listener("a", { created: "2026-01-02T00:00:00Z", hostname: "a.test" })], ["b", listener("b", { created: "2026-01-01T00:00:00Z", ...secure })]]),
    routes: new Map([["a", on("a")], ["b", on("b")]]),
  })
  expect(made.table.ports.get("*:80")?.protocol).toBe("HTTPS")
  expect(find(made, "GET", "a.test/")?.route).toBe("b")
  expect(made.notes.get("listener/a")).toMatchObject({ reason: "ProtocolConflict", message: expect.stringContaining("Listener a (HTTP) is not served: port 80 speaks HTTPS, for the listener b") })
  made.apply({ listeners: new Map([["b", null]]) })
  expect(made.table.ports.get("*:80")?.protocol).toBe("HTTP")
  expect(find(made, "GET", "a.test/")?.route).toBe("a")
  expect(made.notes.size).toBe(0)
})

it("calls a request misdirected when its host has another listener than the name its connection asked for", () => {
  const made = compiler()
  const secure = { protocol: "HTTPS", tls: { certificates: [] } } as const
  made.apply({ listeners: new Map([["any", listener("any", secure)], ["wild", listener("wild", { ...secure, hostname: "*.a.test" })], ["exact", listener("exact", { ...secure, hostname: "www.a.test" })]]) })
  const port = made.table.ports.get("*:80")
  const misdirected = [["x.a.test", "y.a.test"], ["x.a.test", "www.a.test"], ["www.a.test", "x.a.test"], ["b.test", "c.test"], ["", "b.test"], ["", "www.a.test"], ["x.a.test", "b.test"]] as const
  expect(misdirected.map(([name, host]) => port?.isMisdirected(name, host))).toEqual([false, true, true, false, false, true, true])
  made.apply({ listeners: new Map([["any", null]]) })
  // No listener has the host: that is 404.
  expect(made.table.ports.get("*:80")?.isMisdirected("x.a.test", "b.test")).toBe(false)
})

it("finds every edit among 20,000 routes", () => {
  const made = compiler()
  const entry = (i: number, path = "/"): Route => route(`r${i}`, [rule([match(path)], `c${i % 1000}`)], { hosts: [i % 2 === 0 ? `r${i}.test` : "shared.test"] })
  const routes = new Map(Array.from({ length: 20_000 }, (_, i) => [`r${i}`, entry(i, i % 2 === 0 ? "/" : `/r${i}`)]))
  made.apply({ listeners: new Map([["l", listener("l")]]), routes })
  for (let i = 0; i < 300; i++) {
    made.apply({ routes: new Map([[`r${i * 61}`, entry(i * 61, `/edited${i}`)]]) })
    expect(find(made, "GET", `${(i * 61) % 2 === 0 ? `r${i * 61}` : "shared"}.test/edited${i}`)?.route).toBe(`r${i * 61}`)
  }
})
