/** Calls of gRPC through the gateway: @grpc/grpc-js on both sides. */
import grpc from "@grpc/grpc-js"
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { Authority } from "../fixtures/authority.ts"
import { ask, session } from "./http2.ts"
import { call, drained, metadataOf, methods, startEcho, type EchoServer } from "./grpc-peers.ts"
import { eventually, startBackend, startGateway, type Gateway, type GatewayOptions } from "./scripted.ts"
import { everything, secureListener, startSecureGateway } from "./secure.ts"

const { OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED } = grpc.status
const same = (octets: Buffer): Buffer => octets

let echo: EchoServer
let gateway: Gateway
let client: grpc.Client

const begin = async (options: GatewayOptions = {}): Promise<void> => {
  echo = await startEcho()
  gateway = await startGateway([echo.port], { isHttp2: true, ...options, rule: { isGrpc: true, ...options.rule } })
  client = clientOf(gateway.port)
}
const clientOf = (port: number): grpc.Client => new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { "grpc.max_receive_message_length": -1, "grpc.enable_retries": 0 })

afterEach(async () => {
  client.close()
  await gateway.stop()
  echo.stop()
})

describe("calls", () => {
  test("unary, with metadata both ways and trailers", async () => {
    await begin()
    const { code, message, head, trailers } = await call(client, Buffer.from("hello"), { "x-say": "this" })
    expect([code, message?.toString(), head?.get("x-head"), trailers.get("x-trailer")]).toEqual([OK, "hello", ["1"], ["this"]])
    expect(echo.seen.metadata).toMatchObject({ "x-say": "this", "x-forwarded-for": "127.0.0.1" })
  })

  test("one that fails says so in trailers, as the service wrote it", async () => {
    await begin()
    const { code, details, trailers } = await call(client, Buffer.from("x"), { "x-fail": String(PERMISSION_DENIED), "x-say": "no" })
    expect([code, details, trailers.get("x-trailer")]).toEqual([PERMISSION_DENIED, "as you wish: 100% ü", ["no"]])
  })

  test("no such method: the service's own trailers-only answer", async () => {
    await begin()
    expect((await call(client, Buffer.from("x"), {}, {}, "/echo.Echo/None")).code).toBe(UNIMPLEMENTED)
  })

  test.each([1, 4_000_000])("a message of %i octets, there and back", async (size) => {
    await begin()
    const sent = Buffer.alloc(size, "0123456789")
    const { message } = await call(client, sent)
    expect(message?.equals(sent)).toBe(true)
  })

  test("100 at once, each its own answer, on one connection", async () => {
    await begin()
    const answers = await Promise.all(Array.from({ length: 100 }, async (_, i) => (await call(client, Buffer.from(`call ${i}`))).message?.toString()))
    expect(answers).toEqual(Array.from({ length: 100 }, (_, i) => `call ${i}`))
    expect(gateway.endpoints.get("127.0.0.1", echo.port, true).connections).toBe(1)
  })

  test("client streaming", async () => {
    await begin()
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>()
    const stream = client.makeClientStreamRequest(methods.gather.path, same, same, new grpc.Metadata(), (_, value?: Buffer) => resolve(value))
    for (let i = 0; i < 1_000; i++) stream.write(Buffer.from(`${i};`))
    stream.end()
    expect((await promise)?.toString()).toBe(Array.from({ length: 1_000 }, (_, i) => `${i};`).join(""))
  })

  test("server streaming", async () => {
    await begin()
    const sent = Buffer.from(Array.from({ length: 3_000 }, (_, i) => i & 255))
    const { code, messages, trailers } = await drained(client.makeServerStreamRequest(methods.spread.path, same, same, sent, metadataOf({ "x-say": "end" })))
    expect([code, Buffer.concat(messages).equals(sent), messages.length, trailers.get("x-trailer")]).toEqual([OK, true, 3_000, ["end"]])
  })

  test("both at once: each message comes back before the next is sent", async () => {
    await begin()
    const stream = client.makeBidiStreamRequest(methods.both.path, same, same, new grpc.Metadata())
    const ended = drained(stream)
    for (let i = 0; i < 100; i++) {
      const back = new Promise<string>((resolve) => stream.once("data", (message: Buffer) => resolve(message.toString())))
      stream.write(Buffer.from(`turn ${i}`))
      expect(await back).toBe(`turn ${i}`)
    }
    stream.end()
    expect((await ended).code).toBe(OK)
  })

  test("a stream may be silent: neither the time for content nor that for an answer ends it, and the backend is asked for a sign of life", async () => {
    await begin({ settings: { requestBodyIdle: 50, responseHeadTimeout: 50, responseBodyIdle: 50, connectTimeout: 100 } })
    const stream = client.makeBidiStreamRequest(methods.both.path, same, same, new grpc.Metadata())
    const ended = drained(stream)
    const before = performance.now()
    await eventually("some of these times have passed", () => performance.now() - before > 500)
    const back = new Promise<string>((resolve) => stream.once("data", (message: Buffer) => resolve(message.toString())))
    stream.write(Buffer.from("still there"))
    expect(await back).toBe("still there")
    stream.end()
    expect((await ended).code).toBe(OK)
  })

  test("cancelled by the client: the service is told", async () => {
    await begin()
    const stream = client.makeServerStreamRequest(methods.spread.path, same, same, Buffer.from("abc"), metadataOf({ "x-hang": "1" }))
    const ended = drained(stream)
    await new Promise<void>((resolve) => void stream.once("data", () => resolve()))
    stream.cancel()
    expect((await ended).code).toBe(CANCELLED)
    await eventually("the service knows", () => echo.seen.cancelled === 1)
    expect(gateway.metrics.upstream.count("cancelled")).toBe(1)
  })

  test("to a backend of HTTP/1.1 content and trailers go as chunks", async () => {
    await begin()
    const old = await startBackend()
    try {
      gateway.cluster.endpoints = [gateway.endpoints.get("127.0.0.1", old.port)]
      Reflect.set(gateway.cluster, "isHttp2", false)
      const called = call(client, Buffer.from("hello"))
      const peer = await old.accept()
      const { body } = await peer.message()
      expect(body).toBe("\0\0\0\0\x05hello")
      peer.say(`HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\na\r\n${body}\r\n0\r\ngrpc-status: 0\r\n\r\n`)
      expect((await called).message?.toString()).toBe("hello")
    } finally {
      await old.stop()
    }
  })
})

