/** All kinds of traffic at once. */
import { Random } from "../fuzz/random.ts"
import { kinds } from "./kinds.ts"
import { Tally } from "./tally.ts"
import type { Target } from "./target.ts"

export interface Mix {
  readonly tallies: readonly Tally[]
  readonly failed: number
  /** Of all kinds. */
  readonly failures: readonly string[]
  /** Every kind has done something since; false: one stands still. */
  hasMoved(): boolean
  /** Resolves when what was under way is complete. */
  stop(): Promise<void>
}

/** `pace`: between two exchanges of a client, ms. `only`: these kinds. */
export const startMix = (target: Target, { seed, pace, only }: { readonly seed: number; readonly pace: number; readonly only?: readonly string[] }): Mix => {
  let on = true
  const chosen = [...kinds].filter(([name]) => only?.includes(name) !== false)
  const tallies = chosen.map(([name]) => new Tally(name))
  let before = tallies.map(() => 0)
  const clients = chosen.flatMap(([, { clients: count, kind }], index) => {
    const tally = tallies[index]
    return tally === undefined ? [] : Array.from({ length: count }, (_, nth) => kind({ target, tally, isOn: () => on, random: new Random(seed, index * 100 + nth), pace }))
  })
  return {
    tallies,
    get failed() {
      return tallies.reduce((sum, { failed }) => sum + failed, 0)
    },
    get failures() {
      return tallies.flatMap(({ failures }) => failures)
    },
    hasMoved: () => {
      const now = tallies.map(({ done }) => done)
      const moved = now.every((done, index) => done > (before[index] ?? 0))
      if (moved) before = now
      return moved
    },
    stop: async () => {
      on = false
      await Promise.all(clients)
    },
  }
}
