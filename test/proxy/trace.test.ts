/** W3C Trace Context through the gateway, and the spans of sampled requests. */
import { expect, test } from "vitest"
import type { Span } from "../../bus/trace/span.ts"
import { RequestTraces } from "../../gateway/telemetry/request-trace.ts"
import { samplerOf, type Sampler } from "../../gateway/telemetry/sampler.ts"
import { OK, startBackend, startGateway } from "./scripted.ts"

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const PARENT = "b7ad6b7169203331"
const follow = (ratio: number): Sampler => ({ ratio, followsParent: true })

/** What the backend sees of one request with these fields, and the span that was made of it. */
const ask = async (sampler: Sampler | null, fields: string, edit?: (set: (name: string, value: string) => void) => void) => {
  const spans: Span[] = []
  await using stack = new AsyncDisposableStack()
  const backend = await startBackend()
  stack.defer(() => backend.stop())
  const gateway = await startGateway([backend.port], {
    ...(sampler === null ? {} : { traces: new RequestTraces(sampler, (span) => spans.push(span)) }),
    ...(edit === undefined ? {} : { rule: { requestHeaders: (head: { set(name: string, value: string): void }) => edit((name, value) => head.set(name, value)) } }),
  })
  stack.defer(() => gateway.stop())
  const client = await gateway.connect()
  client.say(`GET /cart?token=secret HTTP/1.1\r\nHost: shop.example\r\n${fields}\r\n`)
  const peer = await backend.accept()
  const request = await peer.message()
  peer.say(OK)
  await client.message()
  return { port: backend.port, request, spans, sent: request.head.split("\r\n").filter((line) => /^trace/i.test(line)) }
}

test("without tracing, and with a request that is not sampled, what the client sent goes on untouched, and nothing is added", async () => {
  const context = `Traceparent: 00-${TRACE}-${PARENT}-00\r\ntracestate: a=1\r\ntracestate: b=2\r\n`
  for (const sampler of [null, follow(0), follow(1)]) {
    const { sent, spans } = await ask(sampler, context)
    expect(sent).toEqual([`Traceparent: 00-${TRACE}-${PARENT}-00`, "tracestate: a=1", "tracestate: b=2"])
    expect(spans).toEqual([])
  }
  for (const sampler of [null, follow(0)]) {
    expect((await ask(sampler, "")).sent).toEqual([])
    expect((await ask(sampler, "traceparent: nonsense\r\ntracestate: a=1\r\n")).sent).toEqual(["traceparent: nonsense", "tracestate: a=1"])
  }
})

test("a sampled parent is followed: its trace goes on to the backend under the gateway's span, with its state", async () => {
  const { port, sent, spans: [span], request } = await ask(follow(0), `traceparent: 00-${TRACE}-${PARENT}-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n`)
  expect(span).toMatchObject({ traceId: TRACE, parentId: PARENT, state: "a=1, b=2", name: "GET httproute/test/it#0", kind: 2, failed: false })
  expect(span?.attributes).toMatchObject({
    "http.request.method": "GET", "http.response.status_code": 200, "http.route": "httproute/test/it#0", "server.address": "shop.example", "url.scheme": "http",
    "headgate.upstream": `127.0.0.1:${port}`, "headgate.attempts": 1,
  })
  expect(JSON.stringify(span)).not.toContain("secret")
  expect([...sent].sort()).toEqual([`traceparent: 00-${TRACE}-${span?.spanId}-01`, "tracestate: a=1", "tracestate: b=2"])
  expect(request.head.match(/traceparent/gi)).toHaveLength(1)
  expect(span?.to).toBeGreaterThanOrEqual(span?.from ?? Number.NaN)
  expect(Math.abs((span?.to ?? 0) - Date.now())).toBeLessThan(10_000)
})

test("a context that cannot be read is ignored with its state, and a trace of the gateway's own begins", async () => {
  const malformed = [
    `traceparent: 00-${TRACE}-${PARENT}-01\r\ntraceparent: 00-${TRACE}-${PARENT}-01\r\n`, `traceparent: 00-${TRACE.toUpperCase()}-${PARENT}-01\r\n`, `traceparent: ff-${TRACE}-${PARENT}-01\r\n`, "traceparent: \r\n",
  ]
  for (const fields of malformed) {
    const { sent, spans: [span] } = await ask(follow(1), `${fields}tracestate: a=1\r\n`)
    expect(span?.traceId).not.toBe(TRACE)
    expect(span).toMatchObject({ parentId: "", state: "" })
    expect(sent).toEqual([`traceparent: 00-${span?.traceId}-${span?.spanId}-01`])
  }
})

test("a filter that sets traceparent has the last word", async () => {
  const { sent } = await ask(follow(1), "", (set) => set("traceparent", `00-${TRACE}-${PARENT}-01`))
  expect(sent).toEqual([`traceparent: 00-${TRACE}-${PARENT}-01`])
})

test("traceidratio decides by the trace alone, whatever the parent decided", async () => {
  const half: Sampler = { ratio: 0.5, followsParent: false }
  expect((await ask(half, `traceparent: 00-${"1".repeat(32)}-${PARENT}-00\r\n`)).spans).toHaveLength(1)
  expect((await ask(half, `traceparent: 00-${"e".repeat(32)}-${PARENT}-01\r\n`)).spans).toHaveLength(0)
})

test("a request without a route has a span too, with what became of it", async () => {
  const spans: Span[] = []
  const gateway = await startGateway([], { traces: new RequestTraces(follow(1), (span) => spans.push(span)), find: () => null })
  const client = await gateway.connect()
  client.say("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n")
  await client.message()
  await gateway.stop()
  expect(spans).toHaveLength(1)
  expect(spans[0]).toMatchObject({ name: "HTTP", attributes: { "http.request.method": "_OTHER", "http.response.status_code": 404, "error.type": "no-route" } })
})

test("of many requests without a context the ratio is sampled", () => {
  const spans: Span[] = []
  const traces = new RequestTraces(follow(0.25), (span) => spans.push(span))
  const head = { has: () => false }
  // Only `has` is asked where there is no traceparent.
  const sampled = Array.from({ length: 8000 }, () => Reflect.apply(traces.begin, traces, [head])).filter((trace) => trace !== null).length
  expect(sampled).toBeGreaterThan(1700)
  expect(sampled).toBeLessThan(2300)
})

test.each([
  [undefined, {}, { ratio: 0, followsParent: true }],
  ["0.01", { OTEL_TRACES_SAMPLER: "always_off" }, { ratio: 0.01, followsParent: true }],
  [undefined, { OTEL_TRACES_SAMPLER: "always_on" }, { ratio: 1, followsParent: false }],
  [undefined, { OTEL_TRACES_SAMPLER: "always_off" }, null],
  [undefined, { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.5" }, { ratio: 0.5, followsParent: false }],
  [undefined, { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "1e-3" }, { ratio: 0.001, followsParent: true }],
  [undefined, { OTEL_TRACES_SAMPLER: "parentbased_always_on" }, { ratio: 1, followsParent: true }],
])("sampler of %j and %j", (flag, env, sampler) => expect(samplerOf(flag, env)).toEqual(sampler))

test("what is no ratio, and no sampler, is a mistake that is named", () => {
  for (const ratio of ["2", "-1", "", "x", "1%"]) expect(() => samplerOf(ratio, {})).toThrow(/--trace-requests: .* is not a number from 0 to 1/)
  expect(() => samplerOf(undefined, { OTEL_TRACES_SAMPLER: "sometimes" })).toThrow(/there is no sampler "sometimes"/)
})
