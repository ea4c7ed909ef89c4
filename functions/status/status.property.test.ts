import fc from "fast-check"
import { expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { applied, type Applied } from "../../bus/kinds/applied.ts"
import { status as kind, type Status } from "../../bus/kinds/status.ts"
import { engineOf, readManifests, type Input } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { status } from "./status.ts"

const only = (yaml: string): Input => {
  const [input] = readManifests(yaml).inputs
  if (input === undefined) throw new Error(`refused: ${yaml}`)
  return input
}

const ack = (pod: string, rev: number, generation: number, isReady = true): Input => {
  const value: Applied = {
    schema: 1, pod, plane: "default", ready: isReady, admin: "http://127.0.0.1:9901", notes: [],
    units: { routes: { rev, epoch: 1, seq: rev, digest: "d" } },
    listeners: ["g1", "g2"].map((name) => ({ id: `a/${name}/all`, protocol: "HTTP", address: "127.0.0.1", port: 80, specPort: 80, generation })),
  }
  return { kind: applied, key: `default/${pod}`, value }
}

const gateway = (name: string, port: number, generation: number): Input =>
  only(`apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}, namespace: a, generation: ${generation}}\nspec: {gatewayClassName: c, listeners: [{name: all, protocol: HTTP, port: ${port}, allowedRoutes: {namespaces: {from: All}}}, {name: same, protocol: HTTP, port: ${port + 1}}]}\n`)

/** One parentRef: a Gateway, and one of its listeners or both. */
interface Ref {
  readonly gateway: "g1" | "g2" | "g3"
  readonly section: "all" | "same" | "nope" | undefined
}
interface Facts {
  readonly namespace: "a" | "b"
  readonly refs: readonly Ref[]
  readonly isGood: boolean
  readonly service: "s" | "t"
  readonly generation: number
}

const route = (name: string, { namespace, refs, isGood, service, generation }: Facts): Input =>
  only(`apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ${name}, namespace: ${namespace}, generation: ${generation}}\nspec: {parentRefs: [${refs.map((ref) => `{name: ${ref.gateway}, namespace: a${ref.section === undefined ? "" : `, sectionName: ${ref.section}`}}`).join(", ")}], rules: [{${isGood ? "" : "filters: [{type: ExtensionRef, extensionRef: {group: e.x, kind: K, name: n}}], "}backendRefs: [{name: ${service}, namespace: a, port: 80}]}]}\n`)

const facts = fc.record<Facts>({
  namespace: fc.constantFrom("a", "b"),
  refs: fc.uniqueArray(fc.record({ gateway: fc.constantFrom("g1", "g2", "g3"), section: fc.constantFrom("all", "same", "nope", undefined) }), { minLength: 1, maxLength: 3, selector: ({ gateway: of, section }) => (section === undefined ? of : `${of}/${section}`) })
    // The API refuses one that names a whole Gateway beside one that names a part of it.
    .filter((refs) => refs.every((ref) => ref.section !== undefined || refs.every((other) => other === ref || other.gateway !== ref.gateway))),
  isGood: fc.boolean(),
  service: fc.constantFrom("s", "t"),
  generation: fc.integer({ min: 1, max: 3 }),
})

type Edit = { readonly input: Input; readonly route?: readonly [string, Facts]; readonly isThere: boolean }
const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom("r1", "r2", "r3", "r4"), facts, fc.integer({ min: 0, max: 3 })).map(([name, own, roll]) => ({ input: route(name, own), route: [name, own] as const, isThere: roll > 0 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("p", "q"), fc.nat(5), fc.integer({ min: 1, max: 2 }), fc.boolean(), fc.boolean()).map(([pod, rev, generation, isReady, isThere]) => ({ input: ack(pod, rev, generation, isReady), isThere })) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("g1", "g2"), fc.integer({ min: 1, max: 2 }), fc.boolean(), fc.boolean()).map(([name, generation, isTwin, isThere]) => ({ input: gateway(name, isTwin ? 80 : name === "g1" ? 90 : 100, generation), isThere })) },
  { weight: 1, arbitrary: fc.boolean().map((isThere) => ({ input: only("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {ports: [{port: 80}]}\n"), isThere })) },
)

