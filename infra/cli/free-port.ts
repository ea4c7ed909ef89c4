/** Ports on this machine. */
import { createServer } from "node:net"

/** `preferred` (default: any) if nothing listens there, else one that is free. */
export const freePort = (preferred = 0, host = "127.0.0.1"): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", (error) => (preferred === 0 ? reject(error) : resolve(freePort(0, host))))
    server.listen(preferred, host, () => {
      const address = server.address()
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no free port"))))
    })
  })
