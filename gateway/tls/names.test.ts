import { expect, it } from "vitest"
import { Redacted } from "../../bus/redacted.ts"
import type { OpenCertificate } from "./context.ts"
import { NameIndex } from "./names.ts"

const certificate = (id: string, names: readonly string[], keyType = "ec"): OpenCertificate => ({ id, names, keyType, chain: "", key: new Redacted(Buffer.alloc(0)) })
const found = (certificates: readonly OpenCertificate[], name: string): readonly string[] | undefined => new NameIndex(certificates).find(name)?.map(({ id }) => id)

it.each([
  ["the exact name before a wildcard", "www.a.test", ["exact"]],
  ["a wildcard for one label", "x.a.test", ["wild"]],
  ["the first for two labels", "x.y.a.test", ["first"]],
  ["the first for the name behind the star", "a.test", ["first"]],
  ["the first for a name with an empty label", ".a.test", ["first"]],
  ["the first for a name nobody has", "b.test", ["first"]],
  ["the first for no name", "", ["first"]],
])("finds %s", (_, name, ids) => {
  expect(found([certificate("first", ["first.test"]), certificate("wild", ["*.a.test"]), certificate("exact", ["www.a.test"])], name)).toEqual(ids)
})

it("presents certificates of different keys for a name together, of the same key the first", () => {
  const all = [certificate("ec", ["a.test"]), certificate("rsa", ["a.test", "b.test"], "rsa"), certificate("other ec", ["a.test"])]
  expect(found(all, "a.test")).toEqual(["ec", "rsa"])
  expect(found(all, "b.test")).toEqual(["rsa"])
  // Unasked for, only what has the very names of the first goes with it.
  expect(found(all, "c.test")).toEqual(["ec"])
  expect(found([certificate("ec", ["a.test"]), certificate("rsa", ["a.test"], "rsa")], "c.test")).toEqual(["ec", "rsa"])
})

it("finds nothing among none", () => {
  expect(new NameIndex([]).find("a.test")).toBeNull()
})
