import { expect, test } from "vitest"
import { closeTo, NameError, objectNames } from "./object-name.ts"

test.each([
  [["httproute/web"], undefined, [["httproute", "default/web"]]],
  [["httproute", "shop/web"], undefined, [["httproute", "shop/web"]]],
  [["hr/shop/web", "gw", "edge"], "infra", [["httproute", "shop/web"], ["gateway", "infra/edge"]]],
  [["HTTPRoutes/web", "svc/a"], "shop", [["httproute", "shop/web"], ["service", "shop/a"]]],
  [["gatewayclass/headgate", "ns", "shop"], "x", [["gatewayclass", "/headgate"], ["namespace", "/shop"]]],
])("%j in %s", (words, namespace, expected) => {
  expect(objectNames(words, namespace).map(({ kind, key }) => [kind, key])).toEqual(expected)
})

test("what is no name says so", () => {
  expect(() => objectNames(["thing/x"], undefined)).toThrow(NameError)
  expect(() => objectNames(["httproute"], undefined)).toThrow(/which httproute/)
})

test("close is a slip of a few letters, or a part", () => {
  const all = ["default/web", "shop/web", "default/website", "default/cart", "default/wev2"]
  expect(closeTo("default/wbe", all)).toEqual([])
  expect(closeTo("default/wev", all)).toEqual(["default/web", "default/wev2", "shop/web"])
  expect(closeTo("default/carts", all)).toEqual(["default/cart"])
})
