import { BusError } from "../bus.ts"
import { backoff, delay } from "./clock.ts"
import type { Clock } from "./unit.ts"

/**
 * What `run` answers. Where that is undefined, and while the server is away, it is asked again, after a longer wait
 * each time. Rejects when the signal fires, with BusError "no-stream" and "closed", and with what is no BusError.
 */
export const retried = async <T>(clock: Clock, signal: AbortSignal | undefined, run: () => Promise<T | undefined>): Promise<T> => {
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    try {
      const answer = await run()
      if (answer !== undefined) return answer
    } catch (error) {
      if (!(error instanceof BusError) || error.reason === "no-stream" || error.reason === "closed") throw error
    }
    await delay(clock, backoff(clock, attempt), signal)
  }
}
