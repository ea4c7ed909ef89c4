import fc from "fast-check"
import { expect, it } from "vitest"
import { kind, newSpanId, newTraceId, otlpRequest, type Span } from "./span.ts"

const span = (more: Partial<Span> = {}): Span => ({
  traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", parentId: "", state: "", name: "derive", kind: kind.internal, from: 1_700_000_000_000.25, to: 1_700_000_000_001, attributes: {}, links: [], failed: false, ...more,
})

it("a batch is a request of OTLP/JSON", () => {
  const attributes = { text: `"quoted"\n`, whole: 7, part: 0.5, yes: true }
  const link = { traceId: newTraceId(), spanId: newSpanId() }
  expect(JSON.parse(JSON.stringify(otlpRequest([{ resource: { "service.name": "x" }, spans: [span({ parentId: "00f067aa0ba902b7", state: "a=b", attributes, links: [link], failed: true }), span({ name: "swap" })] }])))).toEqual({
    resourceSpans: [{
      resource: { attributes: [{ key: "service.name", value: { stringValue: "x" } }] },
      scopeSpans: [{
        scope: { name: "headgate" },
        spans: [
          {
            traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", parentSpanId: "00f067aa0ba902b7", traceState: "a=b", name: "derive", kind: 1, startTimeUnixNano: "1700000000000250000", endTimeUnixNano: "1700000000001000000", links: [link], status: { code: 2 },
            attributes: [{ key: "text", value: { stringValue: `"quoted"\n` } }, { key: "whole", value: { intValue: "7" } }, { key: "part", value: { doubleValue: 0.5 } }, { key: "yes", value: { boolValue: true } }],
          },
          { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", name: "swap", kind: 1, startTimeUnixNano: "1700000000000250000", endTimeUnixNano: "1700000000001000000", attributes: [], status: {} },
        ],
      }],
    }],
  })
})

/** As OTLP has it. */
const nanoseconds = (from: number): string => /"startTimeUnixNano":"(\d+)"/.exec(JSON.stringify(otlpRequest([{ resource: {}, spans: [span({ from })] }])))?.[1] ?? ""

it("nanoseconds keep the microsecond, and the order of times", () => {
  fc.assert(fc.property(fc.integer({ min: 1_500_000_000_000, max: 2_500_000_000_000 }), fc.integer({ min: 0, max: 999 }), (milliseconds, microseconds) => {
    expect(nanoseconds(milliseconds + microseconds / 1000).slice(0, -3)).toMatch(new RegExp(`^${milliseconds}(?:${String(microseconds).padStart(3, "0")}|${String(microseconds - 1).padStart(3, "0")})$`))
  }))
  const time = fc.double({ min: 1.5e12, max: 2.5e12, noNaN: true })
  fc.assert(fc.property(time, time, (a, b) => { if (a < b) expect(BigInt(nanoseconds(a))).toBeLessThanOrEqual(BigInt(nanoseconds(b))) }))
})

it("ids are of the right length and differ", () => {
  const ids = Array.from({ length: 2000 }, () => [newTraceId(), newSpanId()])
  expect(ids.every(([trace = "", own = ""]) => /^[0-9a-f]{32}$/.test(trace) && /^[0-9a-f]{16}$/.test(own))).toBe(true)
  expect(new Set(ids.flat()).size).toBe(4000)
})
