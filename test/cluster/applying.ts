/** The apply half of the Kubernetes adapter on a real API server, with the rights that permissions.ts gives it and a proxy between. */
import { Reflector } from "../../infra/adapters/kubernetes/reflector.ts"
import { canonical } from "../../bus/canonical.ts"
import { header } from "../../bus/envelope.ts"
import { resourceApis } from "../../bus/kinds/all.ts"
import type { Note } from "../../bus/kinds/config.ts"
import type { Desired } from "../../bus/kinds/desired.ts"
import type { Condition, Status } from "../../bus/kinds/status.ts"
import { memoryStore, type MemoryBus, type MemoryStore } from "../../bus/memory.ts"
import { configSubject } from "../../bus/subject.ts"
import { systemClock } from "../../bus/unit/clock.ts"
import type { Clock } from "../../bus/unit/unit.ts"
import { Apply } from "../../infra/adapters/kubernetes/apply/apply.ts"
import { observed, type ObservedObject, type Observer } from "../../infra/adapters/kubernetes/apply/observer.ts"
import { connectApi, resourcePath, type ApiClient } from "../../infra/adapters/kubernetes/client.ts"
import { clusterRules, installationRules, type PolicyRule } from "../../infra/adapters/kubernetes/permissions.ts"
import type { KeyPair } from "../../infra/adapters/nats/certificates.ts"
import { applyDefinitions, type ApiServer, configOf, gatewayDefinitions } from "./api-server.ts"
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts"

/** A token of the API server for each process of the adapter: `token,user,uid`. */
export const ADAPTER = "adapter,adapter,2"
export const CONTROLLER = "headgate.dev/gateway"

const GATEWAY_KINDS = ["gatewayclass", "gateway", "httproute", "grpcroute"]

const RBAC = "/apis/rbac.authorization.k8s.io/v1"
const bound = (kind: "ClusterRole" | "Role") => ({ roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name: "adapter" }, subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "adapter" }] })

const put = (api: ApiClient, path: string, body: unknown): Promise<unknown> => api.request({ method: "PATCH", path, query: { fieldManager: "test", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body })

/** The Gateway API's definitions and the adapter's rights of the whole cluster. */
export const prepare = async ({ api }: ApiServer): Promise<void> => {
  await applyDefinitions(api, await gatewayDefinitions("gatewayclasses", "gateways", "httproutes", "grpcroutes"))
  await put(api, `${RBAC}/clusterroles/adapter`, { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name: "adapter" }, rules: clusterRules() })
  await put(api, `${RBAC}/clusterrolebindings/adapter`, { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding", metadata: { name: "adapter" }, ...bound("ClusterRole") })
}

/** What reflectors see of the kinds whose status is said. */
const observe = (api: ApiClient): Observer & { stop(): void } => {
  const objects = new Map<string, ObservedObject>()
  const listeners = new Set<(kind: string, key: string) => void>()
  const tell = (kind: string, key: string): void => {
    for (const listener of listeners) listener(kind, key)
  }
  const reflectors = new Map(resourceApis.filter(({ kind }) => GATEWAY_KINDS.includes(kind.name)).map(({ kind: { name }, group, plural }) => [name, new Reflector({
    api, path: resourcePath({ group, version: "v1", plural }), timing: { first: 50, max: 500 },
    events: {
      put: ({ key, object }) => {
        objects.set(`${name}/${key}`, observed(object))
        tell(name, key)
      },
      gone: (key) => {
        objects.delete(`${name}/${key}`)
        tell(name, key)
      },
      batch: () => undefined,
      synced: () => tell(name, ""),
      trouble: () => undefined,
    },
  })]))
  for (const reflector of reflectors.values()) reflector.start()
  return {
    get: (kind, key) => objects.get(`${kind}/${key}`),
    isSynced: (kind) => reflectors.get(kind)?.isSynced ?? false,
    versionOf: () => "v1",
    onChange: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    stop: () => {
      for (const reflector of reflectors.values()) reflector.stop()
    },
  }
}

/** One process of the adapter. */
export interface Applying {
  readonly apply: Apply
  readonly observer: Observer
  readonly notes: Map<string, Omit<Note, "schema">>
  readonly bus: MemoryBus
  readonly log: (Readonly<Record<string, unknown>> & { readonly message: string })[]
  stop(): Promise<void>
}

export interface World {
  readonly namespace: string
  readonly store: MemoryStore
  readonly proxy: FaultProxy
  /** As the administrator, past the proxy. */
  readonly api: ApiClient
  /** Starts the adapter; with another store's bus, another clock, or who signs certificates, where given. */
  start(options?: { readonly holder?: string; readonly store?: MemoryStore; readonly clock?: Clock; readonly through?: FaultProxy; readonly authority?: () => KeyPair }): Applying
  /** What a function says, into a store. */
  say(id: string, value: Status | Desired | undefined, store?: MemoryStore): Promise<void>
  /** That function `status` has committed all. */
  declare(store?: MemoryStore): Promise<void>
  /** Requests that change something, but the Lease and Events. */
  writes(): readonly string[]
  get(kind: "gatewayclass" | "gateway" | "httproute" | "grpcroute", name: string): Promise<ApiObject>
  stop(): Promise<void>
}

export interface ApiObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly generation: number; readonly resourceVersion: string; readonly annotations?: Readonly<Record<string, string>>; readonly labels?: Readonly<Record<string, string>>; readonly managedFields?: readonly { readonly manager: string; readonly operation: string }[] }
  readonly status?: {
    readonly conditions?: readonly (Condition & { readonly lastTransitionTime: string })[]
    readonly listeners?: readonly { readonly name: string; readonly attachedRoutes: number }[]
    readonly parents?: readonly { readonly controllerName: string; readonly parentRef: { readonly name: string }; readonly conditions: readonly (Condition & { readonly lastTransitionTime: string })[] }[]
  }
}

