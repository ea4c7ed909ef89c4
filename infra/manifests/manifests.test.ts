import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { permissions } from "../adapters/kubernetes/permissions.ts"
import { installText } from "./generate.ts"
import { manifests, yamlOf } from "./manifests.ts"
import { DEFAULTS, type InstallOptions, type Manifest } from "./options.ts"

const installations: readonly (readonly [what: string, options: InstallOptions])[] = [
  ["as it is", DEFAULTS],
  ["three servers on volumes", { ...DEFAULTS, nats: { replicas: 3, storage: "8Gi" } }],
  ["a NATS of the user's", { ...DEFAULTS, nats: { url: "nats://bus.example:4222", credentials: "bus" } }],
  ["limited to namespaces", { ...DEFAULTS, watchNamespaces: ["shop", "team"], namespace: "edge", controllerName: "example.com/edge", gatewayClass: "edge" }],
]

/** As a reader of the text finds them. */
const asRead = (options: InstallOptions): readonly Manifest[] => parseAllDocuments(yamlOf(manifests(options))).map((document): Manifest => document.toJS())

interface Rules { readonly rules: readonly { readonly apiGroups: readonly string[]; readonly resources: readonly string[]; readonly verbs: readonly string[] }[] }
interface Workload {
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> }
      readonly spec: {
        readonly serviceAccountName: string
        readonly automountServiceAccountToken: boolean
        readonly securityContext: object
        readonly containers: readonly { readonly args: readonly string[]; readonly securityContext: object; readonly resources: object; readonly env: readonly object[] }[]
        readonly volumes: readonly object[]
      }
    }
  }
}
const isRole = (manifest: Manifest): manifest is Manifest & Rules => manifest.kind === "Role" || manifest.kind === "ClusterRole"
const isWorkload = (manifest: Manifest): manifest is Manifest & Workload => manifest.kind === "Deployment" || manifest.kind === "StatefulSet"

test("install.yaml is what the manifests say", () => {
  expect(readFileSync(join(import.meta.dirname, "install.yaml"), "utf8"), "run: node infra/cli/node.mjs infra/manifests/generate.ts").toBe(installText())
})

describe.each(installations)("%s", (_, options) => {
  const all = asRead(options)

  test("everything carries the installation's label, and is in its namespace or in none but where roles are", () => {
    expect(all.filter(({ metadata }) => metadata.labels?.["headgate.dev/installation"] !== options.namespace)).toEqual([])
    expect([...new Set(all.filter(({ metadata }) => metadata.namespace !== undefined && metadata.namespace !== options.namespace).map(({ kind }) => kind))]).toEqual(options.watchNamespaces.length === 0 ? [] : ["Role", "RoleBinding"])
  })

  test("no password is in it", () => {
    expect(all.filter(({ kind }) => kind === "Secret" || kind === "ConfigMap")).toEqual([])
  })

  test("pods are as PodSecurity restricted wants them, with requests, limits and probes, and a token where they use it alone", () => {
    const workloads = all.filter(isWorkload)
    expect(workloads.length).toBe("url" in options.nats ? 3 : 4)
    for (const { metadata, spec: { template: { spec } } } of workloads) {
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } })
      expect(spec.automountServiceAccountToken).toBe(["headgate-adapter", "headgate-nats"].includes(metadata.name))
      for (const container of spec.containers) {
        expect(container.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } })
        expect(container.resources).toEqual({ requests: { cpu: expect.any(String), memory: expect.any(String) }, limits: { cpu: expect.any(String), memory: expect.any(String) } })
        expect(container).toMatchObject({ startupProbe: {}, livenessProbe: {}, readinessProbe: {} })
      }
    }
  })

  test("no role has a wildcard, and nobody may do what it has no reason for", () => {
    for (const { rules } of all.filter(isRole)) for (const { apiGroups, resources, verbs } of rules) expect([...apiGroups, ...resources, ...verbs]).not.toContain("*")
    const isGranted = (role: Manifest): boolean => role.metadata.name.startsWith("headgate-adapter")
    const reasons = new Set(permissions.flatMap(({ group, resource, verbs }) => verbs.map((verb) => `${verb} ${resource}.${group}`)))
    const granted = all.filter(isRole).filter(isGranted).flatMap(({ rules }) => rules.flatMap(({ apiGroups, resources, verbs }) => apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}.${group}`)))))
    expect([...new Set(granted)].sort()).toEqual([...reasons].sort())
  })
})

test("limited to namespaces nothing that lives in one is granted for all", () => {
  const wide = asRead({ ...DEFAULTS, watchNamespaces: ["shop"] }).filter(isRole).filter(({ kind }) => kind === "ClusterRole").flatMap(({ rules }) => rules.flatMap(({ resources }) => resources))
  const inNamespaces = new Set(permissions.filter(({ scope }) => scope !== "cluster").map(({ resource }) => resource))
  expect(wide.length).toBeGreaterThan(3)
  expect(wide.filter((resource) => inNamespaces.has(resource))).toEqual([])
})

test("limited to namespaces the others are not seen, nor that they are there", () => {
  const rules = asRead({ ...DEFAULTS, watchNamespaces: ["shop", "team"] }).filter(isRole).filter(({ kind }) => kind === "ClusterRole").flatMap((role) => role.rules)
  expect(rules.filter(({ resources }) => resources.includes("namespaces"))).toEqual([{ apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"], resourceNames: ["headgate-system", "shop", "team"] }])
})

test("with a NATS of the user's there is none of ours, and every part is told of the other", () => {
  const all = asRead({ ...DEFAULTS, nats: { url: "nats://bus.example:4222", credentials: "bus" } })
  expect(all.filter(({ metadata }) => metadata.name.startsWith("headgate-nats"))).toEqual([])
  for (const { spec: { template: { spec } } } of all.filter(isWorkload)) {
    expect(spec.containers[0]?.env).toContainEqual({ name: "HEADGATE_NATS_URL", value: "nats://bus.example:4222" })
    expect(spec.volumes).toContainEqual(expect.objectContaining({ name: "credentials", secret: expect.objectContaining({ secretName: "bus" }) }))
  }
})

test("of passwords and certificates each part sees its own, and who signs them the adapter alone", () => {
  for (const [name, role] of [["headgate-adapter", "adapter"], ["headgate-functions", "functions"], ["headgate-history", "history"]]) {
    const workload = asRead(DEFAULTS).filter(isWorkload).find(({ metadata }) => metadata.name === name)
    expect(workload?.spec.template.spec.volumes.filter((volume) => "secret" in volume)).toEqual([
      { name: "credentials", secret: { secretName: "headgate-nats", items: [role, `${role}.crt`, `${role}.key`, "ca.crt"].map((key) => ({ key, path: key })), defaultMode: 0o440 } },
      // Who signs for data planes.
      ...(role === "adapter" ? [{ name: "authority", secret: { secretName: "headgate-nats-authority", defaultMode: 0o440 } }] : []),
    ])
  }
})
