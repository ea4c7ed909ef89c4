import { describe as group, expect, test } from "vitest"
import { alike, describe } from "./describe.ts"
import type { Item, Observed } from "./observe.ts"

const resource = (kind: string, key: string, value: unknown, file = ""): Item => ({ kind, plane: "", key, value, file })
const entry = (kind: string, plane: string, key: string, value: unknown): Item => ({ kind, plane, key, value, file: "" })
const condition = (type: string, status: string, reason: string, message = "") => ({ type, status, reason, message, observedGeneration: 2 })
const gateway = { metadata: { name: "web", namespace: "infra" }, spec: { gatewayClassName: "ours", listeners: [{ name: "http", protocol: "HTTP", port: 80 }, { name: "tls", protocol: "HTTPS", port: 443, hostname: "a.example" }] } }
const route = {
  metadata: { name: "cart", namespace: "shop" },
  spec: {
    parentRefs: [{ name: "web", namespace: "infra" }, { name: "theirs" }], hostnames: ["a.example"],
    rules: [
      { matches: [{ method: "GET", path: { type: "Exact", value: "/x" }, headers: [{ name: "v", value: "2" }], queryParams: [{ name: "q", value: "1" }] }, { path: { type: "PathPrefix", value: "/" } }], filters: [{ type: "URLRewrite" }], backendRefs: [{ kind: "Service", name: "cart", port: 80, weight: 3 }] },
      { name: "old", matches: [{ path: { type: "PathPrefix", value: "/old" } }], backendRefs: [{ kind: "Service", namespace: "other", name: "gone", port: 80, weight: 1 }, { kind: "Bucket", name: "b", weight: 1 }] },
    ],
  },
}
const grpc = {
  metadata: { name: "calls", namespace: "shop" },
  spec: { parentRefs: [{ name: "web", namespace: "infra" }], rules: [{ matches: [{ method: { type: "Exact", service: "s.Cart" }, headers: [{ name: "v", value: "2" }] }, {}], backendRefs: [{ kind: "Service", name: "cart", port: 80, weight: 1 }] }, { backendRefs: [] }] },
}
const text = `apiVersion: v1\nkind: X\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {namespace: shop, name: cart}\nspec:\n  parentRefs:\n    - name: web\n    - name: theirs\n`
const pod = (name: string, generation: number, more = {}) =>
  ({ pod: name, plane: "default", ready: true, units: {}, notes: [], listeners: [{ id: "infra/web/http", protocol: "HTTP", address: "10.0.0.1", port: 8080, specPort: 80, generation }, { id: "infra/web/tls", protocol: "HTTPS", address: "10.0.0.1", port: 0, specPort: 443, generation, error: "taken" }], ...more })

const observed: Observed = {
  resources: [
    resource("gateway", "infra/web", gateway, "gateway.yaml"), resource("httproute", "shop/cart", route, "routes.yaml"), resource("grpcroute", "shop/calls", grpc), resource("httproute", "b/cart", { metadata: {}, spec: {} }),
    resource("service", "shop/cart", { metadata: { name: "cart" }, spec: { type: "ClusterIP", ports: [{ port: 80 }] } }), resource("gatewayclass", "/ours", { spec: { controllerName: "headgate.dev/gateway" } }),
  ],
  entries: [
    entry("status", "_", "gateway/infra/web", {
      observedGeneration: 2, addresses: [{ type: "IPAddress", value: "10.0.0.1" }],
      conditions: [condition("Accepted", "True", "ListenersNotValid", "Not accepted: listener tls."), condition("Programmed", "False", "Pending", "No gateway pod has said yet that it serves this generation, and this sentence goes on so that it has to be wrapped.")],
      listeners: [{ name: "http", attachedRoutes: 1, conditions: [condition("Accepted", "True", "Accepted"), condition("Conflicted", "False", "NoConflicts"), condition("Programmed", "True", "Programmed")] }, { name: "tls", attachedRoutes: 0, conditions: [condition("Accepted", "False", "PortUnavailable", "10.0.0.1: taken.")] }],
    }),
    entry("status", "_", "httproute/shop/cart", { observedGeneration: 5, parents: [{ parentRef: { name: "web", namespace: "infra" }, conditions: [condition("Accepted", "True", "Accepted"), condition("ResolvedRefs", "False", "InvalidKind", "A backend of kind Bucket is not known.")] }] }),
    entry("route", "default", "httproute/shop/cart", { source: { namespace: "shop", name: "cart" }, attach: [{ listener: "infra/web/http", hostnames: ["a.example"] }] }),
    entry("cluster", "default", "service/shop/cart/80", { endpoints: [1, 2, 3, 4].map((n) => ({ address: `10.1.0.${n}`, port: 8080 })) }),
    entry("cluster", "default", "service/shop/cart/80/h2c", { endpoints: [], empty: "UnsupportedProtocol" }),
    entry("status", "_", "grpcroute/shop/calls", { observedGeneration: 1, parents: [{ parentRef: { name: "web", namespace: "infra" }, conditions: [condition("Accepted", "False", "HostnameConflict", "HTTPRoute shop/cart has it.")] }] }),
    entry("cluster", "default", "service/other/gone/80", { endpoints: [], empty: "NoSuchService" }),
    entry("note", "_", "routes/x", { schema: 1, severity: "warning", reason: "Shadowed", message: "Another \u001b[2Jroute has it.", about: { kind: "HTTPRoute", namespace: "shop", name: "cart" }, field: "spec.parentRefs[1]", fix: "Change it." }),
    entry("note", "_", "routes/y", { schema: 1, severity: "error", reason: "Worse", message: "spec.rules: First.", field: "spec.rules", about: { kind: "HTTPRoute", namespace: "shop", name: "cart" } }),
  ],
  applied: [pod("up", 2), pod("old", 1, { ready: false, waiting: "The gateway is stopping." })],
}
const shown = (kind: string, kindName: string, name: string, namespace?: string): string => describe(observed, { kind, kindName, name, namespace }, (file) => (file === "routes.yaml" ? text : undefined)) ?? ""

