/** What soak traffic is sent to: small answers, downloads, uploads, event streams, and WebSocket echoes. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { pipeline, Readable } from "node:stream"
import { setTimeout as later } from "node:timers/promises"
import { startEchoServer, type EchoServer } from "../proxy/websocket-server.ts"

const BLOCK = Buffer.alloc(65_536, "0123456789abcdef")

function* blocks(octets: number): Generator<Buffer> {
  for (let left = octets; left > 0; left -= BLOCK.length) yield left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK
}

const download = (response: ServerResponse, octets: number): void => {
  response.writeHead(200, { "content-length": octets })
  // Who goes away meanwhile is the client's affair: it says what it missed.
  pipeline(Readable.from(blocks(octets)), response, () => {})
}

/** Numbered, so that who reads them sees whether one is missing; the last one says so. */
const events = async (response: ServerResponse, count: number, every: number): Promise<void> => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  for (let number = 1; number <= count && !response.destroyed; number++) {
    response.write(`id: ${number}\ndata: ${number === count ? "last" : "more"}\n\n`)
    await later(every)
  }
  response.end()
}

const answer = (request: IncomingMessage, response: ServerResponse): void => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://backend")
  const number = (name: string): number => Number(searchParams.get(name))
  switch (pathname) {
    case "/download":
      download(response, number("octets"))
      break
    case "/upload": {
      let octets = 0
      request.on("data", (chunk: Buffer) => (octets += chunk.length))
      request.on("end", () => response.end(String(octets)))
      break
    }
    case "/events":
      void events(response, number("count"), number("every"))
      break
    default:
      response.end("ok")
  }
}

/** Undefined: any port of 127.0.0.1. */
export const startSoakBackend = (at?: { readonly host: string; readonly port: number }): Promise<EchoServer> => {
  const server = createServer(answer)
  // Idle connections belong to the gateway's pool: closing one under it would be this backend's fault.
  server.keepAliveTimeout = 120_000
  return startEchoServer(server, at)
}
