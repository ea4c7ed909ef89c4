import { expect, test } from "vitest"
import { Staging } from "./staging.ts"

const SUBJECT = "config.default.route.a"

test("what was taken back before a commit could say it leaves neither its causes nor its trace to the next", () => {
  const staging = new Staging({ unit: { plane: "default", fn: "routes" }, epoch: 1, writer: "w", version: "1", onSteppedDown: () => undefined })
  staging.stage([{ subject: SUBJECT, body: "1", causes: ["httproute/a@1"] }], { causes: ["httproute/a@1"], traceparent: "first" })
  const first = staging.take()
  if (first === undefined) throw new Error("nothing to commit")
  // While that one is on its way.
  staging.stage([{ subject: SUBJECT, body: "2", causes: ["httproute/a@2"] }], { causes: ["httproute/a@2"], traceparent: "second" })
  staging.stage([{ subject: SUBJECT, body: "1", causes: ["httproute/a@3"] }], { causes: ["httproute/a@3"], traceparent: "third" })
  staging.committed(first)
  expect(staging.take()).toBeUndefined()
  staging.stage([{ subject: SUBJECT, body: "4", causes: ["httproute/a@4"] }], { causes: ["httproute/a@4"], traceparent: "fourth" })
  expect(staging.take()).toMatchObject({ head: { causes: ["httproute/a@4"] }, traceparent: "fourth" })
})