group("describe", () => {
  test("a Gateway: conditions, each listener with its routes and where it is served, and the pods", () => {
    expect(shown("gateway", "Gateway", "web")).toBe(`Gateway infra/web
file        gateway.yaml
generation  2
class       ours
addresses   10.0.0.1
conditions  Accepted    True   ListenersNotValid
            Programmed  False  Pending
              No gateway pod has said yet that it serves this generation, and this sentence goes on
                so that it has to be wrapped.
listeners   http: HTTP 80, every host, 1 route, at 10.0.0.1:8080
              Accepted, Programmed
            tls: HTTPS 443, a.example, 0 routes, not served
              Accepted False, PortUnavailable
                10.0.0.1: taken.
routes      shop/cart
served by   default/old, The gateway is stopping, generation 1, not 2
            default/up, ready
`)
  })

  test("a route: its parents, rules with backends and what is ready of them, and notes at their place, the worst first", () => {
    expect(shown("httproute", "HTTPRoute", "cart", "shop")).toBe(`HTTPRoute shop/cart
file        routes.yaml
generation  5
hostnames   a.example
parents     infra/web
              Accepted
              ResolvedRefs False, InvalidKind
                A backend of kind Bucket is not known.
            shop/theirs
              no Gateway of ours: nothing is said of it
rules       0: GET Exact /x headers v=2 query q=1 or PathPrefix /, URLRewrite
              to shop/cart:80, weight 3, 4 ready: 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080 …
            1 old: PathPrefix /old
              to other/gone:80, weight 1, NoSuchService
              to Bucket shop/b, weight 1, not asked for
reached as  a.example on infra/web/http
served by   default/old, The gateway is stopping
            default/up, ready
notes       error Worse  routes.yaml:8
              spec.rules: First.
            warning Shadowed  routes.yaml:10  spec.parentRefs[1]
              Another  [2Jroute has it.
              Change it.
`)
  })

  test("no line is wider than a terminal of 100 columns", () => {
    for (const each of [shown("gateway", "Gateway", "web"), shown("httproute", "HTTPRoute", "cart")]) for (const line of each.split("\n")) expect(line.length).toBeLessThanOrEqual(100)
  })

  test("any other object shows what it asks for", () => {
    expect(shown("service", "Service", "cart")).toContain("spec        type: ClusterIP\n            ports:\n              - port: 80\n")
    expect(shown("gatewayclass", "GatewayClass", "ours")).toMatch(/^GatewayClass ours\ncontroller +headgate.dev\/gateway\nconditions +not said yet\n/)
  })

  test("every object of the name where no namespace is given, none where there is none; then what is called like it", () => {
    expect(shown("httproute", "HTTPRoute", "cart").match(/^HTTPRoute .*/gm)).toEqual(["HTTPRoute b/cart", "HTTPRoute shop/cart"])
    const missing = { kind: "httproute", kindName: "HTTPRoute", name: "carts", namespace: "shop" }
    expect(describe(observed, missing, () => undefined)).toBeUndefined()
    expect(alike(observed, missing)).toContain("httproute cart -n shop")
  })

  test("a GRPCRoute: what calls each rule takes, and how HTTP/2 backends are", () => {
    const said = shown("grpcroute", "GRPCRoute", "calls")
    expect(said).toContain("Accepted False, HostnameConflict")
    expect(said).toContain("rules       0: Exact s.Cart/* headers v=2 or every call")
    expect(said).toContain("to shop/cart:80, weight 1, UnsupportedProtocol")
    expect(said).toContain("1: every call")
  })
})
