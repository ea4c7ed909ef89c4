/** Bad days of the whole, each against the real thing, with traffic all the while: nothing fails that was served, nothing untrue is said, and it goes on by itself. */
import { spawn } from "node:child_process"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { appliedSubject, configSubject, leaseSubject } from "../../bus/subject.ts"
import { openUnit } from "../../bus/unit/writer.ts"
import { resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf, textOf } from "../../infra/adapters/kubernetes/raw.ts"
import { until } from "../system/until.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { inTurns } from "./in-turns.ts"
import { deletePod, installation, pidsOf, podsOf, signal, untilReady, type Installation, type Part, type Pod } from "./installation.ts"
import { openLoop, type OpenLoop } from "./open-loop.ts"
import { apiServerProcess, auditPosition, statusWrites } from "./node.ts"
import { record, type Recording } from "./recorded.ts"

const NAME = "t-bad-days"
const group = "gateway.networking.k8s.io"
/** How long things that can be away are away; ten minutes by hand. */
const AWAY = Number(process.env["HEADGATE_AWAY_SECONDS"] ?? 15) * 1000
/** Of a process in a pod: after a minute without an answer the kubelet starts its container anew, which is another day. */
const FROZEN = Math.min(AWAY, 30_000)

let it: Installation
let shop: Edge
let traffic: OpenLoop
let seen: Recording

beforeAll(async () => {
  it = await installation(NAME)
  shop = await edge("t-bad-days-shop", { gatewayClassName: NAME })
}, 240_000)
afterAll(async () => {
  await shop.space.end()
  await it.end()
})

