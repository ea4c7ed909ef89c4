/** What installing and uninstalling leave alone, on a real API server; that an installation runs is test/cluster's to see. */
import { beforeAll, expect, test } from "vitest"
import { GATEWAYS_EXIST } from "../../bus/kinds/status.ts"
import { applyDefinitions, gatewayDefinitions, onApiServer } from "../../test/cluster/api-server.ts"
import { until } from "../../test/system/until.ts"
import { ApiError } from "../adapters/kubernetes/api-error.ts"
import { memberOf, textOf } from "../adapters/kubernetes/raw.ts"
import { DEFAULTS, type InstallOptions } from "../manifests/options.ts"
import { install, uninstall } from "./install.ts"

const NAMESPACE = "installed"
const LABELLED = { "headgate.dev/installation": NAMESPACE, "app.kubernetes.io/managed-by": "headgate" }
const options: InstallOptions = { ...DEFAULTS, namespace: NAMESPACE, gatewayClass: "there", controllerName: "example.com/installed" }

await onApiServer("installing and uninstalling", (server) => {
  const create = (path: string, apiVersion: string, kind: string, metadata: object, more: object = {}) => server().api.request({ method: "POST", path, body: { apiVersion, kind, metadata, ...more } })
  /** Undefined: it is not there; else when its deletion was asked for, "" for not at all. */
  const deletionOf = async (path: string): Promise<string | undefined> => {
    try {
      return textOf(memberOf(await server().api.request({ path }), "metadata")["deletionTimestamp"])
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }
  const said: string[] = []
  const run = { get api() { return server().api }, say: (line: string) => void said.push(line), timeout: 500 }

  beforeAll(async () => {
    await applyDefinitions(server().api, await gatewayDefinitions("gatewayclasses", "gateways"))
    await create("/api/v1/namespaces", "v1", "Namespace", { name: NAMESPACE })
    await create("/api/v1/namespaces", "v1", "Namespace", { name: "a-shop", labels: LABELLED })
    await create("/api/v1/namespaces/a-shop/services", "v1", "Service", { name: "copied", labels: LABELLED }, { spec: { ports: [{ port: 80 }] } })
    await create("/apis/gateway.networking.k8s.io/v1/gatewayclasses", "gateway.networking.k8s.io/v1", "GatewayClass", { name: "there" }, { spec: { controllerName: options.controllerName } })
  })

  test("take away what was made, and nothing that was there before or only has its labels", async () => {
    // Nobody runs pods here.
    await expect(install(options, run)).rejects.toThrow("not ready")
    expect(said.filter((line) => line.startsWith("  left"))).toEqual([`  left      Namespace ${NAMESPACE} (it was there before)`, "  left      GatewayClass there (it was there before)"])
    expect(said.some((line) => line.startsWith("  removed"))).toBe(false)
    expect(await deletionOf(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/headgate-adapter`)).toBe("")

    await until("the new kind can be listed", () => server().api.request({ path: "/apis/headgate.dev/v1alpha1/gatewayparameters" }))
    // As its adapter leaves it, where Gateways use it.
    const there = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/there"
    await server().api.request({ method: "PATCH", path: there, headers: { "content-type": "application/merge-patch+json" }, body: { metadata: { finalizers: ["example.com/theirs", GATEWAYS_EXIST] } } })
    await uninstall(NAMESPACE, run)
    expect(memberOf(await server().api.request({ path: there }), "metadata")["finalizers"]).toEqual(["example.com/theirs"])
    expect(await deletionOf(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/headgate-adapter`)).toBeUndefined()
    for (const path of ["/api/v1/namespaces/a-shop", `/api/v1/namespaces/${NAMESPACE}`, "/api/v1/namespaces/a-shop/services/copied", "/apis/gateway.networking.k8s.io/v1/gatewayclasses/there"]) {
      expect([path, await deletionOf(path)]).toEqual([path, ""])
    }
    said.length = 0
    await uninstall(NAMESPACE, run)
    expect(said).toEqual([`there is no installation in namespace ${NAMESPACE}`])
  })

  test("with another class the one before goes, unless Gateways use it", async () => {
    const installed = async (gatewayClass: string): Promise<readonly string[]> => {
      said.length = 0
      await expect(install({ ...options, gatewayClass }, run)).rejects.toThrow("not ready")
      return said.filter((line) => /^ {2}(left|removed) +GatewayClass/.test(line))
    }
    await installed("one")
    await create("/apis/gateway.networking.k8s.io/v1/namespaces/a-shop/gateways", "gateway.networking.k8s.io/v1", "Gateway", { name: "web" }, { spec: { gatewayClassName: "one", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } })
    expect(await installed("two")).toEqual(["  left      GatewayClass one (1 Gateway uses it and would go unserved)"])
    await server().api.request({ method: "DELETE", path: "/apis/gateway.networking.k8s.io/v1/namespaces/a-shop/gateways/web" })
    expect(await installed("two")).toEqual(["  removed   GatewayClass one"])
  })
})
