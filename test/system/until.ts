/** Waiting for a condition, never for time to pass. */

/** Between two questions: a share of the time waited so far, so that who waits long leaves the processors to what it waits for; ms. */
const [SHARE, SHORTEST, LONGEST] = [0.05, 2, 25]

/**
 * Asks `condition` again and again until it gives something (not undefined, not false) and returns that. Throws after
 * `within` milliseconds, saying `what` and the last error.
 */
export const until = async <T>(what: string, condition: () => Promise<T | undefined | false> | T | undefined | false, within = 10_000): Promise<T> => {
  const began = performance.now()
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value !== undefined && value !== false) return value
      last = undefined
    } catch (error) {
      last = error
    }
    const waited = performance.now() - began
    if (waited > within) throw new Error(`not within ${within} ms: ${what}${last instanceof Error ? ` (${last.message})` : ""}`)
    await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(waited * SHARE, SHORTEST), LONGEST)))
  }
}
