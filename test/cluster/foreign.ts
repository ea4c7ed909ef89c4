/** What other people have in a cluster: Secrets, ConfigMaps, and routes of another controller's Gateway, which change without end. */
import type { ApiClient } from "../../infra/adapters/kubernetes/client.ts"
import { resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { inTurns } from "./in-turns.ts"
import { namespace, type TestNamespace } from "./namespace.ts"

const group = "gateway.networking.k8s.io"
export const FOREIGN_CONTROLLER = "example.com/foreign"

export interface Foreign {
  readonly space: TestNamespace
  /** Names of the objects, none of which is part of another name. */
  readonly names: readonly string[]
  /** Changes objects of every kind in turn, so many a second, for so long; how many it changed. */
  churn(perSecond: number, ms: number): Promise<number>
  end(): Promise<void>
}

export interface Counts {
  readonly secrets: number
  readonly configMaps: number
  readonly routes: number
}

/** What the other controller says of its routes. */
export const foreignParents = (generation: number): readonly object[] => [{
  controllerName: FOREIGN_CONTROLLER, parentRef: { group, kind: "Gateway", name: "foreign-gateway" },
  conditions: [{ type: "Accepted", status: "True", reason: "Accepted", message: `generation ${generation}`, observedGeneration: generation, lastTransitionTime: "2026-11-21T00:00:00Z" }],
}]

export const foreign = async (api: ApiClient, name: string, { secrets, configMaps, routes }: Counts): Promise<Foreign> => {
  const space = await namespace(name)
  const className = `foreign-class-${name}`
  const put = (path: string, body: object, query: object = {}): Promise<unknown> => api.request({ method: "PATCH", path, query: { fieldManager: "foreign", force: true, ...query }, headers: { "content-type": "application/apply-patch+yaml" }, body })
  const all = [
    ...Array.from({ length: secrets }, (_, i) => ["secret", `foreign-secret-${i}`] as const),
    ...Array.from({ length: configMaps }, (_, i) => ["configmap", `foreign-configmap-${i}`] as const),
    ...Array.from({ length: routes }, (_, i) => ["route", `foreign-route-${i}`] as const),
  ]
  const write = async (kind: "secret" | "configmap" | "route", object: string, turn: number): Promise<void> => {
    if (kind === "secret") await put(resourcePath({ group: "", version: "v1", plural: "secrets", namespace: name, name: object }), { apiVersion: "v1", kind: "Secret", metadata: { name: object }, stringData: { token: `${object} ${turn}` } })
    else if (kind === "configmap") await put(resourcePath({ group: "", version: "v1", plural: "configmaps", namespace: name, name: object }), { apiVersion: "v1", kind: "ConfigMap", metadata: { name: object }, data: { text: `${object} ${turn}` } })
    else {
      const address = { group, version: "v1", plural: "httproutes", namespace: name, name: object }
      await put(resourcePath(address), {
        apiVersion: `${group}/v1`, kind: "HTTPRoute", metadata: { name: object },
        spec: { parentRefs: [{ name: "foreign-gateway" }], hostnames: [`${object}.example`], rules: [{ matches: [{ path: { type: "PathPrefix", value: `/${turn}` } }], backendRefs: [{ name: "foreign-backend", port: 80 }] }] },
      })
      await api.request({ method: "PATCH", path: resourcePath({ ...address, subresource: "status" }), headers: { "content-type": "application/merge-patch+json" }, body: { status: { parents: foreignParents(turn) } } })
    }
  }
  await put(resourcePath({ group, version: "v1", plural: "gatewayclasses", name: className }), { apiVersion: `${group}/v1`, kind: "GatewayClass", metadata: { name: className }, spec: { controllerName: FOREIGN_CONTROLLER } })
  await space.apply({ apiVersion: `${group}/v1`, kind: "Gateway", metadata: { name: "foreign-gateway" }, spec: { gatewayClassName: className, listeners: [{ name: "http", protocol: "HTTP", port: 80 }] } })
  await inTurns(all, 16, ([kind, object]) => write(kind, object, 1))
  let turn = 1
  return {
    space,
    names: [className, "foreign-gateway", "foreign-secret-", "foreign-configmap-", "foreign-route-", "foreign-backend"],
    churn: async (perSecond, ms) => {
      // Every kind gets its turn at once: they are interleaved by a step that shares no factor with their number.
      turn++
      const began = performance.now()
      const underWay = new Set<Promise<void>>()
      let changed = 0
      while (performance.now() - began < ms) {
        for (const due = ((performance.now() - began) * perSecond) / 1000; changed < due && underWay.size < 16; changed++) {
          if (changed % all.length === 0) turn++
          const [kind, object] = all[(changed * 701) % all.length] ?? ["configmap", "foreign-configmap-0"]
          const writing = write(kind, object, turn).finally(() => underWay.delete(writing))
          underWay.add(writing)
        }
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await Promise.all(underWay)
      return changed
    },
    end: async () => {
      await api.request({ method: "DELETE", path: resourcePath({ group, version: "v1", plural: "gatewayclasses", name: className }) })
      await space.end()
    },
  }
}
