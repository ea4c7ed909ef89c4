/** A backend of HTTP/2 in clear: node:http2, with what it was asked. */
import { once } from "node:events"
import http2 from "node:http2"
import type { AddressInfo } from "node:net"

export interface Asked {
  readonly headers: http2.IncomingHttpHeaders
  readonly body: Buffer
  readonly trailers: http2.IncomingHttpHeaders
}

export type Handler = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void

export interface Http2Backend {
  readonly port: number
  readonly server: http2.Http2Server
  /** Open ones. */
  readonly sessions: ReadonlySet<http2.ServerHttp2Session>
  /** Connections so far. */
  readonly connections: () => number
  stop(): Promise<void>
}

const addressOf = (address: AddressInfo | string | null): number => {
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

export const startHttp2Backend = async (handler: Handler, options: http2.ServerOptions = {}, port = 0): Promise<Http2Backend> => {
  const sessions = new Set<http2.ServerHttp2Session>()
  let connections = 0
  const server = http2.createServer(options)
  server.on("session", (session) => {
    connections++
    sessions.add(session)
    session.on("close", () => sessions.delete(session))
    session.on("error", () => undefined)
  })
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => undefined)
    handler(stream, headers)
  })
  server.on("sessionError", () => undefined)
  server.listen(port, "127.0.0.1")
  await once(server, "listening")
  return {
    port: addressOf(server.address()),
    server,
    sessions,
    connections: () => connections,
    stop: async () => {
      for (const session of sessions) session.destroy()
      if (!server.listening) return
      server.close()
      await once(server, "close")
    },
  }
}

/** All of a request; rejects when it is reset. */
export const whole = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): Promise<Asked> =>
  new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let trailers: http2.IncomingHttpHeaders = {}
    stream.on("data", (part: Buffer) => parts.push(part))
    stream.on("trailers", (given: http2.IncomingHttpHeaders) => (trailers = given))
    stream.on("end", () => resolve({ headers, body: Buffer.concat(parts), trailers }))
    stream.on("aborted", () => reject(new Error("aborted")))
  })

/** Answers with what it was asked, as JSON. */
export const telling: Handler = (stream, headers) => {
  const tell = async (): Promise<void> => {
    const asked = await whole(stream, headers)
    stream.respond({ ":status": 200, "content-type": "application/json" })
    stream.end(JSON.stringify({ headers: asked.headers, body: asked.body.toString("latin1"), trailers: asked.trailers }))
  }
  tell().catch(() => undefined)
}
