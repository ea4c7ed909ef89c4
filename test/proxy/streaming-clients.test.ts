/** An event stream from node:http to undici, over TLS. */
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { Agent, request } from "undici"
import { expect, test } from "vitest"
import { Authority, certificateEntry } from "../fixtures/authority.ts"
import { everything, secretId, secureListener, startSecureGateway } from "./secure.ts"

test("events come one by one, and the connection serves the next request after the stream's end", async () => {
  const streams: ServerResponse[] = []
  const server = createServer((incoming, response) => {
    if (incoming.url !== "/events") return void response.end("ok")
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
    streams.push(response)
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const authority = new Authority()
  const gateway = await startSecureGateway(authority, address === null || typeof address === "string" ? 0 : address.port)
  gateway.apply({
    certificates: new Map([[secretId("a"), certificateEntry("a", authority.issue(["a.test"], "ec"), gateway.planeKey)]]),
    listeners: new Map([["l", secureListener("l", ["a"])]]),
    routes: new Map([["all", everything("l")]]),
  })
  const agent = new Agent({ connections: 1, connect: { ca: authority.certificate, lookup: (_name, _options, callback) => callback(null, [{ address: "127.0.0.1", family: 4 }]) } })
  try {
    const origin = `https://a.test:${gateway.port}`
    const { headers, body } = await request(`${origin}/events`, { dispatcher: agent })
    expect(headers["content-type"]).toBe("text/event-stream")
    const reader: AsyncIterator<unknown> = body[Symbol.asyncIterator]()
    const [stream] = streams
    for (let i = 0; i < 20; i++) {
      const event = `id: ${i}\ndata: ${"z".repeat(i * 400)}\n\n`
      stream?.write(event)
      let heard = ""
      while (heard.length < event.length) heard += String((await reader.next()).value)
      expect(heard).toBe(event)
    }
    stream?.end()
    expect((await reader.next()).done).toBe(true)
    expect(await (await request(`${origin}/`, { dispatcher: agent })).body.text()).toBe("ok")
    expect(gateway.metrics.listener(443).accepted).toBe(1)
  } finally {
    await agent.close()
    await gateway.stop()
    server.close()
    server.closeAllConnections()
    authority.end()
  }
})
