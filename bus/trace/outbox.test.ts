import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { Outbox } from "./outbox.ts"
import type { Span } from "./span.ts"
import { PlainTracing } from "./tracing.ts"

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

const scene = (most?: number) => {
  const sent: { readonly names: readonly string[]; readonly leftOut: number; readonly done: () => void }[] = []
  const outbox = new Outbox((spans: readonly Span[], leftOut) => new Promise((resolve) => { sent.push({ names: spans.map(({ name }) => name), leftOut, done: resolve }) }), most)
  const tracing = new PlainTracing(outbox.add)
  const span = (name: string) => tracing.begin({ name, start: 1 }).end(2)
  return { sent, outbox, span }
}

it("what comes within a second goes out together, and nothing while there is nothing", async () => {
  const { sent, span } = scene()
  span("a")
  await vi.advanceTimersByTimeAsync(900)
  span("b")
  expect(sent).toEqual([])
  await vi.advanceTimersByTimeAsync(100)
  expect(sent.map(({ names }) => names)).toEqual([["a", "b"]])
  sent[0]?.done()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(sent).toHaveLength(1)
  expect(vi.getTimerCount()).toBe(0)
})

it("while a batch is on its way the next gathers; what is beyond the bound is left out and counted", async () => {
  const { sent, span } = scene(3)
  span("a")
  await vi.advanceTimersByTimeAsync(1000)
  for (const name of ["b", "c", "d", "e", "f"]) span(name)
  await vi.advanceTimersByTimeAsync(5000)
  expect(sent).toHaveLength(1)
  sent[0]?.done()
  await vi.advanceTimersByTimeAsync(1000)
  expect(sent[1]).toMatchObject({ names: ["b", "c", "d"], leftOut: 2 })
})

it("at the end what waits goes out behind what is on its way; nobody waits longer than 2 s", async () => {
  const { sent, outbox, span } = scene()
  span("a")
  await vi.advanceTimersByTimeAsync(1000)
  span("b")
  const flushed = vi.fn<() => void>()
  void outbox.flush().then(flushed)
  await vi.advanceTimersByTimeAsync(0)
  expect(sent).toHaveLength(1)
  sent[0]?.done()
  await vi.advanceTimersByTimeAsync(0)
  expect(sent.map(({ names }) => names)).toEqual([["a"], ["b"]])
  expect(flushed).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(2000)
  expect(flushed).toHaveBeenCalled()
})
