/** Waiting for a condition, never for time to pass. */

/**
 * Asks `condition` again and again until it gives something (not undefined, not false) and returns that. Throws after
 * `within` milliseconds, saying `what` and the last error.
 */
export const until = async <T>(what: string, condition: () => Promise<T | undefined | false> | T | undefined | false, within = 10_000): Promise<T> => {
  const deadline = performance.now() + within
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value !== undefined && value !== false) return value
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}${last instanceof Error ? ` (${last.message})` : ""}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
