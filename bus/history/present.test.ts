/** What is read for a checkpoint while everything changes, from a real server: messages come many in one tick. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { connectBus } from "../jetstream.ts"
import { findNatsServer, startNatsServer } from "../server.ts"
import { Digest } from "../unit/digest.ts"
import { openUnit } from "../unit/writer.ts"
import { loadCheckpoint, lastHead } from "./checkpoint.ts"
import { readPresent } from "./present.ts"
import { checkpoint } from "./recorder.ts"
import { systemClock } from "../unit/clock.ts"

test("a checkpoint made under constant change is of one moment: every unit has its commit's digest, every resource its newest message up to then", async () => {
  const folder = await mkdtemp(join(tmpdir(), "headgate present "))
  const server = await startNatsServer({ binary: await findNatsServer(), storeDir: folder })
  const [bus, other] = await Promise.all(["writer", "reader"].map((name) => connectBus({ url: server.url, name })))
  try {
    if (bus === undefined || other === undefined) throw new Error("no bus")
    const writer = await openUnit(bus, { unit: { plane: "default", fn: "routes" }, epoch: 1, writer: "w", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
    /** By sequence: subject and body, in order. */
    const published: [string, string][] = []
    let isOver = false
    const busy = (async () => {
      for (let i = 0; !isOver; i++) {
        const subject = `resource.a.n.x${i % 50}`
        writer.stage([{ subject: `config.default.route.r${i % 50}`, body: String(i), causes: [] }])
        const { seq } = await bus.publish({ subject, data: String(i) })
        published[seq] = [subject, String(i)]
        if (i % 7 === 0) await writer.settled()
      }
      await writer.settled()
    })()
    const seen: { readonly state: Awaited<ReturnType<typeof readPresent>>["state"]; readonly seq: number }[] = []
    for (let round = 0; round < 25; round++) {
      const { state, head } = await readPresent(other)
      seen.push({ state, seq: head.positions.RESOURCES })
      await checkpoint(other, systemClock)
      const stored = await lastHead(other, Infinity)
      const loaded = stored && (await loadCheckpoint(other, stored.head))
      if (stored !== undefined && loaded !== undefined) seen.push({ state: { ...loaded, seq: stored.head.positions.RESOURCES }, seq: stored.head.positions.RESOURCES })
    }
    isOver = true
    await busy
    await writer.stop()
    expect(seen).toHaveLength(50)
    for (const { state, seq } of seen) {
      const expected = new Map<string, string>()
      for (const each of published.slice(0, seq + 1)) if (each !== undefined) expected.set(...each)
      expect(new Map([...state.resources].map(([subject, { body }]) => [subject, body]))).toEqual(expected)
      for (const { commit, entries } of state.units.values()) {
        const digest = new Digest()
        for (const [subject, { body }] of entries) digest.change(subject, undefined, body)
        expect([digest.hex(), digest.count]).toEqual([commit.digest, commit.count])
      }
    }
  } finally {
    await Promise.all([bus?.close(), other?.close()])
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}, 60_000)
