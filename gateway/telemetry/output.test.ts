import { expect, it } from "vitest"
import { inTurn } from "./output.ts"

it("batches of several writers are written one after another, each whole, and each writer hears of its own", () => {
  const begun: string[] = []
  const ends: ((lost: number) => void)[] = []
  const output = inTurn((batch, done) => {
    begun.push(batch.toString())
    ends.push(done)
  })
  const heard: (readonly [string, number])[] = []
  for (const writer of ["a", "b", "c"]) output(Buffer.from(writer), (lost) => heard.push([writer, lost]))
  expect(begun).toEqual(["a"])
  ends[0]?.(0)
  expect([begun, heard]).toEqual([["a", "b"], [["a", 0]]])
  ends[1]?.(2)
  ends[2]?.(0)
  expect([begun, heard]).toEqual([["a", "b", "c"], [["a", 0], ["b", 2], ["c", 0]]])
  output(Buffer.from("d"), () => {})
  expect(begun).toEqual(["a", "b", "c", "d"])
})
