import fc from "fast-check"
import { expect, test } from "vitest"
import { canonical } from "../../../../bus/canonical.ts"
import type { Condition, ParentStatus } from "../../../../bus/kinds/status.ts"
import { mergedParents } from "./parents.ts"

const OWN = "headgate.dev/gateway"
const isOwn = (name: string): boolean => name === OWN
const NOW = "2026-11-21T12:00:00Z"

const condition = fc.record({ type: fc.constantFrom("Accepted", "ResolvedRefs"), status: fc.constantFrom<Condition["status"][]>("True", "False"), reason: fc.constantFrom("A", "B"), message: fc.constant(""), observedGeneration: fc.integer({ min: 1, max: 2 }) })
const conditions = fc.uniqueArray(condition, { selector: ({ type }) => type, minLength: 1 })
const parentRef = fc.record({ group: fc.constant("gateway.networking.k8s.io"), kind: fc.constant("Gateway"), name: fc.constantFrom("a", "b", "c"), sectionName: fc.constantFrom("x", "y") }, { requiredKeys: ["group", "kind", "name"] })
const own = (): fc.Arbitrary<ParentStatus[]> => fc.uniqueArray(fc.record({ parentRef, controllerName: fc.constant(OWN), conditions }), { selector: (each) => JSON.stringify(each.parentRef), maxLength: 4 })
const foreign = fc.record({ controllerName: fc.constantFrom("example.com/a", "example.com/b"), parentRef: fc.object({ maxDepth: 1 }), conditions: fc.array(fc.object({ maxDepth: 1 })), more: fc.jsonValue() })
const timesOf = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll(/"lastTransitionTime":"[^"]*",?/g, "").replaceAll(",}", "}"))
const before = fc.tuple(own(), fc.array(foreign, { maxLength: 3 }), fc.infiniteStream(fc.nat())).map(([ours, others, order]) =>
  [...ours.map((each) => ({ ...each, conditions: each.conditions.map((one) => ({ ...one, lastTransitionTime: "2020-01-01T00:00:00Z" })) })), ...others].map((each) => [order.next().value, each] as const).sort(([a], [b]) => a - b).map(([, each]) => each))

test("whatever the list says: others' entries stay, in order; own ones are those that are wanted, each once; a second pass changes nothing", () => {
  fc.assert(fc.property(own(), before, (wanted, list) => {
    const merged = mergedParents(wanted, list, isOwn, NOW)
    const after: readonly unknown[] = merged ?? list
    const split = (all: readonly unknown[]) => Object.groupBy(all, (each) => (JSON.stringify(each).includes(`"controllerName":"${OWN}"`) ? "own" : "others"))
    expect(split(after).others ?? []).toEqual(split(list).others ?? [])
    const plain = (all: readonly unknown[]) => all.map((each) => canonical(timesOf(each))).sort()
    expect(plain(split(after).own ?? [])).toEqual(plain(wanted))
    expect(mergedParents(wanted, after, isOwn, "2027-01-01T00:00:00Z")).toBeUndefined()
  }))
})

test("a time is kept while the status is the same, whatever else of the condition changes", () => {
  const ref = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "a" }
  const had = [{ parentRef: ref, controllerName: OWN, conditions: [{ type: "Accepted", status: "True", reason: "Old", message: "", observedGeneration: 1, lastTransitionTime: "2020-01-01T00:00:00Z" }, { type: "ResolvedRefs", status: "True", reason: "Old", message: "", observedGeneration: 1, lastTransitionTime: "2020-01-01T00:00:00Z" }] }]
  const wanted: ParentStatus[] = [{ parentRef: ref, controllerName: OWN, conditions: [{ type: "Accepted", status: "True", reason: "New", message: "words", observedGeneration: 2 }, { type: "ResolvedRefs", status: "False", reason: "New", message: "", observedGeneration: 2 }] }]
  expect(JSON.stringify(mergedParents(wanted, had, isOwn, NOW))).toMatch(/"New","message":"words","observedGeneration":2,"lastTransitionTime":"2020-01-01T00:00:00Z".*"lastTransitionTime":"2026-11-21T12:00:00Z"/)
})
