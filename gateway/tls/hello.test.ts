import { once } from "node:events"
import net from "node:net"
import tls from "node:tls"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { BROKEN, FOREIGN, PARTIAL, readHello } from "./hello.ts"

/** What a client of node:tls says first. */
const helloOf = async (options: tls.ConnectionOptions): Promise<Buffer> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const accepted = once(server, "connection")
  const client = tls.connect({ port: address.port, host: "127.0.0.1", ...options })
  client.on("error", () => {})
  const [socket]: unknown[] = await accepted
  if (!(socket instanceof net.Socket)) throw new Error("no socket")
  const [data]: unknown[] = await once(socket, "data")
  client.destroy()
  socket.destroy()
  server.close()
  if (!Buffer.isBuffer(data)) throw new Error("no data")
  return data
}

/** The same message in records of at most `size` octets. */
const fragmented = (hello: Buffer, size: number): Buffer => {
  const records: Buffer[] = []
  for (let at = 5; at < hello.length; at += size) {
    const content = hello.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, content.length >> 8, content.length & 255]), content)
  }
  return Buffer.concat(records)
}

const vector = (lengthOctets: 1 | 2, content: Buffer): Buffer => Buffer.concat([Buffer.from(lengthOctets === 1 ? [content.length] : [content.length >> 8, content.length & 255]), content])
const extension = (type: number, content: Buffer): Buffer => Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, content)])
const nameExtension = (...names: readonly string[]): Buffer => extension(0, vector(2, Buffer.concat(names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))])))))

/** As few clients say it. null: without the list of extensions. */
const helloWith = (extensions: readonly Buffer[] | null): Buffer => {
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), vector(1, Buffer.alloc(0)), vector(2, Buffer.from([0x1a, 0x1a, 0xc0, 0x2b])), vector(1, Buffer.alloc(1)), ...(extensions === null ? [] : [vector(2, Buffer.concat(extensions))])])
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, Buffer.concat([Buffer.from([1, 0]), vector(2, body)]))])
}

describe("the client's first message", () => {
  it.each([
    ["none, without extensions", helloWith(null), { serverName: "" }],
    ["none, where there are other extensions only", helloWith([extension(0x1a1a, Buffer.alloc(0))]), { serverName: "" }],
    ["it, after extensions nobody knows", helloWith([extension(0x1a1a, Buffer.from([1, 2, 3])), nameExtension("a.example")]), { serverName: "a.example" }],
    ["an address as it is written", helloWith([nameExtension("192.0.2.7")]), { serverName: "192.0.2.7" }],
    ["the first of two, which OpenSSL refuses", helloWith([nameExtension("a.example"), nameExtension("b.example")]), { serverName: "a.example" }],
    ["no more than 255 octets", helloWith([nameExtension("a".repeat(256))]), BROKEN],
    ["none out of an empty list", helloWith([nameExtension()]), BROKEN],
    ["none that is empty", helloWith([nameExtension("")]), BROKEN],
    ["none with octets that are no text", helloWith([nameExtension("a\0.example")]), BROKEN],
  ])("as name gives %s", (_, hello, expected) => {
    expect(readHello(hello)).toEqual(expected)
  })

  it.each([
    ["a name, in lower case", { servername: "WWW.Example.com" }, "www.example.com"],
    ["the name without its last dot", { servername: "a.example." }, "a.example"],
    ["no name", {}, ""],
    ["a name, of TLS 1.2", { servername: "a.example", maxVersion: "TLSv1.2" as const }, "a.example"],
    ["a name, among other extensions", { servername: "a.example", ALPNProtocols: ["h2", "http/1.1"] }, "a.example"],
  ])("gives %s", async (_, options, serverName) => {
    expect(readHello(await helloOf(options))).toEqual({ serverName })
  })

  it("is read once it is whole, however it is cut into segments and records", async () => {
    const hello = await helloOf({ servername: "a.example" })
    for (const size of [40, 100, 5000]) {
      const octets = fragmented(hello, size)
      for (let length = 0; length < octets.length; length += Math.max(1, Math.floor(size / 3))) expect(readHello(octets.subarray(0, length))).toBe(PARTIAL)
      expect(readHello(octets)).toEqual({ serverName: "a.example" })
    }
    expect(readHello(fragmented(hello, 1))).toBe(BROKEN)
  })

  it("is told from other protocols by its first octets", () => {
    expect(readHello(Buffer.from("GET / HTTP/1.1\r\n"))).toBe(FOREIGN)
    expect(readHello(Buffer.from("G"))).toBe(FOREIGN)
    expect(readHello(Buffer.from([22, 2]))).toBe(FOREIGN)
    expect(readHello(Buffer.from([0x80, 0x2e, 1, 3, 1]))).toBe(FOREIGN)
    expect(readHello(Buffer.alloc(0))).toBe(PARTIAL)
  })

  it("is refused when it is another message, too long, or its lengths do not fit", async () => {
    const hello = await helloOf({ servername: "a.example" })
    const changed = (at: number, ...octets: number[]): Buffer => {
      const copy = Buffer.from(hello)
      copy.set(octets, at)
      return copy
    }
    expect(readHello(changed(5, 2))).toBe(BROKEN)
    expect(readHello(changed(6, 1))).toBe(BROKEN)
    expect(readHello(changed(3, 0, 0))).toBe(BROKEN)
    expect(readHello(changed(43, 255))).toBe(BROKEN)
    const name = hello.indexOf("a.example")
    expect(readHello(changed(name, 0))).toBe(BROKEN)
    expect(readHello(changed(name - 2, 255))).toBe(BROKEN)
    expect(readHello(changed(name - 3, 1))).toBe(BROKEN)
  })

  it("never throws and never takes longer than its length, whatever the octets", async () => {
    const hello = await helloOf({ servername: "a.example" })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 8 }), fc.nat(hello.length), (changes, length) => {
        const octets = Buffer.from(hello.subarray(0, length))
        for (const [at, octet] of changes) if (at < length) octets[at] = octet
        const read = readHello(octets)
        if (typeof read === "object") expect(read.serverName).toMatch(/^[\x21-\x7e]{0,255}$/)
        else expect([PARTIAL, FOREIGN, BROKEN]).toContain(read)
      }),
      { numRuns: 5000 },
    )
  })
})
