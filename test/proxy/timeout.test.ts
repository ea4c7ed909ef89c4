/** Every time-out, each with the others far away. Waits are for the event; the bounds only say "not at once". */
import { once } from "node:events"
import net from "node:net"
import { Worker } from "node:worker_threads"
import { afterEach, expect, test } from "vitest"
import { GET, OK, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend
let gateway: Gateway
let began = 0

const begin = async (options?: GatewayOptions): Promise<Peer> => {
  backend = await startBackend()
  gateway = await startGateway([backend.port], options)
  began = performance.now()
  return gateway.connect()
}

const elapsed = (): number => performance.now() - began

afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})

test("a head that does not come to its end: 408 and closed", async () => {
  const client = await begin({ settings: { headTimeout: 150 } })
  client.say("GET / HTTP/1.1\r\nHost:")
  expect((await client.message()).status).toBe(408)
  expect(elapsed()).toBeGreaterThan(140)
  await client.end()
})

test("a head that trickles is bounded as a whole", async () => {
  const client = await begin({ settings: { headTimeout: 150 } })
  client.say("GET / HTTP/1.1\r\n")
  const timer = setInterval(() => client.say("X: y\r\n"), 10)
  expect((await client.message()).status).toBe(408)
  clearInterval(timer)
})

test("a connection on which nothing comes is closed without a word", async () => {
  const client = await begin({ settings: { headTimeout: 120 } })
  await client.end()
  expect(client.heard).toBe("")
  expect(elapsed()).toBeGreaterThan(110)
})

