/** Mixed traffic for a long time, with a swap every second: no failure, and a process that stays what it was. */
import { setTimeout as later } from "node:timers/promises"
import { service } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { startSoakBackend } from "./backend.ts"
import { startMix } from "./mix.ts"
import { type Drift, drift, sample, type Sample } from "./samples.ts"
import { startScene } from "./scene.ts"

export interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  /** Between two exchanges of a client, ms. */
  readonly pace: number
  readonly say: (line: string) => void
}

export interface Soaked {
  readonly failures: readonly string[]
  readonly swaps: number
  readonly drift: Drift
}

const SWAP_MS = 1000
const SAY_EVERY = 60

export const soak = async ({ seconds, seed, pace, say }: SoakOptions): Promise<Soaked> => {
  const backend = await startSoakBackend()
  const scene = await startScene(service("a", 80, [{ port: backend.port }])).catch(async (error: unknown) => {
    await backend.stop()
    throw error
  })
  const samples: Sample[] = []
  try {
    const pid = scene.running.pid("gateway")
    const before = await scene.metric("headgate_table_swaps_total")
    const mix = startMix(scene.target, { seed, pace })
    const began = performance.now()
    let swap = 0
    const failures: string[] = []
    for (let at = 0; at < seconds; at = (performance.now() - began) / 1000) {
      scene.swap(++swap)
      await later(Math.max(0, began + swap * SWAP_MS - performance.now()))
      samples.push(sample(pid, at))
      if (swap % SAY_EVERY !== 0) continue
      const last = samples.at(-1)
      say(`${Math.round(at)} s: ${mix.tallies.reduce((sum, { done }) => sum + done, 0)} exchanges, ${mix.failed} failed, ${last?.rss.toFixed(1)} MiB, ${last?.descriptors} descriptors`)
      if (!mix.hasMoved()) failures.push(`${Math.round(at)} s: a kind of traffic has stood still: ${mix.tallies.map(({ text }) => text).join("; ")}`)
    }
    if (!mix.hasMoved() && swap < SAY_EVERY) failures.push(`a kind of traffic never began: ${mix.tallies.map(({ text }) => text).join("; ")}`)
    await mix.stop()
    await until("the last swap is served", async () => (await scene.swapped()) === swap)
    if (scene.running.pid("gateway") !== pid) failures.push("the gateway is another process than it was")
    for (const { text } of mix.tallies) say(text)
    return { failures: [...failures, ...mix.failures], swaps: (await scene.metric("headgate_table_swaps_total")) - before, drift: drift(samples) }
  } finally {
    await scene.end()
    await backend.stop()
  }
}
