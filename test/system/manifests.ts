/** Manifests as a user would write them, and writing them as a careful program does: to a name aside, then rename. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { stringify } from "yaml"

export type Manifest = Readonly<Record<string, unknown>>

export const yaml = (...documents: readonly Manifest[]) => documents.map((one) => stringify(one)).join("---\n")

/** Appears in one step, so that nobody reads half of it. Returns performance.now() right after the rename. */
export const drop = (folder: string, name: string, content: string): number => {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.part`, content)
  renameSync(`${path}.part`, path)
  return performance.now()
}

export const take = (folder: string, name: string) => rmSync(join(folder, name))

const namespace = "default"

export const gatewayClass = (): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "GatewayClass",
  metadata: { name: "headgate" },
  spec: { controllerName: "headgate.dev/gateway" },
})

export const gateway = (name: string, ports: Readonly<Record<string, number>>): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name, namespace },
  spec: { gatewayClassName: "headgate", listeners: Object.entries(ports).map(([listener, port]) => ({ name: listener, protocol: "HTTP", port })) },
})

/** A Service of one port and its EndpointSlice; endpoints are addresses of this machine. */
export const service = (name: string, port: number, endpoints: readonly { readonly address?: string; readonly port: number }[]): readonly Manifest[] => [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { ports: [{ name: "http", port, protocol: "TCP", targetPort: endpoints[0]?.port ?? port }] },
  },
  ...endpoints.map((endpoint, index) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-${index}`, namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: endpoint.port, protocol: "TCP" }],
    endpoints: [{ addresses: [endpoint.address ?? "127.0.0.1"], conditions: { ready: true } }],
  })),
]

export interface RouteOptions {
  readonly gateway: string
  readonly hostnames?: readonly string[]
  readonly path?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly backend: string
  readonly port?: number
  readonly filters?: readonly Manifest[]
}

export const route = (name: string, options: RouteOptions): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name, namespace, ...(options.labels === undefined ? {} : { labels: options.labels }) },
  spec: {
    parentRefs: [{ name: options.gateway }],
    ...(options.hostnames === undefined ? {} : { hostnames: options.hostnames }),
    rules: [
      {
        ...(options.path === undefined ? {} : { matches: [{ path: { type: "PathPrefix", value: options.path } }] }),
        ...(options.filters === undefined ? {} : { filters: options.filters }),
        backendRefs: [{ name: options.backend, port: options.port ?? 80 }],
      },
    ],
  },
})

export const setHeader = (name: string, value: string): Manifest => ({ type: "ResponseHeaderModifier", responseHeaderModifier: { set: [{ name, value }] } })
