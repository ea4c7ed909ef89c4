/** One swap after the other, each live before the next is made, under mixed traffic. */
import { service } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { startSoakBackend } from "./backend.ts"
import { startMix } from "./mix.ts"
import { startScene } from "./scene.ts"
import type { SoakOptions } from "./soak.ts"

/** Resolves with failures. */
export const swaps = async (count: number, { seed, pace, say }: Omit<SoakOptions, "seconds">): Promise<readonly string[]> => {
  const backend = await startSoakBackend()
  const scene = await startScene(service("a", 80, [{ port: backend.port }])).catch(async (error: unknown) => {
    await backend.stop()
    throw error
  })
  try {
    const mix = startMix(scene.target, { seed, pace })
    await until("every kind of traffic flows", () => mix.hasMoved())
    for (let number = 1; number <= count; number++) {
      scene.swap(number)
      await until(`swap ${number} is served`, async () => (await scene.swapped()) === number)
      if (number % 100 === 0) say(`${number} swaps, ${mix.failed} failed`)
    }
    await until("every kind of traffic flows on", () => mix.hasMoved())
    await mix.stop()
    for (const { text } of mix.tallies) say(text)
    return mix.failures
  } finally {
    await scene.end()
    await backend.stop()
  }
}