let worlds = 0

/** A namespace, which is the installation's too, a store and a proxy of their own. */
export const world = async (server: ApiServer): Promise<World> => {
  const namespace = `t-apply-${++worlds}`
  const { api } = server
  await api.request({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: namespace } } })
  await put(api, `${RBAC}/namespaces/${namespace}/roles/adapter`, { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: { name: "adapter" }, rules: installationRules() satisfies readonly PolicyRule[] })
  await put(api, `${RBAC}/namespaces/${namespace}/rolebindings/adapter`, { apiVersion: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", metadata: { name: "adapter" }, ...bound("Role") })
  const store = memoryStore()
  const proxy = await startFaultProxy({ server: server.url, authority: server.authority })
  const running = new Set<Applying>()
  const publish = async (section: string, id: string, value: unknown, into: MemoryStore): Promise<void> => {
    await into.bus("function").publish({ subject: configSubject("_", section, id), data: value === undefined ? "" : canonical(value), headers: value === undefined ? { [header.deleted]: "1" } : {} })
  }
  return {
    namespace, store, proxy, api,
    start: ({ holder = "one", store: from = store, clock = systemClock, through = proxy, authority } = {}) => {
      const client = connectApi(() => configOf({ server: through.url, token: "adapter" }))
      const observer = observe(client)
      const notes = new Map<string, Omit<Note, "schema">>()
      const log: Applying["log"] = []
      const bus = from.bus(holder)
      const apply = new Apply({
        bus, api: client, observer, installation: namespace, namespaces: undefined, controllerName: CONTROLLER, holder, epoch: 1, clock, authority,
        notes: { say: (id, note) => void (note === undefined ? notes.delete(id) : notes.set(id, note)) },
        log: (line) => void log.push(line),
        onLost: () => undefined,
      })
      const one: Applying = {
        apply, observer, notes, bus, log,
        stop: async () => {
          if (!running.delete(one)) return
          await apply.stop()
          observer.stop()
          await client.close()
        },
      }
      running.add(one)
      return one
    },
    say: (id, value, into = store) => publish(value === undefined ? (id.startsWith("gateway") || id.startsWith("httproute") ? "status" : "desired") : "body" in value ? "desired" : "status", id, value, into),
    declare: (into = store) => publish("function", "status", { schema: 1, version: "1", reads: [], writes: ["status"] }, into),
    writes: () => proxy.requests.filter(({ method, path }) => method !== "GET" && !path.includes("/leases") && !path.includes("/events")).map(({ method, path }) => `${method} ${path.slice(path.indexOf(namespace) + namespace.length + 1)}`),
    get: async (kind, name) => {
      const { group, plural, namespaced } = resourceApis.find((each) => each.kind.name === kind) ?? { group: "", plural: "", namespaced: true }
      const object: ApiObject = JSON.parse(JSON.stringify(await api.request({ path: resourcePath({ group, version: "v1", plural, name, ...(namespaced ? { namespace } : {}) }) })))
      return object
    },
    stop: async () => {
      for (const one of running) await one.stop()
      await proxy.stop()
    },
  }
}

/** All of it so many times as fast. */
export const faster = (times: number): Clock => ({
  ...systemClock,
  monotonic: () => systemClock.monotonic() * times,
  after: (ms, run) => systemClock.after(ms / times, run),
})
