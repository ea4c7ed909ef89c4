import { describe, expect, test } from "vitest"
import type { Applied } from "../../bus/kinds/applied.ts"
import { backend, listener, match, route, rule } from "../../gateway/table/fixture.ts"
import type { Entry } from "./explain-read.ts"
import { explainRequest, type PlaneNow, questionOf, QuestionError } from "./explain-request.ts"
import { requestText } from "./explain-request-text.ts"

const entry = (section: string, id: string, value: unknown): Entry => ({ plane: "p", section, id, body: JSON.stringify(value), fn: "routes", rev: 1, epoch: 1, time: 0, causes: [] })
const cluster = (name: string, ports: readonly number[], empty?: string) => entry("cluster", name, { schema: 1, source: { kind: "Service", namespace: "default", name }, protocol: "http", endpoints: ports.map((port) => ({ address: "127.0.0.1", port })), ...(empty === undefined ? {} : { empty }) })
const certificate = (name: string, names: readonly string[], keyType = "ec") => entry("certificate", `secret/default/${name}`, { schema: 1, source: { kind: "Secret", namespace: "default", name }, chain: "-", key: "s", names, keyType, notBefore: "2026-01-01T00:00:00Z", notAfter: "2027-01-01T00:00:00Z", fingerprint: "f".repeat(64) })
const plane = (entries: readonly Entry[], listeners: Applied["listeners"] = []): PlaneNow => ({
  plane: "p", entries, acks: [{ time: 0, applied: { schema: 1, pod: "one", plane: "p", ready: true, admin: "", units: {}, listeners, notes: [] } }],
})
const question = (words: string, headers: readonly string[] = [], gateway?: string) => {
  const [first = "", second] = words.split(" ")
  return questionOf(second === undefined ? "GET" : first, second ?? first, headers, gateway)
}
const one = (now: PlaneNow, words: string, headers: readonly string[] = []) => {
  const [explained, ...more] = explainRequest(now, question(words, headers))
  if (explained === undefined || more.length > 0) throw new Error(`${more.length} more`)
  return explained
}

test("the title is the URL that was asked for, its port included", () => {
  const now = plane([entry("listener", "l", listener("http", { port: 8080 }))])
  const explained = one(now, "http://h:8080/x")
  const titleOf = (url: string, headers: readonly string[] = []) => requestText(question(url, headers), explained, [], now.acks).split("\n")[0]
  expect(titleOf("http://h:8080/x")).toBe("GET http://h:8080/x")
  expect(titleOf("http://h:80/x")).toBe("GET http://h/x")
  expect(titleOf("https://[::1]:8443/x")).toBe("GET https://[::1]:8443/x")
  expect(titleOf("http://h:8080/x", ["Host: shop.example"])).toBe("GET http://shop.example:8080/x")
})

test("a port that pods bind elsewhere is told as it was asked for, and where it is bound", () => {
  const now = plane([entry("listener", "l", listener("http", { port: 80, bindPort: 10_080 }))], [{ id: "l", protocol: "HTTP", address: "::", port: 10_080, specPort: 80 }])
  const explained = one(now, "http://h/x")
  expect(explained.port).toBe("*:80")
  expect(requestText(question("http://h/x"), explained, [], now.acks)).toContain("port 80 (HTTP), bound to :::10080")
})

test("what overlays do to a request is said where they act on it, and how it is answered follows from all of them", () => {
  const filters = [{ type: "responseHeaders" as const, set: [["x-o", "1"] as const], add: [], remove: [] }]
  const now = plane([
    entry("listener", "l", listener("http")), cluster("c", [1]), cluster("d", [2]),
    entry("route", "r", route("r", [rule([match("/")], [backend("c", 1), backend("d", 1)], { overlays: [
      { match: match("/a"), filters: filters.map((filter) => ({ ...filter, set: filter.set.map(([name, value]): [string, string] => [name, value]) })) },
      { match: match("/", { headers: [{ name: "x-canary", type: "exact", value: "1" }] }), filters: [], weights: [0, 1] },
      { match: match("/closed"), filters: [], answer: { status: 503, headers: [], body: "back soon\n" } },
    ] })])),
  ])
  expect(one(now, "http://h/a").overlays.map(({ index }) => index)).toEqual([0])
  expect(one(now, "http://h/b", ["X-Canary: 1"])).toMatchObject({ overlays: [{ index: 1 }], shares: [{ cluster: "d", share: 1, endpoints: ["127.0.0.1:2"] }] })
  expect(one(now, "http://h/b").shares.map(({ cluster: id, share }) => [id, share])).toEqual([["c", 0.5], ["d", 0.5]])
  const closed = one(now, "http://h/closed")
  expect(closed.answer).toMatchObject({ status: 503, why: "an overlay answers" })
  expect(requestText(question("http://h/closed"), closed, [], now.acks)).toMatch(/overlays {4}3 of 3, for prefix \/closed: answers 503\nanswer {6}503: an overlay answers\n/)
})

