/** What arrives at the backend and at the client when everything is as it should be. */
import { expect, test } from "vitest"
import { backend, begin, gateway } from "./scene.ts"
import { GET, OK } from "./scripted.ts"

test("a GET goes out with Host, X-Forwarded-* and a request id, and without hop-by-hop fields", async () => {
  const client = await begin()
  client.say("GET /a?b=c HTTP/1.1\r\nHost: Example.com:8080\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\n\r\n")
  const request = await (await backend.accept()).message()
  const [line, ...fields] = request.head.split("\r\n")
  expect(line).toBe("GET /a?b=c HTTP/1.1")
  expect(fields.map((field) => field.replace(/^(X-Request-Id: )[0-9a-f]{28}$/, "$1<id>"))).toEqual([
    "Host: Example.com:8080", "Accept: */*", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80", "X-Forwarded-Host: Example.com:8080", "X-Request-Id: <id>",
  ])
})

test("with a trusted hop its chain is continued and its claims are kept", async () => {
  const client = await begin({ settings: { trustedHops: 1 } })
  client.say("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.field("x-forwarded-for")).toBe("6.6.6.6, 7.7.7.7, 127.0.0.1")
  expect(request.field("x-forwarded-proto")).toBe("https")
  expect(request.field("x-forwarded-host")).toBe("a")
  expect(request.field("x-request-id")).toBe("mine")
})

test("Connection cannot name away what a trusted hop has said", async () => {
  const client = await begin({ settings: { trustedHops: 1 } })
  client.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-Proto, X-Request-Id\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.field("x-forwarded-proto")).toBe("https")
  expect(request.field("x-request-id")).toBe("mine")
})

test("Connection cannot name Host or Content-Length away", async () => {
  const client = await begin()
  client.say("POST / HTTP/1.1\r\nHost: a\r\nConnection: close, Host, Content-Length\r\nContent-Length: 3\r\n\r\nabc")
  const request = await (await backend.accept()).message()
  expect(request.field("host")).toBe("a")
  expect(request.body).toBe("abc")
})

test("response fields come back without hop-by-hop ones, with a Date", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 201 Made it\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: 3\r\nX-Outer: 2\r\nContent-Length: 2\r\n\r\nhi")
  const response = await client.message()
  expect(response.head).toMatch(/^HTTP\/1.1 201 Made it\r\nX-Outer: 2\r\nContent-Length: 2\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)
  expect(response.body).toBe("hi")
})

test("a backend's own Date is kept", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n")
  expect((await client.message()).field("date")).toBe("Sun, 06 Nov 1994 08:49:37 GMT")
})

test("both connections are kept for the next request", async () => {
  const client = await begin()
  for (let i = 0; i < 3; i++) {
    client.say(GET)
    const peer = i === 0 ? await backend.accept() : backend.peers[0]
    await peer?.message()
    peer?.say(OK)
    expect((await client.message()).body).toBe("ok")
  }
  expect(backend.peers.length).toBe(1)
  expect(gateway.metrics.upstream.reused).toBe(2)
})