describe("deadlines", () => {
  test("grpc-timeout is one here too, and goes on", async () => {
    await begin()
    // By hand: a client of gRPC would end the call itself, before.
    const own = await session(gateway.port)
    try {
      // After the head of the answer, from the service or from the gateway, whose clocks agree.
      const { trailers } = await ask(own, { ":method": "POST", ":path": methods.unary.path, "content-type": "application/grpc", te: "trailers", "grpc-timeout": "150m", "x-hang": "1" }, Buffer.from([0, 0, 0, 0, 1, 65]))
      expect(trailers["grpc-status"]).toBe("4")
      expect(Number(echo.seen.deadline)).toBeGreaterThan(Date.now() - 10_000)
      expect(Number(echo.seen.deadline)).toBeLessThan(Date.now() + 10_000)
    } finally {
      own.destroy()
    }
  })

  test("of the rule, in the middle of an answer: trailers say so", async () => {
    await begin({ rule: { requestTimeout: 150 } })
    const { code, details, messages } = await drained(client.makeServerStreamRequest(methods.spread.path, same, same, Buffer.from("abc"), metadataOf({ "x-hang": "1" })))
    expect([code, details, messages.length]).toEqual([DEADLINE_EXCEEDED, "the backend took too long to answer", 3])
  })

  test.each([["of the call", { "grpc-timeout": "100m" }, {}], ["of the rule, which is shorter", { "grpc-timeout": "1H" }, { requestTimeout: 100 }]])("before any answer, %s: DEADLINE_EXCEEDED", async (_, headers, rule) => {
    await begin({ rule })
    const silent = await startBackend()
    const own = await session(gateway.port)
    try {
      gateway.cluster.endpoints = [gateway.endpoints.get("127.0.0.1", silent.port)]
      Reflect.set(gateway.cluster, "isHttp2", false)
      const answered = await ask(own, { ":method": "POST", "content-type": "application/grpc", te: "trailers", ...headers }, "x")
      expect([answered.status, answered.headers["content-type"], answered.headers["grpc-status"], answered.headers["grpc-message"], answered.body]).toEqual([200, "application/grpc", "4", "the backend took too long to answer", ""])
    } finally {
      own.destroy()
      await silent.stop()
    }
  })

  test("the client's own", async () => {
    await begin()
    expect((await call(client, Buffer.from("x"), { "x-hang": "1" }, { deadline: Date.now() + 200 })).code).toBe(DEADLINE_EXCEEDED)
    await eventually("the service knows", () => echo.seen.cancelled === 1)
  })
})

