import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { validate, validationText } from "./validate.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "headgate-validate-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}

const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: headgate}
spec: {controllerName: headgate.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: headgate
  listeners: [{name: http, protocol: HTTP, port: 8080}]
`
const route = `# A comment.
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
spec:
  parentRefs:
    - name: web
  rules:
    - backendRefs:
        - name: shop
          port: 80
`
const service = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{port: 80}]}\n"

test("a folder in order has no problem", () => {
  write("gateway.yaml", gateway)
  write("apps/shop.yaml", `${route}---\n${service}`)
  const { notes, files, objects } = validate(folder)
  expect(notes.filter(({ severity }) => severity === "error")).toEqual([])
  expect({ files, objects }).toEqual({ files: 2, objects: 4 })
})

test("what only the functions see is found too, with file, line and field", () => {
  write("gateway.yaml", gateway)
  write("shop.yaml", route.replace("name: web", "name: nowhere"))
  const { notes } = validate(folder)
  expect(notes).toContainEqual(expect.objectContaining({ severity: "error", reason: "NoMatchingParent", file: "shop.yaml", line: 9, field: "spec.parentRefs[0].name" }))
})

test("a backend that does not exist is found at its reference", () => {
  write("gateway.yaml", gateway)
  write("shop.yaml", route)
  const backend = validate(folder).notes.find(({ message }) => message.includes("shop") && message.includes("Service"))
  expect(backend).toMatchObject({ file: "shop.yaml", field: expect.stringContaining("backendRefs[0]"), line: 12 })
})

test("every problem is listed in the order of files and lines, with what to do", () => {
  write("b.yaml", `${gateway}---\nkind: [\n`)
  write("a.yaml", route.replace("port: 80", "port: eighty").replace("    - name: web", "    - name: web\n      sectionNam: http"))
  const found = validate(folder)
  expect(found.notes.map(({ file, line, reason }) => `${file}:${line} ${reason}`)).toEqual(["a.yaml:10 UnknownField", "a.yaml:14 InvalidValue", "b.yaml:13 InvalidYaml"])
  expect(validationText(found)).toMatch(/^a\.yaml:10: warning: UnknownField at spec\.parentRefs\[0\]\.sectionNam\n {4}.*\n {4}Check the spelling/)
  expect(validationText(found)).toMatch(/^a\.yaml:14: error: InvalidValue\n {4}spec\.rules\[0\]\.backendRefs\[0\]\.port: /m)
  expect(validationText(found)).toMatch(/2 files, 2 objects: 2 errors, 1 warning\n$/)
})

test("a folder that does not exist is an error, not an empty success", () => {
  expect(() => validate(join(folder, "absent"))).toThrow(/is not a folder/)
})

test("linked folders are read as the adapter reads them; links that lead back or nowhere harm nothing, and hidden names are left out", () => {
  write("in/a.yaml", service)
  write("elsewhere/b.yaml", service.replace("shop", "other"))
  write("in/.hidden/c.yaml", "not: valid")
  symlinkSync(join(folder, "elsewhere"), join(folder, "in/linked"))
  symlinkSync(join(folder, "in"), join(folder, "in/back"))
  symlinkSync(join(folder, "in/circle.yaml"), join(folder, "in/circle.yaml"))
  const { files, objects, notes } = validate(join(folder, "in"))
  expect({ objects, notes: notes.map(({ file, reason }) => `${file} ${reason}`), files }).toEqual({ objects: 2, notes: ["circle.yaml FileUnreadable"], files: 3 })
})
