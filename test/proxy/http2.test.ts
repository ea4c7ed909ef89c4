/** HTTP/2 from clients to HTTP/1.1 at backends: messages, their ends, and what becomes of them when one side fails. */
import { createHash } from "node:crypto"
import { once } from "node:events"
import type { Socket } from "node:net"
import http2 from "node:http2"
import { afterEach, expect, test } from "vitest"
import type { Settings } from "../../gateway/settings.ts"
import { answer, ask, session } from "./http2.ts"
import { digest, pattern } from "./octets.ts"
import { OK, GET, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend
let gateway: Gateway
const clients: http2.ClientHttp2Session[] = []

/** Node's client gives up when what it has to send is more than this many megabytes. */
const roomy: http2.ClientSessionOptions = { maxSessionMemory: 1_000 }

const begin = async (onPeer?: (peer: Peer) => void, options: GatewayOptions = {}, client: http2.ClientSessionOptions = {}): Promise<http2.ClientHttp2Session> => {
  backend = await startBackend(onPeer)
  gateway = await startGateway([backend.port], options)
  return connect(client)
}
const connect = async (options: http2.ClientSessionOptions = {}): Promise<http2.ClientHttp2Session> => {
  const client = await session(gateway.port, options)
  clients.push(client)
  return client
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await gateway.stop()
  await backend.stop()
})

test("a request and its answer, with fields that end at the hop left out and names in lower case", async () => {
  const client = await begin()
  const asked = ask(client, { ":path": "/a?b", "x-y": "z", cookie: "a=1; b=2" })
  const peer = await backend.accept()
  const heard = await peer.message()
  expect(heard.head.split("\r\n")[0]).toBe("GET /a?b HTTP/1.1")
  expect(heard.field("host")).toBe("example.com")
  expect(heard.field("cookie")).toBe("a=1; b=2")
  expect(heard.field("x-y")).toBe("z")
  expect(heard.field("x-forwarded-proto")).toBe("http")
  expect(heard.field("x-forwarded-for")).toBe("127.0.0.1")
  expect(heard.field("transfer-encoding")).toBeUndefined()
  peer.say("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok")
  const { status, headers, body } = await asked
  expect({ status, body }).toEqual({ status: 200, body: "ok" })
  expect(headers["x-own"]).toBe("1")
  expect(headers["set-cookie"]).toEqual(["a", "b"])
  expect(headers["keep-alive"]).toBeUndefined()
  expect(headers["x-hop"]).toBeUndefined()
  expect(headers.date).toBeDefined()
})

test("HTTP/1.1 and HTTP/2 come to one port, and the preface may come octet by octet", async () => {
  const client = await begin(answering(() => OK))
  expect((await ask(client)).body).toBe("ok")
  const plain = await gateway.connect()
  plain.say(GET)
  expect((await plain.message()).body).toBe("ok")
  const slow = await gateway.connect()
  await slow.sayByByte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
  // SETTINGS, WINDOW_UPDATE of the connection, and the acknowledgement of ours to come.
  expect((await slow.hearOctets(4)).charCodeAt(3)).toBe(4)
  const other = await gateway.connect()
  other.say("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
  expect((await other.message()).status).toBe(505)
  const odd = await gateway.connect()
  odd.say("PUT / HTTP/2.0\r\nHost: a\r\n\r\n")
  expect((await odd.message()).status).toBe(505)
})

test("many streams at once share one connection, each with its own answer", async () => {
  const client = await begin(answering((request) => `HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n${(request.field("x-n") ?? "").padStart(6, "0")}`))
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => ask(client, { "x-n": String(n) })))
  expect(answers.map(({ body }) => Number(body))).toEqual(Array.from({ length: 100 }, (_, n) => n))
  expect(gateway.http.inFlight).toBe(0)
  expect(gateway.metrics.listener(80).connections).toBe(1)
})

test("content of unknown length goes on in chunks, with its trailers; of known length as it is", async () => {
  const client = await begin()
  const stream = client.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true })
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7", "content-type": "text/evil" }))
  const asked = answer(stream)
  stream.write("abc")
  const peer = await backend.accept()
  expect((await peer.hear("\r\n\r\n")).toLowerCase()).toContain("transfer-encoding: chunked")
  expect(await peer.hear("abc\r\n")).toBe("3\r\nabc\r\n")
  stream.end("defg")
  expect(await peer.hear("\r\n\r\n")).toBe("4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n")
  peer.say(OK)
  expect((await asked).status).toBe(200)
  const known = ask(client, { ":method": "PUT", "content-length": "5" }, "12345")
  const { body, field } = await peer.message()
  expect(body).toBe("12345")
  expect(field("transfer-encoding")).toBeUndefined()
  peer.say(OK)
  expect((await known).status).toBe(200)
})

