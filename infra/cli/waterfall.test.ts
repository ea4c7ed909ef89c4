import { describe, expect, it } from "vitest"
import { PlainTracing } from "../../bus/trace/tracing.ts"
import { encodeBatch } from "../../bus/trace/batch.ts"
import type { Span, SpanId } from "../../bus/trace/span.ts"
import { spansIn, type SeenSpan } from "./trace-spans.ts"
import { gapsIn, servedAfter, waterfall } from "./waterfall.ts"

const T = 1_700_000_000_000

interface Sketch {
  readonly name: string
  readonly part: string
  readonly from: number
  readonly to: number
  readonly attributes?: Readonly<Record<string, string>>
  readonly below?: readonly Sketch[]
}

/** As they would be read from the bus. */
const seen = (...sketches: readonly Sketch[]): readonly SeenSpan[] => {
  const batches: string[] = []
  const put = ({ name, part, from, to, attributes = {}, below = [] }: Sketch, parent: SpanId | undefined): void => {
    const spans: Span[] = []
    const open = new PlainTracing((span) => spans.push(span)).begin({ name, start: T + from, parent, attributes })
    open.end(T + to)
    batches.push(encodeBatch({ "headgate.part": part, "service.instance.id": "up" }, spans))
    for (const each of below) put(each, open)
  }
  for (const sketch of sketches) put(sketch, undefined)
  return batches.flatMap(spansIn)
}

const ack = (to: number, pod = "up"): Sketch => ({ name: "ack", part: "gateway", from: to - 0.5, to, attributes: { "headgate.pod": pod } })

describe("what no span accounts for", () => {
  it("is found where it is longer than 2 ms, also under a root that lasts over it", () => {
    const spans = seen({ name: "edit httproute a/b", part: "adapter", from: 0, to: 20, below: [
      { name: "read", part: "adapter", from: 0, to: 1 },
      { name: "publish httproute a/b", part: "adapter", from: 2.9, to: 4, below: [{ name: "derive", part: "functions", from: 9, to: 10, below: [ack(11)] }] },
    ] })
    expect(gapsIn(spans).map(({ before, after, from, to }) => [before.name, after.name, Math.round(from - T), Math.round(to - T)])).toEqual([["publish httproute a/b", "derive", 4, 9]])
    expect(waterfall(spans)).toMatch(/\(not accounted for, on the way f.* +4\.00 +5\.00 +·+\n.*derive/)
  })

  it("is nothing where spans overlap or follow each other closely", () => {
    expect(gapsIn(seen({ name: "edit x", part: "adapter", from: 0, to: 1, below: [{ name: "read", part: "adapter", from: 0, to: 5 }, { name: "parse", part: "adapter", from: 1, to: 2 }, { name: "publish", part: "adapter", from: 6.9, to: 9 }] }))).toEqual([])
  })
})

describe("the waterfall", () => {
  it("nests, gives times from the first span on, and says when each pod served it", () => {
    const text = waterfall(seen({ name: "edit httproute a/b", part: "adapter", from: 0, to: 3, below: [
      { name: "publish httproute a/b", part: "adapter", from: 1, to: 3, below: [
        { name: "commit default/routes", part: "functions", from: 3, to: 5, attributes: { "headgate.revision": "7" }, below: [{ name: "held", part: "gateway", from: 5, to: 8, attributes: { "headgate.clusters": "service/a/b/80" } }, ack(10)] },
      ] },
    ] }))
    expect(text.split("\n").map((line) => line.replace(/ [█·]+$/, "").replaceAll(/ +/g, " ").trimEnd())).toEqual([
      "PROCESS SPAN AT ms TOOK ms",
      "adapter edit httproute a/b 0.00 3.00",
      "adapter publish httproute a/b 1.00 2.00",
      "functions commit default/routes rev 7 3.00 2.00",
      "gateway up held for service/a/b/80 5.00 3.00",
      "gateway up ack 9.50 0.50",
      "",
      "Served after: up 10.00 ms",
      "",
    ])
  })

  it("draws nothing before what it follows from, whatever the clocks say", () => {
    const text = waterfall(seen({ name: "edit x", part: "adapter", from: 10, to: 12, below: [{ name: "deliver", part: "functions", from: 4, to: 5 }] }))
    expect(text).toMatch(/deliver +0\.00 +0\.00/)
  })

  it("says so when nobody served it, and keeps names from the terminal's control", () => {
    const text = waterfall(seen({ name: "edit \u001b[31mred", part: "adapter", from: 0, to: 1 }))
    expect(text).toContain("no gateway has served anything because of it")
    expect(text).not.toContain("\u001b")
  })

  it("has at most 100 columns, whatever the names", () => {
    const long = seen({ name: "x".repeat(200), part: "y".repeat(40), from: 0, to: 1e7, below: [{ name: "z".repeat(80), part: "gateway", from: 9_999_999, to: 1e7 }] })
    expect(Math.max(...waterfall(long).split("\n").slice(0, 3).map((line) => line.length))).toBeLessThanOrEqual(100)
  })
})

it("several pods are each served by their last ack", () => {
  expect([...servedAfter(seen({ name: "edit x", part: "adapter", from: 0, to: 1, below: [ack(4), ack(6), ack(5, "other")] }))]).toEqual([["up", expect.closeTo(6, 2)], ["other", expect.closeTo(5, 2)]])
})
