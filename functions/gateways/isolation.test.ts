/** Of Gateways that share pods, one must never be brought what is for another. */
import { hash } from "node:crypto"
import { expect, test } from "vitest"
import { kinds } from "../../bus/kinds/config.ts"
import { desired } from "../../bus/kinds/desired.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { engineOf, readManifests, type Input } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { routes } from "../routes/routes.ts"
import { gateways } from "./gateways.ts"

const inputs: readonly Input[] = [
  { kind: headgate.installation, key: "/", value: { schema: 1, namespace: "headgate-system", image: "i", nats: "n", mode: "Shared" } },
  ...readManifests("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: headgate.dev/gateway}\n").inputs,
]
const gateway = (namespace: string, year: number, port: number, metadata = ""): Input => {
  const [input] = readManifests(`apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: ${namespace}, creationTimestamp: "${year}-01-01T00:00:00Z"${metadata}}\nspec: {gatewayClassName: c, listeners: [{name: http, protocol: HTTP, port: ${port}}]}\n`).inputs
  if (input === undefined) throw new Error("refused")
  return input
}

const DELETED = ', deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [example.com/never]'
const placeOf = (id: string): number => Number.parseInt(hash("sha256", id).slice(0, 12), 16) % 22_768
/** Of the older Gateway in namespace `thief`: where it wants the place that the one in `shop` has. */
const port = Array.from({ length: 65_535 }, (_, i) => i + 1).find((each) => placeOf(`thief/g/${each}`) === placeOf("shop/g/80")) ?? 0

const staged = (engine: Engine, ...some: readonly Input[]): Engine => {
  for (const { kind, key, value } of some) engine.stage(kind, key, value, 1)
  engine.pass()
  engine.pass(undefined, "later")
  return engine
}

/** Where pods bind a listener of port 80, and where its Service sends. */
const victim = (engine: Engine) => ({
  bound: engine.rows("routes", kinds.listener).find(([key]) => key.includes("/shop/"))?.[1].bindPort,
  sent: engine.rows("gateways", desired).flatMap(([, { kind, source, body }]) => (kind === "Service" && source.namespace === "shop" ? [Reflect.get(Object(body["spec"]), "ports")[0].targetPort] : []))[0],
})

test("a Gateway that is being deleted keeps its port as long as it is served", () => {
  expect(port).toBeGreaterThan(0)
  for (const metadata of ["", DELETED]) {
    const { bound, sent } = victim(staged(engineOf([routes, gateways]), ...inputs, gateway("shop", 2025, 80), gateway("thief", 2024, port, metadata)))
    expect(bound).toBeGreaterThan(0)
    expect(sent).toBe(bound)
  }
})

test("where a Service sends already nobody comes in between, however old; and it stays there when that one goes", () => {
  const engine = staged(engineOf([routes, gateways]), ...inputs, gateway("shop", 2025, 80))
  const before = victim(engine)
  const made = engine.rows("gateways", desired).flatMap(([, { kind, namespace, name, body }]) =>
    kind === "Service" ? readManifests(JSON.stringify({ apiVersion: "v1", kind, ...body, metadata: { name, namespace } })).inputs : [])
  expect(made).toHaveLength(1)
  expect(victim(staged(engine, ...made, gateway("thief", 2024, port)))).toEqual(before)
  expect(victim(staged(engineOf([routes, gateways]), ...inputs, gateway("shop", 2025, 80), ...made, gateway("thief", 2024, port)))).toEqual(before)
  const bound = engine.rows("routes", kinds.listener).map(([, { bindPort }]) => bindPort)
  expect(new Set(bound).size).toBe(2)
})
