/** A backend that says who it is and what it was asked, and counts. */
import { createServer } from "node:http"

/** What it answers, as JSON. */
export interface Echo {
  readonly backend: string
  readonly method: string
  readonly path: string
  readonly host: string
  readonly headers: Readonly<Record<string, string | readonly string[]>>
}

export interface Backend {
  readonly name: string
  readonly port: number
  requests: number
  stop(): Promise<void>
}

/** Listens on 127.0.0.1 (port 0: any); `x-backend` on every response is its name. */
export const startBackend = async (name: string, port = 0): Promise<Backend> => {
  const server = createServer((request, response) => {
    backend.requests++
    request.resume()
    const echo = { backend: name, method: request.method, path: request.url, host: request.headers.host, headers: request.headers }
    response.writeHead(200, { "content-type": "application/json", "x-backend": name }).end(JSON.stringify(echo))
  })
  // Idle connections belong to the gateway's pool: closing one under it would be this backend's fault, not the gateway's.
  server.keepAliveTimeout = 120_000
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const backend: Backend = {
    name,
    port: address.port,
    requests: 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return backend
}
