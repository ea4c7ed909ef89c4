import { expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { memoryStore } from "../../bus/memory.ts"
import { appliedSubject, commitSubject, configSubject, resourceSubject } from "../../bus/subject.ts"
import { openUnit } from "../../bus/unit/writer.ts"
import { ASK_PROGRESS, progressSubject } from "../../bus/hints.ts"
import type { Progress } from "../../functions/progress.ts"
import { wait, type Waited } from "./wait.ts"

const turns = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Everything in step by hand: an adapter, a function `routes`, a gateway. */
const scene = async () => {
  const store = memoryStore({ now: () => Date.now() })
  const bus = store.bus()
  const unit = (plane: string) => openUnit(bus, { unit: { plane, fn: "routes" }, epoch: 1, writer: "w", version: "1", onSteppedDown: () => undefined })
  const control = await unit("_")
  const writer = await unit("p")
  let value = 0
  const declared = { schema: 1, version: "1", reads: ["httproute"], writes: ["route", "listener"] }
  control.stage([{ subject: configSubject("_", "function", "routes"), body: JSON.stringify(declared), causes: [] }])
  await control.settled()
  const commit = async (): Promise<number> => {
    writer.stage([{ subject: configSubject("p", "listener", "l"), body: String(++value), causes: [] }])
    await writer.settled()
    return writer.seq
  }
  const edit = () => bus.publish({ subject: resourceSubject("httproute", "default/web"), data: "{}" })
  const says = (progress: Partial<Progress>, from: Bus = bus): void => from.hint(progressSubject("routes"), JSON.stringify({ function: "routes", resources: 0, config: 0, together: ["routes"], committed: 0, ...progress }))
  const digest = async (): Promise<string> => JSON.parse(new TextDecoder().decode((await bus.last("CONFIG", commitSubject("p", "routes")))?.data)).digest
  const ack = async (rev: number, of?: string): Promise<void> => {
    await bus.publish({ subject: appliedSubject("p", "one"), data: JSON.stringify({ schema: 1, pod: "one", plane: "p", ready: true, admin: "", units: { routes: { rev, epoch: 1, seq: 1, digest: of ?? (await digest()) } }, listeners: [], notes: [] }) })
  }
  const waiting = (timeout = 5_000): Promise<Waited> => wait(store.bus(), { objects: [{ kind: "httproute", key: "default/web" }], for: "live", timeout, manifests: undefined })
  return { store, bus, commit, edit, says, ack, waiting, digest }
}

test("a hint that overtakes the commit it tells of does not end it: the commit is waited for, and then its ack", async () => {
  const { commit, edit, says, ack, waiting, bus } = await scene()
  const first = await commit()
  await ack(1)
  const { seq } = await edit()
  const off = bus.onHint(ASK_PROGRESS, () => says({ resources: seq, committed: first + 100 }))
  expect(await waiting(100)).toMatchObject({ status: 1, text: expect.stringMatching(/commits up to \d+ of CONFIG have not arrived here/) })
  off()
  const done = waiting()
  says({ resources: seq, committed: await commit() })
  says({ resources: seq, committed: await commit() })
  bus.onHint(ASK_PROGRESS, () => says({ resources: seq }))
  await ack(3)
  expect(await done).toMatchObject({ status: 0 })
})

test("a hint that is lost is asked for again", async () => {
  const { commit, edit, says, ack, waiting, bus } = await scene()
  await commit()
  const { seq } = await edit()
  await ack(1)
  let asked = 0
  bus.onHint(ASK_PROGRESS, () => {
    if (++asked > 2) says({ resources: seq })
  })
  expect(await waiting()).toMatchObject({ status: 0 })
  expect(asked).toBeGreaterThan(2)
})

test("what is committed after the functions have answered is another edit's, and not waited for", async () => {
  const { commit, edit, says, ack, waiting, digest } = await scene()
  await commit()
  const first = await digest()
  const { seq } = await edit()
  const done = waiting()
  await turns()
  says({ resources: seq })
  await turns()
  await commit()
  await ack(1, first)
  expect(await done).toMatchObject({ status: 0 })
})

test("a store that is lost while waiting is an error, and so is one that shows nothing", async () => {
  const { store, commit, edit, waiting } = await scene()
  await commit()
  await edit()
  const done = waiting()
  await turns()
  store.wipe()
  await expect(done).rejects.toThrow(/the store was lost while waiting/)
})

test("without any function that has run, nobody is believed to have nothing to do", async () => {
  const bus = memoryStore().bus()
  await bus.publish({ subject: resourceSubject("httproute", "default/web"), data: "{}" })
  expect(await wait(bus, { objects: [{ kind: "httproute", key: "default/web" }], for: "live", timeout: 50, manifests: undefined })).toMatchObject({ status: 1, text: expect.stringMatching(/function routes has not committed yet/) })
})
