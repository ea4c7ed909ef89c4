/** What goes to a backend of HTTP/2, and comes from one, is what HTTP/1.1 would have had: two ways to one result. */
import * as fc from "fast-check"
import { expect, test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { Edits } from "../http1/edits.ts"
import { fieldKind } from "../http1/field.ts"
import type { HeadLimits } from "../http1/head.ts"
import { RequestHead } from "../http1/request.ts"
import { ResponseHead } from "../http1/response.ts"
import { forwarding, requestText } from "../http1/write.ts"
import { FieldList } from "./field-list.ts"
import { requestFields } from "./request-fields.ts"

const limits: HeadLimits = { headBytes: 32_768, fields: 200, targetBytes: 8_192 }
const value = fc.constantFrom("1", "a b", "trailers", "x-one", "text/plain", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "10.0.0.1, 10.0.0.2", "")
const name = fc.constantFrom(
  "X-One", "x-two", "Accept", "Content-Type", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Request-Id", "Forwarded", "traceparent", "tracestate", "User-Agent",
  "Cookie", "TE", "Max-Forwards", "Keep-Alive", "Proxy-Connection", "Date", "Trailer", "grpc-timeout",
)
const field = fc.tuple(name, value)
const framing = fc.constantFrom("", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\nContent-Length: 5\r\n", "Expect: 100-continue\r\n")
const edit = fc.record({ kind: fc.constantFrom("set", "add", "remove"), name: fc.oneof(name, fc.constantFrom("Host", "Connection", "Content-Length")), value: fc.constantFrom("v", "w w") })
const line = fc.constantFrom("GET /p?q HTTP/1.1", "POST http://other.test:81/p HTTP/1.1", "OPTIONS / HTTP/1.1", "GET /p HTTP/1.0")

test("a request's fields are those of its head for HTTP/1.1, but for what only that needs", () => {
  fc.assert(
    fc.property(
      fc.record({
        line, host: fc.constantFrom("Host: Example.com\r\n", ""), fields: fc.array(field, { maxLength: 10 }), connection: fc.constantFrom("", "Connection: X-One, close\r\n", "Connection: TE\r\n"), framing,
        edits: fc.option(fc.array(edit, { maxLength: 4 }), { nil: null }), hops: fc.constantFrom(0, 2), target: fc.constantFrom(undefined, "/new?x"), rewritten: fc.constantFrom(undefined, "inner"),
        via: fc.constantFrom("", "gw"), trace: fc.constantFrom(null, { line: "traceparent: own\r\n", value: "own", isNew: true }, { line: "traceparent: own\r\n", value: "own", isNew: false }), major: fc.constantFrom(1 as const, 2 as const),
      }),
      ({ line: first, host, fields, connection, framing: length, edits: asked, hops, target, rewritten, via, trace, major }) => {
        const octets = Buffer.from(`${first}\r\n${first.endsWith("1.0") ? host : "Host: Example.com\r\n"}${fields.map(([of, is]) => `${of}: ${is}\r\n`).join("")}${connection}${length}\r\n`, "latin1")
        const head = new RequestHead()
        if (head.parse(octets, 0, octets.length, limits) <= 0) return
        const edits = asked === null ? null : new Edits().begin(head)
        for (const { kind, name: of, value: is } of asked ?? []) {
          if (kind === "set") edits?.set(of, is)
          else if (kind === "add") edits?.add(of, is)
          else edits?.remove(of)
        }
        const from = forwarding("192.0.2.7", "https", major, 443, hops)
        const given = [...requestFields(new FieldList(), head, edits, from, target, rewritten, "id-1", via, "fallback", trace)]
        const text = requestText(head, edits, from, target, rewritten, "id-1", via, "fallback", trace)
        const [requestLine = "", ...lines] = text.slice(0, -4).split("\r\n")
        const [method = "", path = ""] = requestLine.split(" ")
        const written = lines.map((one): readonly [string, string] => [one.slice(0, one.indexOf(":")).toLowerCase(), one.slice(one.indexOf(":") + 1).trim()])
        const authority = written.find(([of]) => of === "host")?.[1] ?? ""
        expect(given.slice(0, 4)).toEqual([[":method", method], [":scheme", "http"], [":authority", authority], [":path", path]])
        const onlyOld = new Set(["host", "connection", "transfer-encoding"])
        const sorted = (all: readonly (readonly [string, string])[]) => all.map(([of, is]) => `${of}: ${is}`).sort()
        expect(sorted(given.slice(4))).toEqual(sorted(written.filter(([of]) => !onlyOld.has(of))))
      },
    ),
    { numRuns: runs(2_000) },
  )
})

test("a filled head is what its own text is parsed as", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom("x-one", "content-type", "date", "set-cookie", "x-two", "location"), fc.constantFrom("1", "a b", "/x", "text/plain; q=1")), { maxLength: 60 }), fc.constantFrom(200, 204, 304, 404, 103), fc.constantFrom(-1, 0, 7), fc.constantFrom("GET", "HEAD"), fc.boolean(), (fields, status, length, method, isEnd) => {
      const list = new FieldList().add(":status", String(status), 36)
      const kindOf = (of: string): number => fieldKind(Buffer.from(of), 0, of.length)
      for (const [of, is] of fields) list.add(of, is, kindOf(of))
      if (length >= 0) list.add("content-length", String(length), kindOf("content-length"))
      const filled = new ResponseHead()
      filled.fill(status, list, length, isEnd && length <= 0, method)
      const octets = Buffer.from(filled.text, "latin1")
      const parsed = new ResponseHead()
      expect(parsed.parse(octets, 0, octets.length, limits, method)).toBe(octets.length)
      const seen = (head: ResponseHead) => ({ status: head.status, count: head.count, seen: head.seen, fieldsStart: head.fieldsStart, fields: Array.from({ length: head.count }, (_, i) => [head.kind(i), head.name(i), head.value(i), head.lineStart(i)]) })
      expect(seen(filled)).toEqual(seen(parsed))
      expect([filled.body, filled.hasBody && filled.length]).toEqual([parsed.body, parsed.hasBody && parsed.length])
    }),
    { numRuns: runs(1_000) },
  )
})
