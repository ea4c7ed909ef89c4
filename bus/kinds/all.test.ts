import { expect, test } from "vitest"
import { canonical } from "../canonical.ts"
import { kindByName, kinds, readResource, resourceApi, resourceApis } from "./all.ts"

const route = resourceApi("gateway.networking.k8s.io/v1", "HTTPRoute")
const service = resourceApi("v1", "Service")
if (route === undefined || service === undefined) throw new Error("kinds are missing")

const read = (api: typeof route, object: Record<string, unknown>) => {
  const result = readResource(api, object)
  if (!result.ok) throw new Error(result.problems.map((problem) => problem.message).join("; "))
  return result
}

test("a route gets what the API server would have stored", () => {
  const { resource } = read(route, { metadata: { name: "a" }, spec: { parentRefs: [{ name: "g" }], rules: [{ backendRefs: [{ name: "s", port: 80 }], filters: null }, {}] } })
  expect(resource.key).toBe("default/a")
  expect(resource.value).toEqual({
    metadata: { namespace: "default", name: "a" },
    spec: {
      parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "g" }],
      rules: [
        { matches: [{ path: { type: "PathPrefix", value: "/" } }], backendRefs: [{ group: "", kind: "Service", name: "s", port: 80, weight: 1 }] },
        { matches: [{ path: { type: "PathPrefix", value: "/" } }] },
      ],
    },
  })
})

test("a route without rules matches everything", () => {
  expect(read(route, { metadata: { name: "a" }, spec: {} }).resource.value).toMatchObject({ spec: { rules: [{ matches: [{ path: { type: "PathPrefix", value: "/" } }] }] } })
})

test("reading what was read changes no byte", () => {
  const { resource } = read(route, { metadata: { name: "a", namespace: "n", labels: { x: "y" } }, spec: { rules: [{ filters: [{ type: "RequestRedirect", requestRedirect: {} }], matches: [{ headers: [{ name: "a", value: "b" }] }] }] } })
  const { value } = resource
  if (typeof value !== "object" || value === null) throw new Error("no object")
  expect(canonical(read(route, { ...value }).resource.value)).toBe(canonical(value))
  expect(canonical(value)).toContain('"statusCode":302')
})

test("bookkeeping of the API server is no part of the value", () => {
  const metadata = { name: "a", resourceVersion: "7", managedFields: [{}], annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", keep: "me" } }
  const result = read(service, { apiVersion: "v1", kind: "Service", metadata, spec: { clusterIPs: ["10.0.0.1"], ports: [{ port: 80 }] }, status: { loadBalancer: {} } })
  expect(result.unknown).toEqual([])
  expect(result.resource.value).toEqual({ metadata: { namespace: "default", name: "a", annotations: { keep: "me" } }, spec: { type: "ClusterIP", ports: [{ port: 80, protocol: "TCP" }] } })
})

test("of a Service's status only where it can be reached is kept", () => {
  const status = { loadBalancer: { ingress: [{ ip: "192.0.2.1", ipMode: "VIP", ports: [{ port: 80, protocol: "TCP" }] }, {}, { hostname: "lb.example" }] }, conditions: [{ type: "x" }] }
  const { unknown, resource } = read(service, { apiVersion: "v1", kind: "Service", metadata: { name: "a" }, spec: { ports: [{ port: 80 }] }, status })
  expect(unknown).toEqual([])
  expect(resource.value).toMatchObject({ status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.example" }] } } })
})

test("parameters set limits and telemetry of gateways, not how they reach the bus", () => {
  const api = resourceApi("headgate.dev/v1alpha1", "GatewayParameters")
  if (api === undefined) throw new Error("GatewayParameters is missing")
  const result = readResource(api, { metadata: { name: "a" }, spec: { replicas: -1, environment: { HEADGATE_HEAD_TIMEOUT: "1", OTEL_SERVICE_NAME: "x", HEADGATE_NATS_URL: "x", HEADGATE_PLANE_KEY_FILE: "x", NODE_OPTIONS: "x" } } })
  expect(result.ok ? [] : result.problems.map(({ field }) => field)).toEqual(["spec.replicas", "spec.environment.HEADGATE_NATS_URL", "spec.environment.HEADGATE_PLANE_KEY_FILE", "spec.environment.NODE_OPTIONS"])
})

test("a cluster-scoped object has no namespace", () => {
  const api = resourceApi("v1", "Namespace")
  if (api === undefined) throw new Error("Namespace is missing")
  expect(read(api, { metadata: { name: "a", namespace: "b" } }).resource.key).toBe("/a")
})

test("a field nobody knows is told with its path and refuses nothing", () => {
  const { unknown } = read(route, { metadata: { name: "a", lables: {} }, spec: { rules: [{ backendRef: [] }] } })
  expect(unknown.map(({ field, reason }) => `${reason} ${field}`)).toEqual(["UnknownField metadata.lables", "UnknownField spec.rules[0].backendRef"])
})

test("every wrong shape is told at once, with its path", () => {
  const result = readResource(route, { metadata: {}, spec: { rules: [{ backendRefs: [{ name: 7, port: "80" }] }] } })
  expect(result.ok ? [] : result.problems.map(({ field, reason }) => `${reason} ${field}`)).toEqual(["Required metadata.name", "InvalidValue spec.rules[0].backendRefs[0].name", "InvalidValue spec.rules[0].backendRefs[0].port"])
})

test("kinds have unique names within their stream, and are found by them", () => {
  expect(new Set(kinds.map((kind) => `${kind.stream}/${kind.name}`)).size).toBe(kinds.length)
  for (const kind of kinds) expect(kindByName(kind.stream, kind.name)).toBe(kind)
  expect(resourceApi("gateway.networking.k8s.io/v1beta1", "ReferenceGrant")?.kind).toBe(resourceApi("gateway.networking.k8s.io/v1", "ReferenceGrant")?.kind)
  expect(resourceApi("apps/v1", "Deployment")).toBeUndefined()
  const names = resourceApis.map((api) => api.kind.name)
  expect(names).toEqual(names.toSorted())
})
