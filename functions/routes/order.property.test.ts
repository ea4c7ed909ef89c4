import fc from "fast-check"
import { expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { engineOf, notesOf, outputs, readManifests, type Input } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { endpoints } from "../endpoints/endpoints.ts"
import { routes } from "./routes.ts"

const gateway = (name: string, port: number, hostname: string, from: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ${name}, namespace: a}
spec: {gatewayClassName: c, listeners: [{name: one, protocol: HTTP, port: ${port}, hostname: "${hostname}", allowedRoutes: {namespaces: {from: ${from}, selector: {matchLabels: {team: x}}}}}, {name: two, protocol: HTTP, port: 81}]}
`
const grpcRoute = (name: string, namespace: string, hostname: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: ${name}, namespace: ${namespace}}
spec: {parentRefs: [{name: g1, namespace: a}], hostnames: [${hostname}], rules: [{matches: [{method: {service: s}}], backendRefs: [{name: s, namespace: b, port: 80}]}]}
`
const route = (name: string, namespace: string, parent: string, path: string, service: string) => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: ${namespace}}
spec: {parentRefs: [{name: ${parent}, namespace: a}], hostnames: [x.com], rules: [{name: r, matches: [{path: {value: ${path}}}], backendRefs: [{name: ${service}, namespace: b, port: 80}]}]}
`

/** Small enough that objects conflict, shadow, attach and refer to each other in most subsets. */
const world: readonly Input[] = readManifests(
  [
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: a.b/c}\n",
    gateway("g1", 80, "*.com", "All"),
    gateway("g2", 80, "*.com", "Selector"),
    gateway("g3", 80, "x.com", "Same"),
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: b, labels: {team: x}}\n",
    route("r1", "a", "g1", "/", "s"),
    route("r2", "b", "g1", "/", "s"),
    route("r3", "b", "g2", "/p", "t"),
    route("r4", "a", "g3", "/", "s"),
    grpcRoute("shares", "b", "x.com"),
    grpcRoute("alone", "b", "y.com"),
    "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: b}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}], to: [{group: '', kind: Service}]}\n",
    "config: overlay\nkey: default/o/1\nvalue: {schema: 1, target: {kind: HTTPRoute, namespace: a, name: r1}, answer: {status: 503, headers: [], body: ''}, priority: 1}\n",
    "config: overlay\nkey: default/o/2\nvalue: {schema: 1, target: {kind: Gateway, namespace: a, name: g1}, weights: {service/b/s/80: 5}, priority: 2}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: b}\nspec: {ports: [{port: 80}]}\n",
    "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s, namespace: b}\nsubsets: [{addresses: [{ip: 10.0.0.9}], ports: [{port: 80}]}]\n",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s1, namespace: b, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.3]}]\nports: [{port: 80}]\n",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s2, namespace: b, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]\nports: [{port: 80}]\n",
  ].join("---\n"),
).inputs

const everything = (engine: Engine): string => canonical({ rows: outputs(engine), notes: notesOf(engine) })
const stage = (engine: Engine, { kind, key, value }: Input, seq: number, present = true): void => engine.stage(kind, key, present ? value : undefined, seq)

const fresh = (inputs: readonly Input[]): string => {
  const engine = engineOf([routes, endpoints])
  for (const [i, input] of inputs.entries()) stage(engine, input, i + 1)
  engine.pass()
  return everything(engine)
}

test("every object of the world matters", () => {
  expect(world).toHaveLength(18)
  const whole = fresh(world)
  // Legacy Endpoints matter only where there is no slice.
  for (const input of world.filter(({ kind }) => kind.name !== "endpoints")) expect(fresh(world.filter((each) => each !== input)), `${input.kind.name}/${input.key}`).not.toBe(whole)
})

test("any order of the same inputs, with repetitions, in any batches, gives the same bytes", () => {
  fc.assert(
    fc.property(fc.subarray([...world], { minLength: 1 }), fc.infiniteStream(fc.nat(1_000_000)), (subset, random) => {
      const engine = engineOf([routes, endpoints])
      const next = (below: number): number => (random.next().value ?? 0) % below
      const order = [...subset]
      for (let i = order.length - 1; i > 0; i--) {
        const j = next(i + 1)
        const [a, b] = [order[i], order[j]]
        if (a !== undefined && b !== undefined) [order[i], order[j]] = [b, a]
      }
      let seq = 0
      for (const input of order) {
        stage(engine, input, ++seq)
        if (next(3) === 0) stage(engine, input, ++seq)
        if (next(2) === 0) engine.pass()
      }
      engine.pass()
      expect(everything(engine)).toBe(fresh(subset))
    }),
    { numRuns: 1_000 },
  )
})

test("taking away what was added returns to the earlier output, and each step equals a run from scratch", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(world.length - 1), { minLength: 1, maxLength: 30 }), (steps) => {
      const engine = engineOf([routes, endpoints])
      const present = new Set<Input>()
      let seq = 0
      for (const step of steps) {
        const input = world[step]
        if (input === undefined) continue
        const before = everything(engine)
        const toggle = () => {
          stage(engine, input, ++seq, !present.has(input))
          if (!present.delete(input)) present.add(input)
          engine.pass()
        }
        toggle()
        const after = everything(engine)
        toggle()
        expect(everything(engine)).toBe(before)
        toggle()
        expect(everything(engine)).toBe(after)
      }
      expect(everything(engine)).toBe(fresh(world.filter((input) => present.has(input))))
    }),
    { numRuns: 150 },
  )
})

test("a change reruns what depends on it, not the rest", () => {
  const engine = engineOf([routes, endpoints])
  const many = readManifests(Array.from({ length: 200 }, (_, i) => route(`m${i}`, "a", i % 2 === 0 ? "g1" : "g3", `/m${i}`, `s${i}`)).join("---\n")).inputs
  for (const [i, input] of [...world, ...many].entries()) stage(engine, input, i + 1)
  engine.pass()
  const runsOf = (name: string, change: () => void): void => {
    const before = engine.runs
    change()
    engine.pass()
    expect(engine.runs - before, name).toBeLessThan(30)
  }
  let seq = 1_000
  const [edited] = readManifests(route("m7", "a", "g3", "/m7", "other")).inputs
  const namespace = world.find(({ kind }) => kind.name === "namespace")
  const slice = world.find(({ key }) => key === "b/s1")
  if (edited === undefined || namespace === undefined || slice === undefined) throw new Error("the world lacks something")
  runsOf("one HTTPRoute", () => stage(engine, edited, ++seq))
  runsOf("labels of a Namespace that selectors read", () => stage(engine, namespace, ++seq, false))
  runsOf("an EndpointSlice", () => stage(engine, slice, ++seq, false))
})