beforeEach(async () => {
  const namespace = shop.space.name
  seen = await record({ group, plural: "gatewayclasses", name: NAME }, { group, plural: "gateways", namespace }, { group, plural: "httproutes", namespace }, { group: "", plural: "services", namespace }, { group: "apps", plural: "deployments", namespace })
  traffic = openLoop({ address: shop.address, host: "ready.example", rate: 50 })
})
/** Of every bad day: no request fails, nothing of ours is made anew. */
afterEach(async () => {
  // A day may be over at once.
  await until("traffic has flowed", () => traffic.answered >= 20, 10_000).catch(() => undefined)
  await traffic.stop()
  await seen.stop()
  const losses = seen.losses().filter((loss) => !loss.startsWith("httproutes"))
  if (traffic.failures.length + traffic.refused + losses.length > 0 || traffic.answered < 20) throw new Error(`${traffic.answered} requests answered, ${traffic.refused} connections refused, failed: ${JSON.stringify(traffic.failures.slice(0, 5))}; gone: ${losses.join(", ")}`)
})

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const restarts = async (): Promise<readonly string[]> => (await Promise.all((["headgate-adapter", "headgate-functions", "headgate-nats"] as const).map((part) => it.pods(part)))).flat().map(({ name, restarts: times }) => `${name} ${times}`).sort()
const flips = (): readonly string[] => seen.flips()
let edits = 0
/** A route of its own is served; how long after the API server's answer, ms. */
const nextEditIsLive = async (within = 30_000): Promise<number> => {
  const name = `edit-${++edits}`
  await shop.space.apply(httpRoute(name, `${name}.example`))
  const began = performance.now()
  await until(`${name} is live`, async () => (await statusOf(shop.address, `${name}.example`)) === 200, within)
  return performance.now() - began
}
const accepted = (name: string): Promise<string> => shop.space.get("httproute", name, "{.status.parents[0].conditions[?(@.type=='Accepted')].status}")
const gateways = (): Promise<readonly Pod[]> => podsOf(it.api, shop.space.name, "app.kubernetes.io/name=headgate-gateway")
describe("away and back", () => {
  test("the API server stands still: what is served goes on, and it catches up without a restart", async () => {
    const before = await restarts()
    const pid = apiServerProcess()
    process.kill(pid, "SIGSTOP")
    try {
      await pause(AWAY)
    } finally {
      process.kill(pid, "SIGCONT")
    }
    console.log(`API server still for ${AWAY} ms; the next edit is live ${Math.round(await until("it answers", () => nextEditIsLive(60_000), 60_000))} ms after its answer`)
    expect(await restarts()).toEqual(before)
    expect(flips()).toEqual([])
  }, 240_000 + AWAY)

  test("nats-server stands still: edits are live once it goes on", async () => {
    const before = await restarts()
    const [nats] = await it.pods("headgate-nats")
    if (nats === undefined) throw new Error("there is no nats-server")
    signal(nats, "SIGSTOP")
    const name = `edit-${++edits}`
    try {
      await shop.space.apply(httpRoute(name, `${name}.example`))
      await pause(FROZEN)
      expect(await statusOf(shop.address, `${name}.example`)).toBe(404)
    } finally {
      signal(nats, "SIGCONT")
    }
    const began = performance.now()
    await until("the edit is live", async () => (await statusOf(shop.address, `${name}.example`)) === 200, 30_000)
    console.log(`nats-server still for ${FROZEN} ms; the edit made meanwhile is live ${Math.round(performance.now() - began)} ms after it goes on`)
    await until("its status is said", async () => (await accepted(name)) === "True", 30_000)
    expect(await restarts()).toEqual(before)
    expect(flips()).toEqual([])
  }, 120_000 + FROZEN)

  const frozen: readonly Part[] = ["headgate-adapter", "headgate-functions"]
  test.each(frozen)("every pod of %s stands still and goes on: an edit made meanwhile is live, and nothing older is said after it", async (part) => {
    const before = await restarts()
    const pods = await it.pods(part)
    for (const pod of pods) signal(pod, "SIGSTOP")
    const name = `edit-${++edits}`
    try {
      await shop.space.apply(httpRoute(name, `${name}.example`))
      await pause(FROZEN)
      await shop.space.apply(httpRoute(name, `${name}-again.example`))
    } finally {
      for (const pod of pods) signal(pod, "SIGCONT")
    }
    const began = performance.now()
    await until("the edit is live", async () => (await statusOf(shop.address, `${name}-again.example`)) === 200, 40_000)
    console.log(`${part} still for ${FROZEN} ms; the edit made meanwhile is live ${Math.round(performance.now() - began)} ms after it goes on`)
    expect(await statusOf(shop.address, `${name}.example`)).toBe(404)
    await until("its status is said", async () => (await accepted(name)) === "True", 30_000)
    const observed = seen.versions.filter(({ key }) => key.endsWith(`/${name}`)).flatMap(({ object }) => listOf(memberOf(object, "status"), "parents")).map((parent) => Number(memberOf({ first: listOf(parent, "conditions")[0] }, "first")["observedGeneration"]))
    expect(observed).toEqual(observed.toSorted((a, b) => a - b))
    await until("every pod is ready again", async () => (await it.pods(part)).every(({ isReady }) => isReady), 60_000)
    expect(await restarts()).toEqual(before)
    expect(flips()).toEqual([])
  }, 150_000 + FROZEN)

  test("the leader alone stands still: another takes over within the lease, and who thaws changes nothing", async () => {
    for (const part of frozen) {
      const holder = await leaderOf(part)
      signal(holder, "SIGSTOP")
      try {
        console.log(`the leading pod of ${part} still: the next edit is live after ${Math.round(await nextEditIsLive(60_000))} ms`)
      } finally {
        signal(holder, "SIGCONT")
      }
      await nextEditIsLive()
    }
    expect(flips()).toEqual([])
  }, 180_000)
})

/** Who holds the part's lease on the bus. */
const leaderOf = async (part: Part): Promise<Pod> => {
  const bus = await it.bus()
  try {
    const lease = await bus.last("LEASES", leaseSubject(part === "headgate-adapter" ? "adapter.kubernetes" : "routes"))
    const text = new TextDecoder().decode(lease?.data)
    const found = (await it.pods(part)).find(({ name }) => text.includes(name))
    if (found === undefined) throw new Error(`nobody of ${part} leads: ${text}`)
    return found
  } finally {
    await bus.close()
  }
}

