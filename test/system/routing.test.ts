/** What HTTPRoute can ask for beyond a backend: through the whole, from manifest to backends and back. */
import { createServer, type IncomingMessage, type Server } from "node:http"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml, type Manifest } from "./manifests.ts"
import { notesOf } from "./notes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("routing")
let port = 0
let app: Backend
let canary: Backend
let shadow: Backend
let flaky: Server
/** Requests by path, as the flaky backend got them. */
const seen = new Map<string, string[]>()

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  let body = ""
  for await (const chunk of request) body += String(chunk)
  return body
}

/** Answers the first `?fail=` requests of a path with `?status=`, the others with 200; `?delay=` ms late. */
const startFlaky = async (): Promise<Server> => {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://flaky")
    void bodyOf(request).then((body) => {
      const before = seen.get(pathname) ?? []
      seen.set(pathname, [...before, body])
      const isFailing = before.length < Number(searchParams.get("fail") ?? 0)
      setTimeout(() => response.writeHead(isFailing ? Number(searchParams.get("status")) : 200).end(`attempt ${before.length + 1}`), isFailing ? Number(searchParams.get("delay") ?? 0) : 0)
    })
  })
  server.keepAliveTimeout = 120_000
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  return server
}

const portOf = (server: Server): number => {
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

const rule = (path: string, more: Manifest, backend = "app"): Manifest => ({ matches: [{ path: { type: "PathPrefix", value: path } }], backendRefs: [{ name: backend, port: 80 }], ...more })
const mirror = (more: Manifest = {}): Manifest => ({ type: "RequestMirror", requestMirror: { backendRef: { name: "shadow", port: 80 }, ...more } })
const CORS = { type: "CORS", cors: { allowOrigins: ["https://*.shop.test"], allowMethods: ["PUT"], allowCredentials: true } }

const retried = [
  rule("/retry", { retry: { codes: [500, 503], attempts: 2, backoff: "5ms" } }, "flaky"),
  rule("/patient", { retry: { attempts: 2, backoff: "5ms" }, timeouts: { request: "10s", backendRequest: "500ms" } }, "flaky"),
  rule("/hurried", { retry: { codes: [500], attempts: 5, backoff: "100ms" }, timeouts: { request: "250ms" } }, "flaky"),
  rule("/never", { retry: { codes: [500], attempts: 0 } }, "flaky"),
]
const filtered = [
  rule("/mirror/half", { filters: [mirror({ fraction: { numerator: 1, denominator: 2 } })] }),
  rule("/mirror", { filters: [mirror()] }),
  rule("/cors", { filters: [CORS] }),
  ...[303, 307, 308].map((statusCode) => ({ matches: [{ path: { type: "PathPrefix", value: `/redirect/${statusCode}` } }], filters: [{ type: "RequestRedirect", requestRedirect: { statusCode, hostname: "new.test", path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/new" } } }] })),
]
/** Each backend has filters of its own. */
const ofBackends = rule("/each", {
  backendRefs: [
    { name: "app", port: 80, filters: [{ type: "RequestHeaderModifier", requestHeaderModifier: { set: [{ name: "x-to", value: "app" }] } }, { type: "ResponseHeaderModifier", responseHeaderModifier: { add: [{ name: "x-from", value: "app" }] } }, mirror()] },
    { name: "canary", port: 80, filters: [{ type: "URLRewrite", urlRewrite: { hostname: "canary.test", path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/canary" } } }, CORS] },
    { name: "app", port: 80, filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "elsewhere.test", statusCode: 307 } }] },
  ],
})

const httpRoute = (name: string, rules: readonly Manifest[]): Manifest => ({ ...route(name, { gateway: "edge", backend: "app" }), spec: { parentRefs: [{ name: "edge" }], rules } })

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  app = await startBackend("app")
  canary = await startBackend("canary")
  shadow = await startBackend("shadow")
  flaky = await startFlaky()
  const services = Object.entries({ app: app.port, canary: canary.port, shadow: shadow.port, flaky: portOf(flaky) })
  drop(world.manifests, "edge.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...services.flatMap(([name, at]) => service(name, 80, [{ port: at }]))))
  drop(world.manifests, "routes.yaml", yaml(httpRoute("retried", retried), httpRoute("filtered", [...filtered, ofBackends])))
  await world.up()
  await until("the routes are live", async () => (await ask({ port, path: "/mirror/live" })).status === 200)
  await until("the copy of it has come", () => shadow.requests === 1)
})

afterAll(async () => {
  await world.end()
  flaky.closeAllConnections()
  flaky.close()
  await Promise.all([app, canary, shadow].map((each) => each.stop()))
})

test("nothing is wrong with any of it", async () => {
  expect((await notesOf(world)).filter(({ severity }) => severity !== "info")).toEqual([])
  for (const name of ["retried", "filtered"]) {
    const { code, stdout } = await world.cli(["describe", "HTTPRoute", `default/${name}`])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ *Accepted, ResolvedRefs$/m)
  }
})

describe("retries", () => {
  test("a failure that passes is not seen by the client; the body comes each time", async () => {
    const answer = await ask({ port, method: "PUT", path: "/retry/a?fail=2&status=503", headers: { "content-length": "4" }, body: "body" })
    expect([answer.status, answer.body]).toEqual([200, "attempt 3"])
    expect(seen.get("/retry/a")).toEqual(["body", "body", "body"])
  })

  test("one that stays is the client's after the attempts of the rule", async () => {
    expect((await ask({ port, path: "/retry/b?fail=9&status=500" })).status).toBe(500)
    expect(seen.get("/retry/b")?.length).toBe(3)
  })

  test("another status, a POST, and attempts of 0 are asked once", async () => {
    expect((await ask({ port, path: "/retry/c?fail=9&status=502" })).status).toBe(502)
    expect((await ask({ port, path: "/retry/d?fail=9&status=503", method: "POST" })).status).toBe(503)
    expect((await ask({ port, path: "/never/e?fail=9&status=500" })).status).toBe(500)
    expect(["/retry/c", "/retry/d", "/never/e"].map((path) => seen.get(path)?.length)).toEqual([1, 1, 1])
  })

  test("an attempt that is too slow is given up for another, and all of them for the time of the request", async () => {
    const patient = await ask({ port, path: "/patient/f?fail=1&status=200&delay=3000" })
    expect([patient.status, patient.body]).toEqual([200, "attempt 2"])
    expect((await ask({ port, path: "/hurried/g?fail=9&status=500&delay=60" })).status).toBe(504)
  })
})

describe("mirrors", () => {
  test("of every request, and of the share that is named", async () => {
    const before = shadow.requests
    for (let i = 0; i < 20; i++) expect((await ask({ port, path: "/mirror/all" })).headers["x-backend"]).toBe("app")
    await until("20 copies have come", () => shadow.requests === before + 20)
    for (let i = 0; i < 20; i++) expect((await ask({ port, path: "/mirror/half" })).headers["x-backend"]).toBe("app")
    await until("10 copies have come", () => shadow.requests === before + 30)
  })
})

describe("CORS", () => {
  test("is the gateway's to answer and to say", async () => {
    const before = app.requests
    const preflight = await ask({ port, method: "OPTIONS", path: "/cors", headers: { origin: "https://eu.shop.test", "access-control-request-method": "PUT" } })
    expect([preflight.status, preflight.headers["access-control-allow-origin"], preflight.headers["access-control-allow-methods"]]).toEqual([204, "https://eu.shop.test", "PUT"])
    expect(app.requests).toBe(before)
    const answer = await ask({ port, path: "/cors", headers: { origin: "https://eu.shop.test" } })
    expect([answer.status, answer.headers["access-control-allow-credentials"], answer.headers["vary"]]).toEqual([200, "true", "Origin"])
  })
})

test.each([303, 307, 308])("a redirect says %i, also to a POST", async (status) => {
  const answer = await ask({ port, method: "POST", host: "old.test", path: `/redirect/${status}/a?b=c` })
  expect([answer.status, answer.headers["location"]]).toEqual([status, `http://new.test:${port}/new/a?b=c`])
})

test("each backend's filters act on its share of the requests alone", async () => {
  const before = shadow.requests
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask({ port, path: "/each/x", headers: { origin: "https://a.shop.test" } })))
  const by = (of: string) => answers.filter(({ status, headers }) => (status === 200 ? headers["x-backend"] : String(status)) === of)
  expect([by("app").length, by("canary").length, by("307").length]).toEqual([10, 10, 10])
  for (const { headers, body } of by("app")) {
    expect(headers["x-from"]).toBe("app")
    expect(headers["access-control-allow-origin"]).toBeUndefined()
    expect(JSON.parse(body)).toMatchObject({ path: "/each/x", headers: { "x-to": "app" } })
  }
  for (const { headers, body } of by("canary")) {
    expect([headers["x-from"], headers["access-control-allow-origin"]]).toEqual([undefined, "https://a.shop.test"])
    expect(JSON.parse(body)).toMatchObject({ path: "/canary/x", host: "canary.test" })
    expect(body).not.toContain("x-to")
  }
  for (const { headers } of by("307")) expect(headers["location"]).toBe(`http://elsewhere.test:${port}/each/x`)
  await until("10 copies have come", () => shadow.requests === before + 10)
})
