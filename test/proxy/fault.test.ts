/** Backends and clients that go wrong in the middle. */
import { expect, test } from "vitest"
import { backend, begin, gateway } from "./scene.ts"
import { GET, OK, answering, eventually, startGateway, type Peer } from "./scripted.ts"

const POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"

test.each([
  ["no HTTP at all", "hello\r\n\r\n"],
  ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"],
  ["HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a status of 600", "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n"],
  ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"],
  ["a NUL", "HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n"],
  ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"],
  ["Content-Length and Transfer-Encoding", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
  ["a coding we do not have", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  ["101 unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"],
  ["a head that does not end", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(40_000)}`],
  ["a bad chunk at once", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz\r\n"],
])("a response with %s is answered 502; the backend's connection is dropped, the client's kept", async (_name, answer) => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(answer)
  expect((await client.message()).status).toBe(502)
  await peer.close()
  client.say(GET)
  const next = await backend.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).body).toBe("ok")
})

test.each([
  ["Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
  ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
])("a response truncated (%s) is cut for the client too, without a proper end", async (_name, answer) => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(answer)
  await client.hear("abc")
  peer.socket.end()
  await client.close()
  expect(client.heard).not.toContain("0\r\n\r\n")
})

test("a response until close that is reset is cut too", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\n\r\nabc")
  await client.hear("abc")
  peer.socket.resetAndDestroy()
  await client.close()
  expect(client.heard).not.toContain("0\r\n\r\n")
})

test("a bad chunk in the middle of a response cuts it", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nHTTP/1.1 200 OK\r\n\r\n")
  await client.close()
  expect(client.heard).not.toContain("zz")
})

test("octets after a complete response end the pooled connection and reach nobody", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`)
  expect((await client.message()).body).toBe("ok")
  await peer.close()
  client.say(GET)
  const next = await backend.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).body).toBe("ok")
})

test("octets on an idle pooled connection end it", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  await client.message()
  peer.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
  await peer.close()
  client.say(GET)
  const next = await backend.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).status).toBe(200)
})

/** The gateway has one idle pooled connection, which the backend closes as the next request arrives on it. */
const stale = async (): Promise<Peer> => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  await client.message()
  peer.socket.once("data", () => peer.socket.resetAndDestroy())
  return client
}

test("a pooled connection that turns out stale: a GET is sent again on a fresh one", async () => {
  const client = await stale()
  client.say("GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
  const next = await backend.accept()
  expect((await next.message()).head).toMatch(/^GET \/again /)
  next.say(OK)
  expect((await client.message()).status).toBe(200)
  expect(gateway.metrics.upstream.retries).toBe(1)
})

test("a pooled connection that turns out stale: a POST is not repeated", async () => {
  const client = await stale()
  client.say(POST)
  expect((await client.message()).status).toBe(502)
  expect(backend.peers.length).toBe(1)
})

test("a pooled connection that turns out stale: a PUT with a body is not repeated", async () => {
  const client = await stale()
  client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
  expect((await client.message()).status).toBe(502)
  expect(backend.peers.length).toBe(1)
})

test("a fresh connection that is closed without an answer is not retried", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.socket.end()
  expect((await client.message()).status).toBe(502)
  expect(backend.peers.length).toBe(1)
})

test("a client that resets cancels the request upstream", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  client.socket.resetAndDestroy()
  await peer.close()
  expect(gateway.http.metrics.aborted).toBe(1)
})

test("a client that resets during the response cancels the request upstream", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
  await client.hear("abc")
  client.socket.resetAndDestroy()
  await peer.close()
})

test("a half-closed client gets its answer, then the connection ends", async () => {
  const client = await begin()
  client.socket.end(GET, "latin1")
  const peer = await backend.accept()
  await peer.message()
  await eventually("the FIN was seen", () => gateway.http.connections === 1 && client.socket.writableFinished)
  peer.say(OK)
  expect((await client.message()).body).toBe("ok")
  await client.close()
})

test("several pipelined requests before a half-close are all answered", async () => {
  const client = await begin()
  client.socket.end(GET + GET + GET, "latin1")
  const peer = await backend.accept()
  for (let i = 0; i < 3; i++) {
    await peer.message()
    peer.say(OK)
    expect((await client.message()).body).toBe("ok")
  }
  await client.close()
})

test("a client's FIN and then no answer for a while is an abort: upstream is cancelled", async () => {
  const client = await begin({ settings: { halfCloseTimeout: 60 } })
  client.socket.end(GET, "latin1")
  const peer = await backend.accept()
  await peer.message()
  await peer.close()
  await client.close()
  expect(gateway.http.metrics.aborted).toBe(1)
})