test("a body with Content-Length arrives whole, also when it comes after the head", async () => {
  const client = await begin()
  client.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
  const peer = await backend.accept()
  await peer.hear("\r\n\r\n")
  client.say("abc")
  expect(await peer.hearOctets(3)).toBe("abc")
  client.say("def")
  expect(await peer.hearOctets(3)).toBe("def")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a chunked body goes on in its chunks, without extensions, with allowed trailers", async () => {
  const client = await begin()
  client.say('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;a=b;c="d\\"e"\r\nabc\r\n00002\r\nde\r\n0;last\r\nX-Sum: 5\r\nContent-Length: 77\r\nHost: evil\r\n\r\n')
  const peer = await backend.accept()
  await peer.hear("\r\n\r\n")
  expect(await peer.hear("\r\n\r\n")).toBe("3\r\nabc\r\n00002\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
  peer.say(OK)
  expect((await client.message()).status).toBe(200)
})

test("a trailer section of nothing but forbidden fields still ends the body", async () => {
  const client = await begin()
  client.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: evil\r\n\r\n")
  const peer = await backend.accept()
  await peer.hear("\r\n\r\n")
  expect(await peer.hear("0\r\n\r\n")).toBe("1\r\na\r\n0\r\n\r\n")
})

test("a chunked response keeps its chunks and trailers", async () => {
  const client = await begin()
  client.say("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
  const peer = await backend.accept()
  expect((await peer.message()).field("te")).toBe("trailers")
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX-T: 1\r\n\r\n")
  await client.hear("\r\n\r\n")
  expect(await client.hear("X-T: 1\r\n\r\n")).toBe("4\r\nwiki\r\n0\r\nX-T: 1\r\n\r\n")
})

test("a response until close is chunked for HTTP/1.1, and the client's connection stays", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say("HTTP/1.1 200 OK\r\n\r\nsome")
  await client.hear("some\r\n")
  peer.say("thing")
  peer.socket.end()
  expect(await client.hear("0\r\n\r\n")).toBe("5\r\nthing\r\n0\r\n\r\n")
  client.say(GET)
  const next = await backend.accept()
  await next.message()
  next.say(OK)
  expect((await client.message()).body).toBe("ok")
})

test("HTTP/1.0: a chunked response is decoded and the connection closed", async () => {
  const client = await begin()
  client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
  const peer = await backend.accept()
  const request = await peer.message()
  expect(request.head.split("\r\n")[0]).toBe("GET / HTTP/1.1")
  expect(request.field("host")).toBe("127.0.0.1")
  peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nwiki\r\n5\r\npedia\r\n0\r\nX-T: 1\r\n\r\n")
  const response = await client.message()
  expect(response.field("transfer-encoding")).toBeUndefined()
  expect(response.field("connection")).toBe("close")
  expect(response.body).toBe("wikipedia")
})

test("HTTP/1.0 with keep-alive and a length stays open", async () => {
  const client = await begin()
  for (let i = 0; i < 2; i++) {
    client.say("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    const peer = i === 0 ? await backend.accept() : backend.peers[0]
    await peer?.message()
    peer?.say(OK)
    expect((await client.message()).field("connection")).toBe("keep-alive")
  }
})

test("HTTP/1.0 without keep-alive is closed after the answer", async () => {
  const client = await begin()
  client.say("GET / HTTP/1.0\r\n\r\n")
  const peer = await backend.accept()
  await peer.message()
  peer.say(OK)
  expect((await client.message()).field("connection")).toBe("close")
  await client.end()
})

test.each([
  ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "12345"],
  ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", undefined],
  ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 12345\r\n\r\n", "12345"],
  ["GET", "HTTP/1.1 204 No Content\r\nContent-Length: 12345\r\n\r\n", undefined],
])("%s answered by %j has no body, and the connections go on", async (method, answer, length) => {
  const client = await begin()
  client.say(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`)
  const peer = await backend.accept()
  await peer.message()
  peer.say(answer)
  expect((await client.message(method)).field("content-length")).toBe(length)
  client.say(GET)
  await peer.message()
  peer.say(OK)
  expect((await client.message()).body).toBe("ok")
  expect(backend.peers.length).toBe(1)
})

test("pipelined requests are answered in order, one at a time upstream", async () => {
  const client = await begin()
  client.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
  const peer = await backend.accept()
  for (const path of ["/1", "/2", "/3"]) {
    expect((await peer.message()).head.split(" ")[1]).toBe(path)
    expect(peer.heard).toBe("")
    peer.say(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`)
    expect((await client.message()).body).toBe(path)
  }
})

test("empty lines before a request are ignored", async () => {
  const client = await begin()
  client.say(`\r\n\r\n${GET}`)
  expect((await (await backend.accept()).message()).head).toMatch(/^GET \/ /)
})

test("Expect: 100-continue goes to the backend, its 100 to the client", async () => {
  const client = await begin()
  client.say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
  const peer = await backend.accept()
  expect(await peer.hear("\r\n\r\n")).toMatch(/Expect: 100-continue/)
  peer.say("HTTP/1.1 100 Continue\r\n\r\n")
  expect(await client.hear("\r\n\r\n")).toBe("HTTP/1.1 100 Continue\r\n\r\n")
  client.say("abc")
  expect(await peer.hearOctets(3)).toBe("abc")
  peer.say(OK)
  const response = await client.message()
  expect(response.status).toBe(200)
  expect(response.field("connection")).toBeUndefined()
})

test("an answer instead of 100 closes the connection: whether the body comes is not known", async () => {
  const client = await begin()
  client.say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
  const peer = await backend.accept()
  await peer.hear("\r\n\r\n")
  peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
  const response = await client.message()
  expect(response.status).toBe(403)
  expect(response.field("connection")).toBe("close")
  await client.end()
  await peer.end()
})

test("other interim responses are forwarded, but not to HTTP/1.0", async () => {
  const client = await begin()
  client.say(GET)
  const peer = await backend.accept()
  await peer.message()
  peer.say(`HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}`)
  expect((await client.message()).head).toBe("HTTP/1.1 103 Early Hints\r\nLink: </a.css>")
  expect((await client.message()).status).toBe(102)
  expect((await client.message()).body).toBe("ok")
  const old = await gateway.connect()
  old.say("GET / HTTP/1.0\r\n\r\n")
  await peer.message()
  peer.say(`HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${OK}`)
  expect((await old.message()).status).toBe(200)
})

