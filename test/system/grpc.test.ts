/** GRPCRoutes, and HTTPRoutes to a port of appProtocol kubernetes.io/h2c: through the whole, from manifest to services and back. */
import grpc from "@grpc/grpc-js"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { call, startEcho, type EchoServer } from "../proxy/grpc-peers.ts"
import { startHttp2Backend, telling, type Http2Backend } from "../proxy/http2-backend.ts"
import { newWorld } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml, type Manifest } from "./manifests.ts"
import { notesOf } from "./notes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const { OK, UNIMPLEMENTED, UNAVAILABLE } = grpc.status

const world = newWorld("grpc")
let port = 0
let app: EchoServer
let canary: EchoServer
let plain: Http2Backend
let client: grpc.Client

const method = (name: string, more: Manifest = {}): Manifest => ({ matches: [{ method: { service: "echo.Echo", method: name } }], ...more })
const to = (...names: readonly string[]): Manifest => ({ backendRefs: names.map((name) => ({ name, port: 80 })) })
const grpcRoute = (rules: readonly Manifest[]): Manifest => ({ apiVersion: "gateway.networking.k8s.io/v1", kind: "GRPCRoute", metadata: { name: "calls", namespace: "default" }, spec: { parentRefs: [{ name: "edge" }], hostnames: ["calls.test"], rules } })
const rules = [
  method("Unary", { ...to("app"), matches: [{ method: { service: "echo.Echo", method: "Unary" }, headers: [{ name: "x-version", value: "2" }] }], backendRefs: [{ name: "canary", port: 80 }] }),
  method("Unary", { ...to("app"), filters: [{ type: "RequestHeaderModifier", requestHeaderModifier: { set: [{ name: "x-say", value: "by the route" }] } }, { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-via", value: "edge" }] } }] }),
  method("Gather", to("nobody")),
  method("Spread", to("missing")),
]
/** h2c by appProtocol. */
const h2c = (manifests: readonly Manifest[]): readonly Manifest[] => manifests.map((one) => (one["kind"] === "Service" ? { ...one, spec: { ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 80, appProtocol: "kubernetes.io/h2c" }] } } : one))

const called = (path: string, metadata: Readonly<Record<string, string>> = {}) => call(client, Buffer.from("x"), metadata, {}, path)

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  app = await startEcho()
  canary = await startEcho()
  plain = await startHttp2Backend(telling)
  drop(world.manifests, "edge.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("app", 80, [{ port: app.port }]), ...service("canary", 80, [{ port: canary.port }]), ...service("nobody", 80, []), ...h2c(service("plain", 80, [{ port: plain.port }]))))
  drop(world.manifests, "routes.yaml", yaml(grpcRoute(rules), route("plain", { gateway: "edge", hostnames: ["plain.test"], backend: "plain" })))
  await world.up()
  client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { "grpc.default_authority": "calls.test", "grpc.enable_retries": 0 })
  await until("the routes are live", async () => (await called("/echo.Echo/Unary")).code === OK)
})

afterAll(async () => {
  client.close()
  await world.end()
  app.stop()
  canary.stop()
  await plain.stop()
})

test("status: listeners take both kinds, the route is accepted; notes name what leads nowhere", async () => {
  const { stdout } = await world.cli(["describe", "GRPCRoute", "default/calls"])
  expect(stdout).toMatch(/Accepted/)
  const found = (await notesOf(world)).filter(({ severity }) => severity !== "info").map(({ reason }) => reason)
  expect(new Set(found)).toEqual(new Set(["BackendNotFound", "NoReadyEndpoints"]))
})

describe("calls", () => {
  test("by method, by header, with the filters of their rule", async () => {
    const { code, head, trailers } = await called("/echo.Echo/Unary")
    expect([code, head?.get("x-via"), trailers.get("x-trailer"), app.seen.metadata["x-say"]]).toEqual([OK, ["edge"], ["by the route"], "by the route"])
    expect((await called("/echo.Echo/Unary", { "x-version": "2", "x-say": "canary" })).trailers.get("x-trailer")).toEqual(["canary"])
    expect(canary.seen.metadata["x-version"]).toBe("2")
  })

  test("no match: UNIMPLEMENTED; no endpoint, no Service: UNAVAILABLE", async () => {
    expect((await called("/echo.Echo/Both")).code).toBe(UNIMPLEMENTED)
    expect((await called("/other.Service/Unary")).code).toBe(UNIMPLEMENTED)
    expect((await called("/echo.Echo/Gather")).code).toBe(UNAVAILABLE)
    expect((await called("/echo.Echo/Spread")).code).toBe(UNAVAILABLE)
  })

  test("an edit moves them to another Service without losing one", async () => {
    let isOver = false
    const codes = new Set<number>()
    const load = async (): Promise<void> => {
      while (!isOver) codes.add((await called("/echo.Echo/Unary")).code)
    }
    const loads = Array.from({ length: 8 }, load)
    for (const name of ["canary", "app", "canary"]) {
      const target = name === "app" ? app : canary
      target.seen.metadata = {}
      drop(world.manifests, "routes.yaml", yaml(grpcRoute([method("Unary", to(name))]), route("plain", { gateway: "edge", hostnames: ["plain.test"], backend: "plain" })))
      await until(`${name} is called`, () => "user-agent" in target.seen.metadata)
    }
    isOver = true
    await Promise.all(loads)
    expect([...codes]).toEqual([OK])
  })
})

test("an HTTPRoute to a port of appProtocol kubernetes.io/h2c: HTTP/1.1 from the client, HTTP/2 to the backend", async () => {
  const answered = await ask({ port, host: "plain.test", path: "/p?q", method: "POST", body: "hello" })
  expect(answered.status).toBe(200)
  expect(JSON.parse(answered.body)).toMatchObject({ headers: { ":method": "POST", ":path": "/p?q", ":authority": "plain.test" }, body: "hello" })
})
