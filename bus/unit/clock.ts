import type { Clock } from "./unit.ts"

/** The machine's. Timers keep no process alive: what must go on is held open by its connection. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Resolves after `ms`, or at once when the signal fires. */
export const delay = (clock: Clock, ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      cancel()
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal?.addEventListener("abort", done)
  })

/** Wait before attempt n (from 0) of something that failed: doubles to `max`, and half of it is chance. */
export const backoff = (clock: Clock, attempt: number, { first = 50, max = 1000 } = {}): number =>
  Math.min(max, first * 2 ** Math.min(attempt, 16)) * (0.5 + clock.random() / 2)
