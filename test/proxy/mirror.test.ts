/** Mirrored requests: what the copy is, and that nothing of it is felt by who sent the request. */
import { afterEach, beforeEach, expect, test } from "vitest"
import type { CompiledRule, Mirror } from "../../gateway/table/table.ts"
import { backend, begin, gateway } from "./scene.ts"
import { eventually, GET, OK, startBackend, type Backend, type GatewayOptions, type Peer } from "./scripted.ts"

let shadow: Backend
let other: Backend

beforeEach(async () => {
  shadow = await startBackend()
  other = await startBackend()
})

afterEach(async () => {
  await shadow.stop()
  await other.stop()
})

const mirrorTo = (port: number): Mirror => ({ cluster: { id: "m", isHttp2: false, endpoints: [gateway.endpoints.get("127.0.0.1", port)], emptyStatus: 503, turn: 0 }, isDue: () => true })

const mirroring = (options: GatewayOptions = {}, mirrors: () => readonly Mirror[] = () => [mirrorTo(shadow.port)]): Promise<Peer> => {
  let made: CompiledRule | undefined
  return begin({ ...options, find: (_request, rule) => (made ??= { ...rule, mirrors: mirrors() }) })
}

const answered = async (client: Peer): Promise<void> => {
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
}

const mirrored = (outcome: Parameters<typeof gateway.metrics.mirrors.count>[0]): number => gateway.metrics.mirrors.count(outcome)

test("each mirror gets the request as the backend does, and its answer is thrown away", async () => {
  const client = await mirroring({}, () => [mirrorTo(shadow.port), mirrorTo(other.port)])
  client.say(GET)
  const heads: string[] = []
  for (const copy of [shadow, other]) {
    const peer = await copy.accept()
    heads.push((await peer.message()).head)
    peer.say("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nnono")
  }
  await eventually("both have answered", () => mirrored("answered") === 2)
  const peer = await backend.accept()
  expect(heads).toEqual(Array(2).fill((await peer.message()).head))
  peer.say(OK)
  const answer = await client.message()
  expect([answer.status, answer.body, client.heard]).toEqual([200, "ok", ""])
})

test("a mirror's connection is used again once it has answered, in chunks and after an interim response too", async () => {
  const client = await mirroring()
  client.say(GET)
  const copy = await shadow.accept()
  await copy.message()
  copy.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Enc")
  await answered(client)
  copy.say("oding: chunked\r\n\r\n3\r\nabc\r\n")
  copy.say("0\r\n\r\n")
  await eventually("it has answered", () => mirrored("answered") === 1)
  client.say(GET)
  await copy.message()
  copy.say(OK)
  await eventually("it has answered again", () => mirrored("answered") === 2)
  expect(shadow.peers.length).toBe(1)
})

test.each([
  ["with a length", "Content-Length: 5\r\n", "he", "llo"],
  ["in chunks, with trailers", "Transfer-Encoding: chunked\r\nTrailer: x\r\n", "3\r\nhel", "\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n"],
])("a body %s is mirrored, octet for octet, once all of it is there", async (_, framing, start, rest) => {
  const client = await mirroring()
  client.say(`POST /a HTTP/1.1\r\nHost: h\r\n${framing}\r\n${start}`)
  const peer = await backend.accept()
  await peer.hear(start)
  expect(shadow.peers.length).toBe(0)
  client.say(rest)
  await peer.hear(rest)
  const copy = await shadow.accept()
  await copy.hear("\r\n\r\n")
  await copy.hear(start + rest)
  expect(copy.heard).toBe("")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a body beyond the bound is not mirrored, and goes on", async () => {
  const client = await mirroring({ settings: { keptBodyBytes: 10 } })
  client.say("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world")
  const peer = await backend.accept()
  expect((await peer.message()).body).toBe("hello world")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
  expect([mirrored("body-too-large"), shadow.peers.length]).toEqual([1, 0])
})