test("rights are withdrawn: what is served stays and no status changes; given back, what was made meanwhile is live", async () => {
  const before = await restarts()
  const bindings = listOf(await it.api.request({ path: resourcePath({ group: "rbac.authorization.k8s.io", version: "v1", plural: "clusterrolebindings" }), query: { labelSelector: `headgate.dev/installation=${NAME}` } }), "items")
  const binding = bindings.find((each) => listOf(each, "subjects").some((subject) => isJson(subject) && subject["name"] === "headgate-adapter"))
  if (!isJson(binding)) throw new Error(`no ClusterRoleBinding gives the adapter its rights`)
  const own = resourcePath({ group: "rbac.authorization.k8s.io", version: "v1", plural: "clusterrolebindings", name: textOf(memberOf(binding, "metadata")["name"]) })
  await it.api.request({ method: "DELETE", path: own })
  const name = `edit-${++edits}`
  try {
    // A watch that is open goes on: a restart of the adapter needs its rights anew.
    for (const pod of await it.pods("headgate-adapter")) await deletePod(it.api, pod)
    await until("other pods are there", async () => (await it.pods("headgate-adapter")).length === 2 && (await it.pods("headgate-adapter")).every(({ isReady }) => isReady), 60_000)
    await shop.space.apply(httpRoute(name, `${name}.example`))
    await pause(AWAY)
    expect(await accepted(name)).toBe("")
    expect(await statusOf(shop.address, `${name}.example`)).toBe(404)
  } finally {
    const metadata = memberOf(binding, "metadata")
    await it.api.request({ method: "POST", path: resourcePath({ group: "rbac.authorization.k8s.io", version: "v1", plural: "clusterrolebindings" }), body: { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", metadata: { name: metadata["name"], labels: metadata["labels"] }, roleRef: binding["roleRef"], subjects: binding["subjects"] } })
  }
  const began = performance.now()
  await until("the edit is live", async () => (await statusOf(shop.address, `${name}.example`)) === 200, 60_000)
  console.log(`rights withdrawn for ${AWAY} ms; the edit made meanwhile is live ${Math.round(performance.now() - began)} ms after they are given back`)
  await until("its status is said", async () => (await accepted(name)) === "True", 30_000)
  expect((await restarts()).filter((line) => !line.startsWith("headgate-adapter"))).toEqual(before.filter((line) => !line.startsWith("headgate-adapter")))
  expect((await restarts()).every((line) => line.endsWith(" 0") || before.includes(line))).toBe(true)
  expect(flips()).toEqual([])
}, 180_000 + AWAY)

test("a pod that cannot bind a listener's port says so for that listener alone, and serves it once it can", async () => {
  const [pod] = await gateways()
  if (pod === undefined) throw new Error("there is no gateway")
  const [pid] = pidsOf(pod)
  // Somebody else has the port, in the pod's own network: 10,000 above the listener's.
  const occupant = spawn("nsenter", [`--net=/proc/${pid}/ns/net`, process.execPath, "-e", 'require("node:net").createServer().listen(18081, "::", () => console.log("listens"))'], { stdio: ["ignore", "pipe", "inherit"] })
  const listener = (condition: string, name: string): Promise<string> => shop.space.get("gateway", "edge", `{.status.listeners[?(@.name=="${name}")].conditions[?(@.type=="${condition}")].status}`)
  try {
    await new Promise((resolve, reject) => {
      occupant.stdout.once("data", resolve)
      occupant.once("exit", (code) => reject(new Error(`the port could not be taken: ${code}`)))
    })
    await shop.space.kubectl("patch", "gateway", "edge", "--type=json", "-p", JSON.stringify([{ op: "add", path: "/spec/listeners/-", value: { name: "second", protocol: "HTTP", port: 8081 } }]))
    await until("it is said of the listener", async () => (await listener("Programmed", "second")) === "False", 30_000)
    expect(await shop.space.get("gateway", "edge", '{.status.listeners[?(@.name=="second")].conditions[?(@.type=="Programmed")].message}')).toMatch(/18081|8081/)
    expect(await listener("Programmed", "http")).toBe("True")
  } finally {
    occupant.kill("SIGKILL")
  }
  const began = performance.now()
  await until("the listener answers", async () => (await statusOf(`${shop.address}:8081`, "ready.example")) === 200, 60_000)
  await until("it is said", async () => (await listener("Programmed", "second")) === "True", 30_000)
  console.log(`bound ${Math.round(performance.now() - began)} ms after the port is free`)
  expect(flips().filter((flip) => flip.includes("listeners/http/"))).toEqual([])
  await shop.space.kubectl("patch", "gateway", "edge", "--type=json", "-p", JSON.stringify([{ op: "remove", path: "/spec/listeners/1" }]))
  await until("nothing is said of it any more", async () => (await listener("Programmed", "second")) === "", 10_000)
}, 150_000)

describe("parts of different versions", () => {
  test("entries of a section and of a schema that a gateway does not know are ignored with a note, and the rest is served", async () => {
    const plane = `${shop.space.name}.edge`
    const bus = await it.bus("functions")
    const operator = await it.bus()
    const notes = async (): Promise<readonly string[]> => {
      const [pod] = await gateways()
      const said = await operator.last("APPLIED", appliedSubject(plane, pod?.name ?? ""))
      const value: unknown = said === undefined ? undefined : JSON.parse(new TextDecoder().decode(said.data))
      return listOf(value, "notes").map((note) => (isJson(note) ? textOf(note["reason"]) : "")).sort()
    }
    const unit = await openUnit(bus, { unit: { plane, fn: "of-tomorrow" }, epoch: 1, writer: "test", version: "2", onSteppedDown: () => undefined })
    const [section, newer] = [configSubject(plane, "tides", "high"), configSubject(plane, "route", "of/tomorrow/0")]
    try {
      unit.stage([{ subject: section, body: canonical({ schema: 1 }), causes: [] }, { subject: newer, body: canonical({ schema: 2, whatever: ["it", "means"] }), causes: [] }])
      await unit.settled()
      await until("both are noted", async () => {
        const reasons = await notes()
        return reasons.includes("NewerSchema") && reasons.includes("UnknownSection")
      }, 20_000)
      await nextEditIsLive()
    } finally {
      unit.stage([{ subject: section, body: null, causes: [] }, { subject: newer, body: null, causes: [] }])
      await unit.settled()
      await unit.stop()
    }
    await until("the note of the entry is gone with it", async () => !(await notes()).includes("NewerSchema"), 20_000)
    await bus.close()
    await operator.close()
    expect(flips()).toEqual([])
  }, 120_000)

  const parts = ["functions", "adapter", "nats", "gateway"] as const
  test.each([["functions before gateways", parts], ["gateways before functions", parts.toReversed()]] as const)("every part is replaced, %s: no request fails, and edits are live after each", async (_, order) => {
    for (const part of order) {
      const [namespace, object] = part === "gateway" ? [shop.space.name, (await shop.space.kubectl("get", "deployment", "-l", "gateway.networking.k8s.io/gateway-name=edge", "-o", "name")).trim()] : [NAME, `${part === "nats" ? "statefulset" : "deployment"}/headgate-${part}`]
      await shop.space.kubectl("-n", namespace, "rollout", "restart", object)
      await shop.space.kubectl("-n", namespace, "rollout", "status", object, "--timeout=55s")
      console.log(`${part} replaced: the next edit is live after ${Math.round(await nextEditIsLive(60_000))} ms`)
    }
    await untilReady(it)
    expect(flips()).toEqual([])
  }, 300_000)
})

describe("many at once", () => {
  test("1,000 routes: attachedRoutes is right within 3 s of the last, and a status is written 1.2 times an object at most", async () => {
    const COUNT = 1000
    const attached = (): Promise<string> => shop.space.get("gateway", "edge", "{.status.listeners[0].attachedRoutes}")
    const before = Number(await attached())
    const audited = auditPosition()
    const names = Array.from({ length: COUNT }, (_, i) => `many-${i}`)
    const pathOf = (name: string): string => resourcePath({ group, version: "v1", plural: "httproutes", namespace: shop.space.name, name })
    await inTurns(names, 16, (name) => it.api.request({ method: "PATCH", path: pathOf(name), query: { fieldManager: "test", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: httpRoute(name, `${name}.example`) }))
    const last = performance.now()
    await until("all are attached", async () => Number(await attached()) === before + COUNT, 30_000)
    const took = performance.now() - last
    expect(await statusOf(shop.address, `many-${COUNT - 1}.example`)).toBe(200)
    await until("every status is said", async () => !(await shop.space.kubectl("get", "httproutes", "-o", "jsonpath={range .items[*]}{.status.parents[0].conditions[?(@.type=='Accepted')].status} {end}")).split(" ").slice(0, -1).some((each) => each !== "True"), 30_000)
    const writes = statusWrites(NAME, "httproutes", audited).filter((name) => name.startsWith("many-"))
    console.log(`${COUNT} routes: attachedRoutes right ${Math.round(took)} ms after the last; ${writes.length} statuses written`)
    expect(took).toBeLessThan(3000)
    expect(new Set(writes).size).toBe(COUNT)
    expect(writes.length).toBeLessThanOrEqual(1.2 * COUNT)
    expect(flips().filter((flip) => !flip.includes("many-"))).toEqual([])
  }, 120_000)
})
