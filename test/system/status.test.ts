/** What the status of objects says while files change, ports are taken and processes die; and how people see it. */
import { createServer } from "node:net"
import { Schema } from "effect"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { Status, type Condition } from "../../bus/kinds/status.ts"
import { encodeToken, parseSubject } from "../../bus/subject.ts"
import { readUnits } from "../../bus/unit/reader.ts"
import type { UnitReader } from "../../bus/unit/unit.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { connectTo } from "./bus.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml, type Manifest } from "./manifests.ts"
import { until } from "./until.ts"

const world = newWorld("status")
let ports: readonly number[] = []
let port = 0
let backend: Backend
let running: Running
let bus: Bus
let reader: UnitReader

const decode = Schema.decodeUnknownSync(Status)
/** As it is now, by `<kind>/<namespace>/<name>`; and every condition Programmed that was ever said, oldest first. */
const now = new Map<string, Status>()
const said: string[] = []

const conditionOf = (holder: { readonly conditions?: readonly Condition[] | undefined } | undefined, type: string) => holder?.conditions?.find((each) => each.type === type)
const shows = (holder: { readonly conditions?: readonly Condition[] | undefined } | undefined, type: string, reason: string) => conditionOf(holder, type)?.reason === reason
const listenerOf = (name: string, listener: string) => now.get(`gateway/default/${name}`)?.listeners?.find((each) => each.name === listener)
const parentOf = (name: string) => now.get(`httproute/default/${name}`)?.parents?.[0]
const programmed = (name: string, reason: string, generation?: number) =>
  until(`Gateway ${name} has Programmed ${reason}`, () => {
    const found = conditionOf(now.get(`gateway/default/${name}`), "Programmed")
    return found?.reason === reason && (generation === undefined || found.observedGeneration === generation) && found
  })

beforeAll(async () => {
  ports = await freePorts(6)
  ;[port = 0] = ports
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a" })))
  running = await world.up()
  bus = await connectTo(running.ready)
  reader = readUnits(bus, {
    filter: `config.${encodeToken(CONTROL_PLANE)}.>`,
    onChange: ({ rows }) => {
      for (const [subject, body] of rows) {
        const entry = parseSubject(subject)
        if (entry?.is !== "entry" || entry.section !== "status") continue
        if (body === null) now.delete(entry.id)
        else now.set(entry.id, decode(JSON.parse(body)))
        if (entry.id.startsWith("gateway/")) said.push(`${entry.id} ${conditionOf(now.get(entry.id), "Programmed")?.reason ?? "gone"}`)
      }
    },
    onCaughtUp: () => undefined,
    onLost: (reason) => said.push(`the store was lost: ${reason}`),
  })
})

afterAll(async () => {
  await reader.stop()
  await bus.close()
  await world.end()
  await backend.stop()
})

test("what is served says so: class, Gateway with its address, listener with its routes, route with its parent", async () => {
  await programmed("edge", "Programmed", 1)
  expect(conditionOf(now.get("gatewayclass//headgate"), "Accepted")).toMatchObject({ status: "True", observedGeneration: 1 })
  expect(now.get("gateway/default/edge")).toMatchObject({ addresses: [{ type: "IPAddress", value: "127.0.0.1" }], listeners: [{ name: "http", attachedRoutes: 1, supportedKinds: [{ kind: "HTTPRoute" }, { kind: "GRPCRoute" }] }] })
  expect(parentOf("web")).toMatchObject({ parentRef: { kind: "Gateway", name: "edge" }, controllerName: "headgate.dev/gateway", conditions: [{ type: "Accepted", status: "True" }, { type: "ResolvedRefs", status: "True" }] })
})

test("attachedRoutes is right after every batch of 40 edits at random, also of routes that are refused", async () => {
  let seed = 7
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
  const there = new Map<number, boolean>()
  for (let batch = 0; batch < 5; batch++) {
    for (let edit = 0; edit < 40; edit++) {
      const id = random(20)
      if (there.has(id) && random(3) === 0) {
        there.delete(id)
        take(world.manifests, `r${id}.yaml`)
      } else {
        const isGood = random(4) > 0
        there.set(id, isGood)
        drop(world.manifests, `r${id}.yaml`, yaml({ ...route(`r${id}`, { gateway: "edge", hostnames: [`r${id}.example`], backend: "a", filters: [setHeader("x-version", String(edit))] }), ...(isGood ? {} : { spec: { parentRefs: [{ name: "edge", port: 1 }] } }) }))
      }
    }
    const accepted = 1 + [...there.values()].filter(Boolean).length
    await until(`${accepted} routes are attached`, () => listenerOf("edge", "http")?.attachedRoutes === accepted)
    await until("each route has its verdict, and deleted ones have none", () => Array.from({ length: 20 }, (_, id) => parentOf(`r${id}`)).every((parent, id) => conditionOf(parent, "Accepted")?.reason === (there.has(id) ? (there.get(id) === true ? "Accepted" : "NoMatchingParent") : undefined)))
  }
  for (const id of there.keys()) take(world.manifests, `r${id}.yaml`)
  await until("only the first is left", () => listenerOf("edge", "http")?.attachedRoutes === 1)
})

