/** Backends of HTTP/2 in clear, before clients of either version: node:http2 as the backend. */
import { once } from "node:events"
import http2 from "node:http2"
import { Readable } from "node:stream"
import { afterEach, describe, expect, test } from "vitest"
import { answer, ask, session } from "./http2.ts"
import { startHttp2Backend, telling, whole, type Handler, type Http2Backend } from "./http2-backend.ts"
import { eventually, startGateway, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Http2Backend
let gateway: Gateway
const clients: http2.ClientHttp2Session[] = []

const begin = async (handler: Handler = telling, options: GatewayOptions = {}, server: http2.ServerOptions = {}): Promise<void> => {
  backend = await startHttp2Backend(handler, server)
  gateway = await startGateway([backend.port], { isHttp2: true, ...options })
}
const http2Client = async (): Promise<http2.ClientHttp2Session> => {
  const client = await session(gateway.port)
  clients.push(client)
  return client
}
const endpoint = () => gateway.endpoints.get("127.0.0.1", backend.port, true)

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await gateway.stop()
  await backend.stop()
})

const http1 = async (request: string, client?: Peer) => {
  const peer = client ?? (await gateway.connect())
  peer.say(request)
  return peer.message()
}

describe("a request becomes fields and content", () => {
  test("of HTTP/1.1", async () => {
    await begin()
    const { status, body, field } = await http1("GET /p/%7e?q=1 HTTP/1.1\r\nHost: Example.com:81\r\nUser-Agent: me\r\nX-Mixed: Case\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n")
    expect([status, field("transfer-encoding")]).toEqual([200, "chunked"])
    const { headers } = JSON.parse(body)
    expect(headers).toMatchObject({
      ":method": "GET", ":scheme": "http", ":authority": "Example.com:81", ":path": "/p/%7e?q=1", "user-agent": "me", "x-mixed": "Case",
      "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-port": "80", "x-forwarded-host": "Example.com:81", te: "trailers",
    })
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(["x-hop"]))
    expect(headers.connection).toBeUndefined()
    expect(headers["x-request-id"]).toMatch(/^[0-9a-f]{26,}$/)
  })

  test("of HTTP/2", async () => {
    await begin()
    const { status, body, headers } = await ask(await http2Client(), { ":path": "/x?y", "x-own": "1", cookie: "a=1; b=2" })
    expect([status, headers["content-type"]]).toEqual([200, "application/json"])
    expect(JSON.parse(body).headers).toMatchObject({ ":path": "/x?y", ":authority": "example.com", "x-own": "1", cookie: "a=1; b=2", "x-forwarded-for": "127.0.0.1" })
  })

  test("content of a length, in chunks with trailers, and none", async () => {
    await begin()
    const client = await gateway.connect()
    const length = JSON.parse((await http1("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", client)).body)
    expect([length.body, length.headers["content-length"]]).toEqual(["hello", "5"])
    const chunks = JSON.parse((await http1("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 9\r\nContent-Length: 3\r\n\r\n", client)).body)
    expect([chunks.body, chunks.trailers, chunks.headers["transfer-encoding"]]).toEqual(["abcde", { "x-sum": "9" }, undefined])
    const empty = JSON.parse((await http1("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", client)).body)
    expect(empty.body).toBe("")
    const stream = (await http2Client()).request({ ":method": "POST", ":path": "/", ":authority": "a" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "9" }))
    stream.end("abcde")
    expect(JSON.parse((await answer(stream)).body)).toMatchObject({ body: "abcde", trailers: { "x-sum": "9" } })
  })

  test("rewrites, edits and a fallback for HTTP/1.0 without a host", async () => {
    await begin(telling, {
      rule: {
        rewrite: () => ({ host: "inner", path: "/new?z" }),
        requestHeaders: (head) => {
          head.set("X-Set", "1")
          head.remove("X-Gone")
          head.remove("X-Request-Id")
        },
        responseHeaders: (head) => {
          head.set("Content-Type", "text/edited")
          head.add("X-More", "2")
        },
      },
    })
    const answered = await http1("GET /old HTTP/1.0\r\nX-Gone: 1\r\n\r\n")
    const { headers } = JSON.parse(answered.body)
    expect(headers).toMatchObject({ ":authority": "inner", ":path": "/new?z", "x-set": "1" })
    expect([headers["x-gone"], headers["x-request-id"], answered.field("content-type"), answered.field("x-more")]).toEqual([undefined, undefined, "text/edited", "2"])
    const { headers: edited } = await ask(await http2Client())
    expect([edited["content-type"], edited["x-more"]]).toEqual(["text/edited", "2"])
  })
})

