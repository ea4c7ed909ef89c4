/** `headgate up` before a backend, as a user has it, with one route that takes everything. */
import { freePorts } from "../fixtures/ports.ts"
import { newWorld, type Running, type World } from "../system/headgate.ts"
import { drop, gateway, gatewayClass, route, setHeader, yaml, type Manifest } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import type { Target } from "./target.ts"

export interface Scene {
  readonly world: World
  readonly running: Running
  readonly target: Target
  /** Edits the route: answers say `x-swap: <number>` from then on. */
  swap(number: number): void
  /** Of the answers now. */
  swapped(): Promise<number>
  /** One value of the gateway's /metrics. */
  metric(name: string): Promise<number>
  end(): Promise<void>
}

/** `service`: what the Service `a` has behind it. */
export const startScene = async (service: readonly Manifest[]): Promise<Scene> => {
  const world = newWorld("soak")
  const [port = 0] = await freePorts(1)
  const target = { address: "127.0.0.1", port }
  const swap = (number: number): void => void drop(world.manifests, "route.yaml", yaml(route("web", { gateway: "edge", backend: "a", filters: [setHeader("x-swap", String(number))] })))
  const swapped = async (): Promise<number> => {
    const response = await fetch(`http://${target.address}:${port}/small`)
    await response.arrayBuffer()
    return Number(response.headers.get("x-swap") ?? Number.NaN)
  }
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "service.yaml", yaml(...service))
  swap(0)
  try {
    const running = await world.up()
    await until("the route is served", async () => (await swapped()) === 0)
    return {
      world, running, target, swap, swapped,
      metric: async (name) => {
        const text = await (await fetch(`${running.ready.admin}/metrics`)).text()
        return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1])
      },
      end: async () => {
        await running.stop().catch(() => null)
        await world.end()
      },
    }
  } catch (error) {
    await world.end()
    throw error
  }
}
