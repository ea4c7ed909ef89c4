import type { BigIntStats } from "node:fs"
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { memoryStore } from "../../../bus/memory.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import { parseTraceparent } from "../../../bus/trace/context.ts"
import type { Span } from "../../../bus/trace/span.ts"
import { PlainTracing } from "../../../bus/trace/tracing.ts"
import type { Desired } from "../publish/desired.ts"
import { EditTraces } from "./edit-trace.ts"
import { Publisher, type Held } from "../publish/publisher.ts"

let folder = ""
let stat: BigIntStats
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "headgate edit-trace "))
  writeFileSync(join(folder, "a.yaml"), "x")
  stat = statSync(join(folder, "a.yaml"), { bigint: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

const subject = (index: number) => resourceSubject("httproute", `shop/r${index}`)

const scene = () => {
  const spans: Span[] = []
  const edits = new EditTraces(new PlainTracing((span) => spans.push(span)))
  const store = memoryStore()
  const desired = new Map<string, Desired>()
  const held = new Map<string, Held>()
  const publisher = new Publisher({ writer: "adapter.files", bus: store.bus(), epoch: 1, desired, held, onTrouble: () => undefined, onOver: () => undefined })
  const change = (subjects: readonly string[], body = "its content") => {
    edits.noticed("a.yaml")
    edits.reads("a.yaml")
    edits.parses("a.yaml", stat)
    edits.taken("a.yaml")
    edits.done("a.yaml")
    for (const each of subjects) desired.set(each, { kind: "httproute", key: each, body, version: "", source: "a.yaml" })
    publisher.touch(subjects, edits.edit(new Set(subjects)))
  }
  const traceOf = (each: string) => parseTraceparent(store.messages("RESOURCES").findLast((message) => message.subject === each)?.headers["traceparent"] ?? "")
  return { spans, edits, store, publisher, change, traceOf, root: () => spans.find(({ parentId }) => parentId === "") }
}

describe("an edit", () => {
  it("begins when the file changed, ends with the last ack, and its objects carry the context of their publish span", async () => {
    const { spans, publisher, change, traceOf, root } = scene()
    change([subject(1), subject(2)])
    await publisher.settled()
    expect(spans.map(({ name }) => name).sort()).toEqual(["edit httproute shop/r1 and 1 more", "notice", "parse", "publish httproute shop/r1", "publish httproute shop/r2", "read"])
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1)
    expect(root()?.from).toBeCloseTo(Number(stat.ctimeNs) / 1e6, 2)
    for (const index of [1, 2]) expect(traceOf(subject(index))).toEqual({ traceId: root()?.traceId, spanId: spans.find(({ name }) => name === `publish httproute shop/r${index}`)?.spanId, isSampled: true })
    expect(spans.every(({ to }) => to <= (root()?.to ?? 0))).toBe(true)
    expect(JSON.stringify(spans)).not.toContain("its content")
  })

  it("of many objects has a span for 32 of them; the others carry its own context", async () => {
    const { spans, publisher, change, traceOf, root } = scene()
    change(Array.from({ length: 50 }, (_, index) => subject(index)))
    await publisher.settled()
    expect(spans.filter(({ name }) => name.startsWith("publish"))).toHaveLength(32)
    expect(traceOf(subject(49))?.spanId).toBe(root()?.spanId)
    expect(root()?.attributes["headgate.objects"]).toBe(50)
  })

  it("that leads to nothing new is no trace, and one that is overtaken ends", async () => {
    const { spans, publisher, change, edits } = scene()
    change([])
    expect(edits.edit(new Set([subject(1)]))).toBeUndefined()
    change([subject(1)], "1")
    // While that is on its way:
    change([subject(1)], "2")
    change([subject(1)], "3")
    await publisher.settled()
    const roots = spans.filter(({ parentId }) => parentId === "")
    expect(roots).toHaveLength(3)
    expect(spans.filter(({ name }) => name.startsWith("publish")).map(({ traceId }) => traceId)).toEqual([roots.find(({ traceId }) => traceId !== roots[0]?.traceId)?.traceId, roots.at(-1)?.traceId])
  })

  it("says how long a file had to be quiet, and takes no change time that is of another event", () => {
    const { spans, edits } = scene()
    edits.noticed("a.yaml")
    for (const since = performance.now(); performance.now() - since < 2; );
    edits.reads("a.yaml")
    edits.parses("a.yaml", Object.assign(Object.create(stat), { ctimeNs: stat.ctimeNs - 5_000_000_000n }))
    edits.taken("a.yaml")
    const edit = edits.edit(new Set([subject(1)]))
    edit?.settled(subject(1), undefined)
    expect(spans.map(({ name }) => name)).toEqual(["settle", "read", "parse", "edit httproute shop/r1"])
  })
})

it("without tracing nothing of it is in a message", async () => {
  const store = memoryStore()
  const desired = new Map<string, Desired>([[subject(1), { kind: "httproute", key: "shop/r1", body: "{}", version: "", source: "a.yaml" }]])
  const publisher = new Publisher({ writer: "adapter.files", bus: store.bus(), epoch: 1, desired, held: new Map(), onTrouble: () => undefined, onOver: () => undefined })
  publisher.touch([subject(1)])
  await publisher.settled()
  expect(store.messages("RESOURCES")[0]?.headers).not.toHaveProperty("traceparent")
})
