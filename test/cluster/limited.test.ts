/** An installation that is limited to some namespaces: it serves there with Roles of these alone, and elsewhere nothing is asked, said or made. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { permissions } from "../../infra/adapters/kubernetes/permissions.ts"
import { until } from "../system/until.ts"
import { echo, edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { installation, type Installation } from "./installation.ts"
import { namespace, type TestNamespace } from "./namespace.ts"
import { asked, auditPosition } from "./node.ts"

const NAME = "t-limited"
const [SHOP, TEAM, OTHER] = [`${NAME}-shop`, `${NAME}-team`, `${NAME}-other`]
const BROKEN = `${NAME}-broken`

let spaces: readonly TestNamespace[]
let it: Installation
let since: number
let shop: Edge
let team: Edge
let other: TestNamespace

const gateway = (name: string): object => ({ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name }, spec: { gatewayClassName: NAME, listeners: [{ name: "http", protocol: "HTTP", port: 80 }] } })
const logOf = async (part: "headgate-adapter" | "headgate-nats"): Promise<string> => (await Promise.all((await it.pods(part)).map(({ name }) => other.kubectl("-n", NAME, "logs", name)))).join("\n")

beforeAll(async () => {
  const [a, b, c] = (spaces = await Promise.all([SHOP, TEAM, OTHER].map((name) => namespace(name))))
  if (a === undefined || b === undefined || c === undefined) throw new TypeError("three namespaces")
  other = c
  since = auditPosition()
  it = await installation(NAME, "--watch-namespaces", `${SHOP},${TEAM}`)
  await other.apply(...echo("echo"), gateway("edge"), httpRoute("ready", "ready.example"))
  shop = await edge(a, { gatewayClassName: NAME })
  team = await edge(b, { gatewayClassName: NAME })
}, 240_000)
afterAll(async () => {
  await it.api.request({ method: "DELETE", path: `/apis/gateway.networking.k8s.io/v1/gatewayclasses/${BROKEN}` }).catch(() => undefined)
  for (const space of spaces) await space.end()
  await it.end()
})

test("Gateways of these namespaces serve, and an edit is live; the class says that it is accepted, and the release of the Gateway API", async () => {
  expect(await statusOf(team.address, "ready.example")).toBe(200)
  await shop.space.apply(httpRoute("edit", "edit.example"))
  await until("the edit is live", async () => (await statusOf(shop.address, "edit.example")) === 200, 30_000)
  expect(await shop.space.get("gatewayclass", NAME, "{.status.conditions[?(@.type=='Accepted')].status} {.status.conditions[?(@.type=='SupportedVersion')].status}")).toBe("True True")
  await until("its status is said", async () => (await shop.space.get("httproute", "edit", "{.status.parents[0].conditions[?(@.type=='Accepted')].status}")) === "True", 10_000)
})

test("a route may name what is elsewhere: it is not looked for there, and the Event that says so is where the route is", async () => {
  const route = httpRoute("away", "away.example")
  await shop.space.apply({ ...route, spec: { parentRefs: [{ name: "edge" }], hostnames: ["away.example"], rules: [{ backendRefs: [{ name: "echo", namespace: OTHER, port: 80 }] }] } })
  await until("it says why not", async () => (await shop.space.get("httproute", "away", "{.status.parents[0].conditions[?(@.type=='ResolvedRefs')].reason}")) === "RefNotPermitted", 10_000)
  await until("an Event says so", async () => (await shop.space.kubectl("get", "events", "--field-selector", "involvedObject.name=away", "-o", "jsonpath={.items[*].reason}")).includes("RefNotPermitted"), 10_000)
})

test("what would be said of a class in `default` is left out, with a line in the log; its condition says it", async () => {
  await shop.space.apply({ apiVersion: "gateway.networking.k8s.io/v1", kind: "GatewayClass", metadata: { name: BROKEN }, spec: { controllerName: it.controllerName, parametersRef: { group: "headgate.dev", kind: "GatewayParameters", namespace: SHOP, name: "missing" } } })
  await until("its condition says so", async () => (await shop.space.get("gatewayclass", BROKEN, "{.status.conditions[?(@.type=='Accepted')].reason}")) === "InvalidParameters", 10_000)
  await until("the log says so", async () => (await logOf("headgate-adapter")).split("\n").some((line) => line.includes("an Event is left out") && line.includes(`GatewayClass /${BROKEN}`)), 10_000)
})

test("a Gateway elsewhere is nothing to it: no status, no pods, no word on the bus", async () => {
  expect(await other.get("gateway", "edge", "{.status.conditions[?(@.status!='Unknown')].type}")).toBe("")
  expect(await other.get("httproute", "ready", "{.status.parents}")).toBe("")
  expect(await other.kubectl("get", "deployments,services,secrets,serviceaccounts", "-l", "headgate.dev/plane", "-o", "name")).toBe("")
  const bus = await it.bus()
  const subjects: string[] = []
  const caughtUp = new Set<string>()
  const following = (["RESOURCES", "CONFIG"] as const).map((stream) => bus.follow({
    stream, filter: ">", from: { after: 0 },
    onMessage: ({ subject }) => void subjects.push(subject),
    onCaughtUp: () => void caughtUp.add(stream),
  }))
  await until("the bus has been read", () => caughtUp.size === 2)
  await Promise.all(following.map((each) => each.stop()))
  await bus.close()
  const about = (name: string): readonly string[] => subjects.filter((subject) => subject.includes(name))
  expect(about(TEAM).length).toBeGreaterThan(10)
  // What the route above demands is answered in its own data plane: there is no such Service.
  expect(about(OTHER).filter((subject) => !subject.startsWith(`config.${SHOP}`))).toEqual([])
})

test("nothing was asked that was refused, and of other namespaces nothing at all", async () => {
  const calls = asked(NAME, since).filter(({ resource }) => resource !== "")
  expect(new Set(calls.map(({ part }) => part))).toEqual(new Set(["headgate-adapter", "headgate-nats"]))
  expect(calls.filter(({ code }) => code === 401 || code === 403)).toEqual([])
  expect([...new Set(calls.map(({ namespace: of }) => of))].filter((of) => of !== "").sort()).toEqual([NAME, SHOP, TEAM].sort())
  const named = new Set(permissions.filter(({ scope }) => scope === "cluster").map(({ resource }) => resource))
  expect([...new Set(calls.filter(({ namespace: of, resource }) => of === "" && !named.has(resource)).map(({ verb, resource }) => `${verb} ${resource}`))]).toEqual([])
  expect(calls.filter(({ resource, name }) => resource === "namespaces" && ![NAME, SHOP, TEAM].includes(name))).toEqual([])
  expect((await logOf("headgate-adapter")).split("\n").filter((line) => /forbidden/i.test(line))).toEqual([])
  expect((await logOf("headgate-nats")).split("\n").filter((line) => /forbidden/i.test(line))).toEqual([])
})
