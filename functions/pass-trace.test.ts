import { expect, it } from "vitest"
import { formatTraceparent, parseTraceparent } from "../bus/trace/context.ts"
import { newSpanId, newTraceId, wallNow, type Span } from "../bus/trace/span.ts"
import { PlainTracing } from "../bus/trace/tracing.ts"
import { PassTraces } from "./pass-trace.ts"

const UNIT = { plane: "default", fn: "routes" }
const head = (rev: number) => ({ rev, prev: rev - 1, epoch: 3, writer: "w", version: "1", digest: "0123456789abcdef".repeat(4), count: 1, causes: [] })

const scene = () => {
  const spans: Span[] = []
  const traces = new PassTraces(new PlainTracing((span) => spans.push(span)))
  const edit = () => ({ traceId: newTraceId(), spanId: newSpanId() })
  const arrive = ({ traceId, spanId }: { readonly traceId: string; readonly spanId: string }, stored = Date.now(), isAck = false) => traces.arrived(formatTraceparent(traceId, spanId), stored, isAck)
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { spans, traces, edit, arrive, named }
}

it("a pass of nothing that is traced is none", () => {
  const { traces, arrive, edit } = scene()
  traces.arrived(undefined, 1)
  traces.arrived("00-nonsense", 1)
  expect(traces.begin()).toBeUndefined()
  arrive(edit())
  expect(traces.begin()).toBeDefined()
  expect(traces.begin()).toBeUndefined()
})

it("of several edits the first goes on, the others are linked, each is delivered in its own trace, and a message more of one is not another edit", () => {
  const { traces, arrive, edit, named } = scene()
  const [first, second] = [edit(), edit()]
  arrive(first, wallNow() - 5)
  arrive({ ...first, spanId: newSpanId() })
  arrive(second, wallNow() + 1000)
  const pass = traces.begin()
  pass?.ran("routes", "httproute > route", performance.now() - 1, performance.now(), 2)
  pass?.end()
  const [derive] = named("derive")
  expect(derive).toMatchObject({ traceId: first.traceId, parentId: first.spanId, links: [second], attributes: { "headgate.edits": 2, "headgate.derivations": 1 } })
  expect(named("deliver").map(({ traceId, parentId }) => ({ traceId, spanId: parentId }))).toEqual([first, second])
  // Stored by a clock that is ahead: not before, but at once.
  expect(named("deliver").map(({ from, to }) => Math.round(to - from))).toEqual([5, 0])
  expect(named("routes: httproute > route")).toMatchObject([{ traceId: first.traceId, parentId: derive?.spanId, attributes: { "headgate.runs": 2 } }])
})

it("names 32 of many edits and of many collections, and says how many more there were", () => {
  const { traces, arrive, edit, named, spans } = scene()
  for (let i = 0; i < 100; i++) arrive(edit())
  const pass = traces.begin()
  for (let i = 0; i < 50; i++) pass?.ran("f", `${i}`, 1, 2, 1)
  pass?.end()
  expect(named("derive")[0]).toMatchObject({ attributes: { "headgate.edits": 100, "headgate.derivations": 50, "headgate.left_out": 18 } })
  expect(named("derive")[0]?.links).toHaveLength(32)
  expect(spans.filter(({ name }) => name.startsWith("f: "))).toHaveLength(32)
})

it("a commit is a span from staged to stored, carries its context, and links to further passes it took up", () => {
  const { traces, arrive, edit, named } = scene()
  const { onCommitting, onCommitted } = traces.commits(UNIT)
  const passes = [edit(), edit()].map((each) => {
    arrive(each)
    const pass = traces.begin()
    pass?.end()
    traces.staged(UNIT, pass?.traceparent)
    return pass?.traceparent ?? ""
  })
  const carried = onCommitting(head(7), 4, passes[0])
  onCommitted(head(7), 99)
  const [commit] = named("commit default/routes")
  expect(parseTraceparent(carried ?? "")).toMatchObject({ traceId: commit?.traceId, spanId: commit?.spanId })
  expect(commit).toMatchObject({
    parentId: parseTraceparent(passes[0] ?? "")?.spanId, links: [{ traceId: parseTraceparent(passes[1] ?? "")?.traceId }], failed: false,
    attributes: { "headgate.unit": "default/routes", "headgate.revision": 7, "headgate.epoch": 3, "headgate.entries": 4, "headgate.digest": "0123456789ab", "messaging.message.id": "99" },
  })
})

