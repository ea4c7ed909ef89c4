/** `headgate explain`: forward from an edit, backward from an entry, and requests as a running gateway answers them. */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { accessOf, CREDENTIALS } from "../../bus/access.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { explain, type ExplainOptions } from "../../infra/cli/explain.ts"
import { objectNames } from "../../infra/cli/object-name.ts"
import { wait } from "../../infra/cli/wait.ts"
import { Manifests } from "../../infra/cli/wait-files.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { newWorld, type Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, type Manifest, route, service, setHeader, take, yaml } from "./manifests.ts"
import { ask } from "./traffic.ts"

const world = newWorld("explain")
let port = 0
let running: Running
let bus: Bus
const backends: Backend[] = []

const settled = async () => {
  const { status, text } = await wait(bus, { objects: [], for: "live", timeout: 20_000, manifests: new Manifests(world.manifests) })
  expect({ status, text }).toMatchObject({ status: 0 })
}
const ofObject = async (name: string) => wait(bus, { objects: objectNames([name], undefined), for: "live", timeout: 20_000, manifests: new Manifests(world.manifests) })
const asked = (words: readonly string[], more: Partial<ExplainOptions> = {}): Promise<string> => explain(bus, { words, namespace: undefined, headers: [], gateway: undefined, output: "text", textOf: (file) => readFileSync(join(world.manifests, file), "utf8"), ...more })

/** With the rights of people's commands. */
const connect = (): Promise<Bus> => {
  const url = running.ready.nats
  return connectBus({ url, name: "test", access: accessOf(url, { [CREDENTIALS]: join(world.data, "credentials", "operator") }) })
}
/** As a user types it beside a running `up`. */
const cli = (args: readonly string[]) => world.cli(args, { HEADGATE_NATS_URL: "" })

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  for (const name of ["a", "b", "c"]) backends.push(await startBackend(name))
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...backends.flatMap((backend) => service(backend.name, 80, [{ port: backend.port }])), ...service("empty", 80, [])))
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", path: "/web" })))
  running = await world.up()
  bus = await connect()
})

afterAll(async () => {
  await world.end()
  await Promise.all(backends.map((backend) => backend.stop()))
  await bus.close()
})

describe("an object", () => {
  test("is followed forward: edit, function and version, entries, gateways", async () => {
    drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", path: "/web", filters: [setHeader("x-version", "2")] })))
    await ofObject("httproute/web")
    const { code, stdout, stderr } = await cli(["explain", "httproute/web"])
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toMatch(/^httproute default\/web\n\nedit {8}web\.yaml, generation 2, at [\d-]+ [\d:.]+, sequence \d+ of RESOURCES\n/)
    expect(stdout).toMatch(/\nroutes@\S+ +data plane default, revision \d+ of epoch \d+, at [\d:.]+ \(\d+ ms after the edit\)\n/)
    expect(stdout).toMatch(/\+ route httproute\/default\/web +from this edit\n/)
    expect(stdout).toMatch(/\+ demand service\/default\/a\/80 +the same since revision \d+\n/)
    expect(stdout).toMatch(/\nserved +\+ gateway default\/\S+ +serves it +last ack [\d:.]+\n/)
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100)
  })

  test("names the winner where it is shadowed, and every refusal where nothing follows", async () => {
    drop(world.manifests, "zweb.yaml", yaml(route("zweb", { gateway: "edge", backend: "b", path: "/web" })))
    drop(world.manifests, "lost.yaml", yaml(route("lost", { gateway: "nowhere", backend: "b", path: "/lost" })))
    await settled()
    const shadowed = await asked(["httproute/zweb"])
    expect(shadowed).toMatch(/notes +warning Shadowed at spec\.rules.*zweb\.yaml:\d+ \(function routes\)\n +HTTPRoute default\/web has the same match/)
    const lost = await asked(["httproute/lost"])
    expect(lost).toMatch(/derived +nothing follows from it; the notes below say why\n/)
    expect(lost).toMatch(/error NoMatchingParent at spec\.parentRefs\[0\]\.name, lost\.yaml:\d+/)
    drop(world.manifests, "lost.yaml", "kind: [\n")
    expect(await ofObject("httproute/lost")).toMatchObject({ status: 1, text: expect.stringMatching(/InvalidYaml/) })
    take(world.manifests, "lost.yaml")
    take(world.manifests, "zweb.yaml")
    await settled()
    expect(await asked(["httproute/lost"])).toMatch(/edit +deleted, at/)
  })

  test("a gateway that is frozen has it not yet, with the revisions", async () => {
    const pid = running.pid("gateway")
    process.kill(pid, "SIGSTOP")
    try {
      drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", path: "/web", filters: [setHeader("x-version", "3")] })))
      await wait(bus, { objects: objectNames(["httproute/web"], undefined), for: "live", timeout: 500, manifests: new Manifests(world.manifests) })
      expect(await asked(["httproute/web"])).toMatch(/served +- gateway default\/\S+ +not yet: routes at \d+, not yet \d+/)
      expect(await asked([`http://x.test:${port}/web`])).toMatch(/answered so - gateway default\/\S+ +serves an older revision: routes at \d+, this is \d+/)
    } finally {
      process.kill(pid, "SIGCONT")
    }
    await ofObject("httproute/web")
  })
})

