/**
 * In the cluster of KUBECONFIG, with Headgate installed: from the API server's answer to a server-side apply of one
 * HTTPRoute to the first request it answers, and how soon the status of a thousand is right.
 * `npm run cluster -- in client npm run bench -- kubernetes`
 */
import { connectApi, resourcePath, type ApiClient } from "../../infra/adapters/kubernetes/client.ts"
import { memberOf } from "../../infra/adapters/kubernetes/raw.ts"
import { edge, httpRoute, type Edge } from "../cluster/edge.ts"
import { inTurns } from "../cluster/in-turns.ts"
import { until } from "../system/until.ts"
import { option, report, spread } from "./report.ts"
import { Prober, status, timeUntil } from "./stage.ts"

const NAMESPACE = "bench-routes"
const group = "gateway.networking.k8s.io"

const pathOf = (name: string): string => resourcePath({ group, version: "v1", plural: "httproutes", namespace: NAMESPACE, name })
const apply = (api: ApiClient, name: string): Promise<unknown> =>
  api.request({ method: "PATCH", path: pathOf(name), query: { fieldManager: "bench", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: httpRoute(name, `${name}.example`) })

const named = (prefix: string, count: number): readonly string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`)

const attachedRoutes = async (api: ApiClient): Promise<number> => {
  const gateway = await api.request({ path: resourcePath({ group, version: "v1", plural: "gateways", namespace: NAMESPACE, name: "edge" }) })
  const listeners = memberOf(gateway, "status")["listeners"]
  const [first]: unknown[] = Array.isArray(listeners) ? listeners : []
  return typeof first === "object" && first !== null ? Number(Reflect.get(first, "attachedRoutes")) : Number.NaN
}

const live = async (api: ApiClient, { address }: Edge, prefix: string, edits: number) => {
  const [answered, sent, wrong]: [number[], number[], string[]] = [[], [], []]
  const prober = await Prober.connect(80, address)
  for (const name of named(prefix, edits)) {
    const started = performance.now()
    let stored = 0
    const applying = apply(api, name).then(() => { stored = performance.now() })
    const took = await timeUntil(prober, `${name}.example`, started, (head) => (status(head) !== 404 && status(head) !== 200 && wrong.push(head), status(head) === 200))
    await applying
    sent.push(took)
    // A watch may bring it before the answer has come.
    answered.push(Math.max(0, started + took - stored))
  }
  prober.close()
  return { answered, sent, wrong }
}

export const run = async (argv: readonly string[]): Promise<void> => {
  if (process.env["KUBECONFIG"] === undefined) throw new Error("KUBECONFIG names no cluster: npm run cluster -- in client npm run bench -- kubernetes")
  const edits = option(argv, "edits", 300)
  const api = connectApi()
  const stage = await edge(NAMESPACE)
  try {
    const figures: (readonly string[])[] = []
    let there = 1
    for (const routes of [20, 3000]) {
      await inTurns(named(`filler-${routes}-`, routes - there), 16, (name) => apply(api, name))
      await until("every route is attached", async () => (await attachedRoutes(api)) === routes, 120_000)
      const { answered, sent, wrong } = await live(api, stage, `live-${routes}-`, edits)
      there = routes + edits
      figures.push([String(routes), String(edits), spread(answered), spread(sent), String(wrong.length)])
    }
    report("Kubernetes: server-side apply of one HTTPRoute → answered, ms", ["other routes", "edits", "from the API's answer, p50 / p99 / max", "from the request", "answers but 404 and 200"], figures, ["One connection from outside of the cluster asks at most once a millisecond, through the Service's load balancer address. Everything (etcd, API server, kubelet, NATS, the control plane, the gateway and the client) shares the two cores. Budget: p50 15, p99 60."])
    const times: number[] = []
    const before = there
    const started = performance.now()
    await inTurns(named("many-", 1000), 16, (name) => apply(api, name))
    const applied = performance.now()
    await until("the thousand are attached", async () => (await attachedRoutes(api)) === before + 1000, 120_000)
    times.push(performance.now() - applied)
    report("Kubernetes: 1,000 HTTPRoutes at once", ["applied within, ms", "attachedRoutes right after the last, ms"], [[(applied - started).toFixed(0), spread(times)]], ["16 at a time. Budget: 3,000."])
  } finally {
    await stage.space.end()
    await api.close()
  }
}
