import { describe, expect, test } from "vitest"
import type { HeadLimits } from "./head.ts"
import { normalHost } from "./host.ts"
import { RequestHead } from "./request.ts"

const limits: HeadLimits = { headBytes: 8_192, fields: 100, targetBytes: 1_024 }

const fault = (line: string): string | null => {
  const octets = Buffer.from(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`)
  const head = new RequestHead()
  head.parse(octets, 0, octets.length, limits)
  return head.fault
}

describe("a host that is an IP literal", () => {
  test.each(["[::1]", "[::1]:80", "[::ffff:192.0.2.1]"])("%s", (authority) => {
    expect(normalHost(authority)).toBe(authority.replace(/:80$/, ""))
  })

  test.each(["[]", "[:]", "[:::]", "[1::2::3]", "[::12345]", "[1:2:3:4:5:6:7:8:9]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[127.0.0.1]", "[v1.a]"])("%s is no address (RFC 3986 §3.2.2)", (authority) => {
    expect(normalHost(authority)).toBeNull()
  })
})

describe("the target of CONNECT is an authority with a port (RFC 9112 §3.2.3)", () => {
  test.each(["a:443", "[::1]:443"])("%s", (target) => {
    expect(fault(`CONNECT ${target}`)).toBeNull()
  })

  test.each(["/", "/a:80", "*", "a", "http://a/", "http://a:80"])("%s is none", (target) => {
    expect(["target", "host"]).toContain(fault(`CONNECT ${target}`))
  })
})
