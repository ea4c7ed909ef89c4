import { inspect } from "node:util"
import { expect, test } from "vitest"
import { readResource, resourceApi } from "./all.ts"

const secret = resourceApi("v1", "Secret")
if (secret === undefined) throw new Error("Secret is missing")
const read = (object: Record<string, unknown>) => readResource(secret, { apiVersion: "v1", kind: "Secret", ...object })

const HIDDEN = "aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMi1odW50ZXIyLWh1bnRlcjI="

test("of a Secret names are published, and neither content nor what may hold a copy of it", () => {
  const result = read({
    metadata: { name: "tls", labels: { app: HIDDEN, x: { [HIDDEN]: HIDDEN } }, uid: HIDDEN, creationTimestamp: HIDDEN, annotations: { "kubectl.kubernetes.io/last-applied-configuration": HIDDEN, "kapp.k14s.io/original": HIDDEN } },
    type: "kubernetes.io/tls",
    immutable: true,
    data: { "tls.key": HIDDEN, "tls.crt": "", gone: null },
    stringData: { "tls.key": "hunter2", "ca.crt": "x" },
  })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  expect(result.unknown).toEqual([])
  expect(result.resource.value).toEqual({ metadata: { namespace: "default", name: "tls" }, type: "kubernetes.io/tls", keys: ["ca.crt", "tls.crt", "tls.key"] })
  const { secret: content } = result.resource
  expect([...(content ?? [])].map(([name, { field, octets }]) => [name, field, octets.reveal().toString()])).toEqual([["tls.key", "stringData.tls.key", "hunter2"], ["tls.crt", "data.tls.crt", ""], ["ca.crt", "stringData.ca.crt", "x"]])
  expect(inspect(result, { depth: 10 })).not.toContain("hunter2")
})

test("a type is published where it looks like one, and who made it when where an API server says so", () => {
  for (const [type, published] of [["kubernetes.io/service-account-token"], ["helm.sh/release.v1"], [HIDDEN, "Opaque"], [HIDDEN.slice(0, 41), "Opaque"], [`${HIDDEN.slice(0, 10)}\n`, "Opaque"], ["", "Opaque"]]) {
    expect(read({ metadata: { name: "a" }, type })).toMatchObject({ ok: true, resource: { value: { type: published ?? type } } })
  }
  const written = { uid: "0b7a5ee0-6f0b-4a55-9d5c-9f1c6d1f2a10", creationTimestamp: "2026-11-21T18:00:00Z" }
  expect(read({ metadata: { name: "a", ...written } })).toMatchObject({ ok: true, resource: { value: { metadata: { namespace: "default", name: "a", ...written } } } })
})

test("type is Opaque by default, and base64 may be broken into lines", () => {
  const result = read({ metadata: { name: "a" }, data: { x: "aGVs\nbG8=\n" } })
  expect(result.ok && result.resource.value).toEqual({ metadata: { namespace: "default", name: "a" }, type: "Opaque", keys: ["x"] })
  expect(result.ok && result.resource.secret?.get("x")?.octets.reveal().toString()).toBe("hello")
})

test("what an adapter publishes cannot be written by a user", () => {
  const result = read({ metadata: { name: "a" }, tls: { chain: "x", keyDigest: "y", sealed: {} }, problem: { reason: "x", field: "", message: "" }, keys: ["z"] })
  expect(result.ok && result.resource.value).toEqual({ metadata: { namespace: "default", name: "a" }, type: "Opaque", keys: [] })
  expect(result.unknown.map(({ field }) => field)).toEqual(["keys", "tls", "problem"])
})

const wrongs: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
  ["a value that is not base64", { data: { key: `${HIDDEN}!` } }, ["InvalidValue data.key"]],
  ["base64 of a wrong length", { data: { key: HIDDEN.slice(1) } }, ["InvalidValue data.key"]],
  ["a value that is not text", { stringData: { key: { [HIDDEN]: HIDDEN } } }, ["InvalidValue stringData.key"]],
  ["data that is a text", { data: HIDDEN }, ["InvalidValue data"]],
  ["data that is a list", { data: [HIDDEN] }, ["InvalidValue data"]],
  ["content as a name", { data: { [HIDDEN]: "" } }, ["InvalidValue data"]],
  ["content under type", { type: { "tls.key": HIDDEN } }, ["InvalidValue type"]],
  ["content as a field", { [HIDDEN]: HIDDEN, data: 1 }, ["InvalidValue data", "UnknownField "]],
  ["content as a namespace", { metadata: { name: "a", namespace: HIDDEN } }, ["InvalidValue metadata.namespace"]],
  ["content as metadata", { metadata: HIDDEN }, ["InvalidValue metadata"]],
]
test.each(wrongs)("%s is told and not quoted", (_what, object, expected) => {
  const result = read({ metadata: { name: "a" }, ...object })
  const told = [...(result.ok ? [] : result.problems), ...result.unknown]
  expect(told.map(({ reason, field }) => `${reason} ${field}`)).toEqual(expected)
  expect(result.ok).toBe(false)
  for (let at = 0; at + 20 <= HIDDEN.length; at++) expect(JSON.stringify(result)).not.toContain(HIDDEN.slice(at, at + 20))
})

test("an unknown field keeps its name where it looks like one", () => {
  expect(read({ metadata: { name: "a", lables: {} }, stringdata: { x: HIDDEN } }).unknown.map(({ field }) => field)).toEqual(["stringdata", "metadata.lables"])
})
