/** The way to the bus: a gateway serves without it, and asks until it answers. */
import type { Bus } from "../bus/bus.ts"
import type { Log } from "./log.ts"

const CONNECT_FIRST_MS = 50
const CONNECT_MAX_MS = 2000

/** Tries until the bus answers; serving does not wait for it. */
export const connect = (open: () => Promise<Bus>, attach: (bus: Bus) => void, log: Log): { stop(): Promise<void> } => {
  let bus: Bus | undefined
  const stopped = new AbortController()
  const run = async (): Promise<void> => {
    for (let attempt = 0; !stopped.signal.aborted; attempt++) {
      try {
        bus = await open()
        break
      } catch (error) {
        if (attempt === 0) log("warning", "the bus cannot be reached; trying again", { error: error instanceof Error ? error.message : String(error) })
        const wait = Math.min(CONNECT_MAX_MS, CONNECT_FIRST_MS * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random())
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, wait)
          stopped.signal.addEventListener("abort", () => {
            clearTimeout(timer)
            resolve()
          }, { once: true })
        })
      }
    }
    if (bus === undefined) return
    log("info", "connected to the bus")
    if (!stopped.signal.aborted) attach(bus)
  }
  const running = run()
  return {
    stop: async () => {
      stopped.abort()
      if (bus === undefined) return
      await running
      await bus.close()
    },
  }
}
