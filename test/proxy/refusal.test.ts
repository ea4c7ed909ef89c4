/** What must not get through: requests that two readers could understand differently, and what is not served. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { GET, OK, answering, startBackend, startGateway, type Backend, type Gateway } from "./scripted.ts"

let backend: Backend
let gateway: Gateway

beforeAll(async () => {
  backend = await startBackend(answering(() => OK))
  gateway = await startGateway([backend.port], { settings: { headBytes: 4_096, targetBytes: 1_024, fields: 20, requestBodyBytes: 1_000 } })
})

afterAll(async () => {
  await gateway.stop()
  await backend.stop()
})

const H = "Host: a\r\n"
const CHUNKED = `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`

/** Refused with this status, the connection closed, nothing of it upstream. */
const heads: readonly (readonly [string, string, number])[] = [
  ["Transfer-Encoding and Content-Length", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n`, 400],
  ["Content-Length and Transfer-Encoding", `POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ["two Content-Length fields", `POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`, 400],
  ["two equal Content-Length fields", `POST / HTTP/1.1\r\n${H}Content-Length: 5\r\nContent-Length: 5\r\n\r\n`, 400],
  ["a list in Content-Length", `POST / HTTP/1.1\r\n${H}Content-Length: 5, 5\r\n\r\n`, 400],
  ["a signed Content-Length", `POST / HTTP/1.1\r\n${H}Content-Length: +5\r\n\r\n`, 400],
  ["a negative Content-Length", `POST / HTTP/1.1\r\n${H}Content-Length: -5\r\n\r\n`, 400],
  ["a hexadecimal Content-Length", `POST / HTTP/1.1\r\n${H}Content-Length: 0x5\r\n\r\n`, 400],
  ["an empty Content-Length", `POST / HTTP/1.1\r\n${H}Content-Length:\r\n\r\n`, 400],
  ["a Content-Length beyond 2^53", `POST / HTTP/1.1\r\n${H}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  ["a folded line", `GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 400],
  ["whitespace before the first field", `GET / HTTP/1.1\r\n ${H}\r\n`, 400],
  ["a bare LF after the request line", `GET / HTTP/1.1\n${H}\r\n`, 400],
  ["a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400],
  ["a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400],
  ["a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400],
  ["a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400],
  ["a control in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400],
  ["a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400],
  ["a space before Content-Length's colon", `POST / HTTP/1.1\r\n${H}Content-Length : 5\r\n\r\n`, 400],
  ["a line without colon", `GET / HTTP/1.1\r\n${H}nonsense\r\n\r\n`, 400],
  ["an empty field name", `GET / HTTP/1.1\r\n${H}: a\r\n\r\n`, 400],
  ["a field name with an 8-bit octet", `GET / HTTP/1.1\r\n${H}X\xe9: a\r\n\r\n`, 400],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["a Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400],
  ["a Host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400],
  ["a list of Hosts", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["an absolute target and a bad Host", "GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", 400],
  ["an absolute target with userinfo", `GET http://u:p@a/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["an absolute target of another scheme", `GET ftp://a/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["a relative target", `GET a HTTP/1.1\r\n${H}\r\n`, 400],
  ["an asterisk for GET", `GET * HTTP/1.1\r\n${H}\r\n`, 400],
  ["a fragment", `GET /a#b HTTP/1.1\r\n${H}\r\n`, 400],
  ["an 8-bit octet in the target", `GET /\xe9 HTTP/1.1\r\n${H}\r\n`, 400],
  ["a tab in the request line", `GET\t/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["two spaces in the request line", `GET  / HTTP/1.1\r\n${H}\r\n`, 400],
  ["a space after the version", `GET / HTTP/1.1 \r\n${H}\r\n`, 400],
  ["HTTP/0.9", "GET /\r\n\r\n", 400],
  ["lower-case http", `GET / http/1.1\r\n${H}\r\n`, 400],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${H}\r\n`, 505],
  ["HTTP/2.0", `GET / HTTP/2.0\r\n${H}\r\n`, 505],
  ["something like the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", 505],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["Transfer-Encoding in HTTP/1.0", `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ["chunked twice", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, chunked\r\n\r\n`, 400],
  ["chunked twice, two fields", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ["chunked not last", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, gzip\r\n\r\n`, 400],
  ["identity", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\n\r\n`, 400],
  ["an empty Transfer-Encoding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding:\r\n\r\n`, 400],
  ["chunked with something around it", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n`, 400],
  ["a vertical tab before chunked", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: \x0bchunked\r\n\r\n`, 400],
  ["a coding we do not have", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
  ["dot segments", `GET /a/../b HTTP/1.1\r\n${H}\r\n`, 400],
  ["dot segments at the end", `GET /a/.. HTTP/1.1\r\n${H}\r\n`, 400],
  ["an encoded dot segment", `GET /a/%2E%2e/b HTTP/1.1\r\n${H}\r\n`, 400],
  ["a dot segment behind an encoded slash", `GET /a%2f..%2Fb HTTP/1.1\r\n${H}\r\n`, 400],
  ["a dot segment behind a backslash", `GET /a\\..\\b HTTP/1.1\r\n${H}\r\n`, 400],
  ["a dot segment with a parameter, which servlet containers strip", `GET /a/..;x=y/b HTTP/1.1\r\n${H}\r\n`, 400],
  ["an encoded NUL in the path", `GET /a%00b HTTP/1.1\r\n${H}\r\n`, 400],
  ["a target that is too long", `GET /${"a".repeat(1_100)} HTTP/1.1\r\n${H}\r\n`, 414],
  ["a head that is too large", `GET / HTTP/1.1\r\n${H}${`X: ${"a".repeat(300)}\r\n`.repeat(15)}\r\n`, 431],
  ["a head that does not end", `GET / HTTP/1.1\r\n${H}X: ${"a".repeat(5_000)}`, 431],
  ["too many fields", `GET / HTTP/1.1\r\n${H}${"X: a\r\n".repeat(20)}\r\n`, 431],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501],
  ["a WebSocket with content", `GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nContent-Length: 1\r\n\r\na`, 400],
  ["an unknown expectation", `GET / HTTP/1.1\r\n${H}Expect: the best\r\n\r\n`, 417],
  ["more content than allowed", `POST / HTTP/1.1\r\n${H}Content-Length: 1001\r\n\r\n`, 413],
]

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

/** The head goes through; the body's fault ends the exchange and nothing after it is a request. */
const bodies: readonly (readonly [string, string])[] = [
  ["no digits", "xyz\r\n"],
  ["an empty size", "\r\n"],
  ["a signed size", "+5\r\nabcde\r\n"],
  ["a size with 0x", "0x5\r\nabcde\r\n"],
  ["a space before the size", " 5\r\nabcde\r\n"],
  ["a space after the size", "5 \r\nabcde\r\n"],
  ["a size beyond 2^53", "fffffffffffffff\r\n"],
  ["a size of seventeen digits", "00000000000000005\r\nabcde\r\n"],
  ["a bare LF after the size", "5\nabcde\r\n"],
  ["a bare CR after the size", "5\rabcde\r\n"],
  ["a bare LF after the data", "5\r\nabcde\n0\r\n\r\n"],
  ["data longer than its size", "3\r\nabcde\r\n0\r\n\r\n"],
  ["a control in an extension", "5;a=\x01\r\nabcde\r\n"],
  ["a bare LF in an extension", "5;a\nabcde\r\n"],
  ["extensions without end", `5;${"a".repeat(9_000)}\r\nabcde\r\n`],
  ["a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"],
  ["a trailer without colon", "0\r\nX\r\n\r\n"],
  ["a trailer section that is too large", `0\r\n${`X: ${"a".repeat(1_000)}\r\n`.repeat(10)}\r\n`],
  ["a bare LF at the end", "0\r\n\n"],
]

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
