import { expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { memoryStore } from "../../bus/memory.ts"
import { appliedSubject, configSubject, resourceSubject } from "../../bus/subject.ts"
import { openUnit } from "../../bus/unit/writer.ts"
import type { StagedChange } from "../../bus/unit/unit.ts"
import { explainEntry, explainObject } from "./explain-object.ts"
import { entryText, objectText } from "./explain-text.ts"

const put = (bus: Bus, kind: string, key: string, generation: number, body: unknown = {}) =>
  bus.publish({ subject: resourceSubject(kind, key), data: JSON.stringify(body), headers: { "Hg-Kind": kind, "Hg-Key": key, "Hg-Generation": String(generation), "Hg-Source": `${kind}.yaml`, "Hg-Version": "v" } })
const commit = async (bus: Bus, plane: string, fn: string, changes: readonly StagedChange[]) => {
  const writer = await openUnit(bus, { unit: { plane, fn }, epoch: 1, writer: "w", version: "7", onSteppedDown: () => undefined })
  writer.stage(changes, { causes: changes.flatMap(({ causes }) => causes) })
  await writer.settled()
  const { seq } = writer
  await writer.stop()
  return seq
}
const change = (plane: string, section: string, id: string, causes: readonly string[], value: unknown = { schema: 1 }): StagedChange => ({ subject: configSubject(plane, section, id), body: JSON.stringify(value), causes })
const ack = (bus: Bus, pod: string, units: Readonly<Record<string, number>>) =>
  bus.publish({ subject: appliedSubject("p", pod), data: JSON.stringify({ schema: 1, pod, plane: "p", ready: true, admin: "", listeners: [], notes: [], units: Object.fromEntries(Object.entries(units).map(([fn, rev]) => [fn, { rev, epoch: 1, seq: rev, digest: "" }])) }) })
const nothing = () => undefined

test("from process to process the chain is followed through commits, forward and backward; who lacks it is named", async () => {
  const bus = memoryStore().bus()
  const { seq } = await put(bus, "httproute", "default/web", 1)
  const routes = await commit(bus, "p", "routes", [change("p", "demand", "service/default/a/80", [`httproute/default/web@${seq}`])])
  await commit(bus, "p", "endpoints", [change("p", "cluster", "service/default/a/80", [`demand/p/service/default/a/80@${routes}`])])
  await commit(bus, "_", "routes", [change("_", "function", "routes", [], { schema: 1, version: "7", reads: ["httproute"], writes: ["demand"] })])
  await ack(bus, "one", { routes: 1, endpoints: 1 })
  await ack(bus, "two", { routes: 1 })
  const forward = await explainObject(bus, { kind: "httproute", key: "default/web" }, nothing)
  expect(forward?.derived.map(({ fn, entries }) => [fn, entries.map(({ section }) => section)])).toEqual([["routes", ["demand"]], ["endpoints", ["cluster"]]])
  expect(forward?.served).toMatchObject([{ pod: "p/one", lacks: [] }, { pod: "p/two", lacks: [{ fn: "endpoints", has: undefined, wants: 1 }] }])
  expect(forward?.unanswered).toEqual([{ fn: "routes", heard: undefined }])
  if (forward !== undefined) expect(objectText(forward)).toMatch(/- gateway p\/two {2}not yet: endpoints at nothing, not yet 1/)
  const [backward] = await explainEntry(bus, "cluster", "service/default/a/80")
  expect(backward?.causes).toMatchObject([{ cause: { is: { of: "commit", commit: { fn: "routes", rev: 1 } } }, from: [{ cause: { is: { of: "edit", edit: { file: "httproute.yaml", generation: 1 } } } }] }])
  if (backward !== undefined) expect(entryText(backward)).toMatch(/made from {3}demand\/p\/service\/default\/a\/80@\d+ +routes@7, revision 1, at .*\n +httproute\/default\/web@1 +httproute\.yaml, generation 1, at/)
})

test("a cause that is no longer kept is said to be so, and so is one whose number is another's now", async () => {
  const bus = memoryStore().bus()
  const { seq } = await put(bus, "gateway", "default/gw", 1)
  await commit(bus, "p", "routes", [change("p", "listener", "default/gw/http", [`gateway/default/gw@${seq}`, `gateway/default/other@${seq}`, "…"])])
  const kinds = async () => (await explainEntry(bus, "listener", "default/gw/http"))[0]?.causes.map(({ cause: { is } }) => is.of)
  expect(await kinds()).toEqual(["edit", "gone"])
  for (let generation = 2; generation < 70; generation++) await put(bus, "gateway", "default/gw", generation)
  expect(await kinds()).toEqual(["gone", "gone"])
  const [explained] = await explainEntry(bus, "listener", "default/gw/http")
  if (explained !== undefined) expect(entryText(explained)).toMatch(new RegExp(`gateway/default/gw@${seq} +no longer kept\n +gateway/default/other@${seq} +no longer kept\n +…\n`))
})

test("what nobody reads, what has never been, and what was removed", async () => {
  const bus = memoryStore().bus()
  await put(bus, "service", "default/a", 1)
  const unread = await explainObject(bus, { kind: "service", key: "default/a" }, nothing)
  expect(unread).toMatchObject({ isUnread: true, derived: [], unanswered: [] })
  if (unread !== undefined) expect(objectText(unread)).toMatch(/derived {5}nothing: no function on this bus reads objects of kind service/)
  expect(await explainObject(bus, { kind: "service", key: "default/none" }, nothing)).toBeUndefined()
  const { seq } = await bus.publish({ subject: resourceSubject("service", "default/a"), data: "", headers: { "Hg-Deleted": "1" } })
  await commit(bus, "p", "endpoints", [change("p", "cluster", "service/default/a/80", ["service/default/a@1"])])
  await commit(bus, "p", "endpoints", [{ subject: configSubject("p", "cluster", "service/default/a/80"), body: null, causes: [`service/default/a@${seq}`] }])
  const gone = await explainObject(bus, { kind: "service", key: "default/a" }, nothing)
  expect(gone?.edit?.isDeleted).toBe(true)
  if (gone !== undefined) expect(objectText(gone)).toMatch(/- cluster service\/default\/a\/80 {2}from this edit/)
})

test("what was never taken, what its file says as a whole, and what a gateway says of its entries", async () => {
  const bus = memoryStore().bus()
  const note = (id: string, more: object) => put(bus, "note", `files/${id}`, 1, { schema: 1, severity: "error", reason: "InvalidValue", message: "It is wrong.", file: "web.yaml", line: 3, ...more })
  await note("a", { about: { kind: "HTTPRoute", namespace: "default", name: "new" } })
  const refused = await explainObject(bus, { kind: "httproute", key: "default/new" }, nothing)
  if (refused === undefined) throw new Error("not explained")
  expect(objectText(refused)).toMatch(/edit {8}no version of it has been published; the notes below say why\nnotes {7}error InvalidValue, web\.yaml:3 \(adapter files\)\n {14}It is wrong\.\n/)
  const { seq } = await bus.publish({ subject: resourceSubject("httproute", "default/web"), data: "{}", headers: { "Hg-Source": "web.yaml" } })
  await note("b", { reason: "InvalidYaml" })
  await note("c", { reason: "InvalidJson", file: "other.json" })
  await commit(bus, "p", "routes", [change("p", "route", "httproute/default/web", [`httproute/default/web@${seq}`])])
  const said = [{ severity: "error", reason: "NewerSchema", message: "The route entry httproute/default/web is parked." }, { severity: "error", reason: "NewerSchema", message: "The route entry httproute/default/web2 is parked." }]
  await bus.publish({ subject: appliedSubject("p", "one"), data: JSON.stringify({ schema: 1, pod: "one", plane: "p", ready: true, admin: "", listeners: [], notes: said, units: {} }) })
  const explained = await explainObject(bus, { kind: "httproute", key: "default/web" }, nothing)
  expect(explained?.notes.map(({ by, note: { reason } }) => `${by} ${reason}`)).toEqual(["adapter files InvalidYaml", "gateway p/one NewerSchema"])
})

test("of a certificate the sealed key is never shown", async () => {
  const bus = memoryStore().bus()
  await commit(bus, "p", "certs", [change("p", "certificate", "secret/default/tls", [], { schema: 1, chain: "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", key: "VERYSECRET", names: ["a.test"] })])
  const [explained] = await explainEntry(bus, "certificate", "secret/default/tls")
  if (explained === undefined) throw new Error("not explained")
  expect(entryText(explained)).toMatch(/chain: 1 certificate\n/)
  expect(entryText(explained)).not.toMatch(/VERYSECRET|QUJD/)
})
