/** Retries that a rule asks for: what is sent again, what never is, and what the client sees of it. */
import { once } from "node:events"
import net from "node:net"
import { expect, test } from "vitest"
import type { Retry } from "../../gateway/table/table.ts"
import { backend, begin, gateway } from "./scene.ts"
import { eventually, GET, OK, startBackend, type GatewayOptions, type Peer } from "./scripted.ts"

const retry = (more: Partial<Retry> = {}): Retry => ({ codes: new Set([500, 503]), attempts: 2, backoff: 1, ...more })
const retrying = (more: Partial<Retry> = {}, options: GatewayOptions = {}): Promise<Peer> => begin({ ...options, rule: { retry: retry(more), ...options.rule } })
const failure = (status: number): string => `HTTP/1.1 ${status} No\r\nContent-Length: 4\r\n\r\nnono`
const PUT = "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"

/** Takes as many requests as there are answers, on whatever connection they come. */
const serve = async (...answers: readonly string[]): Promise<readonly Peer[]> => {
  const peers: Peer[] = []
  let peer = await backend.accept()
  for (const answer of answers) {
    while (peer.isClosed || peer.hasEnded) peer = await backend.accept()
    await peer.message()
    peer.say(answer)
    peers.push(peer)
  }
  return peers
}

test("a status of the rule's is not shown to the client, and the connection is used again", async () => {
  const client = await retrying()
  client.say(GET)
  await serve(failure(500), failure(503), OK)
  const answer = await client.message()
  expect([answer.status, answer.body, client.heard, backend.peers.length, gateway.metrics.upstream.retries]).toEqual([200, "ok", "", 1, 2])
})

test("the last answer goes to the client when there are no more attempts", async () => {
  const client = await retrying()
  client.say(GET)
  await serve(failure(500), failure(500), failure(503))
  const answer = await client.message()
  expect([answer.status, answer.body]).toEqual([503, "nono"])
  client.say(GET)
  await backend.peers[0]?.message()
  backend.peers[0]?.say(OK)
  expect((await client.message()).status).toBe(200)
})

test.each([
  ["a status that the rule does not name", "GET", {}, 502],
  ["anything where attempts are 0", "GET", { attempts: 0 }, 500],
  ["a POST, whatever its status", "POST", {}, 503],
  ["a PATCH", "PATCH", {}, 500],
])("%s is not sent again", async (_, method, more, status) => {
  const client = await retrying(more)
  client.say(`${method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`)
  await serve(failure(status))
  expect((await client.message()).status).toBe(status)
  expect(gateway.metrics.upstream.retries).toBe(0)
})

test("a connection lost after the request was sent: again where that has the same effect, else 502", async () => {
  const client = await retrying()
  client.say(GET)
  const first = await backend.accept()
  await first.message()
  first.socket.resetAndDestroy()
  await serve(OK)
  expect((await client.message()).status).toBe(200)
  client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
  const [peer] = backend.peers.slice(-1)
  expect((await peer?.message())?.body).toBe("hi")
  peer?.socket.resetAndDestroy()
  expect((await client.message()).status).toBe(502)
  expect(backend.peers.length).toBe(2)
})

test("an answer that breaks off before its end is not asked for again: the client has seen some of it", async () => {
  const client = await retrying()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
  await client.hear("abc")
  peer.socket.destroy()
  await client.end()
  expect(gateway.metrics.upstream.retries).toBe(0)
})

test("a body is kept for the next attempt, also one that is still coming", async () => {
  const client = await retrying()
  client.say(`${PUT}01234`)
  const first = await backend.accept()
  await first.hear("\r\n\r\n01234")
  first.say(failure(503))
  const second = await backend.accept()
  await second.hear("\r\n\r\n01234")
  client.say("56789")
  await second.hear("56789")
  second.say(failure(503))
  await second.hear("\r\n\r\n0123456789")
  second.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a body in chunks too", async () => {
  const client = await retrying()
  client.say("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n")
  const bodies: string[] = []
  const peer = await backend.accept()
  for (const answer of [failure(500), OK]) {
    await peer.hear("\r\n\r\n")
    bodies.push(await peer.hear("x: y\r\n\r\n"))
    peer.say(answer)
  }
  expect(bodies).toEqual(Array(2).fill("3\r\nabc\r\n0\r\nx: y\r\n\r\n"))
  expect((await client.message()).status).toBe(200)
})

test("a request whose body is too large to be kept is not sent again", async () => {
  const client = await retrying({}, { settings: { keptBodyBytes: 9 } })
  client.say(`${PUT}0123456789`)
  await serve(failure(503))
  expect((await client.message()).status).toBe(503)
  expect(gateway.metrics.upstream.retries).toBe(0)
})

test("an attempt that takes too long is given up for another; the last one's is 504", async () => {
  const client = await retrying({ attempts: 1 }, { rule: { backendTimeout: 250 } })
  client.say(GET)
  const first = await backend.accept()
  await first.message()
  await serve(OK)
  expect((await client.message()).status).toBe(200)
  await first.end()
  client.say(`${GET}`)
  await backend.peers[1]?.message()
  await (await backend.accept()).message()
  expect((await client.message()).status).toBe(504)
  expect(backend.peers.length).toBe(3)
})

