/** Clients people have, through the gateway, in clear and over TLS: Node's own WebSocket and Chromium; the server is node:http's. */
import { createServer } from "node:http"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { WebSocket, Agent } from "undici"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"
import { chromium, found, pinOf } from "../system/clients.ts"
import { digest, pattern } from "./octets.ts"
import { eventually, startGateway, type Gateway } from "./scripted.ts"
import { everything, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"
import { startEchoServer, type EchoServer } from "./websocket-server.ts"

const HOST = "chat.localhost"
let authority: Authority
let issued: Issued
let server: Pick<EchoServer, "port" | "sessions" | "stop">
let gateway: Gateway | SecureGateway
let url: string
let agent: Agent

const scenes = {
  "ws:": async () => {
    gateway = await startGateway([server.port])
    url = `ws://127.0.0.1:${gateway.port}/chat`
  },
  "wss:": async () => {
    const secure = await startSecureGateway(authority, server.port)
    secure.apply({
      certificates: new Map([[secretId("a"), certificateEntry("a", issued, secure.planeKey)]]),
      listeners: new Map([["l", secureListener("l", ["a"])]]),
      routes: new Map([["all", everything("l")]]),
    })
    gateway = secure
    url = `wss://${HOST}:${secure.port}/chat`
  },
}

beforeAll(() => {
  authority = new Authority()
  issued = authority.issue([HOST], "ec")
  agent = new Agent({ connect: { ca: authority.certificate, lookup: (_name, _options, callback) => callback(null, [{ address: "127.0.0.1", family: 4 }]) } })
})
afterAll(async () => {
  await agent.close()
  authority.end()
})
afterEach(async () => {
  await gateway.stop()
  await server.stop()
})

interface Client {
  readonly socket: WebSocket
  /** The next message. Rejects when the connection closes first. */
  next(): Promise<string | Buffer>
  readonly closed: Promise<{ readonly code: number; readonly wasClean: boolean }>
}

const connect = async (): Promise<Client> => {
  const socket = new WebSocket(url, { dispatcher: agent })
  socket.binaryType = "arraybuffer"
  const messages: (string | Buffer)[] = []
  const waiting: { readonly resolve: (message: string | Buffer) => void; readonly reject: (error: Error) => void }[] = []
  const closing = Promise.withResolvers<{ readonly code: number; readonly wasClean: boolean }>()
  socket.addEventListener("message", ({ data }: { readonly data: unknown }) => {
    const message = typeof data === "string" ? data : data instanceof ArrayBuffer ? Buffer.from(data) : undefined
    if (message === undefined) throw new TypeError("neither text nor octets")
    const first = waiting.shift()
    if (first === undefined) messages.push(message)
    else first.resolve(message)
  })
  socket.addEventListener("close", ({ code, wasClean }) => {
    for (const { reject } of waiting) reject(new Error(`closed with ${code}`))
    closing.resolve({ code, wasClean })
  })
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve())
    socket.addEventListener("error", ({ message }) => reject(new Error(`not opened ${message}`)))
  })
  return {
    socket,
    closed: closing.promise,
    next: () => {
      const message = messages.shift()
      if (message !== undefined) return Promise.resolve(message)
      const { promise, resolve, reject } = Promise.withResolvers<string | Buffer>()
      waiting.push({ resolve, reject })
      return promise
    },
  }
}

