import { expect, test } from "vitest"
import type { Progress } from "../../functions/progress.ts"
import { Answering, type Declared } from "./wait-functions.ts"

const declared = new Map<string, Declared>([
  ["routes", { reads: ["httproute", "overlay"], writes: ["route", "demand"] }],
  ["endpoints", { reads: ["demand", "service"], writes: ["cluster"] }],
  ["maintenance", { reads: ["httproute"], writes: ["overlay"] }],
  ["certs", { reads: ["secret"], writes: ["certificate"] }],
])

const scene = (together: readonly (readonly string[])[]) => {
  const heard = new Map<string, Progress>()
  return {
    heard,
    say: (fn: string, resources: number, config: number, committed: number) => {
      for (const each of together.find((one) => one.includes(fn)) ?? [fn]) heard.set(each, { function: each, resources, config, committed, together: together.find((one) => one.includes(fn)) ?? [fn] })
    },
  }
}

test("only functions that an edit can reach are waited for, also by way of others", () => {
  const { heard } = scene([])
  expect(new Answering(["httproute"], 1, declared, heard).functions).toEqual(["endpoints", "maintenance", "routes"])
  expect(new Answering(["service"], 1, declared, heard).functions).toEqual(["endpoints"])
  expect(new Answering(["namespace"], 1, declared, heard).lacking()).toEqual([])
})

test("in one process one number speaks for all", () => {
  const { heard, say } = scene([["routes", "endpoints", "maintenance"]])
  const answering = new Answering(["httproute"], 10, declared, heard)
  expect(answering.lacking()).toHaveLength(3)
  say("routes", 9, 0, 5)
  expect(answering.lacking()[1]).toMatch(/function maintenance has answered RESOURCES up to 9, not yet 10/)
  say("routes", 10, 0, 7)
  expect(answering.lacking()).toEqual([])
  expect(answering.committed).toBe(7)
})

test("from process to process what was committed has to be read, step by step", () => {
  const { heard, say } = scene([["routes"], ["endpoints"], ["maintenance"]])
  const answering = new Answering(["httproute"], 10, declared, heard)
  say("routes", 10, 0, 20)
  say("endpoints", 10, 0, 3)
  say("maintenance", 10, 0, 21)
  expect(answering.lacking()).toEqual([expect.stringMatching(/endpoints has answered .* up to 0 of CONFIG, not yet 20/), expect.stringMatching(/routes .* up to 0 of CONFIG, not yet 21/)])
  say("endpoints", 10, 20, 3)
  expect(answering.lacking()).toHaveLength(1)
  // The overlay changes a route, which demands another cluster.
  say("routes", 10, 21, 22)
  expect(answering.lacking()).toEqual([expect.stringMatching(/endpoints has answered .* up to 20 of CONFIG, not yet 22/)])
  say("endpoints", 10, 22, 23)
  expect(answering.lacking()).toEqual([])
  expect(answering.committed).toBe(23)
})

test("functions in a circle, and constant change, come to an end", () => {
  const circle = new Map<string, Declared>([["a", { reads: ["thing", "y"], writes: ["x"] }], ["b", { reads: ["x"], writes: ["y"] }]])
  const { heard, say } = scene([["a"], ["b"]])
  const answering = new Answering(["thing"], 1, circle, heard)
  let seq = 10
  let rounds = 0
  say("a", 1, 0, ++seq)
  say("b", 1, 0, ++seq)
  while (answering.lacking().length > 0 && rounds++ < 20) {
    say("a", 1, seq, seq + 1)
    say("b", 1, seq, seq + 2)
    seq += 2
  }
  expect(rounds).toBeLessThan(10)
})

test("a function that starts again is believed from what it says now", () => {
  const { heard, say } = scene([["certs"]])
  const answering = new Answering(["secret"], 10, declared, heard)
  say("certs", 4, 0, 0)
  expect(answering.lacking()).toHaveLength(1)
  say("certs", 12, 0, 0)
  expect(answering.lacking()).toEqual([])
})
