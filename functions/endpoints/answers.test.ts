import { expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { configSubject } from "../../bus/subject.ts"
import { decodeRows } from "../../gateway/entries.ts"
import { Notes } from "../../gateway/notes.ts"
import { compiler } from "../../gateway/table/fixture.ts"
import { engineOf, feed, readManifests } from "../../test/fixtures/derive.ts"
import { idOfKey } from "../gateway-api/names.ts"
import { endpoints } from "./endpoints.ts"

const WORLD = `
config: demand
key: default/service/a/s/80
value: {schema: 1, backend: {kind: Service, namespace: a, name: s, port: 80}}
---
`
const service = (spec: string): string => `
apiVersion: v1
kind: Service
metadata: {name: s, namespace: a}
spec: ${spec}
---
`
const SLICE = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: a, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{port: 80}]
`

/** Endpoints in the gateway's table, and what is answered when there are none. */
const inTable = (objects: string): readonly [endpoints: number, emptyStatus: number] => {
  const engine = engineOf([endpoints])
  feed(engine, readManifests(WORLD + objects).inputs)
  const rows = engine.rows("endpoints", kinds.cluster).map(([key, value]) => [configSubject("default", "cluster", idOfKey(key)), canonical(value), []] as const)
  const made = compiler()
  made.apply({ clusters: new Map(decodeRows(rows, new Notes()).flatMap(({ entry }) => (entry?.section === "cluster" ? [[entry.id, entry.value] as const] : []))) })
  const cluster = made.table.clusters.get("service/a/s/80")
  return [cluster?.endpoints.length ?? -1, cluster?.emptyStatus ?? -1]
}

// Gateway API, HTTPRouteRule.backendRefs: 500 for a reference that does not resolve, 503 where only endpoints lack.
test.each([
  ["an endpoint", service("{ports: [{port: 80}]}") + SLICE, [1, 503]],
  ["no Service: 500", SLICE, [0, 500]],
  ["no such port: 500", service("{ports: [{port: 81}]}") + SLICE, [0, 500]],
  ["a protocol that is not supported: 500", service("{ports: [{port: 80, appProtocol: kubernetes.io/wss}]}") + SLICE, [0, 500]],
  ["a Service type that is not supported: 500", service("{type: ExternalName, externalName: x.test}") + SLICE, [0, 500]],
  ["no EndpointSlice: 503", service("{ports: [{port: 80}]}"), [0, 503]],
])("%s", (_, objects, expected) => expect(inTable(objects)).toEqual(expected))

test("a cluster of a protocol that only a newer gateway speaks answers 500, with a note", () => {
  const notes = new Notes()
  const body = canonical({ schema: 1, source: { kind: "Service", namespace: "a", name: "s" }, protocol: "h3", endpoints: [{ address: "10.0.0.1", port: 80 }] })
  const [change] = decodeRows([[configSubject("default", "cluster", "c"), body, []]], notes)
  expect(change).toMatchObject({ section: "cluster", id: "c", entry: { value: { endpoints: [], empty: "UnsupportedProtocol" } } })
  expect(notes.list()).toEqual([expect.objectContaining({ reason: "UnsupportedProtocol", message: "Cluster c speaks h3, which this gateway does not: what goes to it answers 500." })])
})