describe("an answer", () => {
  const respond = (headers: http2.OutgoingHttpHeaders, body?: string, trailers?: http2.OutgoingHttpHeaders): Handler => (stream) => {
    stream.additionalHeaders({ ":status": 103, link: "</a>" })
    stream.respond(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined })
    if (trailers !== undefined) stream.on("wantTrailers", () => stream.sendTrailers(trailers))
    if (body !== undefined) stream.end(body)
  }

  test("with a length, to HTTP/1.1: interim responses before it, the connection goes on", async () => {
    await begin(respond({ ":status": 201, "content-length": "2", "x-a": "b" }, "ok"))
    const client = await gateway.connect()
    for (let i = 0; i < 2; i++) {
      const early = await http1("GET / HTTP/1.1\r\nHost: a\r\n\r\n", client)
      expect([early.status, early.field("link")]).toEqual([103, "</a>"])
      const { head, body, field } = await client.message()
      expect([head.split("\r\n")[0], body, field("x-a"), field("transfer-encoding"), field("content-length")]).toEqual(["HTTP/1.1 201 Created", "ok", "b", undefined, "2"])
      expect(field("date")).toBeDefined()
    }
    expect(backend.connections()).toBe(1)
  })

  test("without, to HTTP/1.1: chunks, and trailers but those that end here", async () => {
    await begin((stream) => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true })
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "content-type": "x" }))
      stream.end("body")
    })
    const client = await gateway.connect()
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    expect(await client.hear("\r\n\r\n")).toContain("Transfer-Encoding: chunked")
    expect(await client.hear("0\r\ngrpc-status: 0\r\n\r\n")).toBe("4\r\nbody\r\n0\r\ngrpc-status: 0\r\n\r\n")
  })

  test("of nothing, to HTTP/1.1: a length of 0; to HEAD and 304 none is made up", async () => {
    await begin((stream, headers) => stream.respond(headers[":method"] === "HEAD" ? { ":status": 200, "content-length": "7" } : { ":status": headers[":path"] === "/304" ? 304 : 200 }, { endStream: true }))
    const client = await gateway.connect()
    expect((await http1("GET / HTTP/1.1\r\nHost: a\r\n\r\n", client)).field("content-length")).toBe("0")
    client.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    expect((await client.message("HEAD")).field("content-length")).toBe("7")
    expect((await http1("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n", client)).field("content-length")).toBeUndefined()
  })

  test("to HTTP/1.0: until the end", async () => {
    await begin(respond({ ":status": 200 }, "body"))
    const { body, field } = await http1("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    expect([body, field("connection"), field("transfer-encoding")]).toEqual(["body", "close", undefined])
  })

  test("to HTTP/2: interim responses, content, trailers", async () => {
    await begin(respond({ ":status": 200, "x-a": "b" }, "body", { "x-sum": "1" }))
    const answered = await ask(await http2Client())
    expect(answered).toMatchObject({ status: 200, body: "body", interim: [103], trailers: { "x-sum": "1" } })
    expect([answered.headers["x-a"], answered.headers.date]).toEqual(["b", expect.any(String)])
  })
})

