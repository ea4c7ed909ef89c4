import { expect, test } from "vitest"
import { kinds } from "../../bus/kinds/config.ts"
import { desired } from "../../bus/kinds/desired.ts"
import { headgate } from "../../bus/kinds/installation.ts"
import { engineOf, outputs, readManifests, type Input } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { routes } from "../routes/routes.ts"
import { gateways } from "./gateways.ts"

const installation = (image: string): Input => ({ kind: headgate.installation, key: "/", value: { schema: 1, namespace: "headgate-system", image, nats: "nats://n:4222", mode: "Dedicated" } })
const parameters = (spec: string): Input => only(`apiVersion: headgate.dev/v1alpha1\nkind: GatewayParameters\nmetadata: {name: p, namespace: ops}\nspec: ${spec}\n`)
const only = (yaml: string): Input => {
  const [input] = readManifests(yaml).inputs
  if (input === undefined) throw new Error(`refused: ${yaml}`)
  return input
}
const ours = only("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: headgate.dev/gateway, parametersRef: {group: headgate.dev, kind: GatewayParameters, namespace: ops, name: p}}\n")
const edge = only("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop, uid: u}\nspec: {gatewayClassName: c, listeners: [{name: http, protocol: HTTP, port: 80}]}\n")

const staged = (engine: Engine, ...inputs: readonly Input[]): Engine => {
  for (const { kind, key, value } of inputs) engine.stage(kind, key, value, 1)
  engine.pass()
  return engine
}
const fresh = (...inputs: readonly Input[]): Engine => staged(engineOf([gateways]), ...inputs)
const namesIn = (engine: Engine): readonly string[] => engine.rows("gateways", desired).map(([, { kind, namespace }]) => `${kind} in ${namespace}`)

test("a Gateway whose class goes over to shared pods leaves nothing behind, and back again", () => {
  const engine = fresh(installation("i"), parameters("{}"), ours, edge)
  const own = outputs(engine)
  expect(namesIn(engine)).toEqual(["Deployment in shop", "PodDisruptionBudget in shop", "Secret in shop", "Service in shop", "ServiceAccount in shop"])
  staged(engine, parameters("{mode: Shared}"))
  expect(namesIn(engine)).toEqual(["Deployment", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount"].map((kind) => `${kind} in headgate-system`))
  expect(outputs(engine)).toEqual(outputs(fresh(installation("i"), parameters("{mode: Shared}"), ours, edge)))
  staged(engine, parameters("{}"))
  expect(outputs(engine)).toEqual(own)
})

/** As it is once it has been made. */
const serviceOf = (engine: Engine): Input => {
  const [found] = engine.rows("gateways", desired).flatMap(([, { kind, namespace, name }]) => (kind === "Service" ? [{ namespace, name }] : []))
  if (found === undefined) throw new Error("no Service is desired")
  return only(`apiVersion: v1\nkind: Service\nmetadata: {name: ${found.name}, namespace: ${found.namespace}}\nspec: {ports: [{port: 80}]}\n`)
}
const lost: Input = { ...parameters("{}"), value: undefined }

test("parameters that go take nothing along; once they are back what was changed meanwhile counts", () => {
  const engine = fresh(installation("i"), parameters("{mode: Shared, replicas: 4}"), ours, edge)
  const before = outputs(engine)
  const made = serviceOf(engine)
  staged(engine, made, lost, installation("newer"))
  expect(outputs(engine)["desired"]).toEqual(before["desired"])
  staged(engine, parameters("{mode: Shared, replicas: 4}"))
  expect(outputs(engine)).toEqual(outputs(fresh(installation("newer"), parameters("{mode: Shared, replicas: 4}"), ours, edge, made)))
})

test("without its class's parameters a Gateway has the data plane that its Service shows, also for who starts then", () => {
  const planes = (...inputs: readonly Input[]) => staged(engineOf([routes]), ...inputs).rows("routes", kinds.listener).map(([key]) => key)
  const shared = serviceOf(fresh(installation("i"), parameters("{mode: Shared}"), ours, edge))
  expect(planes(installation("i"), ours, edge, shared)).toEqual(["Class.c/shop/edge/http"])
  expect(planes(installation("i"), ours, edge)).toEqual(["shop.edge/shop/edge/http"])
  const own = serviceOf(fresh(installation("i"), parameters("{}"), ours, edge))
  expect(planes({ ...installation("i"), value: { schema: 1, namespace: "headgate-system", image: "i", nats: "n", mode: "Shared" } }, ours, edge, own)).toEqual(["shop.edge/shop/edge/http"])
})

test("in a namespace that is being deleted nothing is made any more", () => {
  const namespace = (metadata: string): Input => only(`apiVersion: v1\nkind: Namespace\nmetadata: {name: shop${metadata}}\n`)
  const engine = fresh(installation("i"), parameters("{}"), ours, edge, namespace(""))
  expect(namesIn(engine)).toHaveLength(5)
  staged(engine, namespace(', deletionTimestamp: "2026-01-01T00:00:00Z"'))
  expect(namesIn(engine)).toEqual([])
})

test("what goes with its last Gateway are the pods of a class too", () => {
  const engine = fresh(installation("i"), parameters("{mode: Shared}"), ours, edge)
  staged(engine, { ...edge, value: undefined })
  expect(namesIn(engine)).toEqual([])
})
