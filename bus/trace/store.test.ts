import { expect, it } from "vitest"
import { memoryStore } from "../memory.ts"
import { decodeBatch } from "./batch.ts"
import { PlainTracing } from "./tracing.ts"
import type { Span } from "./span.ts"
import { TraceStore } from "./store.ts"
import { targetsOf } from "./targets.ts"

const spans = (count: number, text: string): readonly Span[] => {
  const all: Span[] = []
  const tracing = new PlainTracing((span) => all.push(span))
  for (let i = 0; i < count; i++) tracing.begin({ name: `${i} ${text}`, start: 1 }).end(2)
  return all
}

const namesIn = (data: Uint8Array): readonly string[] => decodeBatch(new TextDecoder().decode(data)).spans.map(({ name }) => name.slice(0, name.indexOf(" ")))

it("a batch is one message of its part and instance; one too large for the bus becomes several, and nothing is lost", async () => {
  const memory = memoryStore()
  const store = new TraceStore({ part: "gateway", plane: "a.b", instance: "pod.1", resource: {} })
  store.attach(memory.bus())
  await store.add(spans(3, "short"))
  expect(memory.messages("TRACES").map(({ subject }) => subject)).toEqual(["trace.gateway.a_db.pod_d1"])
  await store.add(spans(600, "x".repeat(3000)))
  const [, ...large] = memory.messages("TRACES")
  expect(large.length).toBeGreaterThan(1)
  expect(new Set(large.flatMap(({ data }) => namesIn(data))).size).toBe(600)
  expect(large.every(({ data }) => data.length < 1024 * 1024 - 4096)).toBe(true)
  expect(store.lost).toBe(0)
})

it("what cannot be stored is counted, and stops nobody", async () => {
  const memory = memoryStore()
  const store = new TraceStore({ part: "functions", instance: "p", resource: {} })
  await store.add(spans(2, "before there is a bus"))
  const bus = memory.bus()
  bus.disconnect()
  store.attach(bus)
  await store.add(spans(3, "while it is away"))
  bus.connect()
  await store.add(spans(1, "x".repeat(600 * 1024)))
  expect(store.lost).toBe(6)
  await store.add(spans(1, "after"))
  expect(memory.messages("TRACES").map(({ subject }) => subject)).toEqual(["trace.functions.p"])
})

it.each([
  [{}, undefined],
  [{ HEADGATE_TRACES: "on" }, { bus: true, otlp: undefined }],
  [{ HEADGATE_TRACES: "off", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318" }, undefined],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318/" }, { bus: false, otlp: "http://127.0.0.1:4318/v1/traces" }],
  [{ HEADGATE_TRACES: "on", OTEL_EXPORTER_OTLP_ENDPOINT: "http://a", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://b/in" }, { bus: true, otlp: "http://b/in" }],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://a", OTEL_SDK_DISABLED: "true" }, undefined],
  [{ HEADGATE_TRACES: "on", OTEL_EXPORTER_OTLP_ENDPOINT: "http://a", OTEL_TRACES_EXPORTER: "none" }, { bus: true, otlp: undefined }],
  [{ HEADGATE_TRACES: "", OTEL_EXPORTER_OTLP_ENDPOINT: "" }, undefined],
])("%j is traced to %j", (env, targets) => expect(targetsOf(env)).toEqual(targets))

it("another value of HEADGATE_TRACES is a mistake", () => expect(() => targetsOf({ HEADGATE_TRACES: "yes" })).toThrow(/HEADGATE_TRACES: "yes" is neither on nor off/))
