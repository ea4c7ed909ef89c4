import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { isSame, Manifests } from "./wait-files.ts"

let folder = ""
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "headgate manifests "))))
afterEach(() => rmSync(folder, { recursive: true }))

const service = (name: string, port: number): string => `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  ports:\n    - port: ${port}\n`
const write = (file: string, text: string): void => writeFileSync(join(folder, file), text)
const asked = (name: string, source = "") => {
  const manifests = new Manifests(folder)
  manifests.read()
  return manifests.asked({ kind: "service", key: `default/${name}` }, source)
}
const portOf = (found: ReturnType<typeof asked>): unknown => (found.is === "present" ? JSON.parse(found.body).spec.ports[0].port : found.is)

test("an object is found in whatever file and document asks for it, also where its name is written with escapes", () => {
  write("a.yaml", `${service("one", 1)}---\n${service("two", 2)}---\n${service("three", 3)}`)
  write("b.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: [{ apiVersion: "v1", kind: "Service", metadata: { name: "four" }, spec: { ports: [{ port: 4 }] } }] }))
  write("c.yaml", `%YAML 1.2\n---\n${service("\"fi\\u0076e\"", 5)}--- {apiVersion: v1, kind: Service, metadata: {name: seven}, spec: {ports: [{port: 7}]}}\n`)
  expect(["one", "two", "three", "four", "five", "six", "seven"].map((name) => portOf(asked(name)))).toEqual([1, 2, 3, 4, 5, "absent", 7])
})

test("of two the first file stands; a file that changes is read again", () => {
  write("a.yaml", service("web", 1))
  write("b.yaml", service("web", 2))
  const manifests = new Manifests(folder)
  manifests.read()
  expect(portOf(manifests.asked({ kind: "service", key: "default/web" }, ""))).toBe(1)
  rmSync(join(folder, "a.yaml"))
  manifests.read()
  expect(portOf(manifests.asked({ kind: "service", key: "default/web" }, ""))).toBe(2)
})

test("what cannot be taken is refused with the notes the adapter writes, whether it still names the object or not", () => {
  write("a.yaml", `${service("other", 1)}---\n${service("web", 99999)}`)
  const invalid = asked("web")
  expect(invalid.is === "refused" && [...invalid.notes.values()].map((note) => JSON.parse(note).line)).toEqual([15])
  write("a.yaml", "kind: [\n")
  expect(asked("web").is).toBe("absent")
  expect(asked("web", "a.yaml")).toMatchObject({ is: "refused", file: "a.yaml" })
})

test("of a Secret names and what is public are compared, never the key", () => {
  const published = (more: object): string => JSON.stringify({ metadata: { name: "tls" }, type: "t", keys: ["tls.crt"], ...more })
  const wanted = published({ tls: { chain: "c", keyDigest: "d" } })
  expect(isSame("secret", published({}), wanted)).toBe(true)
  expect(isSame("secret", published({ tls: { chain: "c", keyDigest: "d", sealed: { p: "x" } } }), wanted)).toBe(true)
  expect(isSame("secret", published({ tls: { chain: "old", keyDigest: "d", sealed: { p: "x" } } }), wanted)).toBe(false)
  expect(isSame("secret", published({ tls: { chain: "c", keyDigest: "d", sealed: {} }, problem: { reason: "KeyMismatch" } }), wanted)).toBe(false)
  expect(isSame("secret", published({ tls: { chain: "old", keyDigest: "d", sealed: {} }, problem: { reason: "KeyMismatch" } }), published({ problem: { reason: "KeyMismatch" } }))).toBe(true)
  expect(isSame("secret", JSON.stringify({ keys: [] }), wanted)).toBe(false)
  expect(isSame("service", published({}), wanted)).toBe(false)
})
