/**
 * In the cluster of KUBECONFIG: how much more processor time Headgate's pods take while 500 Secrets, 500 ConfigMaps and
 * 1,000 routes of another controller change without end than while nothing does.
 * `npm run cluster -- in client npm run bench -- kubernetes-foreign`
 */
import { connectApi } from "../../infra/adapters/kubernetes/client.ts"
import { edge } from "../cluster/edge.ts"
import { foreign } from "../cluster/foreign.ts"
import { installed, PARTS, podsOf, processorTime, type Pod } from "../cluster/installation.ts"
import { middle, option, report } from "./report.ts"

const SPACE = "bench-foreign"

export const run = async (argv: readonly string[]): Promise<void> => {
  if (process.env["KUBECONFIG"] === undefined) throw new Error("KUBECONFIG names no cluster: npm run cluster -- in client npm run bench -- kubernetes-foreign")
  // Each object once a minute.
  const [rounds, seconds, perMinute] = [option(argv, "rounds", 3), option(argv, "seconds", 60), option(argv, "per-minute", 2000)]
  await installed()
  const api = connectApi()
  const stage = await edge(SPACE)
  const theirs = await foreign(api, `${SPACE}-theirs`, { secrets: 500, configMaps: 500, routes: 1000 })
  try {
    const parts: (readonly [string, readonly Pod[]])[] = [["gateway", await podsOf(api, SPACE, "app.kubernetes.io/name=headgate-gateway")]]
    for (const part of PARTS) parts.push([part, await podsOf(api, "headgate-system", `app.kubernetes.io/name=${part}`)])
    /** Cores of each part, and of all. */
    const during = async (what: () => Promise<unknown>): Promise<readonly number[]> => {
      const times = (): readonly number[] => parts.map(([, pods]) => pods.reduce((sum, pod) => sum + processorTime(pod), 0))
      const [before, began] = [times(), performance.now()]
      await what()
      const [after, took] = [times(), (performance.now() - began) / 1000]
      const used = after.map((time, i) => (time - (before[i] ?? 0)) / took)
      return [...used, used.reduce((sum, one) => sum + one, 0)]
    }
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    await during(pause)
    const [idle, loaded]: [(readonly number[])[], (readonly number[])[]] = [[], []]
    let changes = 0
    for (let round = 0; round < rounds; round++) {
      idle.push(await during(pause))
      loaded.push(await during(async () => { changes += await theirs.churn(perMinute / 60, seconds * 1000) }))
    }
    const millicores = (all: readonly (readonly number[])[], i: number): string => middle(all.map((one) => (one[i] ?? 0) * 1000))
    const more = (i: number): string => middle(loaded.map((one, round) => ((one[i] ?? 0) - (idle[round]?.[i] ?? 0)) * 1000))
    report("Kubernetes: foreign objects that change, thousandths of a core", ["part", "idle", "500 Secrets, 500 ConfigMaps, 1,000 routes of others changing", "more"], [...parts.map(([name]) => name), "all"].map((name, i) => [name, millicores(idle, i), millicores(loaded, i), more(i)]), [
      `${Math.round((changes / rounds / seconds) * 60)} changes a minute (asked for: ${perMinute}), a route's status with each of its own; ${rounds} rounds of ${seconds} s each, median (least–most). From the pods' control groups. Budget: 20 more.`,
    ])
  } finally {
    await theirs.end()
    await stage.space.end()
    await api.close()
  }
}
