import { expect, test } from "vitest"
import { get } from "./get.ts"
import type { Item, Observed } from "./observe.ts"

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

test("a namespace chooses what is in it, not what is called like it", () => {
  const all = observed([route("web", "one", "x"), route("b", "web", "x")], [entry("cluster", "service/web/x/80", {}), noteOn("HTTPRoute", "web", "one", "spec"), noteOn("HTTPRoute", "b", "web", "spec")])
  const keys = (kind: string): unknown => JSON.parse(get(all, { ...options, kind, namespace: "web", output: "json" }, () => undefined))
  expect(keys("httproutes")).toMatchObject([{ key: "web/one" }])
  expect(keys("clusters")).toMatchObject([{ key: "service/web/x/80" }])
  expect(keys("notes")).toMatchObject([{ key: "routes/web-one" }])
})

test("gateways and routes are counted and joined by what is attached, variants for overlays included", () => {
  const attach = (listener: string) => ({ attach: [{ listener, hostnames: ["*"] }] })
  const pod = { pod: "up", plane: "default", listeners: [{ id: "a/gw/http", address: "::", port: 80 }, { id: "a/gw2/http", error: "taken" }] }
  const all = observed(
    [resource("gateway", "a/gw", { spec: { gatewayClassName: "c" } }), resource("gateway", "a/gw2", { spec: { gatewayClassName: "c" } }), route("a", "one", "x"), route("a", "one2", "x")],
    [entry("route", "httproute/a/one", attach("a/gw/http")), entry("route", "httproute/a/one@a/gw2", attach("a/gw2/http")), entry("route", "httproute/a/one2", attach("a/gw/http"))],
    [pod],
  )
  const rows = (kind: string): readonly string[] => get(all, { ...options, kind }, () => undefined).trimEnd().split("\n").slice(1).map((line) => line.replaceAll(/ {3,}/g, "|"))
  expect(rows("gateways")).toEqual(["a|gw|c|http=:::80|2", "a|gw2|c|http=taken|1"])
  expect(rows("httproutes")).toEqual(["a|one|-|a/gw/http,a/gw2/http|x:80", "a|one2|-|a/gw/http|x:80"])
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