test("an absolute target goes out in origin form with its own Host", async () => {
  const client = await begin()
  client.say("GET http://Real.example:81/x?y HTTP/1.1\r\nHost: fake.example\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.head.split("\r\n")[0]).toBe("GET /x?y HTTP/1.1")
  expect(request.field("host")).toBe("Real.example:81")
})

test("h2c is not offered: the upgrade is ignored, its fields stay here", async () => {
  const client = await begin()
  client.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.field("upgrade")).toBeUndefined()
  expect(request.field("http2-settings")).toBeUndefined()
  expect(request.field("connection")).toBeUndefined()
})

test("byte by byte, both ways, with a chunked body each way", async () => {
  const client = await begin()
  const sending = client.sayByByte("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n")
  const peer = await backend.accept()
  const request = await peer.message()
  await sending
  expect(request.body).toBe("abc0123456789")
  const answering = peer.sayByByte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nhi\r\n1;q=\"\\\"\"\r\n!\r\n0\r\n\r\n")
  const response = await client.message()
  await answering
  expect(response.field("x-a")).toBe("b")
  expect(response.body).toBe("hi!")
  client.say(GET)
  await peer.message()
  peer.say(OK)
  expect((await client.message()).body).toBe("ok")
})

test("filters: request and response heads are edited, the path and host rewritten", async () => {
  const client = await begin({
    rule: {
      requestHeaders: (headers) => {
        headers.set("X-Set", "new")
        headers.add("X-Add", "more")
        headers.remove("X-Remove")
        headers.set("Content-Length", "99")
        headers.remove("Host")
      },
      responseHeaders: (headers) => {
        headers.set("X-Kept", "changed")
        headers.remove("Server")
        headers.remove("Content-Length")
      },
      rewrite: () => ({ host: "inner.example", path: "/new?q" }),
    },
    backend: { requestHeaders: (headers) => headers.add("x-add", "from backend") },
  })
  client.say("POST /old HTTP/1.1\r\nHost: outer.example\r\nx-set: old\r\nX-Add: one\r\nx-remove: gone\r\nX-Remove: too\r\nContent-Length: 1\r\n\r\n1")
  const peer = await backend.accept()
  const request = await peer.message()
  expect(request.head.split("\r\n")[0]).toBe("POST /new?q HTTP/1.1")
  expect(request.field("host")).toBe("inner.example")
  expect(request.field("x-forwarded-host")).toBe("outer.example")
  expect(request.field("x-set")).toBe("new")
  expect(request.field("x-add")).toBe("one, more, from backend")
  expect(request.field("x-remove")).toBeUndefined()
  expect(request.field("content-length")).toBe("1")
  peer.say("HTTP/1.1 200 OK\r\nServer: secret\r\nX-Kept: a\r\nx-kept: b\r\nContent-Length: 2\r\n\r\nok")
  const response = await client.message()
  expect(response.field("x-kept")).toBe("changed")
  expect(response.field("server")).toBeUndefined()
  expect(response.body).toBe("ok")
})

test("a filter's X-Forwarded-Proto and X-Request-Id stand in place of ours", async () => {
  const client = await begin({ rule: { requestHeaders: (headers) => {
    headers.set("X-Forwarded-Proto", "https")
    headers.set("X-Request-Id", "fixed")
  } } })
  client.say(GET)
  const request = await (await backend.accept()).message()
  expect(request.field("x-forwarded-proto")).toBe("https")
  expect(request.field("x-request-id")).toBe("fixed")
})

test("Max-Forwards counts down; Via is added when it is switched on", async () => {
  const client = await begin({ settings: { via: "headgate" } })
  client.say("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 2\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.field("max-forwards")).toBe("1")
  expect(request.field("via")).toBe("1.1 headgate")
})

test("paths are matched with repeated slashes as one and needless escapes decoded, and forwarded as sent", async () => {
  const seen: string[] = []
  const client = await begin({ find: (request, rule) => {
    seen.push(`${request.host} ${request.path} ${request.query} ${request.header("x-two") ?? ""}`)
    return rule
  } })
  client.say("GET //a///b%41%2f%C3%a9.html?c=//../d HTTP/1.1\r\nHost: EXAMPLE.com.:80\r\nX-Two: 1\r\nx-two: 2\r\n\r\n")
  const request = await (await backend.accept()).message()
  expect(request.head.split(" ")[1]).toBe("//a///b%41%2f%C3%a9.html?c=//../d")
  expect(seen).toEqual(["example.com /a/bA%2F%C3%A9.html c=//../d 1, 2"])
})