it("a commit of nothing traced carries nothing, and one that another writer's came before has failed", () => {
  const { traces, arrive, edit, named } = scene()
  const { onCommitting, onCommitted } = traces.commits(UNIT)
  expect(onCommitting(head(1), 1, undefined)).toBeUndefined()
  onCommitted(head(1), 1)
  expect(named("commit default/routes")).toEqual([])
  arrive(edit())
  const traceparent = traces.begin()?.traceparent
  onCommitting(head(2), 1, traceparent)
  onCommitting(head(5), 1, traceparent)
  onCommitted(head(5), 8)
  expect(named("commit default/routes").map(({ failed }) => failed)).toEqual([true, false])
})

it("what runs after the pass, because nobody waits for it, is told with the wait", () => {
  const { traces, arrive, edit, named } = scene()
  arrive(edit())
  const pass = traces.begin()
  pass?.end()
  const from = performance.now() + 20
  pass?.ran("status", "httproute > 4", from, from + 1, 1)
  const [derive, postponed] = [named("derive")[0], named("postponed")[0]]
  expect(postponed).toMatchObject({ parentId: derive?.spanId, from: derive?.to })
  expect(postponed?.to).toBeCloseTo(named("status: httproute > 4")[0]?.from ?? Number.NaN, 6)
})

it("a pass that took up acks alone is told once something comes of it, and by nothing else", () => {
  const { spans, traces, arrive, edit, named } = scene()
  const [nothing, something] = [edit(), edit()]
  for (const ack of [nothing, something]) {
    arrive(ack, wallNow() - 3, true)
    const pass = traces.begin()
    pass?.ran("status", "applied > status", performance.now(), performance.now(), 1)
    pass?.end()
    expect(spans).toEqual([])
    if (ack === something) traces.staged(UNIT, pass?.traceparent)
  }
  expect(named("deliver")).toMatchObject([{ traceId: something.traceId, parentId: something.spanId }])
  expect(named("derive")).toMatchObject([{ traceId: something.traceId, parentId: something.spanId, attributes: { "headgate.derivations": 1 } }])
  expect(named("status: applied > status")).toMatchObject([{ parentId: named("derive")[0]?.spanId }])
  expect(spans.every(({ traceId }) => traceId === something.traceId)).toBe(true)
  // Its commit hangs on it.
  const { onCommitting, onCommitted } = traces.commits(UNIT)
  onCommitting(head(1), 1, formatTraceparent(something.traceId, something.spanId))
  onCommitted(head(1), 1)
  expect(named("commit default/routes")).toMatchObject([{ traceId: something.traceId, parentId: named("derive")[0]?.spanId }])
  // Also where it was staged before its end.
  arrive(edit(), wallNow(), true)
  const pass = traces.begin()
  traces.staged(UNIT, pass?.traceparent)
  pass?.end()
  expect(named("derive")).toHaveLength(2)
})

it("an edit that comes with the ack of another goes on in its own trace", () => {
  const { traces, arrive, edit, named } = scene()
  const [other, own] = [edit(), edit()]
  arrive(other, wallNow(), true)
  arrive(own)
  traces.begin()?.end()
  expect(named("derive")).toMatchObject([{ traceId: own.traceId, links: [other] }])
})

it("a commit does not begin with, nor link to, what was taken back before it", () => {
  const { traces, arrive, edit, named } = scene()
  const { onCommitting, onCommitted } = traces.commits(UNIT)
  const pass = () => {
    arrive(edit())
    const begun = traces.begin()
    begun?.end()
    traces.staged(UNIT, begun?.traceparent)
    return begun?.traceparent
  }
  pass()
  const before = wallNow()
  const own = pass()
  onCommitting(head(1), 1, own)
  onCommitted(head(1), 1)
  expect(named("commit default/routes")).toMatchObject([{ links: [] }])
  expect(named("commit default/routes")[0]?.from).toBeGreaterThanOrEqual(before)
})
