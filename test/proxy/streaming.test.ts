/** Bodies that have no end in sight: handed on as they come, quiet for as long as allowed, at the pace of who reads. */
import { describe, expect, test } from "vitest"
import { backend, begin, gateway } from "./scene.ts"
import { GET, eventually, type Peer } from "./scripted.ts"

const EVENTS = ["data: one\n\n", ": a comment\n\n", `data: ${"x".repeat(20_000)}\n\n`, "data: four\n\n"]
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

describe("each event reaches the client before the next is said", () => {
  test.each([
    ["in chunks", "1.1", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, chunk],
    ["until the connection closes", "1.1", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", String, chunk],
    ["in chunks, to HTTP/1.0", "1.0", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, String],
    ["of a length", "1.1", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000000\r\n\r\n", String, String],
  ])("%s", async (_what, version, head, said, heard) => {
    const client = await begin()
    client.say(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
    const peer = await backend.accept()
    await peer.message()
    peer.say(head)
    expect(await client.hear("\r\n\r\n")).toContain("text/event-stream")
    for (const event of EVENTS) {
      peer.say(said(event))
      expect(await client.hearOctets(heard(event).length)).toBe(heard(event))
    }
  })
})

test("each piece of a body in chunks reaches the backend before the next is said, and an answer may come meanwhile", async () => {
  const client = await begin()
  client.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
  const peer = await backend.accept()
  await peer.hear("\r\n\r\n")
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  await client.hear("\r\n\r\n")
  for (const event of EVENTS) {
    client.say(chunk(event))
    expect(await peer.hearOctets(chunk(event).length)).toBe(chunk(event))
    peer.say(chunk(event))
    expect(await client.hearOctets(chunk(event).length)).toBe(chunk(event))
  }
})

test("a quiet event stream outlives every time but its own", async () => {
  const client = await begin({ settings: { headTimeout: 50, keepAliveTimeout: 50, requestBodyIdle: 50, writeTimeout: 50, responseHeadTimeout: 50, connectTimeout: 50, drainTimeout: 50, halfCloseTimeout: 50, responseBodyIdle: 900 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  await client.hear("\r\n\r\n")
  const quiet = performance.now()
  await eventually("it was quiet for a while", () => performance.now() - quiet > 500)
  peer.say(chunk(": still here\n\n"))
  await client.hear(chunk(": still here\n\n"))
  const last = performance.now()
  await client.end()
  expect(performance.now() - last).toBeGreaterThan(850)
  await peer.end()
})

test("with --response-body-idle 0 it is quiet for as long as it likes; a client that leaves ends it", async () => {
  const client = await begin({ settings: { responseBodyIdle: 0 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  await client.hear("\r\n\r\n")
  const quiet = performance.now()
  await eventually("it was quiet for a while", () => performance.now() - quiet > 300)
  peer.say(chunk("data: 1\n\n"))
  await client.hear(chunk("data: 1\n\n"))
  client.socket.resetAndDestroy()
  await peer.end()
})

test("subscribers that do not read stop their streams; others are not kept waiting", async () => {
  const reader = await begin()
  const block = "y".repeat(16_000)
  const subscribe = async (client: Peer): Promise<Peer> => {
    client.say(GET)
    const peer = await backend.accept()
    await peer.message()
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.hear("\r\n\r\n")
    return peer
  }
  let sent = 0
  for (let i = 0; i < 10; i++) {
    const client = await gateway.connect()
    const peer = await subscribe(client)
    client.socket.pause()
    const more = (): void => {
      if (sent >= 400_000_000 || !peer.socket.writable) return
      sent += block.length
      peer.socket.write(chunk(block), more)
    }
    more()
  }
  let last = -1
  let since = 0
  await eventually("they stall", () => {
    if (sent !== last) {
      last = sent
      since = performance.now()
    }
    return performance.now() - since > 400
  }, 20_000)
  expect(sent).toBeLessThan(200_000_000)
  const peer = await subscribe(reader)
  for (const event of EVENTS) {
    peer.say(chunk(event))
    expect(await reader.hearOctets(chunk(event).length)).toBe(chunk(event))
  }
}, 30_000)
