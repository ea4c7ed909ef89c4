import fc from "fast-check"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { backend, listener, match, route, rule } from "./fixture.ts"
import { clustersNamed, decodeEntry, type Section } from "./entry.ts"
import { EntryFault } from "./fault.ts"

const whole = {
  listener: { ...listener("l", { protocol: "HTTPS", hostname: "*.a.test", addresses: ["127.0.0.1"], bindPort: 10_080, generation: 3, tls: { certificates: ["secret/default/a", "secret/default/b"] } }) },
  route: {
    ...route("r", [
      rule([match("/a", { method: "GET", headers: [{ name: "h", type: "exact", value: "1" }], query: [{ name: "q", type: "regex", value: "." }] }), { ...match("/"), path: { type: "regex", value: "/[^/]+/b", late: true } }], [backend("c", 2, [{ type: "requestHeaders", set: [["a", "b"]], add: [], remove: ["c"] }]), { weight: 1, answer: { status: 500, headers: [["x", "y"]], body: "no" }, filters: [] }], {
        name: "one",
        grpc: true,
        filters: [{ type: "redirect", scheme: "https", hostname: "b.test", port: 443, path: { type: "prefix", value: "/n" }, status: 301 }, { type: "rewrite", hostname: "b.test", path: { type: "full", value: "/" } }, { type: "cors", origins: ["https://*.a.test:8443"], methods: ["PUT"], headers: ["x-a"], exposed: ["x-b"], credentials: true, maxAge: 5 }, { type: "mirror", cluster: "m", numerator: 1, denominator: 2 }],
        answer: { status: 503, headers: [], body: "" },
        timeouts: { request: 1000, backend: 0 },
        retry: { codes: [500, 503], attempts: 3, backoff: 100 },
        overlays: [{ match: match("/a/b", { headers: [{ name: "h", type: "regex", value: "1" }] }), filters: [{ type: "responseHeaders", set: [], add: [["a", "b"]], remove: [] }], weights: [0, 1], answer: { status: 503, headers: [], body: "" } }, { filters: [] }],
      }),
    ]),
  },
  cluster: { schema: 1, source: { kind: "Service", namespace: "default", name: "s" }, protocol: "http", endpoints: [{ address: "10.0.0.1", port: 80 }], empty: "NoReadyEndpoints" },
  certificate: {
    schema: 1, source: { kind: "Secret", namespace: "default", name: "a" }, chain: "-----BEGIN CERTIFICATE-----", key: "v1.id.nonce.body", names: ["a.test"], keyType: "ec",
    notBefore: "2026-01-01T00:00:00Z", notAfter: "2027-01-01T00:00:00Z", fingerprint: "00", empty: "Unusable",
  },
  plan: { schema: 1, functions: ["endpoints", "routes"] },
} as const

const sections = ["listener", "route", "cluster", "certificate", "plan"] as const
const verdict = (section: Section, body: string): boolean => {
  try {
    decodeEntry(section, "id", body)
    return true
  } catch (error) {
    if (error instanceof EntryFault) return false
    throw error
  }
}

/** Every place in a value, as a path of keys. */
const places = (value: unknown, at: readonly (string | number)[] = []): (readonly (string | number)[])[] =>
  typeof value === "object" && value !== null ? Object.entries(value).flatMap(([key, member]) => [[...at, Array.isArray(value) ? Number(key) : key], ...places(member, [...at, Array.isArray(value) ? Number(key) : key])]) : []
const changed = (value: unknown, [key, ...rest]: readonly (string | number)[], to: unknown): unknown => {
  if (key === undefined) return to
  if (Array.isArray(value)) return value.map((member: unknown, i) => (i === key ? changed(member, rest, to) : member))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, name === key ? changed(member, rest, to) : member]))
}

