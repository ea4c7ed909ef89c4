/** When what the files held at the start is what is served: before, a gateway may still serve what a run before left. */
import type { Bus } from "../../bus/bus.ts"
import { ASK_PROGRESS, readSynced, syncedSubject } from "../../bus/hints.ts"
import { LEASE } from "../adapters/files/adapter.ts"
import { wait } from "./wait.ts"

/** A hint can be lost: asked for again after this, ms. */
const AGAIN = 250
/** As long as it takes: a wait that ends without success is begun anew, ms. */
const PATIENCE = 60_000

/** Rejects when the bus cannot be read any more. */
export const untilServed = async (bus: Bus): Promise<void> => {
  const upTo = await synced(bus)
  for (;;) {
    const { status } = await wait(bus, { objects: [], for: "live", timeout: PATIENCE, manifests: undefined, upTo })
    if (status === 0) return
  }
}

/** The sequence of RESOURCES up to which the file adapter has published everything. */
const synced = (bus: Bus): Promise<number> =>
  new Promise((resolve) => {
    const ask = (): void => bus.hint(ASK_PROGRESS, "")
    const timer = setInterval(ask, AGAIN).unref()
    const stop = bus.onHint(syncedSubject(LEASE), (_subject, data) => {
      const hint = readSynced(data)
      if (hint === undefined) return
      clearInterval(timer)
      stop()
      resolve(hint.resources)
    })
    ask()
  })