test("a backend's chunks become content and its trailers trailers", async () => {
  const client = await begin(answering(() => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-End: yes\r\nContent-Length: 9\r\n\r\n"))
  const { body, trailers, headers } = await ask(client)
  expect(body).toBe("abcdefg")
  expect(headers["transfer-encoding"]).toBeUndefined()
  expect(trailers["x-end"]).toBe("yes")
  expect(trailers["content-length"]).toBeUndefined()
})

test("answers without content, interim ones, and ones that end with the connection", async () => {
  const client = await begin()
  const head = ask(client, { ":method": "HEAD" })
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
  expect(await head).toMatchObject({ status: 200, body: "", headers: { "content-length": "12" } })
  const none = ask(client)
  await peer.message()
  peer.say("HTTP/1.1 204 No Content\r\n\r\n")
  expect(await none).toMatchObject({ status: 204, body: "" })
  const same = ask(client)
  await peer.message()
  peer.say("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
  expect(await same).toMatchObject({ status: 304, body: "", headers: { etag: "\"a\"" } })
  const early = ask(client)
  await peer.message()
  peer.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + "HTTP/1.1 200 OK\r\n\r\nall")
  peer.socket.end()
  expect(await early).toMatchObject({ status: 200, body: "all", interim: [103] })
})

test("a client's reset takes the request away from the backend", async () => {
  const client = await begin()
  const stream = client.request({ ":path": "/" })
  stream.on("error", () => undefined)
  const peer = await backend.accept()
  await peer.message()
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await peer.end()
  expect(gateway.http.inFlight).toBe(0)
  expect(gateway.metrics.listener(80).aborted).toBe(1)
  const next = ask(client)
  const other = await backend.accept()
  await other.message()
  other.say(OK)
  expect((await next).body).toBe("ok")
})

test("a backend that is lost in the middle of its answer resets the stream alone; before it, 502", async () => {
  const client = await begin()
  const cut = client.request({ ":path": "/" })
  const lost = answer(cut)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
  await once(cut, "data")
  peer.socket.destroy()
  await expect(lost).rejects.toThrow("NGHTTP2_INTERNAL_ERROR")
  expect(cut.rstCode).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR)
  const none = ask(client, { ":method": "POST" }, "x")
  const other = await backend.accept()
  await other.message()
  other.socket.destroy()
  expect((await none).status).toBe(502)
})

test("an answer before the request is complete ends the stream without an error", async () => {
  const client = await begin()
  const stream = client.request({ ":method": "POST", ":path": "/" })
  const asked = answer(stream)
  stream.write("part")
  const peer = await backend.accept()
  await peer.hear("part\r\n")
  peer.say("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
  expect(await asked).toMatchObject({ status: 413, body: "no" })
  await peer.end()
  expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR)
})

test("what a backend says arrives as it says it, long before the end", async () => {
  const client = await begin()
  const stream = client.request({ ":path": "/events" })
  const asked = answer(stream)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
  await once(stream, "response")
  for (const event of ["one", "two"]) {
    const next = once(stream, "data")
    peer.say(`3\r\n${event}\r\n`)
    expect(String((await next)[0])).toBe(event)
  }
  peer.say("0\r\n\r\n")
  expect((await asked).body).toBe("onetwo")
})

test("200 streams one after another on one connection use one to the backend and leave none behind", async () => {
  const client = await begin(answering(() => OK))
  for (let i = 0; i < 200; i++) expect((await ask(client, i % 2 === 0 ? {} : { ":method": "POST" }, i % 2 === 0 ? undefined : "x")).status).toBe(200)
  expect([gateway.http.inFlight, gateway.metrics.listener(80).connections, backend.peers.length]).toEqual([0, 1, 1])
})

const mebibyte = 1_048_576

test("20 MB each way at once, in any pieces, arrive as they were sent", async () => {
  const client = await begin((peer) => void echo(peer).catch(() => undefined), {}, roomy)
  const data = pattern(7, 20 * mebibyte)
  const bodies = await Promise.all([
    ask(client, { ":method": "POST" }, data),
    ask(client, { ":method": "POST", "content-length": String(data.length) }, data),
  ])
  for (const { body } of bodies) expect(digest(Buffer.from(body, "latin1"))).toBe(digest(data))
}, 30_000)

/** Says what it hears, chunks as chunks. */
const echo = async (peer: Peer): Promise<void> => {
  peer.socket.removeAllListeners("data")
  let isHead = true
  for await (const part of peer.socket) {
    const octets: Buffer = Buffer.from(part)
    if (!isHead) {
      if (!peer.socket.write(octets)) await once(peer.socket, "drain")
      continue
    }
    isHead = false
    const at = octets.indexOf("\r\n\r\n")
    const head = octets.toString("latin1", 0, at)
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    peer.say(`HTTP/1.1 200 OK\r\n${length === undefined ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`}\r\n\r\n`)
    peer.socket.write(octets.subarray(at + 4))
  }
}

test("a client that reads nothing of one stream pauses its backend, and the other streams go on", async () => {
  const client = await begin()
  const stuck = client.request({ ":path": "/" })
  const asked = answer(stuck)
  stuck.pause()
  const peer = await backend.accept()
  await peer.message()
  const size = 40 * mebibyte
  peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
  const data = pattern(3, size)
  let written = 0
  const pour = (): void => {
    while (written < size) {
      const to = Math.min(size, written + mebibyte)
      const goesOn = peer.socket.write(data.subarray(written, to))
      written = to
      if (!goesOn) return
    }
  }
  peer.socket.on("drain", pour)
  pour()
  const other = ask(client)
  const second = await backend.accept()
  await second.message()
  second.say(OK)
  expect((await other).body).toBe("ok")
  // What the kernel holds of two sockets on this machine, and a window: far from all.
  expect(written).toBeLessThan(24 * mebibyte)
  expect(peer.socket.writableLength).toBeGreaterThan(0)
  stuck.resume()
  expect(digest(Buffer.from((await asked).body, "latin1"))).toBe(digest(data))
}, 30_000)

test("backends that take nothing of requests shut the client's window, and get all when they go on", async () => {
  const digests: Promise<string>[] = []
  const sockets: Socket[] = []
  const client = await begin((peer) => {
    peer.socket.removeAllListeners("data")
    peer.socket.pause()
    sockets.push(peer.socket)
  }, {}, roomy)
  const size = 16 * mebibyte
  const data = pattern(5, size)
  const asked = Array.from({ length: 4 }, () => ask(client, { ":method": "PUT", "content-length": String(size) }, data))
  // What the gateway holds then is the window of a connection, and what waits in its sockets.
  let looks = 0
  await eventually("the window of the connection stays shut", () => (looks = sockets.length === 4 && client.state.remoteWindowSize === 0 ? looks + 1 : 0) === 50, 20_000)
  for (const socket of sockets) {
    digests.push(bodyDigest(socket, size))
    socket.resume()
  }
  expect(await Promise.all(digests)).toEqual(asked.map(() => digest(data)))
  for (const { body } of await Promise.all(asked)) expect(body).toBe("ok")
}, 30_000)

/** Answers once all of the body is there. */
const bodyDigest = async (socket: Socket, size: number): Promise<string> => {
  const hash = createHash("sha256")
  let left = size
  let head = ""
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    let octets: Buffer = Buffer.from(part)
    if (!head.includes("\r\n\r\n")) {
      const before = head.length
      head += octets.toString("latin1")
      const at = head.indexOf("\r\n\r\n")
      if (at < 0) continue
      octets = octets.subarray(at + 4 - before)
    }
    hash.update(octets)
    left -= octets.length
    if (left > 0) continue
    socket.write(OK)
    break
  }
  return hash.digest("hex")
}

const refused = async (headers: http2.OutgoingHttpHeaders, settings: Partial<Settings> = {}): Promise<number> => {
  const client = await begin(answering(() => OK), { settings })
  return (await ask(client, headers)).status
}

test("a path with dot segments: 400", async () => expect(await refused({ ":path": "/a/../b" })).toBe(400))
test("a target over the limit: 414", async () => expect(await refused({ ":path": `/${"a".repeat(9_000)}` })).toBe(414))
test("a head over the limit: 431", async () => expect(await refused({ "x-a": "a".repeat(20_000), "x-b": "b".repeat(20_000) })).toBe(431))
test("a scheme that is not the connection's: 421", async () => expect(await refused({ ":scheme": "https" })).toBe(421))
test("TRACE: 405", async () => expect(await refused({ ":method": "TRACE" })).toBe(405))
test.each<[string, http2.OutgoingHttpHeaders]>([
  ["its path", { ":path": "/a/../b" }], ["its length", { ":path": `/${"a".repeat(9_000)}` }], ["its scheme", { ":scheme": "https" }],
])("an answer to HEAD has no content, also where it is refused for %s", async (_, headers) => {
  const client = await begin(answering(() => OK))
  const { status, body } = await ask(client, { ":method": "HEAD", ...headers })
  expect([status >= 400, body]).toEqual([true, ""])
})
