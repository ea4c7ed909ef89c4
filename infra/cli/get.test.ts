import { describe, expect, test } from "vitest"
import { AWAY_AFTER } from "../../bus/presence.ts"
import { get } from "./get.ts"
import { podAs, type Item, type Observed } from "./observe.ts"

const resource = (kind: string, key: string, value: unknown, file = ""): Item => ({ kind, plane: "", key, value, file })
const entry = (kind: string, key: string, value: unknown): Item => ({ kind, plane: "default", key, value, file: "" })
const noteOn = (kind: string, namespace: string, name: string, field: string): Item =>
  entry("note", `routes/${namespace}-${name}`, { schema: 1, severity: "error", reason: "Wrong", message: "It is wrong.", about: { kind, namespace, name }, field })
const route = (namespace: string, name: string, service: string): Item =>
  resource("httproute", `${namespace}/${name}`, { metadata: { namespace, name }, spec: { rules: [{ backendRefs: [{ kind: "Service", name: service, port: 80 }] }] } }, "routes.yaml")
const document = (namespace: string, name: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  namespace: ${namespace}\n  name: ${name}\nspec:\n  rules:\n    - backendRefs:\n        - name: gone\n          port: 80\n`

const observed = (resources: readonly Item[], entries: readonly Item[], applied: readonly unknown[] = []): Observed => ({ resources, entries, applied })
const options = { kind: undefined, name: undefined, namespace: undefined, output: "table" } as const

test("a note is placed at the field it is about, and one on a Service that is not there at what refers to it", () => {
  const all = observed([route("a", "one", "gone"), route("b", "two", "gone")], [noteOn("HTTPRoute", "b", "two", "spec.rules[0]"), noteOn("Service", "a", "gone", "spec.ports")])
  const text = `${document("a", "one")}---\n${document("b", "two")}`
  expect(get(all, { ...options, kind: "notes" }, () => text).split("\n").slice(1, 3).map((line) => line.split(/ {3,}/).slice(2, 4))).toEqual([
    ["HTTPRoute a/one", "routes.yaml:9 spec.rules[0].backendRefs[0].name"],
    ["HTTPRoute b/two", "routes.yaml:19 spec.rules[0]"],
  ])
})

test("what users wrote gives a terminal no orders and breaks no line", () => {
  const shown = get(observed([resource("service", "a/b\u001b[2J\nc", {})], []), { ...options, kind: "services" }, () => undefined)
  expect(shown.split("\n")[1]).toMatch(/^a +b \[2J c {3}-$/)
})

test("a listener behind a Service shows the port that the Service has", () => {
  const all = observed([resource("gateway", "a/gw", { spec: { gatewayClassName: "c", listeners: [{ name: "http" }] } })], [entry("listener", "a/gw/http", { port: 80, bindPort: 10_080 })], [{ pod: "p", plane: "default", listeners: [{ id: "a/gw/http", address: "::", port: 10_080 }] }])
  expect(get(all, { ...options, kind: "gateways" }, () => undefined)).toMatch(/ http=80 /)
})

test("a namespace chooses what is in it, not what is called like it", () => {
  const all = observed([route("web", "one", "x"), route("b", "web", "x")], [entry("cluster", "service/web/x/80", {}), noteOn("HTTPRoute", "web", "one", "spec"), noteOn("HTTPRoute", "b", "web", "spec")])
  const keys = (kind: string): unknown => JSON.parse(get(all, { ...options, kind, namespace: "web", output: "json" }, () => undefined))
  expect(keys("httproutes")).toMatchObject([{ key: "web/one" }])
  expect(keys("clusters")).toMatchObject([{ key: "service/web/x/80" }])
  expect(keys("notes")).toMatchObject([{ key: "routes/web-one" }])
})

const condition = (type: string, status: string, reason: string) => ({ type, status, reason, message: `It is ${reason}.`, observedGeneration: 1 })
const status = (kind: string, namespace: string, name: string, value: Readonly<Record<string, unknown>>): Item =>
  ({ kind: "status", plane: "_", key: `${kind.toLowerCase()}/${namespace}/${name}`, value: { schema: 1, source: { kind, namespace, name }, observedGeneration: 1, ...value }, file: "" })

describe("what function status says", () => {
  const attach = (listener: string) => ({ attach: [{ listener, hostnames: ["*"] }] })
  const pod = { pod: "up", plane: "default", listeners: [{ id: "a/gw/http", address: "::", port: 80 }, { id: "a/gw2/http", address: "::", port: 0, error: "taken" }] }
  const listeners = [{ name: "http" }, { name: "tls" }]
  const parent = (accepted: string, resolved: string) => ({ parentRef: { name: "gw" }, controllerName: "c", conditions: [condition("Accepted", accepted === "Accepted" ? "True" : "False", accepted), condition("ResolvedRefs", resolved === "ResolvedRefs" ? "True" : "False", resolved)] })
  const gatewayStatus = (programmed: string, http: string, more = {}) =>
    ({ conditions: [condition("Accepted", "True", "Accepted"), condition("Programmed", programmed === "Programmed" ? "True" : "False", programmed)], listeners: [{ name: "http", conditions: [condition("Accepted", http === "Accepted" ? "True" : "False", http)] }, { name: "tls", conditions: [condition("Conflicted", "True", "HostnameConflict")] }], ...more })
  const withParents = (item: Item, parentRefs: unknown): Item => ({ ...item, value: { metadata: {}, spec: { parentRefs, hostnames: ["a.example", "b.example", "c.example"] } } })
  const all = observed(
    [
      resource("gatewayclass", "/ours", { spec: { controllerName: "headgate.dev/gateway" } }),
      resource("gateway", "a/gw", { spec: { gatewayClassName: "c", listeners } }),
      resource("gateway", "a/gw2", { spec: { gatewayClassName: "c", listeners } }),
      resource("gateway", "a/new", { spec: { gatewayClassName: "c", listeners } }),
      withParents(route("a", "one", "x"), [{ name: "gw", sectionName: "http", port: 80 }, { name: "gw2", namespace: "b" }]),
      route("a", "two", "x"),
    ],
    [
      entry("route", "httproute/a/one", attach("a/gw/http")), entry("route", "httproute/a/one@a/gw2", attach("a/gw2/http")), entry("route", "httproute/a/one2", attach("a/gw/http")),
      status("GatewayClass", "", "ours", { conditions: [condition("Accepted", "False", "InvalidParameters")] }),
      status("Gateway", "a", "gw", gatewayStatus("Programmed", "Accepted", { addresses: [{ type: "IPAddress", value: "10.0.0.1" }] })),
      status("Gateway", "a", "gw2", gatewayStatus("Pending", "PortUnavailable")),
      status("HTTPRoute", "a", "one", { parents: [parent("Accepted", "BackendNotFound"), parent("NoMatchingParent", "BackendNotFound")] }),
    ],
    [pod],
  )
  const rows = (kind: string, more = {}): readonly string[] => get(all, { ...options, kind, ...more }, () => undefined).trimEnd().split("\n").slice(1).map((line) => line.replaceAll(/ {3,}/g, "|"))

  test("is in the columns of classes, Gateways and routes; where it says nothing yet there is a dash", () => {
    expect(rows("gatewayclasses")).toEqual(["ours|headgate.dev/gateway|InvalidParameters"])
    expect(rows("gateways")).toEqual(["a|gw|c|10.0.0.1|True|http=80,tls=HostnameConflict|2", "a|gw2|c|-|Pending|http=PortUnavailable,tls=HostnameConflict|1", "a|new|c|-|-|http=-,tls=-|0"])
    expect(rows("httproutes")).toEqual(["a|one|a.example,b.example and 1 more|a/gw#http:80,b/gw2|True,NoMatchingParent|BackendNotFound", "a|two|-|-|-|-"])
    expect(rows("httproutes", { output: "wide" })[1]).toBe("a|two|-|-|-|-|x:80")
  })

  test("has a line an object of its own, with what is not as it should be", () => {
    expect(rows("status")).toEqual([
      "Gateway|a|gw|1|tls: Conflicted HostnameConflict",
      "Gateway|a|gw2|1|Programmed Pending,http: Accepted PortUnavailable and 1 more",
      "GatewayClass|-|ours|1|Accepted InvalidParameters",
      "HTTPRoute|a|one|1|gw: ResolvedRefs BackendNotFound,gw: Accepted NoMatchingParent and 1 more",
    ])
  })

  test("goes along with the object as JSON and YAML", () => {
    const one: unknown = JSON.parse(get(all, { ...options, kind: "httproute", name: "one", output: "json" }, () => undefined))
    expect(one).toMatchObject({ kind: "httproute", key: "a/one", status: { observedGeneration: 1, parents: [{ conditions: [{ type: "Accepted" }, { type: "ResolvedRefs" }] }, {}] } })
    expect(get(all, { ...options, kind: "gateway", name: "new", output: "yaml" }, () => undefined)).not.toContain("status")
  })
})

test("a pod that has gone silent is not ready, one that stopped long ago is none", () => {
  const [then, soon, late] = [Date.parse("2026-01-01T00:00:00Z"), AWAY_AFTER, AWAY_AFTER + 1]
  expect(podAs({ pod: "a", ready: true }, then, then + soon)).toEqual([{ pod: "a", ready: true }])
  expect(podAs({ pod: "a", ready: true }, then, then + late)).toEqual([{ pod: "a", ready: false, waiting: "It has said nothing since 2026-01-01T00:00:00.000Z." }])
  expect(podAs({ pod: "a", ready: false, waiting: "The gateway is stopping." }, then, then + late)).toEqual([])
})

test("thousands of routes with a note each cost what they are, not their square, and each file is read once", () => {
  const names = Array.from({ length: 4_000 }, (_, i) => `r${i}`)
  let reads = 0
  const all = observed(names.map((name) => route("a", name, "x")), names.flatMap((name) => [entry("route", `httproute/a/${name}`, { attach: [] }), noteOn("HTTPRoute", "a", name, "spec")]))
  const text = names.map((name) => document("a", name)).join("---\n")
  const shown = get(all, options, () => {
    reads++
    return text
  })
  expect(shown).toContain("routes.yaml:43996 spec")
  expect(reads).toBe(1)
})
