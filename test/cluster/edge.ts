/** A Gateway of the installed Headgate with one backend, in a namespace of a test: where most of them begin. */
import { until } from "../system/until.ts"
import { ECHO_IMAGES } from "../conformance/suite.ts"
import { namespace, type TestNamespace } from "./namespace.ts"

export interface Edge {
  readonly space: TestNamespace
  /** Where the Gateway `edge` listens on port 80. */
  readonly address: string
}

/** A machine that is busy is no reason to call a backend away: a gateway would rightly answer 503. */
const PATIENT = { timeoutSeconds: 5, failureThreshold: 12 }

export const echo = (name: string, replicas = 1): readonly object[] => {
  const labels = { app: name }
  const container = { name, image: ECHO_IMAGES[0], env: [["POD_NAME", "metadata.name"], ["NAMESPACE", "metadata.namespace"]].map(([variable, fieldPath]) => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } })), readinessProbe: { httpGet: { path: "/health", port: 3000 }, periodSeconds: 1, ...PATIENT } }
  return [
    { apiVersion: "apps/v1", kind: "Deployment", metadata: { name }, spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } } },
    { apiVersion: "v1", kind: "Service", metadata: { name }, spec: { selector: labels, ports: [{ port: 80, targetPort: 3000 }] } },
  ]
}

export const httpRoute = (name: string, hostname: string, backend = "echo", more: object = {}): object => ({
  apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata: { name },
  spec: { parentRefs: [{ name: "edge" }], hostnames: [hostname], rules: [{ backendRefs: [{ name: backend, port: 80 }], ...more }] },
})

/** In a namespace made anew where a name is given. With a route for `ready.example`, which answers when this resolves. `replicas` of the gateway. */
export const edge = async (where: string | TestNamespace, { gatewayClassName = "headgate", replicas = 1 }: { readonly gatewayClassName?: string; readonly replicas?: number } = {}): Promise<Edge> => {
  const space = typeof where === "string" ? await namespace(where) : where
  const infrastructure = { parametersRef: { group: "headgate.dev", kind: "GatewayParameters", name: "edge" } }
  await space.apply(
    ...echo("echo"),
    { apiVersion: "headgate.dev/v1alpha1", kind: "GatewayParameters", metadata: { name: "edge" }, spec: { replicas } },
    { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name: "edge" }, spec: { gatewayClassName, infrastructure, listeners: [{ name: "http", protocol: "HTTP", port: 80 }] } },
    httpRoute("ready", "ready.example"),
  )
  await space.kubectl("wait", "--for=condition=Programmed", "gateway/edge", "--timeout=50s")
  const address = await space.get("gateway", "edge", "{.status.addresses[0].value}")
  await until(`the Gateway answers at ${address}`, async () => (await statusOf(address, "ready.example")) === 200, 30_000)
  return { space, address }
}

/** Of one request on a connection of its own. fetch would not let the host be chosen. */
export const statusOf = async (address: string, host: string): Promise<number> => {
  const { request } = await import("undici")
  const { statusCode, body } = await request(`http://${address}/`, { headers: { host, connection: "close" } })
  await body.dump()
  return statusCode
}