test("an entry is followed backward: value, commit, every cause with its file and time, who serves it", async () => {
  const text = await asked(["route", "httproute/default/web"])
  expect(text).toMatch(/^route httproute\/default\/web {2}in data plane default\n\nvalue {7}attach:\n/)
  expect(text).toMatch(/\ncommit +routes@\S+ revision \d+ of epoch \d+, at .*, sequence\s+\d+ of CONFIG\n/)
  expect(text).toMatch(/made from +httproute\/default\/web@\d+ +web\.yaml, generation \d+, at [\d-]+ [\d:.]+\n/)
  expect(text).toMatch(/gateway\/default\/edge@\d+ +gateway\.yaml, generation 1, at/)
  expect(text).toMatch(/served +\+ gateway default\/\S+ +serves it/)
  const cluster: unknown = JSON.parse(await asked(["cluster/service/default/a/80"], { output: "json" }))
  expect(cluster).toMatchObject([{ entry: { plane: "default", value: { endpoints: [{ address: "127.0.0.1", port: backends[0]?.port }] } }, causes: expect.arrayContaining([expect.objectContaining({ kind: "service", key: "default/a", edit: expect.objectContaining({ file: "services.yaml" }) })]) }])
})

test("what does not exist has status 3 and names what is like it; what cannot be understood has status 2", async () => {
  expect(await cli(["explain", "httproute/wep"])).toMatchObject({ code: 3, stdout: "", stderr: expect.stringMatching(/there is no httproute default\/wep\. Like it: httproute default\/web/) })
  expect(await cli(["explain", "route", "httproute/default/wep"])).toMatchObject({ code: 3, stderr: expect.stringMatching(/Like it: httproute\/default\/web/) })
  expect(await cli(["explain", "GET", "http://x.test:1/"])).toMatchObject({ code: 3, stderr: expect.stringMatching(/no listener has port 1; there are: \d+ \(default\/edge\/http\)/) })
  expect(await cli(["explain", "thing/x"])).toMatchObject({ code: 2 })
  expect(await cli(["explain", "http://"])).toMatchObject({ code: 2, stderr: expect.stringMatching(/is not a URL/) })
  expect(await cli(["explain", "http://x.test/", "-H", "nonsense"])).toMatchObject({ code: 2 })
})

