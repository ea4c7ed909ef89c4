import { expect, it } from "vitest"
import { parseTraceparent } from "../../bus/trace/context.ts"
import { newSpanId, newTraceId, wallNow, type Span, type SpanId } from "../../bus/trace/span.ts"
import { PlainTracing, traceparentOf } from "../../bus/trace/tracing.ts"
import type { UnitChange } from "../../bus/unit/unit.ts"
import { SwapTraces } from "./swap-trace.ts"

const change = (fn: string, rev: number, span: SpanId | undefined): UnitChange => ({
  unit: { plane: "default", fn }, seq: rev, time: Math.floor(wallNow()), rows: [], traceparent: span && traceparentOf(span),
  commit: { rev, prev: rev - 1, epoch: 1, writer: "w", version: "1", digest: "ab".repeat(32), count: 1, causes: [] },
})

const scene = () => {
  const spans: Span[] = []
  const traces = new SwapTraces(new PlainTracing((span) => spans.push(span)), "pod-1")
  const offer = (fn: string, rev: number, span: SpanId | undefined) => {
    traces.taken()
    return traces.offered(change(fn, rev, span))
  }
  const swap = (...commits: readonly ReturnType<typeof offer>[]) => {
    traces.compiling(commits)
    traces.swapping()
    traces.swapped()
  }
  const of = ({ traceId }: SpanId) => spans.filter((span) => span.traceId === traceId)
  return { spans, traces, offer, swap, of }
}
const commit = (): SpanId => ({ traceId: newTraceId(), spanId: newSpanId() })

it("a commit that is served and told has five spans below its own, one after the other", () => {
  const { traces, offer, swap, of } = scene()
  const own = commit()
  swap(offer("routes", 4, own))
  const told = traces.telling()
  traces.told()
  const spans = of(own)
  expect(spans.map(({ name }) => name)).toEqual(["deliver", "fold", "compile", "swap", "ack"])
  expect(spans.every(({ parentId }) => parentId === own.spanId)).toBe(true)
  for (const [i, span] of spans.entries()) expect(span.from).toBeGreaterThanOrEqual(spans[i - 1]?.to ?? 0)
  expect(spans.at(-1)).toMatchObject({ attributes: { "headgate.pod": "pod-1", "headgate.unit": "default/routes", "headgate.revision": 4, "headgate.digest": "abababababab" } })
  expect(parseTraceparent(told ?? "")).toMatchObject({ traceId: own.traceId, spanId: spans.at(-1)?.spanId })
})

it("one that had to wait says for what, and the swap that released it is in both traces", () => {
  const { offer, swap, of } = scene()
  const [routes, endpoints] = [commit(), commit()]
  const held = offer("routes", 4, routes)
  if (held !== undefined) held.waitsFor = ["service/shop/a/80", "service/shop/b/80"]
  swap(offer("endpoints", 9, endpoints), held)
  expect(of(routes).find(({ name }) => name === "held")).toMatchObject({ attributes: { "headgate.clusters": "service/shop/a/80 service/shop/b/80" } })
  expect(of(endpoints).map(({ name }) => name)).toEqual(["deliver", "fold", "compile", "swap"])
  for (const own of [routes, endpoints]) expect(of(own).find(({ name }) => name === "swap")).toMatchObject({ attributes: { "headgate.commits": 2 } })
})

it("an ack that could not be stored goes on until one is; what is served meanwhile waits for the next", () => {
  const { traces, offer, swap, of } = scene()
  const [first, second] = [commit(), commit()]
  swap(offer("routes", 4, first))
  traces.telling()
  swap(offer("routes", 5, second))
  traces.told()
  expect(of(first).filter(({ name }) => name === "ack")).toHaveLength(1)
  expect(of(second).filter(({ name }) => name === "ack")).toHaveLength(0)
  traces.telling()
  // The bus was away: told again, with the same.
  expect(parseTraceparent(traces.telling() ?? "")?.traceId).toBe(second.traceId)
  traces.told()
  traces.told()
  expect(of(second).filter(({ name }) => name === "ack")).toHaveLength(1)
})

it("what belongs to no trace leaves none", () => {
  const { spans, traces, offer, swap } = scene()
  swap(offer("routes", 4, undefined), undefined)
  expect(traces.telling()).toBeUndefined()
  traces.told()
  expect(spans).toEqual([])
})
