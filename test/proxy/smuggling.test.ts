/**
 * No two readers disagree on where a request ends: requests that have been used to make them do so go through the gateway
 * to node:http, nginx and Go's net/http. The gateway refuses one, or the backend reads exactly what the gateway counted;
 * what stands behind it on the same connection, and what comes next on the pooled one, arrive as requests of their own.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { DATA, END_STREAM, HEADERS, RST_STREAM } from "../../gateway/http2/frame.ts"
import { frame, post, request, type Fields } from "../../gateway/http2/fixture.ts"
import { errorName } from "../../gateway/http2/error-code.ts"
import { accepted, type Accepted } from "./accepted.ts"
import { Hand } from "./hand.ts"
import { readers, type ReadingBackend } from "./reading-backends.ts"
import { CHUNKED, bodies, heads, limits } from "./refused.ts"
import { eventually, startGateway, type Gateway } from "./scripted.ts"

const INNER = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

/** Requests that the gateway has answered, and that it has sent on. */
const countsOf = ({ metrics }: Gateway): readonly [counted: number, sent: number] => [metrics.listener(80).histogram().count, metrics.upstream.opened + metrics.upstream.reused]

describe.each(Object.entries(readers))("before %s", (reader, { missing, start }) => {
  let backend: ReadingBackend
  let gateway: Gateway
  let turn = 0
  beforeAll(async () => {
    if (missing !== undefined) return
    backend = await start()
    gateway = await startGateway([backend.port], { settings: limits })
  }, 120_000)
  afterAll(async () => {
    if (missing !== undefined) return
    await gateway.stop()
    await backend.stop()
  })

  /** A request of another client, which gets a pooled connection: its answer is its own. */
  const next = async (): Promise<string> => {
    const line = `GET /next-${turn} n 0`
    const client = await gateway.connect()
    client.say(`GET /next-${turn} HTTP/1.1\r\nHost: n\r\n\r\n`)
    expect((await client.message()).body).toBe(line)
    await eventually("the backend has told of it", () => backend.heard.includes(line))
    return line
  }

  const play = async ({ octets, counted, end, refusedBy }: Accepted): Promise<void> => {
    turn++
    backend.heard.length = 0
    const [before, sent] = countsOf(gateway)
    const client = await gateway.connect()
    const marker = `GET /marker-${turn} m 0`
    client.say(`${octets}GET /marker-${turn} HTTP/1.1\r\nHost: m\r\n\r\n`)
    const isRead = refusedBy?.includes(reader) !== true
    for (const line of counted) {
      const [method = ""] = line.split(" ")
      const { status, body } = await client.final(method)
      if (isRead) expect([status, body]).toEqual([200, method === "HEAD" ? "" : line])
      else expect(status).toBeGreaterThanOrEqual(400)
    }
    if (end === undefined) expect((await client.message()).body).toBe(marker)
    else {
      if (end !== "closed") expect((await client.message()).status).toBe(end)
      await client.end()
      expect(client.heard).toBe("")
    }
    const last = await next()
    expect(backend.heard).toEqual([...(isRead ? counted : []), ...(end === undefined ? [marker] : []), last])
    const [after, sentAfter] = countsOf(gateway)
    const own = counted.length + (end === undefined ? 1 : 0) + 1
    expect([after - before, sentAfter - sent]).toEqual([own + (typeof end === "number" ? 1 : 0), own])
  }

  test.skipIf(missing !== undefined).each(accepted.map((one) => [one.name, one] as const))("taken: %s", (_name, one) => play(one))

  test.skipIf(missing !== undefined).each(heads)("refused: %s", async (_name, head, status) => {
    turn++
    backend.heard.length = 0
    const client = await gateway.connect()
    client.say(`${head}${INNER}`)
    expect((await client.message()).status).toBe(status)
    await client.end()
    expect(client.heard).toBe("")
    const last = await next()
    expect(backend.heard).toEqual([last])
  })

  test.skipIf(missing !== undefined).each(bodies)("refused on the way, chunks: %s", async (_name, body) => {
    turn++
    backend.heard.length = 0
    const client = await gateway.connect()
    client.say(`${CHUNKED}${body}${INNER}`)
    expect([400, 431]).toContain((await client.message()).status)
    await client.end()
    expect(client.heard).toBe("")
    const last = await next()
    expect(backend.heard).toEqual([last])
  })

  describe.skipIf(missing !== undefined)("from HTTP/2", () => {
    const clients: Hand[] = []
    afterEach(() => {
      for (const { peer } of clients.splice(0)) peer.socket.destroy()
    })
    const greeted = async (): Promise<Hand> => {
      turn++
      backend.heard.length = 0
      const hand = await Hand.greeted(gateway)
      clients.push(hand)
      return hand
    }
    const marked = async (hand: Hand, stream: number): Promise<string> => {
      hand.request(stream, [[":method", "GET"], [":scheme", "http"], [":authority", "m"], [":path", `/marker-${turn}`]])
      const line = `GET /marker-${turn} m 0`
      await hand.end(stream)
      const body = hand.frames.filter((sent) => sent.stream === stream && sent.type === DATA).map(({ payload }) => payload.toString()).join("")
      expect(body).toBe(line)
      return line
    }

    test.each<[string, Fields, string]>([
      ["Transfer-Encoding", post(["transfer-encoding", "chunked"]), `0\r\n\r\n${INNER}`],
      ["Transfer-Encoding: identity", post(["transfer-encoding", "identity"]), "abc"],
      ["a Content-Length shorter than the content", post(["content-length", "3"]), `abc${INNER}`],
      ["a Content-Length longer than the content", post(["content-length", "300"]), "abc"],
      ["two Content-Lengths", post(["content-length", "0"], ["content-length", "3"]), "abc"],
      ["two equal Content-Lengths", post(["content-length", "3"], ["content-length", "3"]), "abc"],
      ["a Content-Length that is a list", post(["content-length", "3, 3"]), "abc"],
      ["a Content-Length with a sign", post(["content-length", "+3"]), "abc"],
      ["an empty Content-Length", post(["content-length", ""]), "abc"],
      ["a Content-Length with whitespace", post(["content-length", " 3"]), "abc"],
      ["a Content-Length beyond 2^53", post(["content-length", "18446744073709551619"]), "abc"],
      ["CR and LF in a value", post(["x", `a\r\n\r\n${INNER}`]), ""],
      ["LF in a value", post(["x", "a\nTransfer-Encoding: chunked"]), "abc"],
      ["CR in a value", post(["x", "a\rTransfer-Encoding: chunked"]), "abc"],
      ["NUL in a value", post(["x", "a\0b"]), "abc"],
      ["a line in a name", post(["x: y\r\ntransfer-encoding", "chunked"]), "abc"],
      ["a colon in a name", post(["transfer-encoding: chunked\r\nx", "y"]), "abc"],
      ["an upper-case name", post(["Transfer-Encoding", "chunked"]), "abc"],
      ["a space in a name", post(["content-length ", "3"]), "abc"],
      ["an empty name", post(["", "3"]), "abc"],
      ["a cookie with a line in it", post(["cookie", "a=b"], ["cookie", "c\r\nTransfer-Encoding: chunked"]), "abc"],
      ["Connection", post(["connection", "content-length"]), "abc"],
      ["Upgrade", post(["upgrade", "h2c"]), "abc"],
      ["Keep-Alive", post(["keep-alive", "1"]), "abc"],
      ["Proxy-Connection", post(["proxy-connection", "close"]), "abc"],
      ["TE: chunked", post(["te", "trailers, chunked"]), "abc"],
      ["a line in the method", [[":method", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], ""],
      ["a space in the method", [[":method", "GET /smuggled"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], ""],
      ["a line in the path", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", `/ HTTP/1.1\r\nHost: a\r\n\r\n${INNER}`]], ""],
      ["a space in the path", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "/ HTTP/1.1 x"]], ""],
      ["an absolute path", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "http://b/"]], ""],
      ["an empty path", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", ""]], ""],
      ["a fragment in the path", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "/\t#"]], ""],
      ["a line in the authority", [[":method", "POST"], [":scheme", "http"], [":authority", "a\r\nx: y"], [":path", "/"]], ""],
      ["a path in the authority", [[":method", "POST"], [":scheme", "http"], [":authority", "a/b"], [":path", "/"]], ""],
      ["userinfo in the authority", [[":method", "POST"], [":scheme", "http"], [":authority", "u@a"], [":path", "/"]], ""],
      ["a scheme with a target in it", [[":method", "POST"], [":scheme", "http://b/smuggled?"], [":authority", "a"], [":path", "/"]], ""],
      ["a Host that is not the authority", post(["host", "b"]), ""],
      ["two Hosts", [[":method", "POST"], [":scheme", "http"], [":path", "/"], ["host", "a"], ["host", "a"]], ""],
      ["a pseudo-field after a field", [[":method", "POST"], ["x", "y"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], ""],
      ["a pseudo-field twice", [[":method", "POST"], [":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], ""],
      ["a pseudo-field of answers", [...post(), [":status", "200"]], ""],
      ["two paths", [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "/"], [":path", "/smuggled"]], ""],
      ["an extended CONNECT", [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a"], [":path", "/"]], ""],
    ])("refused: %s; the connection and its backend go on", async (_what, fields, body) => {
      const hand = await greeted()
      hand.request(1, fields, 0).say(frame(DATA, END_STREAM, 1, Buffer.from(body, "latin1")))
      expect(await hand.resetCode()).toBe("PROTOCOL_ERROR")
      const line = await marked(hand, 3)
      const last = await next()
      expect(backend.heard).toEqual([line, last])
    })

    test.each<[string, Fields, string, string]>([
      ["content that looks like a request", post(), INNER, `POST / a ${INNER.length}`],
      ["content that looks like the end of chunks", post(), `0\r\n\r\n${INNER}`, `POST / a ${INNER.length + 5}`],
      ["content of a GET", request("/x"), INNER, `GET /x a ${INNER.length}`],
      ["content with its length", post(["content-length", `${INNER.length}`]), INNER, `POST / a ${INNER.length}`],
      ["a POST without content", post(), "", "POST / a 0"],
      ["a Host that is the authority", post(["host", "a"]), "abc", "POST / a 3"],
      ["an Expect with content", post(["expect", "100-continue"]), "abc", "POST / a 3"],
      ["fields that look like framing", post(["content_length", "50"], ["transfer_encoding", "chunked"], ["x-content-length", "7"]), "abc", "POST / a 3"],
      ["cookies in pieces", request("/x", ["cookie", "a=b"], ["cookie", "c=d"]), "", "GET /x a 0"],
    ])("taken: %s", async (_what, fields, body, line) => {
      const hand = await greeted()
      hand.request(1, fields, 0).say(frame(DATA, END_STREAM, 1, Buffer.from(body, "latin1")))
      await hand.end(1)
      const marker = await marked(hand, 3)
      const last = await next()
      expect(backend.heard).toEqual([line, marker, last])
    })

    test("trailers that frame or route do not go on; with pseudo-fields or a line in them they are refused", async () => {
      const hand = await greeted()
      const content = frame(DATA, 0, 1, Buffer.from("abc"))
      hand.request(1, post(), 0).say(content, hand.blocks.headers(1, [["content-length", "9"], ["host", "b"], ["x-sum", "1"]], END_STREAM))
      await hand.end(1)
      hand.request(3, post(), 0).say(frame(DATA, 0, 3, Buffer.from("abc")), hand.blocks.headers(3, [[":path", "/smuggled"]], END_STREAM))
      hand.request(5, post(), 0).say(frame(DATA, 0, 5, Buffer.from("abc")), hand.blocks.headers(5, [["x", `a\r\n\r\n${INNER}`]], END_STREAM))
      hand.request(7, post(), 0).say(frame(DATA, 0, 7, Buffer.from("abc")), hand.blocks.headers(7, [["transfer-encoding", "chunked"]], END_STREAM))
      for (const stream of [3, 5, 7]) {
        const { type, payload } = await hand.end(stream)
        expect([type, errorName(payload.readUInt32BE())]).toEqual([RST_STREAM, "PROTOCOL_ERROR"])
      }
      const marker = await marked(hand, 9)
      const last = await next()
      expect(backend.heard).toEqual(["POST / a 3", marker, last])
    })

    test("a Content-Length of 0 before content: what went on at the head was complete, and the content is nobody's", async () => {
      const hand = await greeted()
      hand.request(1, post(["content-length", "0"]), 0).say(frame(DATA, END_STREAM, 1, Buffer.from(INNER)))
      expect(await hand.resetCode()).toBe("PROTOCOL_ERROR")
      const marker = await marked(hand, 3)
      const last = await next()
      expect(backend.heard.filter((line) => line !== "POST / a 0")).toEqual([marker, last])
    })

    test("a Content-Length and no content: refused, and nothing is sent", async () => {
      const hand = await greeted()
      hand.request(1, post(["content-length", "3"]))
      expect(await hand.resetCode()).toBe("PROTOCOL_ERROR")
      const marker = await marked(hand, 3)
      const last = await next()
      expect(backend.heard).toEqual([marker, last])
      expect(hand.frames.filter(({ type }) => type === HEADERS).length).toBe(1)
    })
  })
})