describe("content of any length", () => {
  const BIG = 20_000_000
  const pattern = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 7) & 255))
  const echo: Handler = (stream) => {
    stream.respond({ ":status": 200 })
    stream.pipe(stream)
  }

  test("20 MB both ways at once, over HTTP/2 on both sides", async () => {
    await begin(echo)
    const stream = (await http2Client()).request({ ":method": "POST", ":path": "/", ":authority": "a" })
    const sent = Buffer.alloc(BIG, pattern)
    // In pieces: node:http2 bears 10 MB of what waits.
    Readable.from(Array.from({ length: Math.ceil(BIG / 50_000) }, (_, i) => sent.subarray(i * 50_000, (i + 1) * 50_000))).pipe(stream)
    let at = 0
    for await (const part of stream) {
      if (!(part instanceof Buffer)) throw new TypeError("text")
      if (Buffer.compare(part, sent.subarray(at, at + part.length)) !== 0) throw new Error(`another octet after ${at}`)
      at += part.length
    }
    expect(at).toBe(BIG)
  })

  test("20 MB both ways, in chunks from HTTP/1.1 and back", async () => {
    await begin(echo)
    const client = await gateway.connect()
    const sent = Buffer.alloc(BIG, pattern)
    client.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.socket.write(`${BIG.toString(16)}\r\n`)
    client.socket.write(sent)
    client.socket.write("\r\n0\r\n\r\n")
    const { body } = await client.message()
    expect(Buffer.from(body, "latin1").equals(sent)).toBe(true)
  }, 20_000)

  test("a client of HTTP/1.1 that reads late gets every octet, with a length and in chunks, and then the next answer", async () => {
    const whole = Buffer.concat(Array.from({ length: 200 }, () => pattern))
    let given = 0
    await begin((stream, headers) => {
      if (headers[":path"] === "/next") {
        stream.respond({ ":status": 200 })
        stream.end("ok")
        return
      }
      stream.respond({ ":status": 200, ...(headers[":path"] === "/length" ? { "content-length": whole.length } : {}) })
      const parts = function* () {
        for (let i = 0; i < 200; i++) {
          given++
          yield pattern
        }
      }
      Readable.from(parts()).pipe(stream)
    })
    const client = await gateway.connect()
    for (const path of ["/length", "/chunks"]) {
      given = 0
      client.socket.pause()
      client.say(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
      let last = -1
      await eventually("the answer is held", () => {
        const isHeld = last === given
        last = given
        return isHeld && given > 0
      })
      expect(given).toBeLessThan(200)
      client.socket.resume()
      const { body } = await client.message()
      expect(Buffer.from(body, "latin1").equals(whole), path).toBe(true)
    }
    expect((await http1("GET /next HTTP/1.1\r\nHost: a\r\n\r\n", client)).body).toBe("ok")
  })

  test("a client that takes nothing fills its own stream's window and keeps no other waiting", async () => {
    let given = 0
    await begin((stream, headers) => {
      stream.respond({ ":status": 200 })
      if (headers[":path"] !== "/endless") return void stream.end("ok")
      const more = (): void => {
        do given += pattern.length
        while (!stream.destroyed && stream.write(pattern))
      }
      stream.on("drain", more)
      more()
    })
    const client = await http2Client()
    const stalled = Array.from({ length: 8 }, () => client.request({ ":path": "/endless", ":authority": "a" }).pause())
    await Promise.all(stalled.map((stream) => once(stream, "response")))
    let last = -1
    await eventually("the backend is held", () => {
      const held = last === given
      last = given
      return held && given > 0
    })
    const other = await gateway.connect()
    for (let i = 0; i < 20; i++) expect((await http1("GET / HTTP/1.1\r\nHost: a\r\n\r\n", other)).body).toBe("ok")
    expect(backend.connections()).toBe(1)
    // Windows of the client and of the gateway, its buffers, and those of the kernel's and the peers' sockets.
    expect(given).toBeLessThan(8 * 2_000_000 + 8_000_000)
  })

  test("a backend that takes nothing pauses its client", async () => {
    let taken: http2.ServerHttp2Stream | undefined
    await begin((stream) => {
      taken = stream.pause()
    })
    const client = await gateway.connect()
    client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    let written = 0
    let isFull = false
    while (!isFull && written < 100_000_000) {
      isFull = !client.socket.write(pattern)
      written += pattern.length
      if (isFull) {
        const drained = once(client.socket, "drain").then(() => true)
        isFull = !(await Promise.race([drained, new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 200))]))
      }
    }
    expect(written).toBeLessThan(30_000_000)
    expect(taken).toBeDefined()
  })
})

