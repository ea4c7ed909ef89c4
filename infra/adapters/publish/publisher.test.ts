/** The publisher against the memory bus. */
import { expect, test } from "vitest"
import type { Bus } from "../../../bus/bus.ts"
import { header } from "../../../bus/envelope.ts"
import { memoryStore } from "../../../bus/memory.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import type { Desired } from "./desired.ts"
import { type Held, heldOf, Publisher } from "./publisher.ts"

const subject = resourceSubject("service", "default/a")
const service = (body: string): Desired => ({ kind: "service", key: "default/a", body, version: "v", source: "a.yaml" })

const publisherOn = (bus: Bus, held = new Map<string, Held>()) => {
  const desired = new Map<string, Desired>()
  const said: (readonly [string, string | undefined])[] = []
  const publisher = new Publisher({ bus, writer: "adapter.files", epoch: 1, desired, held, onOver: (reason) => { throw new Error(reason) }, onTrouble: (about, trouble) => { said.push([about, trouble?.reason]) } })
  const want = async (body: string | undefined): Promise<void> => {
    if (body === undefined) desired.delete(subject)
    else desired.set(subject, service(body))
    publisher.touch([subject])
    await publisher.settled()
  }
  return { want, said, publisher }
}

const HUGE = JSON.stringify({ spec: "x".repeat(1024 * 1024) })

test("what the bus refuses is tried once and said once, and again once it is something else", async () => {
  const store = memoryStore()
  const { want, said } = publisherOn(store.bus())
  await want(HUGE)
  await want(HUGE)
  expect(said).toEqual([[subject, "Rejected"]])
  await want('{"spec":1}')
  expect(said).toEqual([[subject, "Rejected"], [subject, undefined]])
  expect(store.messages("RESOURCES")).toHaveLength(1)
  await want(HUGE)
  await want(undefined)
  expect(said.slice(2)).toEqual([[subject, "Rejected"], [subject, undefined]])
  expect(store.messages("RESOURCES").at(-1)?.headers[header.deleted]).toBe("1")
})

test("a resource of another adapter is left alone, which is said until it is no longer wanted", async () => {
  const store = memoryStore()
  const bus = store.bus()
  await bus.publish({ subject, data: "{}", headers: { [header.writer]: "adapter.other" } })
  const last = await bus.last("RESOURCES", subject)
  const { want, said } = publisherOn(bus, new Map(last === undefined ? [] : [[subject, heldOf(last, "adapter.files")]]))
  await want('{"spec":1}')
  await want(undefined)
  expect(said).toEqual([[subject, "OwnedByAnotherAdapter"], [subject, undefined]])
  expect(store.messages("RESOURCES")).toHaveLength(1)
})
