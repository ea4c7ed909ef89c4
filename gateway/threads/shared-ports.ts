/** What the machine does for workers that listen on the same addresses. */
import { readFileSync } from "node:fs"
import net from "node:net"

/** Undefined: sockets can share an address (SO_REUSEPORT, balanced by the kernel). Else why not: macOS cannot. */
export const sharingRefused = async (): Promise<string | undefined> => {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const server = net.createServer()
  server.on("error", ({ message }) => resolve(message))
  server.listen({ host: "127.0.0.1", port: 0, reusePort: true }, () => server.close(() => resolve(undefined)))
  return promise
}

/** Whether Linux hands what waits at a socket that is closed to another of its address; undefined: it does not say. */
export const migratesRequests = (): boolean | undefined => {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_migrate_req", "latin1").trim() === "1"
  } catch {
    return undefined
  }
}