describe.each(["ws:", "wss:"] as const)("Node's WebSocket, %s", (scheme) => {
  test("a thousand messages of 64 octets come back, in order; then both agree to close", async () => {
    server = await startEchoServer()
    await scenes[scheme]()
    const client = await connect()
    for (let i = 0; i < 1_000; i++) {
      const message = `${String(i).padStart(4, "0")}${"x".repeat(60)}`
      client.socket.send(message)
      expect(await client.next()).toBe(message)
    }
    client.socket.close(4000, "enough")
    expect(await client.closed).toEqual({ code: 4000, wasClean: true })
    expect(server.sessions.map(({ closedWith, request }) => [closedWith, request.url, request.headers["x-forwarded-proto"]])).toEqual([[4000, "/chat", scheme === "ws:" ? "http" : "https"]])
    await eventually("the tunnel is over", () => gateway.http.metrics.tunnels === 0)
    expect(gateway.http.metrics.tunnelsEnded("closed")).toBe(1)
  })

  test("messages of 0 octets to 16 MB come back as they were, many at once", async () => {
    server = await startEchoServer()
    await scenes[scheme]()
    const client = await connect()
    const bodies = [0, 1, 125, 126, 16_384, 16_385, 65_535, 65_536, 1_000_000, 16_000_000].map((size, i) => pattern(i + 1, size))
    for (const body of bodies) client.socket.send(body)
    for (const body of bodies) {
      const back = await client.next()
      expect([back.length, typeof back === "string" ? back : digest(back)]).toEqual([body.length, digest(body)])
    }
    client.socket.close()
    expect((await client.closed).wasClean).toBe(true)
  })

  test("at the end of the process both sides learn that it goes: 1001", async () => {
    server = await startEchoServer()
    await scenes[scheme]()
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect()))
    for (const { socket } of clients) socket.send("hello")
    for (const client of clients) expect(await client.next()).toBe("hello")
    expect(await gateway.http.drain(50)).toBe(0)
    for (const { closed } of clients) expect((await closed).code).toBe(1001)
    await eventually("so have the backends", () => server.sessions.every(({ closedWith }) => closedWith === 1001))
    expect(gateway.http.metrics.tunnelsEnded("drained")).toBe(10)
  })
})

test("a backend that wants no WebSocket is heard by the client, which then fails", async () => {
  const plain = createServer((_request, response) => void response.writeHead(403).end("no"))
  plain.on("upgrade", (_request, socket) => void socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
  server = { port: await new Promise<number>((resolve) => plain.listen(0, "127.0.0.1", () => {
    const address = plain.address()
    resolve(address === null || typeof address === "string" ? 0 : address.port)
  })), sessions: [], stop: () => new Promise((resolve) => {
    plain.close(() => resolve())
    plain.closeAllConnections()
  }) }
  await scenes["ws:"]()
  await expect(connect()).rejects.toThrow("not opened")
  expect(gateway.http.metrics.codes().find(([code]) => code === "4xx")).toEqual(["4xx", 1])
  expect(gateway.http.metrics.tunnelsOpened).toBe(0)
})

describe("Chromium", () => {
  const here = found("chromium", "chromium-browser", "google-chrome")

  test("opens a WebSocket over TLS from a page, exchanges text and 1 MB, and closes it", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    const said: string[] = []
    const over = Promise.withResolvers<void>()
    // The page has loaded when its last script has, and that comes once the server has heard everything.
    const page = createServer((request, response) => {
      if (request.url !== "/last.js") {
        response.writeHead(200, { "content-type": "text/html" }).end(`<p id=p>nothing</p><script>
          const socket = new WebSocket("wss://" + location.host + "/chat")
          socket.binaryType = "arraybuffer"
          socket.onopen = () => socket.send("from the browser")
          socket.onmessage = ({ data }) => {
            if (typeof data === "string") socket.send(new Uint8Array(1000000).fill(7))
            else { p.textContent = "octets " + data.byteLength + " " + new Uint8Array(data).every((octet) => octet === 7); socket.close(4001) }
          }
        </script><script src="/last.js"></script>`)
        return
      }
      void over.promise.then(() => response.writeHead(200, { "content-type": "text/javascript" }).end("p.textContent += ' over'"))
    })
    server = await startEchoServer(page)
    page.on("upgrade", (request, socket) => {
      said.push(request.headers.origin ?? "")
      socket.on("close", () => over.resolve())
    })
    await scenes["wss:"]()
    const { code, stdout, stderr } = await chromium(here.program, { port: gateway.port, host: HOST, caFile: authority.certificateFile }, pinOf(issued))
    expect({ code, shown: /<p id="p">([^<]*)</.exec(stdout)?.[1] }, stderr).toEqual({ code: 0, shown: "octets 1000000 true over" })
    expect([said, server.sessions.map(({ closedWith }) => closedWith)]).toEqual([[`https://${HOST}:${gateway.port}`], [4001]])
  }, 60_000)
})