test("the time of the request bounds all attempts and the waits between them", async () => {
  const client = await retrying({ attempts: 1_000, backoff: 10_000 }, { rule: { requestTimeout: 120 } })
  const began = performance.now()
  client.say(GET)
  await serve(failure(503))
  expect((await client.message()).status).toBe(504)
  expect(performance.now() - began).toBeGreaterThan(110)
  expect(gateway.metrics.upstream.retries).toBe(0)
})

test("the next attempt comes no sooner than the backoff, and later each time", async () => {
  const client = await retrying({ backoff: 80 })
  client.say(GET)
  const times: number[] = []
  const peer = await backend.accept()
  for (const answer of [failure(503), failure(503), OK]) {
    await peer.message()
    times.push(performance.now())
    peer.say(answer)
  }
  expect((await client.message()).status).toBe(200)
  const [first = 0, second = 0, third = 0] = times
  expect(second - first).toBeGreaterThanOrEqual(78)
  expect(third - second).toBeGreaterThanOrEqual(158)
})

test("another endpoint is preferred to the one that failed", async () => {
  const client = await retrying()
  const other = await startBackend()
  gateway.cluster.endpoints = [...gateway.cluster.endpoints, gateway.endpoints.get("127.0.0.1", other.port)]
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  // It would be its turn.
  gateway.cluster.turn = 0
  peer.say(failure(503))
  const next = await other.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).status).toBe(200)
  await other.stop()
})

test("an endpoint that refuses is tried again until it is there, also for what must not be sent twice", async () => {
  const client = await retrying({ attempts: 100, backoff: 5 })
  await backend.stop()
  client.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
  await eventually("it has been refused a few times", () => gateway.metrics.upstream.count("refused") > 2)
  const late = net.createServer((socket) => void socket.once("data", () => socket.write(OK))).listen(backend.port, "127.0.0.1")
  await once(late, "listening")
  expect((await client.message()).status).toBe(200)
  client.socket.destroy()
  gateway.endpoints.close()
  late.close()
})

test("a client whose body waits for the next attempt is not taken for a slow one", async () => {
  const client = await retrying({ attempts: 1, backoff: 400 }, { settings: { requestBodyIdle: 100 } })
  await backend.stop()
  client.say(`${PUT}0123456789`)
  expect((await client.message()).status).toBe(503)
})

test("an endpoint that refuses costs no wait while another is there", async () => {
  const client = await retrying({ attempts: 1, backoff: 60_000 })
  const gone = await startBackend()
  await gone.stop()
  gateway.cluster.endpoints = [gateway.endpoints.get("127.0.0.1", gone.port), ...gateway.cluster.endpoints]
  for (let i = 0; i < 2; i++) client.say(GET)
  await serve(OK, OK)
  for (let i = 0; i < 2; i++) expect((await client.message()).status).toBe(200)
})

test("attempts of 0 mean no other endpoint either", async () => {
  const client = await retrying({ attempts: 0 })
  await backend.stop()
  client.say(GET)
  expect((await client.message()).status).toBe(503)
  expect(gateway.metrics.upstream.count("refused")).toBe(1)
})

test("a pooled connection that has closed is no attempt", async () => {
  const client = await retrying({ attempts: 0 })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
  // The gateway's request and this end cross.
  client.say(GET)
  await peer.message()
  peer.socket.destroy()
  await serve(OK)
  expect((await client.message()).status).toBe(200)
})

test("retries stop where the cluster's budget ends: the failure goes to the client", async () => {
  const client = await retrying({ attempts: 10 }, { settings: { retryPercent: 50, retryRate: 0 } })
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) {
    client.say(GET)
    const isRetried = i % 2 === 1
    const peer = backend.peers[0] ?? (await backend.accept())
    await peer.message()
    peer.say(failure(503))
    if (isRetried) {
      await peer.message()
      peer.say(OK)
    }
    statuses.push((await client.message()).status)
  }
  expect(statuses).toEqual([503, 200, 503, 200])
  expect([gateway.metrics.upstream.retries, gateway.metrics.upstream.retriesDenied]).toEqual([2, 2])
})

test("a client that leaves while its request waits ends it", async () => {
  const client = await retrying({ backoff: 60_000 })
  client.say(GET)
  await serve(failure(503))
  await eventually("the backend is free", () => gateway.cluster.endpoints.every((each) => gateway.endpoints.get(each.address, each.port).inFlight === 0))
  client.socket.destroy()
  await eventually("it is over", () => gateway.http.inFlight === 0)
  expect(gateway.http.metrics.aborted).toBe(1)
})

test("endpoints that are gone when the wait is over: 503", async () => {
  const client = await retrying({ backoff: 20 })
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  gateway.cluster.endpoints = []
  peer.say(failure(500))
  expect((await client.message()).status).toBe(503)
})