describe("connections", () => {
  test("many requests at once share one, as many as the peer allows; more get another", async () => {
    const waiting: http2.ServerHttp2Stream[] = []
    await begin((stream) => waiting.push(stream), {}, { settings: { maxConcurrentStreams: 10 } })
    const client = await http2Client()
    const asked = Array.from({ length: 25 }, () => ask(client))
    await eventually("all have come", () => waiting.length === 25)
    expect([backend.connections(), endpoint().connections, endpoint().inFlight]).toEqual([3, 3, 25])
    for (const stream of waiting) {
      stream.respond({ ":status": 200 })
      stream.end()
    }
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(Array(25).fill(200))
    expect([endpoint().inFlight, gateway.metrics.upstream.count("ok")]).toEqual([0, 25])
    await eventually("idle", () => endpoint().idle === 3)
  })

  test("the limit of connections is kept: 503", async () => {
    const waiting: http2.ServerHttp2Stream[] = []
    await begin((stream) => waiting.push(stream), { settings: { endpointConnections: 1, endpointStreams: 2 } })
    const client = await http2Client()
    const held = [ask(client), ask(client)]
    await eventually("both have come", () => waiting.length === 2)
    expect((await ask(client)).status).toBe(503)
    expect(gateway.metrics.upstream.count("overloaded")).toBe(1)
    for (const stream of waiting) stream.respond({ ":status": 200 }, { endStream: true })
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200])
  })

  test("an idle one is closed after its time, with GOAWAY", async () => {
    await begin(telling, { settings: { poolIdleTimeout: 1 } })
    const client = await http2Client()
    await ask(client)
    const [own] = backend.sessions
    if (own === undefined) throw new Error("no session")
    const told = once(own, "goaway")
    await eventually("it is closed", () => {
      gateway.endpoints.sweep()
      return endpoint().connections === 0
    })
    expect((await told)[0]).toBe(0)
  })

  test("of an endpoint that no table names any more: closed once its requests are done, which it serves", async () => {
    let held: http2.ServerHttp2Stream | undefined
    await begin((stream) => (held = stream))
    const asked = ask(await http2Client())
    await eventually("it has come", () => held !== undefined)
    gateway.endpoints.keep(new Set())
    held?.respond({ ":status": 200 })
    held?.end("late")
    expect((await asked).body).toBe("late")
    await eventually("it is closed", () => backend.sessions.size === 0)
    gateway.endpoints.sweep()
    expect([...gateway.endpoints.all()]).toEqual([])
  })

  test("what does not speak HTTP/2 is told of: 502, and after three it is ejected", async () => {
    await begin()
    const plain = await gateway.connect()
    plain.socket.destroy()
    const http1Server = (await import("node:http")).createServer((_, response) => response.end("no"))
    http1Server.listen(0, "127.0.0.1")
    await once(http1Server, "listening")
    const address = http1Server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    try {
      const wrong = gateway.endpoints.get("127.0.0.1", address.port, true)
      gateway.cluster.endpoints = [wrong]
      const client = await http2Client()
      for (let i = 0; i < 3; i++) {
        const { status, body } = await ask(client)
        expect([status, body]).toEqual([502, "the backend does not speak HTTP/2\n"])
      }
      expect(wrong.health.isEjected).toBe(true)
      expect(gateway.metrics.upstream.count("not-http2")).toBe(3)
    } finally {
      http1Server.closeAllConnections()
      http1Server.close()
    }
  })

  test("a WebSocket to it: 502 with the reason", async () => {
    await begin()
    const { status, body } = await http1("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    expect([status, body]).toEqual([502, "the backend speaks HTTP/2, over which WebSocket is not available here\n"])
  })
})

