import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { CHUNKED, LENGTH, NO_BODY, type HeadLimits } from "../http1/head.ts"
import { RequestHead } from "../http1/request.ts"
import { FieldList } from "./field-list.ts"
import { fieldList, post, request, type Fields } from "./fixture.ts"
import { HpackDecoder } from "./hpack/decoder.ts"
import { HpackEncoder } from "./hpack/encoder.ts"
import { http1Head } from "./http1-head.ts"
import { MessageHead, trailerFault } from "./message.ts"

/** As it comes out of a field block: with kinds. */
const received = (fields: Fields): FieldList => {
  const encoder = new HpackEncoder()
  const length = encoder.encode(fieldList(fields))
  const list = new FieldList()
  expect(new HpackDecoder().decode(encoder.octets, 0, length, list)).toBe(true)
  return list
}

const requestFault = (fields: Fields) => new MessageHead().readRequest(received(fields))
const responseFault = (fields: Fields) => new MessageHead().readResponse(received(fields))

describe("a request is malformed", () => {
  test.each<readonly [string, Fields]>([
    ["pseudo-order", [[":method", "GET"], [":scheme", "http"], ["a", "b"], [":path", "/"], [":authority", "a"]]],
    ["pseudo-repeated", [[":method", "GET"], ...request()]],
    ["pseudo-repeated", [...request(), [":path", "/"]]],
    ["pseudo-unknown", [...request(), [":status", "200"]]],
    ["pseudo-unknown", [...request(), [":protocol", "websocket"]]],
    ["pseudo-unknown", [...request(), [":other", "x"]]],
    ["pseudo-unknown", [[":method", "CONNECT"], [":authority", "a:1"], [":path", "/"]]],
    ["pseudo-missing", request().slice(1)],
    ["pseudo-missing", [[":method", "GET"], [":scheme", "http"], [":authority", "a"]]],
    ["pseudo-missing", [[":method", "GET"], [":path", "/"], [":authority", "a"]]],
    ["pseudo-missing", [[":method", "GET"], [":path", "/"], [":scheme", "http"]]],
    ["pseudo-missing", [[":method", "CONNECT"]]],
    ["field-name", request("/", ["Upper", "x"])],
    ["field-name", request("/", ["a b", "x"])],
    ["field-name", request("/", ["", "x"])],
    ["field-name", request("/", ["a:b", "x"])],
    ["field-value", request("/", ["a", "x\r\ny: z"])],
    ["field-value", request("/", ["a", "\0"])],
    ["field-value", request("/", ["a", " x"])],
    ["field-value", request("/", ["a", "x\t"])],
    ["field-value", request("/ HTTP/1.1\r\nx: y")],
    ["connection-specific", request("/", ["connection", "close"])],
    ["connection-specific", request("/", ["keep-alive", "1"])],
    ["connection-specific", request("/", ["proxy-connection", "close"])],
    ["connection-specific", request("/", ["transfer-encoding", "chunked"])],
    ["connection-specific", request("/", ["upgrade", "websocket"])],
    ["te", request("/", ["te", "gzip"])],
    ["te", request("/", ["te", "trailers, gzip"])],
    ["content-length", request("/", ["content-length", "1"], ["content-length", "1"])],
    ["content-length", request("/", ["content-length", "+1"])],
    ["content-length", request("/", ["content-length", "1, 1"])],
    ["content-length", request("/", ["content-length", ""])],
    ["content-length", request("/", ["content-length", "1".repeat(16)])],
    ["method", [[":method", "G T"], ...request().slice(1)]],
    ["method", [[":method", ""], ...request().slice(1)]],
    ["scheme", [[":method", "GET"], [":scheme", "ftp"], [":authority", "a"], [":path", "/"]]],
    ["path", request("")],
    ["path", request("a")],
    ["path", request("*")],
    ["path", request("http://a/")],
    ["path", request("/a b")],
    ["path", request("/#a")],
    ["path", request("/\xe4")],
    ["authority", [[":method", "GET"], [":scheme", "http"], [":authority", "user@a"], [":path", "/"]]],
    ["authority", [[":method", "GET"], [":scheme", "http"], [":authority", ""], [":path", "/"]]],
    ["authority", [[":method", "GET"], [":scheme", "http"], [":authority", "a/b"], [":path", "/"]]],
    ["host", request("/", ["host", "b"])],
    ["host", request("/", ["host", "a"], ["host", "a"])],
  ])("%s", (fault, fields) => {
    expect(requestFault(fields)).toBe(fault)
  })
})

describe("a request is right", () => {
  test.each<readonly [string, Fields]>([
    ["with Host for :authority", [[":method", "GET"], [":scheme", "https"], [":path", "/"], ["host", "a:1"]]],
    ["with Host beside :authority, in another case", request("/", ["host", "A"])],
    ["with TE: trailers", request("/", ["te", "trailers"])],
    ["OPTIONS of the server", [[":method", "OPTIONS"], [":scheme", "http"], [":authority", "[::1]:80"], [":path", "*"]]],
    ["CONNECT", [[":method", "CONNECT"], [":authority", "a:443"]]],
    ["with values of obs-text, and empty ones", request("/", ["a", "\xe4 \t\xff"], ["b", ""])],
  ])("%s", (_, fields) => {
    expect(requestFault(fields)).toBeNull()
  })
})