test("a client that ends inside its body cancels the request upstream", async () => {
  const client = await begin()
  client.socket.end("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "latin1")
  const peer = await backend.accept()
  await peer.close()
  await client.close()
})

test("an answer that comes before the request has come: the rest is drained and the connection goes on", async () => {
  const client = await begin()
  client.say("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
  const peer = await backend.accept()
  await peer.hear("12345")
  peer.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
  const response = await client.message()
  expect(response.status).toBe(401)
  expect(response.field("connection")).toBeUndefined()
  // The backend must not take the next request's octets for the rest of this one's.
  await peer.close()
  client.say(`67890${GET}`)
  const next = await backend.accept()
  expect((await next.message()).head).toMatch(/^GET \/ /)
  next.say(OK)
  expect((await client.message()).body).toBe("ok")
})

test("an answer that comes before a request that is much longer: said, sent, drained within bounds, closed", async () => {
  const client = await begin({ settings: { drainTimeout: 100 } })
  client.say("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n12345")
  const peer = await backend.accept()
  await peer.hear("12345")
  peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
  const response = await client.message()
  expect(response.status).toBe(413)
  expect(response.field("connection")).toBe("close")
  await client.end()
  await eventually("cut off", () => gateway.http.connections === 0)
})

test("an endless chunked body after the answer is drained within bounds only", async () => {
  const client = await begin({ settings: { drainBytes: 10_000, drainTimeout: 100 } })
  client.say("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
  const peer = await backend.accept()
  await peer.hear("1\r\na\r\n")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
  const feed = (): void => {
    if (client.socket.writable) client.socket.write(`400\r\n${"x".repeat(1024)}\r\n`, "latin1", () => setImmediate(feed))
  }
  feed()
  await client.close()
})

test("an answer while the body still comes is streamed both ways to the end", async () => {
  const client = await begin()
  client.say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
  const peer = await backend.accept()
  await peer.hear("1\r\na\r\n")
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
  await client.hear("1\r\na\r\n")
  client.say("1\r\nb\r\n0\r\n\r\n")
  await peer.hear("0\r\n\r\n")
  peer.say("1\r\nb\r\n0\r\n\r\n")
  await client.hear("0\r\n\r\n")
  client.say(GET)
  await peer.message()
  peer.say(OK)
  expect((await client.message()).body).toBe("ok")
  expect(backend.peers.length).toBe(1)
})

test("a backend that answers and resets while the body still comes: the client sees the answer", async () => {
  const client = await begin()
  client.say("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n12345")
  const peer = await backend.accept()
  await peer.hear("12345")
  peer.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
  expect((await client.message()).status).toBe(413)
})

test("a client that pipelines without reading answers is held back, not buffered", async () => {
  const client = await begin()
  const peer = backend.accept()
  client.say(GET)
  await (await peer).message()
  // No answer comes: everything after this one request waits.
  const flood = GET.repeat(1_000)
  let taken = 0
  const feed = (): void => {
    client.socket.write(flood, "latin1", () => {
      taken += flood.length
      if (taken < 64_000_000 && !client.isClosed) feed()
    })
  }
  feed()
  let before = -1
  await eventually("the flood stops", () => {
    const hasStopped = taken === before && taken > 0
    before = taken
    return hasStopped
  }, 10_000)
  expect(taken).toBeLessThan(32_000_000)
  expect(process.memoryUsage().external).toBeLessThan(200_000_000)
})

test("interim responses without end to a client that does not read are not gathered", async () => {
  const client = await begin()
  client.say(GET)
  client.socket.pause()
  const peer = await backend.accept()
  await peer.message()
  const before = process.memoryUsage()
  const block = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(10_000)}\r\n\r\n`.repeat(100))
  for (let i = 0; i < 80; i++) await new Promise<void>((resolve) => peer.socket.write(block, () => resolve()))
  const { heapUsed, external } = process.memoryUsage()
  expect(heapUsed + external - before.heapUsed - before.external).toBeLessThan(40_000_000)
  peer.say(OK)
  client.socket.resume()
  await client.hear("HTTP/1.1 200 OK")
})

test("many pipelined local answers to a client that does not read are held back", async () => {
  const client = await begin({ rule: { answer: { status: 200, headers: [], body: "x".repeat(10_000) } } })
  client.socket.pause()
  const before = process.memoryUsage().rss
  for (let i = 0; i < 20; i++) client.say(GET.repeat(1_000))
  await eventually("some are answered", () => gateway.http.metrics.codes().some(([code, count]) => code === "2xx" && count > 10))
  await new Promise<void>((resolve) => setTimeout(resolve, 200))
  const [, answered = 0] = gateway.http.metrics.codes().find(([code]) => code === "2xx") ?? []
  expect(answered).toBeLessThan(2_000)
  expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000)
})

test("no endpoint answers 503, a backend that does not exist 500, no route 404, no backend 500", async () => {
  const client = await begin()
  gateway.cluster.endpoints = []
  client.say(GET)
  expect((await client.message()).status).toBe(503)
  Object.assign(gateway.cluster, { emptyStatus: 500 })
  client.say(GET)
  expect((await client.message()).status).toBe(500)
  const nowhere = await startGateway([], { find: () => null })
  const lost = await nowhere.connect()
  lost.say(GET)
  const response = await lost.message()
  expect(response.status).toBe(404)
  expect(response.body).toBe("no route for this host and path\n")
  await nowhere.stop()
  const weightless = await startGateway([], { rule: { pick: () => null } })
  const nobody = await weightless.connect()
  nobody.say(GET)
  expect((await nobody.message()).status).toBe(500)
  await weightless.stop()
})

test("an answer and a redirect of a route need no backend; HEAD gets their heads", async () => {
  const client = await begin({
    find: (request, rule) => request.path === "/moved"
      ? { ...rule, redirect: ({ host, path }, scheme, port) => ({ status: 301, location: `${scheme}://${host}:${port}${path}` }) }
      : { ...rule, answer: { status: 403, headers: [["X-Why", "é"]], body: "grün\n" } },
  })
  client.say("GET /moved HTTP/1.1\r\nHost: a\r\n\r\n")
  const moved = await client.message()
  expect(moved.status).toBe(301)
  expect(moved.field("location")).toBe("http://a:80/moved")
  client.say(GET)
  const answer = await client.message()
  expect(Buffer.from(answer.body, "latin1").toString("utf8")).toBe("grün\n")
  client.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
  const head = await client.message("HEAD")
  expect(head.field("content-length")).toBe("6")
  client.say(GET)
  expect((await client.message()).status).toBe(403)
})

