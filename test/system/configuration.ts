/** The configuration as any fresh reader finds it on the bus: verified units, folded. */
import { readUnits } from "../../bus/unit/reader.ts"
import type { Bus } from "../../bus/bus.ts"

export interface Folded {
  /** Entry subject → canonical body, of every unit. */
  readonly entries: ReadonlyMap<string, string>
  /** `<plane>/<function>` → digest of its last commit. */
  readonly digests: ReadonlyMap<string, string>
}

/** Reads from nothing and verifies every digest on the way. Rejects after 10 s. */
export const readConfiguration = (bus: Bus): Promise<Folded> =>
  new Promise((resolve, reject) => {
    const digests = new Map<string, string>()
    const timer = setTimeout(() => finish(new Error("the units were not caught up within 10 s")), 10_000)
    const reader = readUnits(bus, {
      filter: "config.>",
      onChange: (change) => digests.set(`${change.unit.plane}/${change.unit.fn}`, change.commit.digest),
      onCaughtUp: () => setImmediate(() => finish()),
      onLost: (reason) => finish(new Error(reason)),
      onNote: (reason, message) => finish(new Error(`${reason}: ${message}`)),
    })
    const finish = (error?: Error) => {
      clearTimeout(timer)
      const entries = new Map(reader.units().flatMap((unit) => [...(reader.state(unit) ?? [])]))
      reader.stop().then(() => (error === undefined ? resolve({ entries, digests }) : reject(error)), reject)
    }
  })

/** What `headgate gateway` tells of itself on its admin port. */
export const isReady = async (admin: string): Promise<boolean> => {
  try {
    return (await fetch(`${admin}/readyz`)).status === 200
  } catch {
    return false
  }
}
