import { expect, test } from "vitest"
import { memoryStore } from "../../bus/memory.ts"
import { commitSubject, resourceSubject } from "../../bus/subject.ts"
import { encodeCommit } from "../../bus/unit/commit.ts"
import { events } from "./events.ts"
import { observe } from "./observe.ts"

test("a unit that is not what its commit says is an error that says so, not a wait without end", async () => {
  const bus = memoryStore().bus()
  const head = { rev: 1, prev: 0, epoch: 1, writer: "w", version: "1", digest: "0".repeat(64), count: 3, causes: [] }
  await bus.publish({ subject: commitSubject("default", "routes"), data: encodeCommit(head, { diff: "[]" }), headers: { "Hg-Rev": "1", "Hg-Epoch": "1", "Hg-Writer": "routes" } })
  await expect(observe(bus, 50)).rejects.toThrow(/cannot be read: unit default\/routes: .*digest/)
})

test("a body that is no JSON is shown as it is, and an event like any other", async () => {
  const bus = memoryStore().bus()
  await bus.publish({ subject: resourceSubject("note", "files/a"), data: "{" })
  expect((await observe(bus)).resources).toMatchObject([{ kind: "note", value: "{" }])
  const lines: string[] = []
  await events(bus, false, (line) => lines.push(line))
  expect(lines).toHaveLength(1)
})
