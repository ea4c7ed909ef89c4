/**
 * NATS' store is deleted under load, while the API server takes 10 s for each list: nobody outside of the control plane
 * sees any of it. The adapter of this installation asks the API server through a proxy.
 */
import { readFileSync } from "node:fs"
import { KubeConfig } from "@kubernetes/client-node"
import { afterAll, beforeAll, expect, test } from "vitest"
import { until } from "../system/until.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts"
import { deletePod, installation, untilReady, type Installation, type Part } from "./installation.ts"
import { openLoop } from "./open-loop.ts"
import { CLIENT_ADDRESS } from "./place.ts"
import { record } from "./recorded.ts"

const NAME = "t-amnesia"
const ROUTES = 50
const PROXY_PORT = 8001
const LATE = 10_000

let it: Installation
let shop: Edge
let proxy: FaultProxy

beforeAll(async () => {
  it = await installation(NAME)
  const config = new KubeConfig()
  config.loadFromDefault()
  const cluster = config.getCurrentCluster()
  proxy = await startFaultProxy({ server: cluster?.server ?? "", authority: cluster?.caFile === undefined ? Buffer.from(cluster?.caData ?? "", "base64").toString() : readFileSync(cluster.caFile, "utf8"), listen: { host: CLIENT_ADDRESS, port: PROXY_PORT } })
  shop = await edge("t-amnesia-shop", { gatewayClassName: NAME })
  await shop.space.kubectl("-n", NAME, "create", "configmap", "proxied", `--from-literal=config=${JSON.stringify(kubeconfig(proxy.url))}`)
  await shop.space.kubectl("-n", NAME, "patch", "deployment", "headgate-adapter", "-p", JSON.stringify(throughProxy))
  await shop.space.kubectl("-n", NAME, "rollout", "status", "deployment/headgate-adapter", "--timeout=50s")
  await shop.space.apply(...Array.from({ length: ROUTES }, (_, i) => httpRoute(`r${i}`, `r${i}.example`)))
  await until("the adapter asks through the proxy", () => proxy.watches() > 5, 30_000)
  await until("every route is attached", async () => (await shop.space.get("gateway", "edge", "{.status.listeners[0].attachedRoutes}")) === String(ROUTES + 1), 30_000)
  // The Gateway counts a route before its own status is written.
  const accepted = '{range .items[*]}{.status.parents[0].conditions[?(@.type=="Accepted")].status}{" "}{end}'
  await until("every route says so", async () => (await shop.space.kubectl("get", "httproutes", "-o", `jsonpath=${accepted}`)).split("True").length === ROUTES + 2, 30_000)
})
afterAll(async () => {
  await shop.space.end()
  await it.end()
  await proxy.stop()
})

/** Of the pod's own service account, elsewhere. */
const kubeconfig = (server: string): object => ({
  apiVersion: "v1", kind: "Config", "current-context": "proxied",
  clusters: [{ name: "proxied", cluster: { server, "insecure-skip-tls-verify": true } }],
  users: [{ name: "proxied", user: { "auth-provider": { name: "tokenFile", config: { tokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token" } } } }],
  contexts: [{ name: "proxied", context: { cluster: "proxied", user: "proxied" } }],
})
const throughProxy = {
  spec: {
    template: {
      spec: {
        containers: [{ name: "headgate-adapter", env: [{ name: "KUBECONFIG", value: "/proxied/config" }], volumeMounts: [{ name: "proxied", mountPath: "/proxied" }] }],
        volumes: [{ name: "proxied", configMap: { name: "proxied" } }],
      },
    },
  },
}

const incarnation = async (): Promise<string> => {
  const bus = await it.bus()
  try {
    return (await bus.info("CONFIG")).incarnation
  } finally {
    await bus.close()
  }
}

const cases: readonly (readonly [string, readonly Part[]])[] = [
  ["NATS' store is deleted", ["headgate-nats"]],
  ["NATS' store is deleted, and every pod of the control plane with it", ["headgate-nats", "headgate-adapter", "headgate-functions", "headgate-history"]],
]

test.each(cases)("%s: no request fails, nothing is made anew, no condition flips, and the next edit is live", async (what, parts) => {
  const group = "gateway.networking.k8s.io"
  const namespace = shop.space.name
  const made = [["", "services"], ["", "serviceaccounts"], ["apps", "deployments"], ["policy", "poddisruptionbudgets"]] as const
  const seen = await record({ group, plural: "gatewayclasses", name: NAME }, { group, plural: "gateways", namespace }, { group, plural: "httproutes", namespace }, ...made.map(([of, plural]) => ({ group: of, plural, namespace })))
  const before = seen.versions.length
  const store = await incarnation()
  const traffic = openLoop({ address: shop.address, host: "ready.example" })
  let lists = 0
  proxy.fault = ({ method, isWatch, query }) => (method === "GET" && !isWatch && query.has("limit") ? (lists++, { is: "late", ms: LATE }) : undefined)
  try {
    const gone = (await Promise.all(parts.map((part) => it.pods(part)))).flat()
    const began = performance.now()
    await Promise.all(gone.map((pod) => deletePod(it.api, pod, 0)))
    await until("another store is there", async () => (await incarnation()) !== store, 60_000)
    const edit = `edit-${parts.length}`
    await shop.space.apply(httpRoute(edit, `${edit}.example`))
    await until("the edit is live", async () => (await statusOf(shop.address, `${edit}.example`)) === 200, 90_000)
    const live = performance.now() - began
    await untilReady(it)
    await until("the edit's status is said", async () => (await shop.space.get("httproute", edit, "{.status.parents[0].conditions[?(@.type=='Accepted')].status}")) === "True", 30_000)
    // Whoever was not heard of for 15 s in a young store would be believed to be gone then.
    const quiet = performance.now() + 20_000
    await until("the store is not young any more", () => performance.now() > quiet, 25_000)
    await traffic.stop()
    console.log(`${what}: an edit is live ${(live / 1000).toFixed(1)} s later; ${traffic.answered} requests answered (${traffic.answeredOnKept} on used connections), the slowest in ${traffic.slowest.toFixed(0)} ms; ${lists} late lists, ${seen.versions.length - before} versions seen`)
    expect(traffic.failures).toEqual([])
    expect(traffic.refused).toBe(0)
    expect(traffic.answered).toBeGreaterThan(1000)
    expect(traffic.answeredOnKept).toBeGreaterThan(100)
    // An adapter that starts lists every kind.
    if (parts.length > 1) expect(lists).toBeGreaterThan(5)
    expect(seen.flips()).toEqual([])
    expect(seen.losses()).toEqual([])
    // Of what was there nothing was written either: the Gateway's count alone, and the new route's status.
    const written = seen.versions.slice(before).filter(({ plural, key }) => plural === "httproutes" && !key.endsWith(edit)).map(({ key }) => key)
    expect(written).toEqual([])
  } finally {
    proxy.fault = () => undefined
    await traffic.stop()
    await seen.stop()
  }
}, 240_000)
