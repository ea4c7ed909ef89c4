import { describe, expect, test } from "vitest"
import { BodyReader } from "./body.ts"
import { CHUNKED, LENGTH, NO_BODY, REFUSED, UNTIL_CLOSE, type HeadLimits } from "./head.ts"
import { RequestHead } from "./request.ts"
import { ResponseHead } from "./response.ts"
import { AS_IS, forwarding, requestText, responseText } from "./write.ts"

const limits: HeadLimits = { headBytes: 8_192, fields: 100, targetBytes: 1_024 }

const request = (...lines: readonly string[]): RequestHead => {
  const octets = Buffer.from(["GET / HTTP/1.1", "Host: a", ...lines, "", ""].join("\r\n"), "latin1")
  const head = new RequestHead()
  expect([octets.length, REFUSED]).toContain(head.parse(octets, 0, octets.length, limits))
  return head
}

const response = (method: string, ...lines: readonly string[]): ResponseHead => {
  const octets = Buffer.from(["HTTP/1.1 200 OK", "Date: x", ...lines, "", ""].join("\r\n"), "latin1")
  const head = new ResponseHead()
  expect([octets.length, REFUSED]).toContain(head.parse(octets, 0, octets.length, limits, method))
  return head
}

const forwarded = (head: RequestHead): string => requestText(head, null, forwarding("127.0.0.1", "http", 1, 80, 0), undefined, undefined, "id", "", "a")

describe("what counts as whitespace around a value", () => {
  test.each(["\xa0chunked", "chunked\xa0", "gzip,\xa0chunked"])("0xA0 belongs to the value: %j is no chunked body", (coding) => {
    expect(request(`Transfer-Encoding: ${coding}`).fault).toBe("transfer-encoding")
    expect(response("GET", `Transfer-Encoding: ${coding}`).fault).toBe("transfer-encoding")
  })

  test.each(["\xa0close", "close\xa0", "x,\xa0close"])("0xA0 belongs to a connection option: %j closes nothing", (options) => {
    expect(request(`Connection: ${options}`).isPersistent).toBe(true)
  })

  test.each(["\tclose", "close\t", "x,\tclose", "x ,\t close \t,y"])("HTAB does not: %j closes", (options) => {
    expect(request(`Connection: ${options}`).isPersistent).toBe(false)
  })

  test("0xA0 belongs to what TE names", () => {
    expect(request("TE: trailers\xa0").takesTrailers).toBe(false)
    expect(request("TE:\ttrailers\t").takesTrailers).toBe(true)
  })
})

describe("framing that not everybody reads alike is written anew", () => {
  test("of a request", () => {
    const length = request("Content-Length: 5\t", "X: y")
    expect([length.body, length.length]).toEqual([LENGTH, 5])
    expect(forwarded(length)).not.toContain("\t")
    expect(forwarded(length).match(/content-length: 5\r\n/gi)).toHaveLength(1)
    const chunked = request("Transfer-Encoding: Chunked \t")
    expect(chunked.body).toBe(CHUNKED)
    expect(forwarded(chunked)).not.toContain("\t")
    expect(forwarded(chunked).match(/transfer-encoding: chunked\r\n/gi)).toHaveLength(1)
  })

  test("of a response, without content too", () => {
    expect(responseText(response("GET", "Transfer-Encoding: chunked\t"), null, AS_IS, true, 1)).toBe("HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    const head = response("HEAD", "Content-Length: 5 ")
    expect(head.body).toBe(NO_BODY)
    expect(responseText(head, null, AS_IS, true, 1)).toBe("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\n")
  })

  test("and no other", () => {
    expect(forwarded(request("content-length:   5"))).toContain("\r\ncontent-length:   5\r\n")
    expect(response("GET").body).toBe(UNTIL_CLOSE)
    expect(responseText(response("GET", "X: a\t"), null, AS_IS, true, 1)).toContain("\r\nX: a\t\r\n")
  })
})

describe("chunk extensions", () => {
  const read = (line: string): BodyReader => {
    const octets = Buffer.from(`${line}\r\nx\r\n0\r\n\r\n`, "latin1")
    const body = new BodyReader()
    body.start(CHUNKED, 0, true)
    body.read(octets, 0, octets.length)
    return body
  }

  test.each(["1;", "1;;", "1;;a", "1;a;", "1;=b", "1;a=", "1;a=;b", "1;a=b=c", "1;a=b\"c\"", "1;a=\"b\"c", "1;a=\"b", "1; a", "1;a\t"])("%j is not one", (line) => {
    expect(read(line).fault).toBe("chunk")
  })

  test.each(["1", "01", "1;a", "1;a=b", "1;a;b=c", "1;a=\"\"", "1;a=\"b;\\\"\xe9\""])("%j is read, and ignored", (line) => {
    const body = read(line)
    expect([body.fault, body.isDone, body.received]).toEqual([null, true, 1])
  })
})