test("what all keep together is bounded too, and given back", async () => {
  const client = await mirroring({ settings: { keptBytes: 8 } })
  const second = await gateway.connect()
  client.say("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nhello")
  const peer = await backend.accept()
  await peer.hear("hello")
  second.say("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
  await answered(second)
  expect(mirrored("body-too-large")).toBe(1)
  client.say("!")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
  second.say("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
  await eventually("two are on their way", () => gateway.http.mirrors.inFlight === 2)
  expect(mirrored("body-too-large")).toBe(1)
})

test("a body that never ends is not mirrored", async () => {
  const client = await mirroring()
  client.say("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nhello")
  await (await backend.accept()).hear("hello")
  client.socket.destroy()
  await eventually("it is given up", () => mirrored("body-incomplete") === 1)
  expect(shadow.peers.length).toBe(0)
})

test("a mirror that does not answer delays nobody, and is given up in time; more than so many are not sent", async () => {
  const client = await mirroring({ settings: { mirrorsInFlight: 1, mirrorTimeout: 800 } })
  client.say(GET)
  const copy = await shadow.accept()
  await answered(client)
  client.say(GET)
  await backend.peers[0]?.message()
  backend.peers[0]?.say(OK)
  expect((await client.message()).status).toBe(200)
  expect([mirrored("too-many"), gateway.http.mirrors.inFlight]).toEqual([1, 1])
  await copy.end()
  await eventually("it is given up", () => mirrored("timeout") === 1)
  expect(gateway.http.mirrors.inFlight).toBe(0)
})

test("a time-out of 0 is none", async () => {
  const client = await mirroring({ settings: { mirrorTimeout: 0 } })
  client.say(GET)
  const copy = await shadow.accept()
  await answered(client)
  const sent = performance.now()
  await eventually("time-outs have been looked at twice", () => performance.now() - sent > 600)
  copy.say(OK)
  await eventually("it is over", () => gateway.http.mirrors.inFlight === 0)
  expect([mirrored("answered"), mirrored("timeout")]).toEqual([1, 0])
})

test("a mirror that hangs up, refuses or speaks nonsense fails no request", async () => {
  const client = await mirroring({}, () => [mirrorTo(shadow.port), mirrorTo(other.port)])
  client.say(GET)
  const one = await shadow.accept()
  one.socket.resetAndDestroy()
  const two = await other.accept()
  await two.message()
  two.say("HTTP/3 nonsense\r\n\r\n")
  await answered(client)
  await eventually("both are counted", () => mirrored("lost") === 2)
  await shadow.stop()
  client.say(GET)
  await eventually("refused", () => mirrored("lost") === 3)
})

test("without endpoints a mirror is dropped", async () => {
  const client = await mirroring({}, () => [{ cluster: { id: "m", isHttp2: false, endpoints: [], emptyStatus: 503, turn: 0 }, isDue: () => true }])
  client.say(GET)
  await answered(client)
  expect(mirrored("no-endpoint")).toBe(1)
})

test("the rule's filters are in its copies, a backend's own are not; a backend's mirrors see both", async () => {
  let own: readonly Mirror[] = []
  const client = await begin({
    rule: { requestHeaders: (headers) => headers.set("x-rule", "1"), rewrite: () => ({ host: undefined, path: "/rule" }) },
    backend: { requestHeaders: (headers) => headers.set("x-backend", "1"), rewrite: () => ({ host: undefined, path: "/backend" }) },
    find: (_request, rule) => {
      const chosen = rule.pick()
      return { ...rule, mirrors: [mirrorTo(shadow.port)], pick: () => (chosen === null ? null : { ...chosen, mirrors: own }) }
    },
  })
  own = [mirrorTo(other.port)]
  client.say(GET)
  const [ofRule, ofBackend, sent] = await Promise.all([shadow, other, backend].map(async (each) => (await (await each.accept()).message()).head))
  expect(sent).toMatch(/^GET \/backend [^]*x-rule: 1\r\nx-backend: 1/)
  expect(ofBackend).toBe(sent)
  expect(ofRule).toMatch(/^GET \/rule [^]*x-rule: 1/)
  expect(ofRule).not.toContain("x-backend")
})

test("what is not due is not mirrored", async () => {
  const client = await mirroring({}, () => [{ ...mirrorTo(shadow.port), isDue: () => false }])
  client.say(GET)
  await answered(client)
  expect([shadow.peers.length, gateway.http.mirrors.inFlight]).toEqual([0, 0])
})