test("an answer's own framing fields are not believed", async () => {
  const client = await begin({ rule: { answer: { status: 200, headers: [["Content-Length", "1"], ["Transfer-Encoding", "chunked"], ["Connection", "close"], ["X-Own", "y"]], body: "body" } } })
  client.say(GET)
  const { head, body } = await client.message()
  expect(head).toMatch(/^HTTP\/1.1 200 OK\r\nX-Own: y\r\nContent-Length: 4\r\nDate: [^\r]*$/)
  expect(body).toBe("body")
})

test("a request keeps the table it began with", async () => {
  const tables: string[] = []
  let generation = 0
  const client = await begin({
    table: (table) => ({ ...table, find: (request) => {
      tables.push(`${generation} ${request.path}`)
      return table.find(request)
    } }),
    rule: { responseHeaders: (headers) => headers.set("X-Generation", "of the rule") },
  })
  client.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
  const peer = await backend.accept()
  await peer.message()
  generation++
  peer.say(OK)
  expect((await client.message()).field("x-generation")).toBe("of the rule")
  client.say("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
  await peer.message()
  peer.say(OK)
  await client.message()
  expect(tables).toEqual(["0 /1", "1 /2"])
})

test("draining: answers in progress say close and are completed, idle connections end, new ones are refused", async () => {
  const client = await begin()
  const idle = await gateway.connect()
  idle.say(GET)
  const first = await backend.accept()
  await first.message()
  first.say(OK)
  await idle.message()
  client.say(GET)
  await first.message()
  const drained = gateway.http.drain(5_000)
  await idle.end()
  idle.socket.end()
  first.say(OK)
  expect((await client.message()).field("connection")).toBe("close")
  await client.end()
  client.socket.end()
  expect(await drained).toBe(0)
  await expect(gateway.connect()).rejects.toThrow(/ECONN|closed|refused/)
})

test("draining is bounded: what does not end is cut off and counted", async () => {
  const client = await begin()
  client.say(GET)
  await (await backend.accept()).message()
  expect(await gateway.http.drain(50)).toBe(1)
  await client.close()
})

test("more client connections than allowed are closed on accept", async () => {
  await begin({ settings: { maxConnections: 1 } })
  const second = await gateway.connect()
  await second.close()
  expect(gateway.http.metrics.turnedAway).toBe(1)
})

test("more connections to an endpoint than allowed: 503, and the place is free again afterwards", async () => {
  const client = await begin({ settings: { endpointConnections: 1 } })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  const second = await gateway.connect()
  second.say(GET)
  expect((await second.message()).status).toBe(503)
  peer.say(OK)
  await client.message()
  second.say(GET)
  await peer.message()
  peer.say(OK)
  expect((await second.message()).status).toBe(200)
})

test("requests per connection are limited when asked for", async () => {
  const client = await begin({ settings: { requestsPerConnection: 2 } })
  const serve = answering(() => OK)
  client.say(GET)
  serve(await backend.accept())
  expect((await client.message()).field("connection")).toBeUndefined()
  client.say(GET)
  expect((await client.message()).field("connection")).toBe("close")
  await client.end()
})
