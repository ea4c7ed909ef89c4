/** Endpoints that do not take connections, and the others. */
import { once } from "node:events"
import net from "node:net"
import { afterEach, expect, test } from "vitest"
import { tick } from "../../gateway/clock.ts"
import { GET, OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backends: Backend[] = []
let gateway: Gateway

const begin = async (ports: readonly number[], options?: GatewayOptions): Promise<Peer> => {
  gateway = await startGateway(ports, options)
  return gateway.connect()
}

const serving = async (name: string): Promise<Backend> => {
  const backend = await startBackend(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`))
  backends.push(backend)
  return backend
}

/** A port on which nothing listens. */
const nobody = async (): Promise<number> => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return address !== null && typeof address === "object" ? address.port : 1
}

const ask = async (client: Peer, request = GET): Promise<string> => {
  client.say(request)
  const { status, body } = await client.message()
  return status === 200 ? body : String(status)
}

afterEach(async () => {
  await gateway.stop()
  for (const backend of backends) await backend.stop()
  backends = []
})

test("requests take turns between endpoints", async () => {
  const [a, b, c] = [await serving("a"), await serving("b"), await serving("c")]
  const client = await begin([a.port, b.port, c.port])
  const got: string[] = []
  for (let i = 0; i < 6; i++) got.push(await ask(client))
  expect(got.join("")).toBe("abcabc")
})

test("a refused connection is tried elsewhere, for any method; after three failures in a row it is not tried for a while", async () => {
  const good = await serving("good")
  const client = await begin([await nobody(), good.port], { settings: { ejectBase: 60_000 } })
  for (let i = 0; i < 10; i++) expect(await ask(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")).toBe("good")
  expect(gateway.metrics.upstream.count("refused")).toBe(3)
  expect([...gateway.endpoints.all()].map((endpoint) => endpoint.health.isEjected)).toEqual([true, false])
})

test("when every endpoint is ejected they are tried all the same", async () => {
  const client = await begin([await nobody(), await nobody()], { settings: { ejectBase: 60_000 } })
  for (let i = 0; i < 5; i++) expect(await ask(client)).toBe("503")
  expect([...gateway.endpoints.all()].every((endpoint) => endpoint.health.isEjected)).toBe(true)
  expect(gateway.metrics.upstream.count("refused")).toBe(10)
})

test("after its time one request tries an ejected endpoint: back in service, or out for twice as long", async () => {
  const good = await serving("good")
  const port = await nobody()
  const client = await begin([port, good.port], { settings: { ejectBase: 100, ejectAfter: 1 } })
  expect(await ask(client)).toBe("good")
  const [bad] = gateway.endpoints.all()
  expect(bad?.health.isEjected).toBe(true)
  await eventually("its time is over", () => tick() > 0 && bad?.health.isAvailable === true)
  for (let i = 0; i < 3; i++) expect(await ask(client)).toBe("good")
  expect(gateway.metrics.upstream.count("refused")).toBe(2)
  const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.on("data", () => socket.write(OK)))
  server.listen(port, "127.0.0.1")
  await once(server, "listening")
  await eventually("its time is over again", () => tick() > 0 && bad?.health.isAvailable === true)
  const got: string[] = []
  for (let i = 0; i < 4; i++) got.push(await ask(client))
  expect(got.sort()).toEqual(["good", "good", "ok", "ok"])
  expect(bad?.health.isEjected).toBe(false)
  server.close()
})

test.each([
  ["with an answer that is none", "garbage\r\n\r\n", "502"],
  ["without an answer in time", "", "504"],
])("a try of an ejected endpoint that ends %s leaves room for another", async (_name, answer, status) => {
  const good = await serving("good")
  const port = await nobody()
  const client = await begin([port, good.port], { settings: { ejectBase: 50, ejectAfter: 1, responseHeadTimeout: 100 } })
  expect(await ask(client)).toBe("good")
  const [bad] = gateway.endpoints.all()
  const server = net.createServer((socket) => socket.on("error", () => undefined).on("data", () => socket.write(answer)))
  server.listen(port, "127.0.0.1")
  await once(server, "listening")
  await eventually("its time is over", () => tick() > 0 && bad?.health.isAvailable === true)
  const got = [await ask(client), await ask(client)]
  expect(got.toSorted()).toEqual([status, "good"])
  await eventually("it may be tried again", () => tick() > 0 && bad?.health.isAvailable === true)
  server.close()
})

test("an endpoint that accepts and closes before any answer is ejected too; its requests fail", async () => {
  const good = await serving("good")
  const closing = await startBackend((peer) => peer.socket.destroy())
  backends.push(closing)
  const client = await begin([closing.port, good.port], { settings: { ejectBase: 60_000 } })
  const got: string[] = []
  for (let i = 0; i < 10; i++) got.push(await ask(client))
  expect(got.filter((own) => own === "502").length).toBe(3)
  expect(got.slice(-3)).toEqual(["good", "good", "good"])
})

test("of two endpoints the less busy gets the next request", async () => {
  const slow = await startBackend()
  backends.push(slow)
  const fast = await serving("fast")
  await begin([slow.port, fast.port])
  const waiting = await gateway.connect()
  waiting.say(GET)
  await (await slow.accept()).message()
  const client = await gateway.connect()
  for (let i = 0; i < 5; i++) expect(await ask(client)).toBe("fast")
})

test("an endpoint no table names any more: idle connections close at once, a request in flight finishes", async () => {
  const backend = await startBackend()
  backends.push(backend)
  const client = await begin([backend.port])
  const other = await gateway.connect()
  client.say(GET)
  const first = await backend.accept()
  await first.message()
  other.say(GET)
  const second = await backend.accept()
  await second.message()
  second.say(OK)
  await other.message()
  gateway.cluster.endpoints = []
  gateway.endpoints.keep(new Set())
  await second.end()
  expect(first.hasEnded).toBe(false)
  first.say(OK)
  expect((await client.message()).body).toBe("ok")
  await first.end()
  gateway.endpoints.sweep()
  expect([...gateway.endpoints.all()].length).toBe(0)
})

test("an endpoint named again is the same while requests are in flight on it", async () => {
  const backend = await startBackend()
  backends.push(backend)
  const client = await begin([backend.port])
  const endpoint = gateway.endpoints.get("127.0.0.1", backend.port)
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  gateway.endpoints.keep(new Set())
  expect(gateway.endpoints.get("127.0.0.1", backend.port)).toBe(endpoint)
  peer.say(OK)
  await client.message()
  expect(endpoint.idle).toBe(1)
})
