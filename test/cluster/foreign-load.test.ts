/** Another controller's objects, and Secrets and ConfigMaps of nobody we know, change without end: the bus hears nothing of it, and what others say in statuses stays. */
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Bus, Message } from "../../bus/bus.ts"
import { resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf } from "../../infra/adapters/kubernetes/raw.ts"
import { until } from "../system/until.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { foreign, foreignParents, FOREIGN_CONTROLLER, type Foreign } from "./foreign.ts"
import { installation, type Installation } from "./installation.ts"
import { openLoop } from "./open-loop.ts"
import { record } from "./recorded.ts"

const NAME = "t-foreign"
const SPACE = "t-foreign-theirs"
const group = "gateway.networking.k8s.io"

let it: Installation
let shop: Edge
let theirs: Foreign
let bus: Bus

beforeAll(async () => {
  it = await installation(NAME)
  shop = await edge("t-foreign-shop", { gatewayClassName: NAME })
  theirs = await foreign(it.api, SPACE, { secrets: 500, configMaps: 500, routes: 1000 })
  bus = await it.bus()
}, 240_000)
afterAll(async () => {
  await bus.close()
  await theirs.end()
  await shop.space.end()
  await it.end()
})

/** Everything that is on the bus, the state first, until `change` has ended. */
const messagesDuring = async (change: () => Promise<void>): Promise<readonly Message[]> => {
  const messages: Message[] = []
  const caughtUp = new Set<string>()
  const following = (["RESOURCES", "CONFIG", "APPLIED"] as const).map((stream) => bus.follow({
    stream, filter: ">", from: { after: 0 }, onMessage: (message) => void messages.push(message), onCaughtUp: () => void caughtUp.add(stream),
  }))
  try {
    await until("what is there has been read", () => caughtUp.size === 3)
    await change()
  } finally {
    await Promise.all(following.map((each) => each.stop()))
  }
  return messages
}

const names = ({ subject, headers, data }: Message): string => `${subject} ${JSON.stringify(headers)} ${new TextDecoder().decode(data)}`

const parentsOf = (object: unknown): readonly unknown[] => listOf(memberOf(object, "status"), "parents")
const theirsOf = (object: unknown): unknown => parentsOf(object).find((parent) => isJson(parent) && parent["controllerName"] === FOREIGN_CONTROLLER)

test("no message names a foreign object, no foreign status entry is changed, and an edit of ours is live meanwhile", async () => {
  // A route of both controllers.
  const both = { group, version: "v1", plural: "httproutes", namespace: shop.space.name, name: "both" }
  const route = httpRoute("both", "both.example")
  await shop.space.apply(route)
  await until("our entry is there", async () => parentsOf(await it.api.request({ path: resourcePath(both) })).length === 1)
  const [ours] = parentsOf(await it.api.request({ path: resourcePath(both) }))
  await it.api.request({ method: "PATCH", path: resourcePath({ ...both, subresource: "status" }), headers: { "content-type": "application/merge-patch+json" }, body: { status: { parents: [...foreignParents(1), ours] } } })
  const said = theirsOf(await it.api.request({ path: resourcePath(both) }))
  expect(said).toMatchObject({ controllerName: FOREIGN_CONTROLLER })

  const statuses = await record({ group, plural: "httproutes", namespace: SPACE }, { group, plural: "gateways", namespace: SPACE }, { group, plural: "gatewayclasses" }, { group, plural: "httproutes", namespace: shop.space.name })
  const traffic = openLoop({ address: shop.address, host: "ready.example" })
  let changed = 0
  const messages = await messagesDuring(async () => {
    const churning = theirs.churn(50, 30_000)
    await shop.space.apply(httpRoute("meanwhile", "meanwhile.example"))
    await until("an edit is live meanwhile", async () => (await statusOf(shop.address, "meanwhile.example")) === 200, 10_000)
    await shop.space.apply(httpRoute("both", "both-edited.example"))
    changed = await churning
    // What follows from the last change has come once a later edit is live.
    await shop.space.apply(httpRoute("after", "after.example"))
    await until("an edit after it is live", async () => (await statusOf(shop.address, "after.example")) === 200, 10_000)
  })
  await traffic.stop()
  await statuses.stop()
  console.log(`${changed} foreign changes, ${messages.length} messages on the bus since its beginning, ${traffic.answered} requests answered`)

  expect(changed).toBeGreaterThan(1000)
  expect(messages.length).toBeGreaterThan(20)
  expect(messages.map(names).filter((text) => theirs.names.some((name) => text.includes(name)))).toEqual([])
  expect(traffic.failures).toEqual([])
  // Every version that anybody saw of a foreign object has the other controller's words alone.
  const foreignVersions = statuses.versions.filter(({ key }) => key.startsWith(`${SPACE}/`))
  expect(foreignVersions.length).toBeGreaterThan(1000)
  const touched = foreignVersions.filter(({ plural, object }) => (plural === "httproutes" ? parentsOf(object).some((parent) => !isJson(parent) || parent["controllerName"] !== FOREIGN_CONTROLLER) : [...listOf(memberOf(object, "metadata"), "managedFields")].some((field) => isJson(field) && field["manager"] === "headgate")))
  expect(touched.map(({ plural, key }) => `${plural} ${key}`)).toEqual([])
  // And of the route that is both controllers' ours was written for its new generation, theirs stands as it was.
  const last = statuses.versions.findLast(({ key }) => key === `${shop.space.name}/both`)
  expect(theirsOf(last?.object)).toEqual(said)
  expect(parentsOf(last?.object).length).toBe(2)
  expect(parentsOf(last?.object)).toContainEqual(expect.objectContaining({ controllerName: it.controllerName, conditions: expect.arrayContaining([expect.objectContaining({ type: "Accepted", status: "True", observedGeneration: 2 })]) }))
}, 180_000)