test("an idle kept-alive connection is closed without a word", async () => {
  const client = await begin({ settings: { keepAliveTimeout: 150 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  await client.message()
  const idle = performance.now()
  await client.end()
  expect(client.heard).toBe("")
  expect(performance.now() - idle).toBeGreaterThan(140)
})

test("a body that stops coming: 408, and the request upstream is cancelled", async () => {
  const client = await begin({ settings: { requestBodyIdle: 150 } })
  client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
  const peer = await backend.accept()
  await peer.hear("abc")
  expect((await client.message()).status).toBe(408)
  await client.end()
  await peer.end()
})

test("a body that keeps coming, however slowly, is not timed out", async () => {
  const client = await begin({ settings: { requestBodyIdle: 200, requestBodyRate: 0 } })
  client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
  const peer = await backend.accept()
  for (let i = 0; i < 10; i++) {
    await new Promise<void>((resolve) => setTimeout(resolve, 50))
    client.say("x")
  }
  await peer.hear("xxxxxxxxxx")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a client that has said all is not out of time while a backend takes nothing of it", async () => {
  const client = await begin({ settings: { requestBodyIdle: 500, pendingBytes: 16_000_000 } })
  const size = 6_000_000
  client.say(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size)}`)
  const peer = await backend.accept()
  peer.socket.pause()
  await eventually("the client has said all", () => client.socket.writableLength === 0)
  const slow = await gateway.connect()
  slow.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n12345")
  expect((await slow.message()).status).toBe(408)
  peer.socket.resume()
  await peer.message()
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a backend that does not answer: 504 after the time for its head", async () => {
  const client = await begin({ settings: { responseHeadTimeout: 150 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  expect((await client.message()).status).toBe(504)
  expect(elapsed()).toBeGreaterThan(140)
  await peer.end()
  client.say(GET)
  const next = await backend.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("the route's time for a request: 504, also while the body is still coming", async () => {
  const client = await begin({ rule: { requestTimeout: 150 } })
  client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
  expect((await client.message()).status).toBe(504)
  expect(elapsed()).toBeGreaterThan(140)
})

test("the route's time for a backend: 504", async () => {
  const client = await begin({ rule: { backendTimeout: 150 } })
  client.say(GET)
  await (await backend.accept()).message()
  expect((await client.message()).status).toBe(504)
})

test("a route whose time is 0 has none, whatever the default", async () => {
  const client = await begin({ settings: { requestTimeout: 60, backendTimeout: 60 }, rule: { requestTimeout: 0, backendTimeout: 0 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  await new Promise<void>((resolve) => setTimeout(resolve, 250))
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("time that runs out during the response cuts it", async () => {
  const client = await begin({ rule: { requestTimeout: 150 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
  await client.hear("abc")
  await client.end()
  expect(client.heard).toBe("")
  await peer.end()
})

test("a response body that stops coming is cut", async () => {
  const client = await begin({ settings: { responseBodyIdle: 150 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
  await client.hear("abc")
  await client.end()
  await peer.end()
})

test("a client that takes nothing of its answer is cut off, and the backend released", async () => {
  const client = await begin({ settings: { writeTimeout: 200 } })
  client.say(GET)
  client.socket.pause()
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
  const block = Buffer.alloc(1_000_000)
  const feed = (): void => {
    if (peer.socket.writable) peer.socket.write(block, () => setImmediate(feed))
  }
  feed()
  await peer.end()
  await eventually("the client is cut off", () => gateway.http.connections === 0)
})

test("a client that takes its answer slowly but steadily is not cut off", async () => {
  const client = await begin({ settings: { writeTimeout: 400 }, rule: { answer: { status: 200, headers: [], body: "x".repeat(48_000_000) } } })
  client.socket.pause()
  const sip = setInterval(() => client.socket.resume(), 5)
  client.socket.on("data", () => void client.socket.pause())
  client.say(GET)
  await eventually("it has taken several times as long", () => client.isClosed || elapsed() > 1_500)
  clearInterval(sip)
  client.socket.removeAllListeners("data")
  expect(client.isClosed).toBe(false)
  expect(gateway.http.connections).toBe(1)
})

test("a request that waits until the client takes earlier answers is not out of time", async () => {
  const client = await begin({ settings: { headTimeout: 100 }, rule: { answer: { status: 200, headers: [], body: "x".repeat(1_000_000) } } })
  client.socket.pause()
  client.say(GET.repeat(30))
  await eventually("what the kernel keeps is full", () => gateway.http.metrics.codes().some(([code, count]) => code === "2xx" && count > 1))
  await eventually("its time would be over", () => elapsed() > 500)
  client.socket.resume()
  for (let i = 0; i < 30; i++) expect((await client.message()).status).toBe(200)
})

test("a backend that takes nothing of the request: 504", async () => {
  const client = await begin({ settings: { responseHeadTimeout: 200, requestBodyIdle: 100 } })
  client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
  const peer = await backend.accept()
  peer.socket.pause()
  const block = Buffer.alloc(1_000_000)
  const feed = (): void => {
    if (client.socket.writable && !client.isClosed) client.socket.write(block, () => setImmediate(feed))
  }
  feed()
  expect((await client.message()).status).toBe(504)
})

test("a pooled connection idle for too long is closed by the sweep", async () => {
  const client = await begin({ settings: { poolIdleTimeout: 50 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  await client.message()
  gateway.endpoints.sweep()
  expect(gateway.cluster.endpoints.length).toBe(1)
  await new Promise<void>((resolve) => setTimeout(resolve, 80))
  client.say("GET /none HTTP/1.1\r\n\r\n")
  await client.message()
  gateway.endpoints.sweep()
  await peer.end()
})

/**
 * A listening socket whose queue is full: its thread sleeps and accepts nothing, so the kernel answers no more SYNs.
 */
test("a backend that does not accept in time: the next one gets the request; alone it is 504", async () => {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(
    `const { workerData, parentPort } = require("node:worker_threads")
     const server = require("node:net").createServer()
     server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       setImmediate(() => { Atomics.wait(workerData, 0, 0); process.exit(0) })
     })`,
    { eval: true, workerData: gate },
  )
  const [port]: unknown[] = await once(worker, "message")
  if (typeof port !== "number") throw new Error("no port")
  const fillers: net.Socket[] = []
  // Until a connection no longer succeeds.
  for (;;) {
    const filler = net.connect(port, "127.0.0.1")
    filler.on("error", () => undefined)
    fillers.push(filler)
    const connected = await Promise.race([once(filler, "connect").then(() => true), new Promise<false>((resolve) => setTimeout(resolve, 300, false))])
    if (!connected) break
  }
  const client = await begin({ settings: { connectTimeout: 150 } })
  try {
    const [good] = gateway.cluster.endpoints
    const full = gateway.endpoints.get("127.0.0.1", port)
    gateway.cluster.endpoints = good === undefined ? [] : [full, good]
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
    const peer = await backend.accept()
    expect((await peer.message()).body).toBe("body")
    peer.say(OK)
    expect((await client.message()).status).toBe(200)
    gateway.cluster.endpoints = [full]
    client.say(GET)
    expect((await client.message()).status).toBe(504)
    expect(gateway.metrics.upstream.count("connect-timeout")).toBe(2)
    expect(full.inFlight).toBe(0)
  } finally {
    for (const filler of fillers) filler.destroy()
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    await worker.terminate()
  }
})
