import { expect, test } from "vitest"
import { resourceSubject } from "../../../bus/subject.ts"
import { Catalog } from "./catalog.ts"

test("of files that are all gone for a moment the one that stood last stays", () => {
  const catalog = new Catalog({ controllerNames: "any" })
  const subject = resourceSubject("gatewayclass", "/one")
  const text = (controllerName: string): string => `apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: { name: one }\nspec: { controllerName: ${controllerName} }\n`
  const stands = (): string | undefined => {
    catalog.settle()
    return catalog.desired.get(subject)?.source
  }
  catalog.put("a.yaml", text("example.com/a"))
  expect(stands()).toBe("a.yaml")
  catalog.miss("a.yaml")
  catalog.put("b.yaml", text("example.com/b"))
  expect(stands()).toBe("b.yaml")
  catalog.miss("b.yaml")
  expect(stands()).toBe("b.yaml")
  expect(catalog.desired.get(subject)?.body).toContain("example.com/b")
  catalog.remove("a.yaml")
  expect(stands()).toBe("b.yaml")
  catalog.remove("b.yaml")
  expect(stands()).toBeUndefined()
})
