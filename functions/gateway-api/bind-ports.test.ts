import fc from "fast-check"
import { expect, test } from "vitest"
import { kinds } from "../../bus/kinds/config.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { engineOf, readManifests, type Input } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { routes } from "../routes/routes.ts"

const installation = (mode: "Dedicated" | "Shared"): Input => ({ kind: headgate.installation, key: "/", value: { schema: 1, namespace: "headgate-system", image: "i", nats: "n", mode } })
const only = (yaml: string): Input => {
  const [input] = readManifests(yaml).inputs
  if (input === undefined) throw new Error(`refused: ${yaml}`)
  return input
}
const ours = only("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: headgate.dev/gateway}\n")
/** Enough of them that some want the same port. */
const COUNT = 400
const gateway = (i: number, ports: readonly number[] = [80]): Input =>
  only(`apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g${i}, namespace: a, creationTimestamp: "2026-01-01T00:00:${String(i % 60).padStart(2, "0")}Z"}\nspec: {gatewayClassName: c, listeners: [${ports.map((port) => `{name: p${port}, protocol: HTTP, port: ${port}}`).join(", ")}]}\n`)
const all = Array.from({ length: COUNT }, (_, i) => gateway(i))

const engineWith = (inputs: readonly Input[]): Engine => {
  const engine = engineOf([routes])
  for (const { kind, key, value } of inputs) engine.stage(kind, key, value, 1)
  engine.pass()
  return engine
}
const bound = (engine: Engine): ReadonlyMap<string, number | undefined> => new Map(engine.rows("routes", kinds.listener).map(([key, { bindPort }]) => [key, bindPort]))

const shared = bound(engineWith([installation("Shared"), ours, ...all]))

test("no two Gateways of shared pods have one port, and each is one that an unprivileged process may bind", () => {
  const ports = [...shared.values()].map((port) => port ?? 0)
  expect(ports).toHaveLength(COUNT)
  expect(new Set(ports).size).toBe(COUNT)
  expect(Math.min(...ports)).toBeGreaterThanOrEqual(10_000)
  expect(Math.max(...ports)).toBeLessThanOrEqual(65_535)
})

test("ports depend on which Gateways there are, not on the order in which they came, nor on those that have gone", () => {
  fc.assert(fc.property(fc.shuffledSubarray(all, { minLength: COUNT, maxLength: COUNT }), fc.nat(COUNT), fc.uniqueArray(fc.nat(COUNT - 1), { maxLength: 20 }), (order, cut, gone) => {
    const engine = engineWith([ours, ...order.slice(0, cut), installation("Shared")])
    for (const { kind, key, value } of order.slice(cut)) engine.stage(kind, key, value, 2)
    engine.pass()
    expect(bound(engine)).toEqual(shared)
    for (const i of gone) engine.stage(gateway(i).kind, `a/g${i}`, undefined, 3)
    engine.pass()
    const rest = bound(engine)
    expect(rest).toEqual(bound(engineWith([installation("Shared"), ours, ...all.filter((_each, i) => !gone.includes(i))])))
    // Who goes moves those alone who had wanted its port, and seldom is there one.
    expect([...rest].filter(([key, port]) => shared.get(key) !== port).length).toBeLessThanOrEqual(2 * gone.length)
  }), { numRuns: 5 })
})

test("pods of one Gateway bind 10,000 above, where there is such a port", () => {
  const engine = engineWith([installation("Dedicated"), ours, gateway(1, [80, 443, 55_535, 55_536]), gateway(2)])
  const ports = Object.fromEntries(bound(engine))
  expect(ports).toMatchObject({ "a.g1/a/g1/p80": 10_080, "a.g1/a/g1/p443": 10_443, "a.g1/a/g1/p55535": 65_535, "a.g2/a/g2/p80": 10_080 })
  expect(ports["a.g1/a/g1/p55536"]).toBeLessThan(32_768)
})
