import { expect, test } from "vitest"
import { desired } from "../../../bus/kinds/desired.ts"
import { headgate } from "../../../bus/kinds/installation.ts"
import { objectName } from "../../../bus/planes.ts"
import { engineOf, feed, readManifests } from "../../../test/fixtures/derive.ts"
import { gateways } from "../../../functions/gateways/gateways.ts"
import { passwordsOf, planeSecretOf } from "./planes.ts"

const INSTALLATION = "headgate-system"
const LONG = "a-name-that-is-much-too-long-for-what-is-made-of-it"

/** The Secrets that are made for these Gateways, as an API server has them. */
const secretsFor = (mode: "Dedicated" | "Shared", names: readonly (readonly [namespace: string, name: string])[]) => {
  const engine = engineOf([gateways])
  const yaml = [
    `apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: ${LONG}, uid: c}\nspec: {controllerName: headgate.dev/gateway}\n`,
    ...names.map(([namespace, name]) => `apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}, namespace: ${namespace}, uid: u}\nspec: {gatewayClassName: ${LONG}, listeners: [{name: http, protocol: HTTP, port: 80}]}\n`),
  ].join("---\n")
  feed(engine, [...readManifests(yaml).inputs, { kind: headgate.installation, key: "/", value: { schema: 1, namespace: INSTALLATION, image: "i", nats: "n", mode } }])
  return engine.rows("gateways", desired).flatMap(([, { kind, namespace, name, body }]) => {
    const metadata: unknown = body["metadata"]
    if (kind !== "Secret" || typeof metadata !== "object" || metadata === null) return []
    return [{ metadata: { ...metadata, namespace, name }, data: { "nats-password": Buffer.from("p".repeat(43)).toString("base64") } }]
  })
}

const planesOf = (secrets: ReturnType<typeof secretsFor>): readonly (string | undefined)[] => secrets.map((secret) => {
  const found = planeSecretOf(secret, INSTALLATION)
  return "plane" in found ? found.plane : undefined
})

test("Secrets that are made for data planes are taken for theirs, however long names are", () => {
  const names = [["shop", "edge"], ["shop", LONG], [LONG, LONG], ["class", "edge"]] as const
  const planes = planesOf(secretsFor("Dedicated", names))
  expect(planes).toHaveLength(names.length)
  expect(planes.every((plane) => plane !== undefined && plane.length <= 40)).toBe(true)
  expect(new Set(planes).size).toBe(names.length)
  expect(planesOf(secretsFor("Shared", names))).toEqual([expect.stringMatching(/^Class\./)])
})

test("nobody outside the installation's namespace has the data plane of a class", () => {
  const [fleet] = secretsFor("Shared", [["shop", "edge"]])
  if (fleet === undefined) throw new Error("no Secret")
  for (const namespace of ["shop", "class", "Class"]) expect(planesOf([{ ...fleet, metadata: { ...fleet.metadata, namespace } }])).toEqual([undefined])
})

const PASSWORD = "p".repeat(43)
const SECRET = objectName("web", "shop.web")
const OWNER = { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", name: "web" }
const ofWeb = ({ namespace = "shop", name = SECRET, owner = OWNER, password = PASSWORD }: { readonly namespace?: string; readonly name?: string; readonly owner?: object; readonly password?: string }) => ({
  metadata: { namespace, name, labels: { "headgate.dev/plane": "shop.web" }, ownerReferences: [owner] }, data: { "nats-password": Buffer.from(password).toString("base64") },
})

test("a label alone makes no Secret a data plane's: it has to be owned by that Gateway, beside it, under its name, with a password that is one", () => {
  expect(planeSecretOf(ofWeb({}), INSTALLATION)).toEqual({ namespace: "shop", name: SECRET, plane: "shop.web", password: PASSWORD })
  for (const other of [{ namespace: "thief" }, { name: "another" }, { owner: {} }, { owner: { ...OWNER, name: "other" } }, { owner: { ...OWNER, kind: "Deployment", apiVersion: "apps/v1" } }, { password: "short" }, { password: `${PASSWORD}"}` }]) {
    expect(planeSecretOf(ofWeb(other), INSTALLATION)).toHaveProperty("why")
  }
})

test("of two Secrets of one data plane the first by name counts, whichever came first", () => {
  const both = [{ namespace: "b", name: "s", plane: "p", password: "second" }, { namespace: "a", name: "s", plane: "p", password: "first" }]
  for (const order of [both, both.toReversed()]) expect(passwordsOf(order)).toEqual(new Map([["p", "first"]]))
})
