/** Pods of Gateways come and go: clients outside the cluster notice nothing. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { until } from "../system/until.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { installed } from "./installation.ts"

let it: Edge

beforeAll(async () => {
  await installed()
  it = await edge("t-gateway-pods")
}, 240_000)
afterAll(() => it.space.end())

const pods = async (): Promise<readonly string[]> =>
  (await it.space.kubectl("get", "pods", "-l", "gateway.networking.k8s.io/gateway-name=edge", "--field-selector=status.phase=Running", "-o", "name")).split("\n").filter((name) => name !== "")
const deployment = async (): Promise<string> => (await it.space.kubectl("get", "deployment", "-l", "gateway.networking.k8s.io/gateway-name=edge", "-o", "name")).trim()

/** Requests on connections of their own, some at once, until `change` has ended: how often each status came, and what failed. */
const during = async (change: () => Promise<unknown>): Promise<ReadonlyMap<string, number>> => {
  const seen = new Map<string, number>()
  let isOver = false
  const client = async (): Promise<void> => {
    while (!isOver) {
      const outcome = await statusOf(it.address, "ready.example").then(String, String)
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
    }
  }
  const clients = Array.from({ length: 4 }, client)
  try {
    await change()
  } finally {
    isOver = true
    await Promise.all(clients)
  }
  return seen
}

describe("no request fails", () => {
  test("when the only pod of a Gateway is deleted", async () => {
    const [before = ""] = await pods()
    const seen = await during(async () => {
      await it.space.kubectl("delete", before, "--timeout=60s")
      await until("another pod is ready", async () => (await it.space.kubectl("get", await deployment(), "-o", "jsonpath={.status.readyReplicas}")) === "1" || undefined, 30_000)
    })
    expect([...seen.keys()]).toEqual(["200"])
    expect(await pods()).not.toContain(before)
  })

  test("when all its pods are replaced", async () => {
    const seen = await during(async () => {
      await it.space.kubectl("rollout", "restart", await deployment())
      await it.space.kubectl("rollout", "status", await deployment(), "--timeout=60s")
      await until("the pods before are gone", async () => (await pods()).length === 1 || undefined, 60_000)
    })
    expect([...seen.keys()]).toEqual(["200"])
  })
})

test("a port is served within seconds of its listener, and by its own number; an address stays", async () => {
  await it.space.kubectl("patch", "gateway", "edge", "--type=json", "-p", JSON.stringify([{ op: "add", path: "/spec/listeners/-", value: { name: "more", protocol: "HTTP", port: 9090 } }]))
  await it.space.apply(httpRoute("moved", "moved.example", "echo", { filters: [{ type: "RequestRedirect", requestRedirect: { hostname: "elsewhere.example" } }], backendRefs: [] }))
  const { request } = await import("undici")
  const location = await until("the listener answers", async () => {
    const { headers, body } = await request(`http://${it.address}:9090/x`, { headers: { host: "moved.example", connection: "close" } })
    await body.dump()
    return headers["location"]
  }, 15_000)
  expect(location).toBe("http://elsewhere.example:9090/x")
  expect(await it.space.get("gateway", "edge", "{.status.addresses[*].value}")).toBe(it.address)
})

test("pods have no privilege, and nothing but probes and listeners can be reached of them", async () => {
  const [pod = ""] = await pods()
  const ip = await it.space.kubectl("get", pod, "-o", "jsonpath={.status.podIP}")
  const security = await it.space.kubectl("get", pod, "-o", "jsonpath={.spec.automountServiceAccountToken} {.spec.securityContext.runAsNonRoot} {.spec.containers[0].securityContext}")
  expect(security).toBe('false true {"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}')
  const { request } = await import("undici")
  const answers = async (port: number, path: string): Promise<number | string> => request(`http://${ip}:${port}${path}`, { headersTimeout: 3000 }).then(async ({ statusCode, body }) => (await body.dump(), statusCode), (error: unknown) => (error instanceof Error ? (Reflect.get(error, "code") ?? error.message) : ""))
  expect(await answers(9902, "/readyz")).toBe(200)
  expect(await answers(9902, "/config")).toBe(404)
  expect(await answers(9901, "/config")).toBe("ECONNREFUSED")
})
