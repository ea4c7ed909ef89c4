import { expect, test } from "vitest"
import { memoryStore } from "../../bus/memory.ts"
import { appliedSubject } from "../../bus/subject.ts"
import { followApplied } from "./readiness.ts"

test("what a pod says of itself is followed, and what no pod would say passed over", async () => {
  const bus = memoryStore().bus()
  const subject = appliedSubject("default", "up")
  const pods: string[] = []
  const stop = followApplied(bus, subject, ({ pod }) => pods.push(pod))
  for (const data of ["{", "1", "{}", JSON.stringify({ schema: 1, pod: "up", ready: true, listeners: [], units: {} })]) await bus.publish({ subject, data })
  await stop()
  expect(pods).toEqual(["up"])
})