describe("https", () => {
  const now = plane([
    entry("listener", "l", listener("https", { protocol: "HTTPS", port: 443, tls: { certificates: ["secret/default/first", "secret/default/exact", "secret/default/wild", "secret/default/rsa"] } })),
    entry("listener", "other", listener("https", { protocol: "HTTPS", port: 443, hostname: "only.test", tls: { certificates: ["secret/default/none"] } })),
    certificate("first", ["first.test"]), certificate("exact", ["a.wild.test"]), certificate("wild", ["*.wild.test"]), certificate("rsa", ["a.wild.test"], "rsa"),
    entry("certificate", "secret/default/none", { schema: 1, source: { kind: "Secret", namespace: "default", name: "none" }, names: [], empty: "NoSuchSecret" }),
    cluster("c", [1]), entry("route", "r", route("r", [rule([match("/")])])),
  ])
  const presented = (url: string) => one(now, url).certificates.map(({ id }) => id.slice("secret/default/".length))

  test("says which certificates are presented for the name, as the gateway chooses", () => {
    expect(presented("https://a.wild.test/")).toEqual(["exact", "rsa"])
    expect(presented("https://b.wild.test/")).toEqual(["wild"])
    expect(presented("https://unknown.test/")).toEqual(["first"])
    expect(presented("https://127.0.0.1/")).toEqual(["first"])
    expect(requestText(question("https://b.wild.test/"), one(now, "https://b.wild.test/"), [], [])).toMatch(/certificate secret\/default\/wild \(ec\): \*\.wild\.test; valid 2026-01-01T00:00:00Z to\s+2027-01-01T00:00:00Z, SHA-256 f{16}…/)
  })

  test("says when no listener is for the name, or for none", () => {
    const named = plane([entry("listener", "l", listener("https", { protocol: "HTTPS", port: 443, hostname: "a.test", tls: { certificates: ["secret/default/a"] } })), certificate("a", ["a.test"])])
    expect(one(named, "https://b.test/").answer).toEqual({ status: 0, why: "no listener is for b.test: the handshake fails (unrecognized_name)" })
    for (const address of ["127.0.0.1", "[::1]"]) expect(one(named, `https://${address}/`).answer).toEqual({ status: 0, why: "no listener is for a client that names no server: the handshake fails (unrecognized_name)" })
    expect(one(named, "https://A.test/").answer).toMatchObject({ status: 404 })
  })

  test("says when there is none, when the scheme is another, and when a host belongs to another listener", () => {
    expect(one(now, "https://only.test/").answer).toEqual({ status: 0, why: "there is no certificate to present: the handshake fails" })
    expect(one(now, "http://a.wild.test:443/").answer).toMatchObject({ status: 0, why: "the port speaks HTTPS, the URL says http" })
    expect(one(now, "https://a.wild.test/", ["Host: only.test"]).answer).toMatchObject({ status: 421 })
    expect(one(now, "https://a.wild.test/").shares).toMatchObject([{ cluster: "c" }])
  })
})

test("a port is the listener's own, or the one it is served at; a Gateway narrows it", () => {
  const entries = [entry("listener", "default/gw/http", listener("http", { port: 80 })), entry("listener", "default/other/http", listener("http", { port: 81 }))]
  const now = plane(entries, [{ id: "default/gw/http", protocol: "HTTP", address: "127.0.0.1", port: 8080, specPort: 80 }])
  expect(one(now, "http://h:8080/").port).toBe("*:80")
  expect(one(now, "http://h/").port).toBe("*:80")
  expect(explainRequest(now, question("http://h:9/"))).toEqual([])
  expect(explainRequest(now, question("http://h/", [], "default/other"))).toEqual([])
  expect(explainRequest(now, question("http://h:81/", [], "default/other"))).toHaveLength(1)
})

test("an entry that a gateway would park is left out, as it does", () => {
  const now = plane([entry("listener", "l", listener("http")), entry("route", "new", { ...route("new", [rule([match("/")])]), schema: 2 }), entry("route", "bad", route("bad", [rule([match("(", { type: "regex" })])]))])
  expect(one(now, "http://h/")).toMatchObject({ route: undefined, answer: { status: 404 } })
})

test.each([
  ["http://h/a?x=ä b", "/a?x=%C3%A4%20b"],
  ["http://h/ä/%2e", "/%C3%A4/%2e"],
  ["http://h", "/"],
  ["http://h?x=1", "/?x=1"],
  ["HTTP://h/a#fragment", "/a"],
  ["http://müller.example/a", "/a"],
])("%s is asked for as %s", (url, target) => {
  expect(question(url.replaceAll(" ", "\u00a0")).target.replaceAll("%C2%A0", "%20")).toBe(target)
})

test("what is no URL and no header says so", () => {
  for (const url of ["h/a", "ftp://h/", "http://", "http://user@h/"]) expect(() => questionOf("GET", url, [], undefined)).toThrow(QuestionError)
  expect(() => questionOf("GET", "http://h/", ["x"], undefined)).toThrow(/is not a header/)
})
