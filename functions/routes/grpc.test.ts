import { expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { decodeEntry } from "../../gateway/table/entry.ts"
import { compiler, listener, request } from "../../gateway/table/fixture.ts"
import { GATEWAY, engineOf, feed, readManifests } from "../../test/fixtures/derive.ts"
import { idOfKey } from "../gateway-api/names.ts"
import { routes as derived } from "./routes.ts"

/** A route for each match, named like its backend; the later one is the older. */
const routes = (matches: Readonly<Record<string, string>>): string =>
  Object.entries(matches).map(([name, match], i) => `
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: ${name}, namespace: a, creationTimestamp: "2026-01-0${9 - i}T00:00:00Z"}
spec: {parentRefs: [{name: g}], rules: [{matches: [${match}], backendRefs: [{name: ${name}, port: 80}]}]}
---
`).join("")

/** The backend that gets a call, as a gateway's table has it. */
const called = (manifests: string): ((method: string, url: string, headers?: Readonly<Record<string, string>>) => string | undefined) => {
  const engine = engineOf([derived])
  feed(engine, readManifests(GATEWAY + manifests).inputs)
  const made = compiler()
  const entries = engine.rows("routes", kinds.route).map(([key, value]) => decodeEntry("route", idOfKey(key), canonical(value)))
  made.apply({ listeners: new Map([["a/g/l", listener("l")]]), routes: new Map(entries.flatMap((entry) => (entry.section === "route" ? [[entry.id, entry.value] as const] : []))) })
  return (method, url, headers = {}) => made.table.ports.get("*:80")?.find(request(method, url, headers))?.pick()?.cluster?.id.split("/")[2]
}

test("the longer service wins, then the longer method, then more headers, whatever is older", () => {
  const to = called(routes({
    both: "{method: {service: s.Cart, method: Get}}",
    service: "{method: {service: s.Cart}}",
    "method-and-header": "{method: {method: Get}, headers: [{name: x, value: '1'}]}",
    method: "{method: {method: Get}}",
    header: "{headers: [{name: x, value: '1'}, {name: y, value: '1'}]}",
    rest: "{}",
  }))
  const headers = { x: "1", y: "1" }
  expect(to("POST", "h/s.Cart/Get", headers)).toBe("both")
  expect(to("POST", "h/s.Cart/Put", headers)).toBe("service")
  expect(to("POST", "h/s.Other/Get", headers)).toBe("method-and-header")
  expect(to("POST", "h/s.Other/Get")).toBe("method")
  expect(to("POST", "h/s.Other/Put", headers)).toBe("header")
  expect(to("POST", "h/s.Other/Put", { x: "1" })).toBe("rest")
})

test("a service is no prefix of another, a method no part of one, and nothing but POST is a call", () => {
  const to = called(routes({ service: "{method: {service: s.Cart}}", method: "{method: {method: Get}}" }))
  expect(to("POST", "h/s.CartItems/Put")).toBeUndefined()
  expect(to("POST", "h/s.Other/GetAll")).toBeUndefined()
  expect(to("POST", "h/s.Other/x/Get")).toBeUndefined()
  expect(to("GET", "h/s.Cart/Get")).toBeUndefined()
})

test("regular expressions match a whole service and a whole method", () => {
  const to = called(routes({ some: "{method: {type: RegularExpression, service: 's[.]v[12]', method: 'Get|Put'}}", methods: "{method: {type: RegularExpression, method: 'Get|Put'}}" }))
  expect(to("POST", "h/s.v1/Put")).toBe("some")
  expect(to("POST", "h/s.v3/Put")).toBe("methods")
  expect(to("POST", "h/s.v1/Puts")).toBeUndefined()
  expect(to("POST", "h/xs.v1/GetPut")).toBeUndefined()
})
