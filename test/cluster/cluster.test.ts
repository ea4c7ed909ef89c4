/** The ground the other tests stand on: pods run, and an outside client reaches them by a load balancer's address. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { until } from "../system/until.ts"
import { CLIENT_ADDRESS } from "./place.ts"
import { namespace, type TestNamespace } from "./namespace.ts"
import { ECHO_IMAGES } from "../conformance/suite.ts"

let space: TestNamespace

beforeAll(async () => { space = await namespace("ground") })
afterAll(() => space.end())

test("a pod answers a client from outside at the address its Service was given, and sees whose it is", async () => {
  const labels = { app: "echo" }
  await space.apply(
    {
      apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "echo" },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "echo", image: ECHO_IMAGES[0], env: ["POD_NAME", "NAMESPACE"].map((name) => ({ name, value: name })), readinessProbe: { httpGet: { path: "/health", port: 3000 }, periodSeconds: 1 } }] } },
      },
    },
    { apiVersion: "v1", kind: "Service", metadata: { name: "echo" }, spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", selector: labels, ports: [{ port: 80, targetPort: 3000 }] } },
  )
  const address = await until("the Service has an address", async () => (await space.get("service", "echo", "{.status.loadBalancer.ingress[0].ip}")) || undefined, 20_000)
  expect(address).toMatch(/^10\.124\./)
  const answer: unknown = await until("the pod answers", async () => (await fetch(`http://${address}/hello`)).json(), 30_000)
  expect(answer).toMatchObject({ path: "/hello", host: address })
  expect(await space.kubectl("logs", "deployment/echo")).toContain(`to client (${CLIENT_ADDRESS}:`)
})