test("a route's references resolve or not with the Services there are, at the generation of its spec", async () => {
  const before = now.get("httproute/default/web")?.observedGeneration ?? 0
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "later" })))
  await until("the backend is not found", () => shows(parentOf("web"), "ResolvedRefs", "BackendNotFound"))
  expect(now.get("httproute/default/web")?.observedGeneration).toBe(before + 1)
  expect(conditionOf(parentOf("web"), "ResolvedRefs")).toMatchObject({ status: "False", message: expect.stringContaining("spec.rules[0].backendRefs[0]: Routes refer to Service default/later") })
  drop(world.manifests, "later.yaml", yaml(...service("later", 80, [{ port: backend.port }])))
  await until("it is found", () => shows(parentOf("web"), "ResolvedRefs", "ResolvedRefs"))
  expect(now.get("httproute/default/web")?.observedGeneration).toBe(before + 1)
})

test("an edited Gateway is programmed again once its new generation is acked", async () => {
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port, more: ports[1] ?? 0 })))
  await programmed("edge", "Programmed", 2)
  await until("the new listener is served", () => shows(listenerOf("edge", "more"), "Programmed", "Programmed"))
  expect(said.filter((each) => each.startsWith("gateway/default/edge")).at(-1)).toBe("gateway/default/edge Programmed")
})

test("a port that is taken is unavailable until it is free", async () => {
  const taken = createServer()
  const [, , own = 0] = ports
  await new Promise<void>((resolve, reject) => taken.once("error", reject).listen(own, "127.0.0.1", resolve))
  drop(world.manifests, "taken.yaml", yaml(gateway("taken", { http: own })))
  await programmed("taken", "Invalid")
  expect(listenerOf("taken", "http")?.conditions).toMatchObject([{ type: "Accepted", status: "False", reason: "PortUnavailable", message: expect.stringContaining(`port ${own} is in use`) }, { type: "Conflicted" }, { type: "Programmed", status: "False", reason: "Invalid" }, {}])
  expect(conditionOf(now.get("gateway/default/taken"), "Accepted")).toMatchObject({ status: "False", reason: "ListenersNotValid" })
  expect((await world.cli(["describe", "gateway", "taken"])).stdout).toContain("PortUnavailable")
  await new Promise((resolve) => taken.close(resolve))
  await programmed("taken", "Programmed")
  take(world.manifests, "taken.yaml")
  await until("it has no status", () => !now.has("gateway/default/taken"))
})

test("it stays programmed while functions are killed, and the bus under everybody", async () => {
  await programmed("edge", "Programmed", 2)
  const mark = said.length
  await running.kill("functions")
  await running.kill("nats")
  drop(world.manifests, "after.yaml", yaml(route("after", { gateway: "edge", hostnames: ["after.example"], backend: "a" })))
  await until("an edit made after that has its status", () => shows(parentOf("after"), "Accepted", "Accepted"), 20_000)
  expect(said.slice(mark).filter((each) => each.startsWith("gateway/default/edge") && !each.endsWith(" Programmed"))).toEqual([])
  expect(said.slice(mark).length).toBeGreaterThan(0)
})

