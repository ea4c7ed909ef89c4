import { expect, test } from "vitest"
import { isJson } from "../raw.ts"
import { appliedFields, covers, type Fields, goBeyond } from "./owned-fields.ts"

/** As an API server writes it for a Deployment's containers (FieldsV1). */
const fields = {
  "f:metadata": { "f:labels": { "f:app": {} }, "f:ownerReferences": { 'k:{"uid":"u1"}': {} } },
  "f:spec": {
    "f:replicas": {}, "f:selector": {},
    "f:template": { "f:spec": { "f:containers": { 'k:{"name":"gateway"}': { ".": {}, "f:name": {}, "f:image": {}, "f:ports": { 'k:{"containerPort":10080,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } }, "f:resources": { "f:requests": { "f:cpu": {} } } } } } },
    "f:finalizers": { 'v:"a"': {} },
  },
}
const object = {
  metadata: { labels: { app: "x" }, ownerReferences: [{ uid: "u1", name: "edge" }] },
  spec: { replicas: 2, selector: { matchLabels: { app: "x" } }, template: { spec: { containers: [{ name: "gateway", image: "i", ports: [{ containerPort: 10080 }], resources: { requests: { cpu: "1000m" } } }] } }, finalizers: ["a"] },
}
/** A field less; what is empty then is not there either. */
const without = (at: Fields, [step, ...rest]: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(at).flatMap(([name, below]) => {
    if (name !== step) return [[name, below]]
    const left = rest.length === 0 || !isJson(below) ? {} : without(below, rest)
    return Object.keys(left).length === 0 ? [] : [[name, left]]
  }))

test("an object is covered when each of its fields is, items of lists by their keys, defaults of keys left out", () => {
  expect(covers(fields, object)).toBe(true)
  expect(goBeyond(fields, object)).toBe(false)
})

test.for([
  ["f:spec", "f:replicas"],
  ["f:metadata", "f:labels", "f:app"],
  ["f:metadata", "f:ownerReferences", 'k:{"uid":"u1"}'],
  ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"gateway"}'],
  ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"gateway"}', "f:image"],
  ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"gateway"}', "f:resources", "f:requests", "f:cpu"],
  ["f:spec", "f:finalizers", 'v:"a"'],
])("without %s it is not: that is somebody else's by now", (path) => {
  expect(covers(without(fields, path), object)).toBe(false)
})

test("what was applied once and is not wanted any more is beyond", () => {
  const { replicas: _replicas, ...rest } = object.spec
  expect(goBeyond(fields, { ...object, spec: rest })).toBe(true)
  expect(goBeyond(fields, { ...object, spec: { ...object.spec, finalizers: [] } })).toBe(true)
  expect(goBeyond(fields, { ...object, metadata: { ...object.metadata, ownerReferences: [{ uid: "u2" }] } })).toBe(true)
})

test("only what one manager applied counts, and of one subresource", () => {
  const metadata = { managedFields: [
    { manager: "headgate", operation: "Update", fieldsV1: { "f:a": {} } },
    { manager: "headgate", operation: "Apply", subresource: "status", fieldsV1: { "f:status": {} } },
    { manager: "other", operation: "Apply", fieldsV1: { "f:b": {} } },
    { manager: "headgate", operation: "Apply", fieldsV1: { "f:spec": {} } },
  ] }
  expect(appliedFields(metadata, "headgate")).toEqual({ "f:spec": {} })
  expect(appliedFields(metadata, "headgate", "status")).toEqual({ "f:status": {} })
  expect(appliedFields({}, "headgate")).toBeUndefined()
})
