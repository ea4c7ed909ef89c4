/** The package ws on both sides of the gateway, in clear and over TLS: compression, fragments, pings, sub-protocols, ends, many at once. */
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { WebSocket, WebSocketServer, type ClientOptions } from "ws"
import { Authority, certificateEntry } from "../fixtures/authority.ts"
import { digest, pattern } from "./octets.ts"
import { eventually, startGateway, type Gateway } from "./scripted.ts"
import { everything, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"

let authority: Authority
let http: Server
let server: WebSocketServer
let clear: Gateway
let secure: SecureGateway
/** What the server was closed with, by each of its clients. */
const closedWith: (readonly [code: number, reason: string])[] = []

beforeAll(async () => {
  authority = new Authority()
  http = createServer()
  server = new WebSocketServer({ server: http, perMessageDeflate: { threshold: 100 }, handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false) })
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on("close", (code, reason) => closedWith.push([code, reason.toString()]))
    socket.on("error", () => undefined)
  })
  http.listen(0, "127.0.0.1")
  await once(http, "listening")
  const address = http.address()
  const port = address === null || typeof address === "string" ? 0 : address.port
  clear = await startGateway([port])
  secure = await startSecureGateway(authority, port)
  secure.apply({
    certificates: new Map([[secretId("a"), certificateEntry("a", authority.issue(["localhost"], "ec"), secure.planeKey)]]),
    listeners: new Map([["l", secureListener("l", ["a"])]]),
    routes: new Map([["all", everything("l")]]),
  })
})
afterEach(async () => {
  await eventually("every tunnel is over, on both sides", () => clear.http.metrics.tunnels + secure.http.metrics.tunnels + server.clients.size === 0)
  closedWith.length = 0
})
afterAll(async () => {
  await clear.stop()
  await secure.stop()
  server.close()
  http.close()
  http.closeAllConnections()
  authority.end()
})

const open = async (scheme: "ws:" | "wss:", options: ClientOptions = {}, protocols: string[] = []): Promise<WebSocket> => {
  const url = scheme === "ws:" ? `ws://127.0.0.1:${clear.port}/chat` : `wss://localhost:${secure.port}/chat`
  const socket = new WebSocket(url, protocols, { ca: authority.certificate, ...options })
  await once(socket, "open")
  return socket
}

/** Sends, and gives what came back. */
const echo = async (socket: WebSocket, data: string | Buffer): Promise<Buffer> => {
  const back = once(socket, "message")
  socket.send(data)
  const [message]: unknown[] = await back
  return Buffer.isBuffer(message) ? message : Buffer.from(String(message))
}

const close = async (socket: WebSocket, code: number, reason = ""): Promise<readonly [number, string]> => {
  const closed = once(socket, "close")
  socket.close(code, reason)
  const [given, why]: unknown[] = await closed
  return [Number(given), String(why)]
}

describe.each(["ws:", "wss:"] as const)("ws, %s", (scheme) => {
  test.each([["without compression", false], ["with compression, as ws offers it", true]] as const)("messages of 0 to 4 MB, %s", async (_how, perMessageDeflate) => {
    const socket = await open(scheme, { perMessageDeflate })
    expect(socket.extensions).toBe(perMessageDeflate ? "permessage-deflate" : "")
    for (const [i, size] of [0, 1, 125, 126, 65_535, 65_536, 4_000_000].entries()) {
      const body = i % 2 === 0 ? pattern(i, size) : Buffer.alloc(size, "compress me ")
      expect(digest(await echo(socket, body))).toBe(digest(body))
    }
    expect((await echo(socket, "grüße")).toString()).toBe("grüße")
    expect(await close(socket, 4_001, "enough")).toEqual([4_001, "enough"])
    await eventually("the server knows", () => closedWith.length === 1)
    expect(closedWith).toEqual([[4_001, "enough"]])
  })

  test("fragments, pings between them, and a sub-protocol", async () => {
    const socket = await open(scheme, {}, ["chat.v1", "chat.v2"])
    expect(socket.protocol).toBe("chat.v2")
    const back = once(socket, "message")
    socket.send("a".repeat(70_000), { fin: false })
    const pong = once(socket, "pong")
    socket.ping("are you there")
    expect(String((await pong)[0])).toBe("are you there")
    socket.send("b".repeat(10), { fin: false })
    socket.send("", { fin: true })
    expect(digest(Buffer.from(String((await back)[0])))).toBe(digest(Buffer.from(`${"a".repeat(70_000)}${"b".repeat(10)}`)))
    expect((await close(socket, 1_000))[0]).toBe(1_000)
  })

  test("one that goes without a word is gone for the server too", async () => {
    const socket = await open(scheme)
    await echo(socket, "hello")
    socket.terminate()
    await eventually("the server knows", () => closedWith.length === 1)
    expect(closedWith).toEqual([[1_006, ""]])
  })

  test("a hundred at once, twenty messages each", async () => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open(scheme)))
    await Promise.all(sockets.map(async (socket, n) => {
      for (let i = 0; i < 20; i++) expect((await echo(socket, `${n}:${i}`)).toString()).toBe(`${n}:${i}`)
      expect((await close(socket, 1_000))[0]).toBe(1_000)
    }))
    await eventually("the server knows", () => closedWith.length === 100)
    expect(closedWith.every(([code]) => code === 1_000)).toBe(true)
  })
})
