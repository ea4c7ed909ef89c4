import { expect, test } from "vitest"
import { Storing } from "./storing.ts"

const storing = () => {
  const said: string[] = []
  return { said, it: new Storing((stream, why) => void said.push(`${stream}: ${why ?? "well"}`)) }
}

test("a stream that stores nothing for 3 s is told of once, and once when it stores again", () => {
  const { said, it } = storing()
  for (const now of [0, 1000, 2999]) it.failed("config.a.route.r", "no answer", now)
  expect(said).toEqual([])
  for (const now of [3000, 4000, 60_000]) it.failed("config.b.route.r", "no answer", now)
  for (const subject of ["lease.routes", "config.a.route.r", "config.a.route.r"]) it.stored(subject)
  expect(said).toEqual(["CONFIG: no answer", "CONFIG: well"])
})

test("one message that is stored in between is as good as none that was not; of other streams it says nothing", () => {
  const { said, it } = storing()
  it.failed("lease.routes", "no answer", 0)
  it.failed("resource.service.a.b", "no answer", 0)
  it.stored("lease.routes")
  for (const subject of ["lease.routes", "resource.service.a.b"]) it.failed(subject, "no answer", 3500)
  expect(said).toEqual(["RESOURCES: no answer"])
})