describe("what the gateway answers by itself", () => {
  test("no route: UNIMPLEMENTED; no endpoint, and no connection: UNAVAILABLE; with a reason that people can read", async () => {
    await begin({ find: (request, rule) => (request.path === "/echo.Echo/Lost" ? null : rule) })
    expect(await call(client, Buffer.from("x"), {}, {}, "/echo.Echo/Lost")).toMatchObject({ code: UNIMPLEMENTED, details: "no route for this host and path" })
    const { endpoints } = gateway.cluster
    gateway.cluster.endpoints = []
    expect(await call(client, Buffer.from("x"))).toMatchObject({ code: UNAVAILABLE, details: "no endpoint is ready" })
    gateway.cluster.endpoints = endpoints
    echo.stop()
    expect(await call(client, Buffer.from("x"))).toMatchObject({ code: UNAVAILABLE, details: "no connection to the backend" })
  })

  test.each([
    [400, INTERNAL], [401, UNAUTHENTICATED], [403, PERMISSION_DENIED], [404, UNIMPLEMENTED], [429, UNAVAILABLE], [500, UNKNOWN], [502, UNAVAILABLE], [503, UNAVAILABLE], [504, UNAVAILABLE],
  ])("an answer of the rule's with %i: %i", async (status, code) => {
    await begin({ rule: { answer: { status, headers: [["x-a", "b"]], body: "for whom it may concern: 5% ü" } } })
    expect(await call(client, Buffer.from("x"))).toMatchObject({ code, details: "for whom it may concern: 5% ü" })
  })

  test("calls on routes of other kinds are known by their content type; gRPC-Web is none", async () => {
    await begin({ rule: { isGrpc: false, answer: null } })
    gateway.cluster.endpoints = []
    expect((await call(client, Buffer.from("x"))).code).toBe(UNAVAILABLE)
    const own = await session(gateway.port)
    try {
      const web = await ask(own, { ":method": "POST", "content-type": "application/grpc-web+proto", te: "trailers" }, "x")
      expect([web.status, web.headers["grpc-status"]]).toEqual([503, undefined])
    } finally {
      own.destroy()
    }
  })

  test("a backend lost in the middle of a stream ends it", async () => {
    await begin()
    const stream = client.makeBidiStreamRequest(methods.both.path, same, same, new grpc.Metadata())
    const ended = drained(stream)
    const first = new Promise<void>((resolve) => void stream.once("data", () => resolve()))
    stream.write(Buffer.from("one"))
    await first
    echo.stop()
    expect([OK, CANCELLED]).not.toContain((await ended).code)
    expect(gateway.metrics.upstream.count("truncated")).toBe(1)
  })

  test("over HTTP/1.1 a route of gRPC answers 505 and says why", async () => {
    await begin()
    const peer = await gateway.connect()
    peer.say("POST /echo.Echo/Unary HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
    const { status, body } = await peer.message()
    expect([status, body]).toEqual([505, "gRPC is spoken over HTTP/2\n"])
  })

  test("the access log has the gRPC status beside the reason", async () => {
    const folder = mkdtempSync(join(tmpdir(), "headgate-grpc-"))
    try {
      const log = join(folder, "access.log")
      await begin({ settings: { accessLog: true }, logTo: openSync(log, "a") })
      gateway.cluster.endpoints = []
      await call(client, Buffer.from("x"))
      await eventually("the log has it", () => readFileSync(log, "utf8") !== "")
      expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ protocol: "HTTP/2", method: "POST", path: "/echo.Echo/Unary", status: 200, grpc: 14, reason: "no-endpoint" })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

test("over TLS, from an entry of a cluster that speaks h2c", async () => {
  await begin()
  const authority = new Authority()
  const secure = await startSecureGateway(authority, echo.port)
  secure.apply({ clusters: new Map([["c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: "h2c", endpoints: [{ address: "127.0.0.1", port: echo.port }] }]]) })
  secure.present("a", authority.issue(["a.test"]))
  secure.apply({ listeners: new Map([["a", secureListener("a", ["a"])]]), routes: new Map([["all", everything("a")]]) })
  const own = new grpc.Client(`127.0.0.1:${secure.port}`, grpc.credentials.createSsl(Buffer.from(authority.certificate)), { "grpc.ssl_target_name_override": "a.test", "grpc.default_authority": "a.test" })
  try {
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => (await call(own, Buffer.from(`call ${i}`))).message?.toString()))
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => `call ${i}`))
    expect(echo.seen.metadata).toMatchObject({ "x-forwarded-proto": "https" })
  } finally {
    own.close()
    await secure.stop()
    authority.end()
  }
})
