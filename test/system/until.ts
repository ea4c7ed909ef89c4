/** Waiting for a condition, never for time to pass. */
import { createServer } from "node:net"

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

/** `count` TCP ports nobody listens on right now, all different. */
export const freePorts = async (count: number): Promise<readonly number[]> => {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    return address.port
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