describe("ends before their time", () => {
  test("a client's reset is one for the backend: CANCEL", async () => {
    const codes: number[] = []
    await begin((stream) => stream.on("close", () => codes.push(stream.rstCode)))
    const client = await http2Client()
    const stream = client.request({ ":path": "/", ":authority": "a" })
    stream.on("error", () => undefined)
    await eventually("it has come", () => endpoint().inFlight === 1 && backend.connections() === 1)
    stream.close(http2.constants.NGHTTP2_CANCEL)
    await eventually("it is reset", () => codes.length === 1)
    expect([codes, gateway.metrics.upstream.count("cancelled"), backend.sessions.size]).toEqual([[8], 1, 1])
  })

  test("a client of HTTP/1.1 that leaves too", async () => {
    const codes: number[] = []
    await begin((stream) => {
      stream.respond({ ":status": 200 })
      stream.write("some")
      stream.on("close", () => codes.push(stream.rstCode))
    })
    const client = await gateway.connect()
    client.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await client.hear("some")
    // A FIN alone may be a half-close.
    client.socket.resetAndDestroy()
    await eventually("it is reset", () => codes.length === 1)
    expect(codes).toEqual([8])
  })

  test("a backend's reset before its answer: 502; in its middle: a cut", async () => {
    await begin((stream, headers) => {
      if (headers[":path"] === "/before") return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
      stream.respond({ ":status": 200 })
      stream.write("some", () => stream.destroy(new Error("broken")))
    })
    const client = await http2Client()
    expect((await ask(client, { ":path": "/before" })).status).toBe(502)
    await expect(ask(client, { ":path": "/middle" })).rejects.toThrow(/INTERNAL_ERROR/)
    const old = await gateway.connect()
    old.say("GET /middle HTTP/1.1\r\nHost: a\r\n\r\n")
    await old.end()
    expect(old.heard).not.toContain("0\r\n\r\n")
    expect([gateway.metrics.upstream.count("reset"), gateway.metrics.upstream.count("truncated"), endpoint().health.isEjected]).toEqual([1, 2, false])
  })

  test("an answer that is complete before its request ends it: the client is told, the connection goes on", async () => {
    await begin((stream) => {
      stream.respond({ ":status": 413 })
      stream.end("too much")
    })
    const client = await http2Client()
    const stream = client.request({ ":method": "POST", ":path": "/", ":authority": "a" })
    stream.write("some")
    const { status, body } = await answer(stream)
    expect([status, body]).toEqual([413, "too much"])
    expect((await ask(client)).status).toBe(413)
    expect(backend.connections()).toBe(1)
  })

  test("a body over the limit: 413, and the backend's stream is reset", async () => {
    const codes: number[] = []
    await begin((stream) => void stream.resume().on("close", () => codes.push(stream.rstCode)), { settings: { requestBodyBytes: 10 } })
    expect((await http1("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")).status).toBe(413)
    await eventually("it is reset", () => codes.length === 1)
    expect(codes).toEqual([8])
  })
})

test("content-length, expectations and fields of the message stay as they were sent", async () => {
  let asked: http2.IncomingHttpHeaders = {}
  await begin((stream, headers) => {
    asked = headers
    whole(stream, headers).then(() => stream.respond({ ":status": 204 }, { endStream: true }), () => undefined)
  })
  const client = await gateway.connect()
  client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Type: text/plain\r\nX-Empty:\r\nMax-Forwards: 3\r\n\r\nabc")
  expect((await client.message()).status).toBe(204)
  expect(asked).toMatchObject({ "content-length": "3", "content-type": "text/plain", "x-empty": "", "max-forwards": "2" })
})
