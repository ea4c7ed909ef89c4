import { expect, it } from "vitest"
import { endTurn, inTurn, newTurn, type Output } from "./output.ts"

/** A place that several write to, and what happens there. */
const place = () => {
  const begun: string[] = []
  const ends: ((lost: number) => void)[] = []
  let waiting = Promise.withResolvers<void>()
  const output: Output = (batch, done) => {
    begun.push(batch.toString())
    ends.push(done)
    waiting.resolve()
    waiting = Promise.withResolvers<void>()
  }
  return { begun, output, end: (nth: number, lost: number) => ends[nth]?.(lost), next: () => waiting.promise }
}

it("batches of several threads are written one after another, each whole, and each hears of its own", async () => {
  const { begun, output, end, next } = place()
  const turn = newTurn()
  const heard: (readonly [string, number])[] = []
  for (const [own, writer] of [[1, "a"], [2, "b"]] as const) inTurn(turn, own, output)(Buffer.from(writer), (lost) => heard.push([writer, lost]))
  expect(begun).toEqual(["a"])
  const second = next()
  end(0, 0)
  expect(heard).toEqual([["a", 0]])
  await second
  expect(begun).toEqual(["a", "b"])
  end(1, 2)
  expect(heard).toEqual([["a", 0], ["b", 2]])
  inTurn(turn, 1, output)(Buffer.from("c"), () => {})
  expect(begun).toEqual(["a", "b", "c"])
})

it("one that ended in its turn holds up nobody, and takes the turn of nobody else", async () => {
  const { begun, output, next } = place()
  const turn = newTurn()
  inTurn(turn, 1, output)(Buffer.from("a"), () => {})
  endTurn(turn, 2)
  inTurn(turn, 3, output)(Buffer.from("b"), () => {})
  expect(begun).toEqual(["a"])
  const second = next()
  endTurn(turn, 1)
  await second
  expect(begun).toEqual(["a", "b"])
})