describe("a Gateway that cannot be had as it is written says why, and others are served", () => {
  const withSpec = (name: string, spec: Manifest): string => yaml({ ...gateway(name, {}), spec: { gatewayClassName: "headgate", ...spec } })
  const http = (at: number) => ({ name: "http", protocol: "HTTP", port: ports[at] ?? 0 })
  const cases: readonly { readonly name: string; readonly spec: () => Manifest; readonly is: () => boolean }[] = [
    { name: "protocol", spec: () => ({ listeners: [{ name: "http", protocol: "TCP", port: ports[3] }] }), is: () => shows(listenerOf("protocol", "http"), "Accepted", "UnsupportedProtocol") && shows(now.get("gateway/default/protocol"), "Accepted", "ListenersNotValid") && shows(now.get("gateway/default/protocol"), "Programmed", "Invalid") },
    { name: "kinds", spec: () => ({ listeners: [{ ...http(3), allowedRoutes: { kinds: [{ kind: "TLSRoute" }] } }] }), is: () => shows(listenerOf("kinds", "http"), "ResolvedRefs", "InvalidRouteKinds") && listenerOf("kinds", "http")?.supportedKinds.length === 0 },
    { name: "unusable", spec: () => ({ addresses: [{ value: "192.0.2.1" }], listeners: [http(3)] }), is: () => shows(now.get("gateway/default/unusable"), "Programmed", "AddressNotUsable") },
    { name: "hostname", spec: () => ({ addresses: [{ type: "Hostname", value: "gw.example.com" }], listeners: [http(3)] }), is: () => shows(now.get("gateway/default/hostname"), "Accepted", "UnsupportedAddress") },
    { name: "parameters", spec: () => ({ infrastructure: { parametersRef: { group: "example.com", kind: "Config", name: "c" } }, listeners: [http(3)] }), is: () => shows(now.get("gateway/default/parameters"), "Accepted", "InvalidParameters") && shows(now.get("gateway/default/parameters"), "Programmed", "Programmed") },
    { name: "twin", spec: () => ({ listeners: [http(0)] }), is: () => shows(listenerOf("twin", "http"), "Conflicted", "HostnameConflict") && shows(now.get("gateway/default/twin"), "Programmed", "Invalid") },
    { name: "no-secret", spec: () => ({ listeners: [{ name: "tls", protocol: "HTTPS", port: ports[3], tls: { certificateRefs: [{ name: "absent" }] } }] }), is: () => shows(listenerOf("no-secret", "tls"), "ResolvedRefs", "InvalidCertificateRef") && shows(listenerOf("no-secret", "tls"), "headgate.dev/CertificatesValid", "NoSuchSecret") },
  ]

  test.each(cases)("$name", async ({ name, spec, is }) => {
    drop(world.manifests, "bad.yaml", withSpec(name, spec()))
    await until(`Gateway ${name} says what is wrong`, is)
    expect(conditionOf(now.get("gateway/default/edge"), "Programmed")?.status).toBe("True")
    take(world.manifests, "bad.yaml")
    await until("it has no status", () => !now.has(`gateway/default/${name}`))
  })
})

describe("people see it", () => {
  test("get has it in its columns and in JSON", async () => {
    expect((await world.cli(["get", "gateways"])).stdout).toMatch(/^default +edge +headgate +127\.0\.0\.1 +True +http=\d+,more=\d+ +2$/m)
    expect((await world.cli(["get", "gatewayclasses"])).stdout).toMatch(/^headgate +headgate\.dev\/gateway +True$/m)
    expect((await world.cli(["get", "httproutes"])).stdout).toMatch(/^default +web +web\.example +default\/edge +True +True$/m)
    expect((await world.cli(["get", "status"])).stdout).toMatch(/^Gateway +default +edge +2 +ok$/m)
    expect(JSON.parse((await world.cli(["get", "gateway", "edge", "-o", "json"])).stdout)).toMatchObject({ status: { observedGeneration: 2, listeners: [{ name: "http" }, { name: "more" }] } })
  })

  test("describe shows an object with file, conditions, notes and pods; what is not there ends with 3, what is no kind with 2", async () => {
    drop(world.manifests, "lost.yaml", yaml(route("lost", { gateway: "nowhere", backend: "absent" })))
    await until("a note is there", async () => (await world.cli(["describe", "httproute", "lost"])).stdout.includes("NoMatchingParent"))
    const lost = (await world.cli(["describe", "httproute/lost", "-n", "default"])).stdout
    expect(lost).toMatch(/^HTTPRoute default\/lost\nfile +lost\.yaml\n/)
    expect(lost).toMatch(/^notes +error NoMatchingParent +lost\.yaml:\d+ +spec\.parentRefs\[0\]\.name$/m)
    expect((await world.cli(["describe", "gateway", "edge"])).stdout).toMatch(/^served by +default\/up, ready$/m)
    expect(await world.cli(["describe", "gateway", "edg"])).toMatchObject({ code: 3, stdout: "", stderr: 'headgate: there is no gateway "edg". Like it: gateway edge -n default\n' })
    expect(await world.cli(["describe", "nothing", "edge"])).toMatchObject({ code: 2 })
  })
})
