import { expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { decodeEntry } from "../../gateway/table/entry.ts"
import { compiler, listener, request } from "../../gateway/table/fixture.ts"
import { GATEWAY, engineOf, feed, notesOf, readManifests } from "../../test/fixtures/derive.ts"
import type { Engine } from "../engine/engine.ts"
import { idOfKey } from "../gateway-api/names.ts"
import { routes } from "./routes.ts"

const route = (name: string, path: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: a}
spec: {parentRefs: [{name: g}], rules: [{matches: [{path: {value: ${path}}}], backendRefs: [{name: ${name}, port: 80}]}]}
---
`
const overlay = (key: string, target: string, rest: string): string => `
config: overlay
key: default/${key}
value: {schema: 1, target: {kind: HTTPRoute, namespace: a, name: ${target}}, priority: 0, ${rest}}
---
`

/** What a gateway would do with the routes derived now: "cluster", or the status it answers itself. */
const asked = (engine: Engine, url: string, headers: Readonly<Record<string, string>> = {}): string => {
  const made = compiler()
  const entries = engine.rows("routes", kinds.route).map(([key, value]) => decodeEntry("route", idOfKey(key), canonical(value)))
  made.apply({ listeners: new Map([["a/g/l", listener("l")]]), routes: new Map(entries.flatMap((entry) => (entry.section === "route" ? [[entry.id, entry.value] as const] : []))) })
  const rule = made.table.ports.get("*:80")?.find(request("GET", url, headers))
  return rule?.answer == null ? (rule?.pick()?.cluster?.id ?? "none") : String(rule.answer.status)
}

test("an overlay that narrows a rule leaves the rules of other routes in between their requests", () => {
  const engine = engineOf([routes])
  const match = (path: string): string => `match: {path: {type: prefix, value: ${path}}, headers: [{name: x, type: exact, value: "1"}], query: []}, answer: {status: 503, headers: [], body: ""}`
  feed(engine, readManifests(GATEWAY + route("wide", "/") + route("between", "/shop") + overlay("o/deep", "wide", match("/shop/cart")) + overlay("o/own", "wide", match("/help"))).inputs)
  expect(asked(engine, "h/shop/cart", { x: "1" })).toBe("service/a/between/80")
  expect(asked(engine, "h/shop/cart")).toBe("service/a/between/80")
  expect(asked(engine, "h/help", { x: "1" })).toBe("503")
  expect(asked(engine, "h/help")).toBe("service/a/wide/80")
  expect(asked(engine, "h/other", { x: "1" })).toBe("service/a/wide/80")
})

test("an overlay without a target says so, and acts once the target is there", () => {
  const engine = engineOf([routes])
  feed(engine, readManifests(GATEWAY + overlay("ops/closed", "shop", `answer: {status: 503, headers: [], body: ""}`)).inputs)
  expect(notesOf(engine)).toEqual([
    expect.objectContaining({
      severity: "warning", reason: "OverlayNotApplied", about: { kind: "Overlay", namespace: "", name: "default/ops/closed" }, field: "target.name",
      message: "Overlay default/ops/closed has no effect: there is no HTTPRoute a/shop, which it targets.",
    }),
  ])
  const shop = readManifests(route("shop", "/")).inputs
  feed(engine, shop)
  expect(notesOf(engine)).toEqual([])
  expect(asked(engine, "h/")).toBe("503")
  for (const { kind, key } of shop) engine.stage(kind, key, undefined, 9)
  engine.pass()
  expect(notesOf(engine)).toHaveLength(1)
})
