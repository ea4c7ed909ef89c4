/** What must not get through: requests that two readers could understand differently, and what is not served. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { CHUNKED, bodies, heads, limits } from "./refused.ts"
import { GET, OK, answering, startBackend, startGateway, type Backend, type Gateway } from "./scripted.ts"

let backend: Backend
let gateway: Gateway

beforeAll(async () => {
  backend = await startBackend(answering(() => OK))
  gateway = await startGateway([backend.port], { settings: limits })
})

afterAll(async () => {
  await gateway.stop()
  await backend.stop()
})

const H = "Host: a\r\n"

test.each(heads)("%s is refused", async (_name, head, status) => {
  const before = gateway.metrics.upstream.opened + gateway.metrics.upstream.reused
  const client = await gateway.connect()
  // What would be smuggled.
  client.say(`${head}GET /smuggled HTTP/1.1\r\n${H}\r\n`)
  const response = await client.message()
  expect(response.status).toBe(status)
  expect(response.field("connection")).toBe("close")
  await client.end()
  expect(client.heard).toBe("")
  expect(gateway.metrics.upstream.opened + gateway.metrics.upstream.reused).toBe(before)
})

test.each(bodies)("chunks: %s is refused", async (_name, body) => {
  const silent = await startBackend()
  const own = await startGateway([silent.port])
  try {
    const client = await own.connect()
    client.say(`${CHUNKED}${body}GET /smuggled HTTP/1.1\r\n${H}\r\n`)
    const response = await client.message()
    expect([400, 431]).toContain(response.status)
    await client.end()
    expect(client.heard).toBe("")
    const peer = await silent.accept()
    await peer.close()
    expect(peer.heard).not.toContain("smuggled")
  } finally {
    await own.stop()
    await silent.stop()
  }
})

test("more chunked content than allowed is refused on the way", async () => {
  const silent = await startBackend()
  const own = await startGateway([silent.port], { settings: { requestBodyBytes: 10 } })
  const client = await own.connect()
  client.say(`${CHUNKED}8\r\n12345678\r\n`)
  await (await silent.accept()).hear("12345678")
  client.say("8\r\n12345678\r\n")
  expect((await client.message()).status).toBe(413)
  await client.end()
  await own.stop()
  await silent.stop()
})

test.each([
  ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${H}\r\n`, 200],
  ["OPTIONS of an absolute target without path", `OPTIONS http://a HTTP/1.1\r\n${H}\r\n`, 200],
  ["OPTIONS whose forwards are used up", `OPTIONS /x HTTP/1.1\r\n${H}Max-Forwards: 0\r\n\r\n`, 200],
  ["TRACE", `TRACE / HTTP/1.1\r\n${H}\r\n`, 405],
  ["an https target in clear text", `GET https://a/ HTTP/1.1\r\n${H}\r\n`, 421],
])("%s is answered here, and the connection goes on", async (_name, head, status) => {
  const client = await gateway.connect()
  client.say(head)
  expect((await client.message()).status).toBe(status)
  client.say(GET)
  expect((await client.message()).body).toBe("ok")
})

test("a request that trickles in as garbage is refused before it is complete", async () => {
  const client = await gateway.connect()
  await client.sayByByte(`GET / HTTP/1.1\r\n${H}X : a\r\n\r\n`)
  expect((await client.message()).status).toBe(400)
})

test("own answers carry no Server field", async () => {
  const client = await gateway.connect()
  client.say(`TRACE / HTTP/1.1\r\n${H}\r\n`)
  const { head } = await client.message()
  expect(head.split("\r\n").slice(1).map((line) => line.split(":")[0])).toEqual(["Content-Type", "Allow", "Content-Length", "Date"])
})

test("an answer to HEAD has no content, also where the request is refused", async () => {
  const client = await gateway.connect()
  client.say(GET)
  expect((await client.message()).status).toBe(200)
  client.say(`HEAD /a/../b HTTP/1.1\r\n${H}\r\n`)
  expect((await client.message("HEAD")).status).toBe(400)
  await client.end()
  expect(client.heard).toBe("")
  // Of a line that is no request nothing is known: the method of the request before is not its own.
  const other = await gateway.connect()
  other.say(`HEAD / HTTP/1.1\r\n${H}\r\n`)
  expect((await other.message("HEAD")).status).toBe(200)
  other.say("nonsense\r\n\r\n")
  expect((await other.message()).body).toMatch(/request-line/)
})
