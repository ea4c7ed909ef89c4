/** install.yaml as people apply it, by kubectl on a real API server. That its pods run is test/cluster's to see. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { run } from "../../bus/server/command.ts"
import { applyDefinitions, configOf, gatewayDefinitions, onApiServer } from "../../test/cluster/api-server.ts"
import { binaries } from "../../test/cluster/binaries.ts"
import { installText } from "./generate.ts"
import { DEFAULTS } from "./options.ts"

const FILE = join(import.meta.dirname, "install.yaml")
/** A client-side apply keeps a copy in an annotation; all annotations of an object may have 256 KiB. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

const KINDS = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,statefulsets,deployments,poddisruptionbudgets,networkpolicies"

interface Labelled {
  readonly kind: string
  readonly status?: unknown
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string; readonly annotations?: Readonly<Record<string, string>> }
}

await onApiServer("install.yaml", (server) => {
  let folder: string
  let hyperkube: string
  const kubectl = (...args: readonly string[]): Promise<string> => run(hyperkube, ["kubectl", "--cache-dir", join(folder, "cache"), ...args], { timeout: 60_000, env: { KUBECONFIG: join(folder, "config") } })
  /** A line of what kubectl said for each object, its last words where it failed. */
  const apply = async (...args: readonly string[]): Promise<readonly string[]> => (await kubectl("apply", ...args, "-f", FILE)).trim().split("\n")
  const documents = parseAllDocuments(installText()).length
  /** Everything of the installation; of a kind that is not known nothing. */
  const all = async (): Promise<readonly Labelled[]> => {
    const classes = (await kubectl("api-resources", "--api-group=gateway.networking.k8s.io", "-o", "name")).trim() === "" ? "" : ",gatewayclasses"
    const { items }: { readonly items: readonly Labelled[] } = JSON.parse(await kubectl("get", `${KINDS}${classes}`, "--all-namespaces", "-l", `headgate.dev/installation=${DEFAULTS.namespace}`, "-o", "json"))
    return items
  }
  /** Without what bookkeeping changes: an annotation more is another generation of a Deployment. */
  const contents = async (): Promise<readonly string[]> => (await all()).map(({ metadata: { name, uid }, status: _status, ...rest }) => JSON.stringify({ name, uid, ...rest }))

  beforeAll(async () => {
    ;({ hyperkube } = await binaries(() => undefined))
    folder = mkdtempSync(join(tmpdir(), "headgate-install-"))
    const { url, authority, token } = server()
    writeFileSync(join(folder, "config"), configOf({ server: url, authority, token }).exportConfig(), { mode: 0o600 })
  })
  afterAll(() => { rmSync(folder, { recursive: true, force: true }) })

  test("without the Gateway API all but the class is made, and it says what is missing; applied again with it, it is whole", async () => {
    await expect(apply()).rejects.toThrow("ensure CRDs are installed first")
    expect((await all()).length).toBe(documents - 1)
    await applyDefinitions(server().api, await gatewayDefinitions("gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants"))
    const said = await apply()
    expect(said.length).toBe(documents)
    // Of a PodDisruptionBudget kubectl says "configured" whenever it has a selector, which it always sends.
    expect(said.filter((line) => !/ unchanged$|^poddisruptionbudget.* configured$/.test(line))).toEqual(["gatewayclass.gateway.networking.k8s.io/headgate created"])
  }, 120_000)

  test("applied again nothing changes, by the client or by the server, and by either after the other", async () => {
    const before = await contents()
    for (const how of [[], ["--server-side"], ["--server-side"], []]) {
      const said = await apply(...how)
      expect(said.length).toBe(documents)
      expect(await contents()).toEqual(before)
    }
    // What a client keeps of the largest object is far from the limit.
    const sizes = (await all()).map(({ metadata: { annotations } }) => annotations?.[LAST_APPLIED]?.length ?? 0)
    console.log(`the largest copy that a client keeps has ${Math.max(...sizes)} characters`)
    expect(Math.max(...sizes)).toBeLessThan(65_536)
  }, 120_000)

  test("deleted again it goes", async () => {
    await kubectl("delete", "-f", FILE, "--wait=false")
    // What is in a namespace waits for controllers, which do not run here.
    expect((await all()).filter(({ metadata: { deletionTimestamp } }) => deletionTimestamp === undefined)).toEqual([])
  }, 120_000)
})