test("a request: listener, candidates with the reason for each, filters, backends with weights, pods", async () => {
  const rule = (matches: readonly Manifest[], more: Manifest): Manifest => ({ matches, ...more })
  drop(world.manifests, "shop.yaml", yaml({
    apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata: { name: "shop", namespace: "default" },
    spec: { parentRefs: [{ name: "edge" }], hostnames: ["shop.example"], rules: [
      rule([{ path: { type: "PathPrefix", value: "/cart" }, headers: [{ name: "x-a", value: "b" }] }], { filters: [{ type: "URLRewrite", urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/basket" } } }], backendRefs: [{ name: "a", port: 80, weight: 3 }, { name: "empty", port: 80 }] }),
      rule([{ path: { type: "Exact", value: "/cart/x" } }, { path: { type: "PathPrefix", value: "/" }, method: "POST" }], { backendRefs: [{ name: "b", port: 80 }] }),
      rule([{ path: { type: "PathPrefix", value: "/old" } }], { filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "new.example", statusCode: 301 } }] }),
      rule([{ path: { type: "PathPrefix", value: "/" } }], { backendRefs: [{ name: "none", port: 80 }] }),
      rule([{ path: { type: "PathPrefix", value: "/shared" } }], {
        filters: [{ type: "CORS", cors: { allowOrigins: ["https://*.other.example"] } }, { type: "RequestMirror", requestMirror: { backendRef: { name: "b", port: 80 }, percent: 10 } }],
        backendRefs: [{ name: "a", port: 80 }],
      }),
    ] },
  }))
  await ofObject("httproute/shop")
  const text = await asked(["GET", `http://shop.example:${port}/cart/1`], { headers: ["x-a: b"] })
  expect(text).toMatch(/arrives at +data plane default, port \d+ \(HTTP\), bound to 127\.0\.0\.1:\d+\n/)
  expect(text).toMatch(/listener +default\/edge\/http, for any host\n/)
  expect(text).toMatch(/- httproute\/default\/shop#1 +shop\.example: exact \/cart\/x +the path is another/)
  expect(text).toMatch(/> httproute\/default\/shop#0 +shop\.example: prefix \/cart, x-a = b +takes it/)
  expect(text).toMatch(/- httproute\/default\/shop#1 +shop\.example: prefix \/, POST +the method is another/)
  expect(text).toMatch(/- httproute\/default\/shop#3 +shop\.example: prefix \/ +takes it too; its\s+prefix is shorter/)
  expect(text).toMatch(/filters +rewrites path: \/basket in place of the matched prefix/)
  expect(text).toMatch(/backends +75 % {2}service\/default\/a\/80 → 127\.0\.0\.1:\d+\n +gets \/basket\/1\n +25 %\s+service\/default\/empty\/80 → 503: no endpoint is ready/)
  expect(text).toMatch(/answered so \+ gateway default\/\S+ +.*routes at \d+/)
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100)
  expect(await asked([`http://127.0.0.1:${port}/cart/1`], { headers: ["Host: shop.example"] })).toMatch(/- httproute\/default\/shop#0 .* there is no header x-a\n/)
  expect(await asked([`http://shop.example:${port}/old/1?q=1`])).toMatch(/answer +301: a filter redirects, to http:\/\/new\.example:\d+\/old\/1\?q=1/)
  const shared = `http://shop.example:${port}/shared`
  expect(await asked(["OPTIONS", shared], { headers: ["Origin: https://x.other.example", "Access-Control-Request-Method: PUT"] })).toMatch(/answer +204: a CORS filter answers preflights/)
  expect(await asked([shared])).toMatch(/shares with https:\/\/\*\.other\.example; answers preflights\n +mirrors 10 in 100 requests to service\/default\/b\/80/)
  expect(await asked([`http://shop.example:${port}/`])).toMatch(/backend +service\/default\/none\/80 → 500: there is no such Service/)
  expect(await asked([`http://other.example:${port}/none`])).toMatch(/answer +404: no route for this host and path/)
  expect(await asked([`http://other.example:${port}/a/../b`])).toMatch(/answer +400: the path has dot segments/)
  expect(await asked([`https://other.example:${port}/`])).toMatch(/answer +none: the port speaks HTTP, the URL says https/)
  expect(await asked(["TRACE", `http://other.example:${port}/`])).toMatch(/answer +405/)
})

describe("requests against what the gateway really answers", () => {
  const hosts = ["one.test", "two.test", "x.two.test", "other.org"]
  const paths = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b", "/b/1"]
  const match = fc.record({
    path: fc.oneof(
      fc.record({ type: fc.constant("PathPrefix"), value: fc.constantFrom("/", "/a", "/a/b", "/b") }),
      fc.record({ type: fc.constant("Exact"), value: fc.constantFrom("/a", "/a/b", "/b") }),
    ),
    method: fc.option(fc.constantFrom("GET", "POST"), { nil: undefined, freq: 3 }),
    headers: fc.option(fc.constantFrom("1", "2").map((value) => [{ name: "x-h", value }]), { nil: undefined, freq: 3 }),
    queryParams: fc.option(fc.constantFrom("1", "2").map((value) => [{ name: "q", value }]), { nil: undefined, freq: 3 }),
  }, { requiredKeys: ["path"] }).map((one) => Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined)))
  const action = fc.oneof(
    { weight: 5, arbitrary: fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 2 }).map((names) => ({ backendRefs: names.map((name) => ({ name, port: 80 })) })) },
    { weight: 1, arbitrary: fc.constantFrom("empty", "missing").map((name) => ({ backendRefs: [{ name, port: 80 }] })) },
    { weight: 1, arbitrary: fc.constantFrom(301, 302).map((statusCode) => ({ filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "elsewhere.test", statusCode } }] })) },
    { weight: 1, arbitrary: fc.constantFrom("/new", "/").map((value) => ({ filters: [{ type: "URLRewrite", urlRewrite: { path: { type: "ReplaceFullPath", replaceFullPath: value } } }], backendRefs: [{ name: "a", port: 80 }] })) },
    { weight: 1, arbitrary: fc.constant({}) },
  )
  const routes = fc.array(fc.record({
    hostnames: fc.option(fc.subarray(["one.test", "two.test", "*.two.test", "*.test"], { minLength: 1 }), { nil: undefined }),
    rules: fc.array(fc.tuple(fc.array(match, { minLength: 1, maxLength: 3 }), action).map(([matches, does]) => ({ matches, ...does })), { minLength: 1, maxLength: 3 }),
  }), { minLength: 8, maxLength: 12 })
  const request = fc.record({ host: fc.constantFrom(...hosts), path: fc.constantFrom(...paths), query: fc.constantFrom("", "?q=1", "?q=2", "?q=2&q=1"), method: fc.constantFrom("GET", "POST", "DELETE"), header: fc.constantFrom(undefined, "1", "2") })

  interface Said {
    readonly answer?: { readonly status: number; readonly location?: string }
    readonly shares: readonly { readonly status?: number; readonly endpoints: readonly string[]; readonly upstream: { readonly path?: string } }[]
  }
  const isSaid = (value: unknown): value is readonly Said[] => Array.isArray(value) && value.every((one) => typeof one === "object" && one !== null && "shares" in one && Array.isArray(one.shares))

  test("500 requests to generated routes: the status, place and backend explained are the real ones", async () => {
    rmSync(join(world.manifests, "shop.yaml"), { force: true })
    const seed = Number(process.env["HEADGATE_SEED"] ?? Math.floor(Math.random() * 2 ** 31))
    let compared = 0
    const kinds = { answered: 0, backend: 0, redirected: 0 }
    for (let round = 0; round < 5; round++) {
      const [made = []] = fc.sample(routes, { numRuns: 1, seed: seed + round })
      drop(world.manifests, "generated.yaml", yaml(...made.map(({ hostnames, rules }, i) => ({
        apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata: { name: `r${i}`, namespace: "default" },
        spec: { parentRefs: [{ name: "edge" }], ...(hostnames === undefined ? {} : { hostnames }), rules },
      }))))
      await settled()
      for (const { host, path, query, method, header } of fc.sample(request, { numRuns: 100, seed: seed + round })) {
        const context = `seed ${seed + round}: ${method} ${host}${path}${query} x-h=${header ?? ""}`
        const explained: unknown = JSON.parse(await asked([method, `http://${host}:${port}${path}${query}`], { output: "json", headers: header === undefined ? [] : [`x-h: ${header}`] }))
        if (!isSaid(explained)) throw new Error(`not explained: ${context}`)
        const [said] = explained
        const real = await ask({ port, host, path: `${path}${query}`, method, headers: { ...(header === undefined ? {} : { "x-h": header }), ...(method === "POST" ? { "content-length": 0 } : {}) } })
        compared++
        if (said?.answer !== undefined) {
          expect({ context, status: real.status, location: real.headers["location"] }).toEqual({ context, status: said.answer.status, location: said.answer.location })
          kinds[said.answer.location === undefined ? "answered" : "redirected"]++
          continue
        }
        const name = real.headers["x-backend"]
        const from = backends.find((backend) => backend.name === name)
        const taking = said?.shares.find(({ status, endpoints }) => (from === undefined ? status === real.status : endpoints.includes(`127.0.0.1:${from.port}`)))
        expect({ context, status: real.status, backend: name, said: taking !== undefined }).toMatchObject({ said: true })
        if (from === undefined || taking === undefined) continue
        kinds.backend++
        const echo: unknown = JSON.parse(real.body)
        expect({ context, echo }).toMatchObject({ echo: { path: taking.upstream.path ?? `${path}${query}` } })
      }
    }
    console.log(`compared ${compared}: ${JSON.stringify(kinds)}`)
    expect(compared).toBe(500)
    expect(kinds.backend).toBeGreaterThan(100)
    expect(kinds.answered).toBeGreaterThan(20)
    expect(kinds.redirected).toBeGreaterThan(0)
  })
})