const gatewayClass = only("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: a.b/c}\n")
const rowsOf = (engine: Engine): ReadonlyMap<string, Status> => new Map(engine.rows("status", kind))
const stage = (engine: Engine, { kind: of, key, value }: Input, seq: number, isThere = true): void => engine.stage(of, key, isThere ? value : undefined, seq)

test("after any edits the status of everything is that of a run from scratch, and attachedRoutes is what counting gives", () => {
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 40 }), (edits) => {
      const engine = engineOf([status])
      const there = new Map<string, Input>([["class", gatewayClass]])
      const routes = new Map<string, Facts>()
      stage(engine, gatewayClass, 1)
      for (const [i, { input, route: own, isThere }] of edits.entries()) {
        stage(engine, input, i + 2, isThere)
        const id = `${input.kind.name} ${input.key}`
        if (isThere) there.set(id, input)
        else there.delete(id)
        if (own !== undefined) {
          if (isThere) routes.set(input.key, own[1])
          else routes.delete(input.key)
        }
        engine.pass()
      }
      const fresh = engineOf([status])
      for (const [i, input] of [...there.values()].entries()) stage(fresh, input, i + 1)
      fresh.pass()
      expect(canonical([...rowsOf(engine)])).toBe(canonical([...rowsOf(fresh)]))

      for (const name of ["g1", "g2"]) {
        for (const listener of rowsOf(engine).get(`_/gateway/a/${name}`)?.listeners ?? []) {
          const takes = ({ namespace, refs, isGood }: Facts): boolean => isGood && (listener.name === "all" || namespace === "a") && refs.some((ref) => ref.gateway === name && (ref.section ?? listener.name) === listener.name)
          expect(listener.attachedRoutes, `${name} ${listener.name}`).toBe([...routes.values()].filter(takes).length)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test("what does not concern a status reruns next to nothing and changes no row", () => {
  const engine = engineOf([status])
  const world = [gatewayClass, gateway("g1", 80, 1), gateway("g2", 90, 1), ack("p", 1, 1), ...Array.from({ length: 300 }, (_, i) => route(`r${i}`, { namespace: "a", refs: [{ gateway: "g1", section: undefined }], isGood: true, service: "s", generation: 1 }))]
  for (const [i, input] of world.entries()) stage(engine, input, i + 1)
  engine.pass()
  let seq = 1_000
  const after = (input: Input): { readonly runs: number; readonly rows: readonly string[] } => {
    const before = engine.runs
    stage(engine, input, ++seq)
    const rows = engine.pass().map(({ key }) => key)
    return { runs: engine.runs - before, rows }
  }
  expect(after(ack("p", 2, 1)), "an ack in which only revisions moved").toEqual({ runs: 2, rows: [] })
  expect(after(ack("q", 2, 1)).rows, "a second pod that serves the same").toEqual([])
  const edited = after(route("r7", { namespace: "a", refs: [{ gateway: "g1", section: undefined }], isGood: true, service: "s", generation: 2 }))
  expect(edited.rows).toEqual(["_/httproute/a/r7"])
  expect(edited.runs).toBeLessThan(6)
  const added = after(route("new", { namespace: "a", refs: [{ gateway: "g1", section: undefined }], isGood: true, service: "s", generation: 1 }))
  expect(added.rows).toEqual(["_/gateway/a/g1", "_/httproute/a/new"])
  expect(added.runs).toBeLessThan(15)
  expect(after(gateway("g2", 90, 2)).rows, "a Gateway edited: its own status, not that of routes").toEqual(["_/gateway/a/g2"])
})