test.each<readonly [string | null, Fields]>([
  [null, [[":status", "200"], ["host", "a"]]],
  ["pseudo-missing", [["a", "b"]]],
  ["pseudo-repeated", [[":status", "200"], [":status", "200"]]],
  ["pseudo-unknown", [[":status", "200"], [":path", "/"]]],
  ["pseudo-order", [["a", "b"], [":status", "200"]]],
  ["status", [[":status", "99"]]],
  ["status", [[":status", "600"]]],
  ["status", [[":status", "0200"]]],
  ["status", [[":status", "101"]]],
  ["connection-specific", [[":status", "200"], ["connection", "close"]]],
  ["te", [[":status", "200"], ["te", "trailers"]]],
])("a response: %s", (fault, fields) => {
  expect(responseFault(fields)).toBe(fault)
})

test.each<readonly [string | null, Fields]>([
  [null, [["grpc-status", "0"], ["content-length", "x"]]],
  ["pseudo-unknown", [[":status", "200"]]],
  ["field-name", [["A", "b"]]],
  ["field-value", [["a", "\n"]]],
  ["connection-specific", [["transfer-encoding", "chunked"]]],
])("trailers: %s", (fault, fields) => {
  expect(trailerFault(received(fields))).toBe(fault)
})

describe("as HTTP/1.1", () => {
  const limits: HeadLimits = { headBytes: 32_768, fields: 100, targetBytes: 8_192 }
  const parsed = (fields: Fields, isEnd: boolean): RequestHead => {
    const list = received(fields)
    const head = new MessageHead()
    expect(head.readRequest(list)).toBeNull()
    const octets = Buffer.from(http1Head(head, list, isEnd), "latin1")
    const request1 = new RequestHead()
    expect([request1.parse(octets, 0, octets.length, limits), request1.fault]).toEqual([octets.length, null])
    return request1
  }

  test("request line, Host, one field of cookies, no framing but what is needed", () => {
    const head = parsed([[":method", "GET"], [":scheme", "https"], [":authority", "A:80"], [":path", "/x?y"], ["cookie", "a=1"], ["te", "trailers"], ["cookie", "b=2"], ["x", "1"], ["x", "2"]], true)
    expect([head.method, head.host, head.path, head.query, head.takesTrailers, head.body]).toEqual(["GET", "a", "/x", "y", true, NO_BODY])
    expect([head.header("cookie"), head.header("x"), head.header("host")]).toEqual(["a=1; b=2", "1, 2", "A:80"])
  })

  test("Host that came beside :authority, or in its place, comes once", () => {
    expect(parsed(request("/", ["host", "a"]), true).header("host")).toBe("a")
    expect(parsed([[":method", "GET"], [":scheme", "http"], [":path", "/"], ["host", "b"]], true).header("host")).toBe("b")
  })

  test("content of known and unknown length", () => {
    const known = parsed(post(["content-length", "5"]), false)
    expect([known.body, known.length]).toEqual([LENGTH, 5])
    expect(parsed(post(), false).body).toBe(CHUNKED)
    const none = parsed(post(["content-length", "0"]), true)
    expect([none.body, none.length]).toEqual([LENGTH, 0])
  })

  test("CONNECT and OPTIONS *", () => {
    expect([parsed([[":method", "CONNECT"], [":authority", "a:443"]], true).form, parsed([[":method", "OPTIONS"], [":scheme", "http"], [":authority", "a"], [":path", "*"]], true).form]).toEqual(["authority", "asterisk"])
  })

  test("whatever is let through is one head there, with the same fields, for any octets", () => {
    const octets = fc.string({ unit: fc.oneof({ weight: 80, arbitrary: fc.constantFrom("a", "b", "z", "0", "9", "-", "_", "/", ".", "?", "=", "%", "&", ";", ":", "*") }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }), maxLength: 12 })
    const field = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(fc.constantFrom("x-a", "x-b", "cookie", "expect", "trailer"), octets) },
      { weight: 1, arbitrary: fc.constantFrom<[string, string]>(["te", "trailers"], ["content-length", "0"], ["content-length", "5"], ["host", "a"], ["expect", "100-continue"], ["max-forwards", "1"]) },
      { weight: 1, arbitrary: fc.tuple(fc.oneof(octets, fc.constantFrom("transfer-encoding", "connection", "host", "content-length", "te")), octets) },
    )
    let taken = 0
    fc.assert(
      fc.property(octets, octets, fc.array(field, { maxLength: 5 }), fc.boolean(), (path, authority, others, isEnd) => {
        const fields: Fields = [[":method", "POST"], [":scheme", "http"], [":authority", `a${authority}`], [":path", `/${path}`], ...others]
        const list = received(fields)
        const head = new MessageHead()
        if (head.readRequest(list) !== null) return
        taken++
        const text = http1Head(head, list, isEnd)
        const raw = Buffer.from(text, "latin1")
        const request1 = new RequestHead()
        const after = request1.parse(raw, 0, raw.length, limits)
        // What is a host, and which paths are refused, is judged there, for both versions alike.
        if (after < 0) {
          expect(["host", "path"]).toContain(request1.fault)
          return
        }
        expect(after).toBe(raw.length)
        expect([request1.method, request1.authority, request1.target]).toEqual(["POST", `a${authority}`, `/${path}`])
        const kept = others.filter(([of]) => !["host", "cookie", "content-length"].includes(of))
        const carried: (readonly [string, string])[] = []
        for (let field = 0; field < request1.count; field++) {
          const of = request1.name(field)
          if (!["host", "cookie", "content-length", "transfer-encoding"].includes(of)) carried.push([of, request1.value(field)])
        }
        expect(carried).toEqual(kept)
        expect(request1.body).toBe(head.contentLength >= 0 && (!isEnd || head.contentLength === 0) ? LENGTH : isEnd ? NO_BODY : CHUNKED)
      }),
      { numRuns: runs(500) },
    )
    expect(taken).toBeGreaterThan(50)
  })
})