describe("entries", () => {
  it.each(sections)("accepts a %s that uses every field, as the Schema does", (section) => {
    expect(Schema.is(kinds[section].schema)(whole[section])).toBe(true)
    expect(verdict(section, canonical(whole[section]))).toBe(true)
  })

  it("refuses what the Schema refuses, wherever a value of the wrong type is put", () => {
    fc.assert(
      fc.property(fc.constantFrom(...sections).chain((section) => fc.tuple(fc.constant(section), fc.constantFrom(...places(whole[section])))), fc.constantFrom(null, 3.5, true, "text", [], {}, [3], undefined), ([section, place], wrong) => {
        const value = changed(whole[section], place, wrong)
        const body = canonical(value)
        const known = Schema.is(kinds[section].schema)(JSON.parse(body))
        // More lenient only on what a gateway does not act on (what `empty` says), and on a cluster's protocol.
        const isLenient = place[0] === "empty" || (section === "cluster" && place[0] === "protocol" && typeof wrong === "string")
        if (!known && !isLenient) expect(verdict(section, body)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })

  it("says where the fault is", () => {
    const bad = changed(whole.route, ["rules", 0, "matches", 0, "headers", 0, "type"], "fuzzy")
    expect(() => decodeEntry("route", "r", canonical(bad))).toThrow(expect.objectContaining({ reason: "Malformed", field: "rules[0].matches[0].headers[0].type" }))
    const unknown = changed(whole.route, ["rules", 0, "filters", 0], { type: "teleport" })
    expect(() => decodeEntry("route", "r", canonical(unknown))).toThrow(expect.objectContaining({ reason: "UnknownFilter", field: "rules[0].filters[0].type" }))
  })

  it("tells a newer schema from a broken entry", () => {
    expect(() => decodeEntry("route", "r", canonical({ ...whole.route, schema: 2 }))).toThrow(expect.objectContaining({ reason: "NewerSchema" }))
    expect(() => decodeEntry("route", "r", "{")).toThrow(expect.objectContaining({ reason: "Malformed" }))
  })

  it("ignores a field that a later version has added", () => {
    expect(verdict("cluster", canonical({ ...whole.cluster, locality: "here" }))).toBe(true)
  })

  it.each([
    ["a header value that ends the line", ["rules", 0, "backends", 0, "filters", 0, "set", 0, 1], "a\r\nb: c"],
    ["a header name that is no token", ["rules", 0, "backends", 0, "filters", 0, "remove", 0], "a b"],
    ["a redirect to a host with a path", ["rules", 0, "filters", 0, "hostname"], "b.test/x"],
    ["a redirect to a scheme that ends the line", ["rules", 0, "filters", 0, "scheme"], "https\r\nX"],
    ["a redirect to no scheme", ["rules", 0, "filters", 0, "scheme"], ""],
    ["a redirect to a fraction of a port", ["rules", 0, "filters", 0, "port"], 80.5],
    ["an answer with a fraction of a status", ["rules", 0, "answer", "status"], 200.5],
    ["a path that does not begin with a slash", ["rules", 0, "matches", 0, "path", "value"], "a"],
    ["an origin that ends the line", ["rules", 0, "filters", 2, "origins", 0], "https://a.test\r\nX: y"],
    ["a mirror of a share of nothing", ["rules", 0, "filters", 3, "denominator"], 0],
    ["a negative weight", ["rules", 0, "backends", 0, "weight"], -1],
    ["an overlay with a weight too few", ["rules", 0, "overlays", 0, "weights"], [1]],
    ["an overlay with a negative weight", ["rules", 0, "overlays", 0, "weights", 0], -1],
  ])("refuses %s", (_, place, value) => {
    expect(verdict("route", canonical(changed(whole.route, place, value)))).toBe(false)
  })

  it.each([
    ["a header value that ends the line", ["rules", 0, "backends", 0, "filters", 0, "set", 0, 1], "a\r\nb: c"],
    ["a header value beyond ASCII", ["rules", 0, "backends", 1, "answer", "headers", 0, 1], "caf\u00e9"],
    ["a header name that is no token", ["rules", 0, "backends", 0, "filters", 0, "remove", 0], "a b"],
    ["a redirect to a host with a path", ["rules", 0, "filters", 0, "hostname"], "b.test/x"],
    ["a redirect that is none", ["rules", 0, "filters", 0, "status"], 200],
    ["a redirect to a scheme that ends the line", ["rules", 0, "filters", 0, "scheme"], "https\r\nX"],
    ["a redirect to a fraction of a port", ["rules", 0, "filters", 0, "port"], 80.5],
    ["an answer with a fraction of a status", ["rules", 0, "answer", "status"], 200.5],
    ["a path that does not begin with a slash", ["rules", 0, "overlays", 0, "match", "path", "value"], "a"],
    ["an answer that is none", ["rules", 0, "overlays", 0, "answer", "status"], 99],
    ["an origin with a path", ["rules", 0, "filters", 2, "origins", 0], "https://a.test/x"],
    ["a negative weight", ["rules", 0, "backends", 0, "weight"], -1],
  ])("and so does who writes it: %s", (_, place, value) => {
    expect(Schema.is(kinds.route.schema)(changed(whole.route, place, value))).toBe(false)
  })

  it("refuses a port that no connection can be made to: net throws on it, in the middle of a request", () => {
    expect(verdict("cluster", canonical(changed(whole.cluster, ["endpoints", 0, "port"], 80.5)))).toBe(false)
    expect(verdict("listener", canonical(changed(whole.listener, ["port"], 80.5)))).toBe(false)
  })

  it("refuses an HTTPS listener that names no certificates, and a certificate with neither content nor a reason for none", () => {
    expect(verdict("listener", canonical(changed(whole.listener, ["tls"], undefined)))).toBe(false)
    expect(verdict("listener", canonical({ ...whole.listener, protocol: "HTTP", tls: undefined }))).toBe(true)
    expect(verdict("certificate", canonical({ ...whole.certificate, chain: undefined, key: undefined }))).toBe(true)
    expect(verdict("certificate", canonical({ ...whole.certificate, key: undefined, empty: undefined }))).toBe(false)
  })

  it("takes a cluster of a protocol it does not speak for one that has nothing to send to", () => {
    expect(decodeEntry("cluster", "c", canonical({ ...whole.cluster, protocol: "h3" }))).toMatchObject({ unspoken: "h3", value: { endpoints: [], empty: "UnsupportedProtocol" } })
  })

  it("names each cluster of a route once", () => {
    const mirror = (cluster: string) => ({ type: "mirror", cluster, numerator: 1, denominator: 1 }) as const
    expect(clustersNamed(route("r", [rule([match("/")], [backend("a", 1, [mirror("b")])], { filters: [mirror("c")], overlays: [{ filters: [mirror("d")] }] })]))).toEqual(["c", "a", "b", "d"])
    expect(clustersNamed(route("r", [rule([match("/")], [backend("a", 1, [mirror("b")])])]))).toEqual(["a", "b"])
    expect(clustersNamed(route("r", [rule([match("/")], [backend("a"), backend("b")]), rule([match("/")], [backend("a"), { weight: 1, filters: [] }])]))).toEqual(["a", "b"])
  })
})
