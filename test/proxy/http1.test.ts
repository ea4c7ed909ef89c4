/** HTTP/1.1 between two hops: pipelines, trailers, ends of connections, forms of targets (RFC 9112, RFC 9110 §7.6). */
import { describe, expect, test } from "vitest"
import { backend, begin, gateway } from "./scene.ts"
import { GET, OK, eventually } from "./scripted.ts"

describe("the last answer of a connection", () => {
  const LAST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

  test("closes it at once where the client said that it would be the last", async () => {
    const client = await begin()
    client.say(LAST)
    const peer = await backend.accept()
    await peer.message()
    peer.say(OK)
    expect((await client.message()).body).toBe("ok")
    // The client, who may half-close, has not ended.
    await eventually("the gateway has closed it", () => gateway.http.connections === 0)
    expect(client.socket.writableEnded).toBe(false)
  })

  test("is whole for a client that takes it late, however long", async () => {
    const client = await begin()
    const body = "x".repeat(8_000_000)
    client.socket.pause()
    client.say(LAST)
    const peer = await backend.accept()
    await peer.message()
    peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    await eventually("the answer has begun", () => gateway.http.inFlight === 1)
    client.socket.resume()
    expect((await client.message()).body.length).toBe(body.length)
    await client.end()
  })

  test("leaves it open for a while where the gateway is who ends it: what the client still says must not reset the answer", async () => {
    const client = await begin()
    client.say("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    expect((await client.message()).status).toBe(400)
    await client.end()
    expect(gateway.http.connections).toBe(1)
    client.say("and another thing")
    client.socket.end()
    await eventually("both have ended", () => gateway.http.connections === 0)
  })
})

describe("a pipeline", () => {
  test("of every kind of request is answered in its order, whoever answers", async () => {
    const client = await begin({ find: (request, rule) => (request.path === "/nowhere" ? null : rule) })
    client.say([
      "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\nX-Sum: 1\r\n\r\n",
      "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\nGET /7 HTTP/1.1\r\nHost: a\r\n\r\n",
    ].join(""))
    const peer = await backend.accept()
    expect((await peer.message()).head).toMatch(/^HEAD \/1 /)
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    expect((await client.message("HEAD")).field("content-length")).toBe("100")
    expect((await client.message()).status).toBe(404)
    expect(await peer.message()).toMatchObject({ body: "GET" })
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n")
    expect((await client.message()).body).toBe("hi")
    expect((await client.message()).status).toBe(405)
    expect((await peer.message()).head).toMatch(/^POST \/5 /)
    peer.say("HTTP/1.1 204 No Content\r\n\r\n")
    expect((await client.message()).status).toBe(204)
    expect((await client.message()).status).toBe(200)
    expect((await peer.message()).head).toMatch(/^GET \/7 /)
    peer.say(OK)
    expect((await client.message()).body).toBe("ok")
    expect([backend.peers.length, client.heard, peer.heard]).toEqual([1, "", ""])
  })

  test("that was longer than what is kept of it goes on, also in the middle of a head", async () => {
    const client = await begin({ settings: { pendingBytes: GET.length } })
    client.say(`${GET}${GET}GET /last HTTP/1.1\r\nHo`)
    const peer = await backend.accept()
    for (const _ of ["first", "second"]) {
      await peer.message()
      peer.say(OK)
      expect((await client.message()).body).toBe("ok")
    }
    client.say("st: a\r\n\r\n")
    expect((await peer.message()).head).toMatch(/^GET \/last /)
    peer.say(OK)
    expect((await client.message()).body).toBe("ok")
  })

  test("goes no further than a request that says close (RFC 9112 §9.6)", async () => {
    const client = await begin()
    client.say(`${GET}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n`)
    const peer = await backend.accept()
    for (const connection of [undefined, "close"]) {
      await peer.message()
      peer.say(OK)
      expect((await client.message()).field("connection")).toBe(connection)
    }
    await client.end()
    client.socket.end()
    await eventually("the connection is over", () => gateway.http.connections === 0)
    expect(peer.heard).toBe("")
  })

  test("goes no further than a request that is refused; those before it are answered", async () => {
    const client = await begin()
    client.say(`${GET}GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n`)
    const peer = await backend.accept()
    await peer.message()
    peer.say(OK)
    expect((await client.message()).status).toBe(200)
    const refused = await client.message()
    expect([refused.status, refused.field("connection")]).toEqual([400, "close"])
    await client.end()
    expect([client.heard, peer.heard]).toEqual(["", ""])
  })

  test("ends with a request that is answered before its content was read, where the client has ended its side", async () => {
    const client = await begin()
    client.say(`${GET}TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde`)
    client.socket.end()
    const peer = await backend.accept()
    await peer.message()
    await eventually("the end has come", () => client.socket.writableFinished)
    peer.say(OK)
    expect([(await client.message()).status, (await client.message()).status]).toEqual([200, 405])
    await client.end()
    await eventually("the connection is over", () => gateway.http.connections === 0)
  })

  test("goes no further than an answer that is cut: the rest is not answered, nor sent", async () => {
    const client = await begin()
    client.say(`${GET}${GET}`)
    const peer = await backend.accept()
    await peer.message()
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    await client.hear("abc")
    peer.socket.resetAndDestroy()
    await client.end()
    expect([client.heard, backend.peers.length]).toEqual(["", 1])
  })
})

describe("trailers", () => {
  test("go both ways, and the connections go on", async () => {
    const client = await begin()
    for (let i = 0; i < 2; i++) {
      client.say("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate;q=0.5\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")
      const peer = i === 0 ? await backend.accept() : backend.peers[0]
      if (peer === undefined) throw new Error("no connection")
      const head = await peer.hear("\r\n\r\n")
      expect([/\r\nTE: (.*)\r\n/.exec(head)?.[1], /\r\nConnection: (.*)\r\n/.exec(head)?.[1], /\r\nTrailer: (.*)\r\n/.exec(head)?.[1]]).toEqual(["trailers", "TE", "X-Sum"])
      expect(await peer.hear("\r\n\r\n")).toBe("1\r\na\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")
      peer.say("HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-T: 1\r\nTransfer-Encoding: chunked\r\nSet-Cookie: no\r\nConnection: close\r\n\r\n")
      expect(await client.hear("\r\n\r\n")).toContain("Trailer: X-T\r\n")
      expect(await client.hear("\r\n\r\n")).toBe("1\r\nb\r\n0\r\nX-T: 1\r\n\r\n")
    }
  })

  test("named as connection options end at this hop, as header fields do (RFC 9110 §7.6.1)", async () => {
    const client = await begin()
    client.say("POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n")
    const peer = await backend.accept()
    await peer.hear("\r\n\r\n")
    expect(await peer.hear("\r\n\r\n")).toBe("0\r\nX-End: 2\r\n\r\n")
    peer.say("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-End: 2\r\nX-Hop: 1\r\n\r\n")
    await client.hear("\r\n\r\n")
    expect(await client.hear("\r\n\r\n")).toBe("0\r\nX-End: 2\r\n\r\n")
  })

  test("that are none cut the answer", async () => {
    const client = await begin()
    client.say(GET)
    const peer = await backend.accept()
    await peer.message()
    peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX T: 1\r\n\r\n")
    await client.end()
    expect(client.heard).not.toContain("0\r\n\r\n")
  })
})

describe("a backend's connection is used again", () => {
  test.each([
    ["after HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true],
    ["after HTTP/1.0 with keep-alive and a length", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", true],
    ["not after HTTP/1.1 with close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false],
    ["not after HTTP/1.1 with close among others", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", false],
    ["not after close and keep-alive", "HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 2\r\n\r\nok", false],
    ["not after HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false],
  ])("%s", async (_what, answer, isKept) => {
    const client = await begin()
    client.say(GET)
    const peer = await backend.accept()
    await peer.message()
    peer.say(answer)
    const response = await client.message()
    expect([response.head.split("\r\n")[0], response.body, response.field("connection")]).toEqual(["HTTP/1.1 200 OK", "ok", undefined])
    client.say(GET)
    if (isKept) await peer.message()
    else {
      await peer.end()
      await (await backend.accept()).message()
    }
    expect(backend.peers.length).toBe(isKept ? 1 : 2)
  })
})

describe("targets in absolute form", () => {
  test.each([
    ["without a path", "http://b.example", "/", "b.example"],
    ["with a query alone", "http://b.example?x=1", "/?x=1", "b.example"],
    ["with a port and capitals", "HTTP://B.example:8080/p", "/p", "B.example:8080"],
    ["of an IPv6 address", "http://[::1]:80/p?q", "/p?q", "[::1]:80"],
  ])("%s go out in origin form, matched and sent by their own authority", async (_what, target, path, host) => {
    const hosts: string[] = []
    const client = await begin({ find: (request, rule) => (hosts.push(request.host), rule) })
    client.say(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    const request = await (await backend.accept()).message()
    expect([request.head.split("\r\n")[0], request.field("host"), request.field("x-forwarded-host"), hosts]).toEqual([`GET ${path} HTTP/1.1`, host, host, [host.toLowerCase().replace(/:\d+$/, "")]])
  })

  test("need a Host all the same in HTTP/1.1 (RFC 9112 §3.2), and none in HTTP/1.0", async () => {
    const client = await begin()
    client.say("GET http://b.example/ HTTP/1.1\r\n\r\n")
    expect((await client.message()).status).toBe(400)
    const old = await gateway.connect()
    old.say("GET http://b.example/ HTTP/1.0\r\n\r\n")
    expect((await (await backend.accept()).message()).field("host")).toBe("b.example")
  })
})

test("CONNECT is refused in every form, and what follows is no request", async () => {
  await begin()
  for (const target of ["b.example:443", "[::1]:443"]) {
    const client = await gateway.connect()
    client.say(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n${GET}`)
    const refused = await client.message()
    expect([refused.status, refused.field("connection")]).toEqual([501, "close"])
    await client.end()
    expect(client.heard).toBe("")
  }
  for (const target of ["/", "http://b.example/", "b.example", "*"]) {
    const client = await gateway.connect()
    client.say(`CONNECT ${target} HTTP/1.1\r\nHost: a\r\n\r\n${GET}`)
    expect((await client.message()).status).toBe(400)
    await client.end()
  }
  expect(backend.peers.length).toBe(0)
})

test("a 426 says what to upgrade to where that is WebSocket (RFC 9110 §15.5.22), and no other protocol", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
  const websocket = await client.message()
  expect([websocket.field("upgrade"), websocket.field("connection")]).toEqual(["websocket", "Upgrade"])
  client.say(GET)
  await peer.message()
  peer.say("HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 0\r\n\r\n")
  const other = await client.message()
  expect([other.status, other.field("upgrade"), other.field("connection")]).toEqual([426, undefined, undefined])
})
