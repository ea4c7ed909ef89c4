/** What rules do to requests, before backends of HTTP/2 as before those of HTTP/1.1: retries, mirrors, CORS, times, logs. */
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import type http2 from "node:http2"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { compileCors } from "../../gateway/filters/cors.ts"
import type { CompiledRule, Mirror } from "../../gateway/table/table.ts"
import { ask, session } from "./http2.ts"
import { startHttp2Backend, whole, type Asked, type Handler, type Http2Backend } from "./http2-backend.ts"
import { OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Heard } from "./scripted.ts"

const made: { stop(): Promise<void> }[] = []
let gateway: Gateway
let client: http2.ClientHttp2Session

const own = async (handler: Handler): Promise<Http2Backend> => {
  const backend = await startHttp2Backend(handler)
  made.push(backend)
  return backend
}
const old = async (heard: Heard[] = []): Promise<Backend> => {
  const backend = await startBackend(answering((request) => {
    heard.push(request)
    return OK
  }))
  made.push(backend)
  return backend
}
const begin = async (ports: readonly number[], options: GatewayOptions = {}): Promise<void> => {
  gateway = await startGateway(ports, { isHttp2: true, ...options })
  client = await session(gateway.port)
}
/** Statuses in turn; what was asked is kept. */
const inTurn = (statuses: readonly number[], asked: Asked[] = []): Handler => (stream, headers) => {
  const tell = async (): Promise<void> => {
    asked.push(await whole(stream, headers))
    stream.respond({ ":status": statuses[asked.length - 1] ?? 200 })
    stream.end("ok")
  }
  tell().catch(() => undefined)
}

afterEach(async () => {
  client.destroy()
  await gateway.stop()
  for (const each of made.splice(0)) await each.stop()
})

describe("retries", () => {
  const retry = { codes: new Set([503]), attempts: 2, backoff: 1 }

  test("after a status of the rule's: a PUT with content goes again, from a client of either version", async () => {
    const asked: Asked[] = []
    await begin([(await own(inTurn([503, 503, 200, 503, 200], asked))).port], { rule: { retry } })
    expect((await ask(client, { ":method": "PUT" }, "content")).status).toBe(200)
    const peer = await gateway.connect()
    peer.say("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ncont\r\n3\r\nent\r\n0\r\nX-Sum: 1\r\n\r\n")
    expect((await peer.message()).status).toBe(200)
    expect(asked.map(({ body }) => body.toString())).toEqual(Array(5).fill("content"))
    expect(asked.map(({ trailers }) => trailers["x-sum"])).toEqual([undefined, undefined, undefined, "1", "1"])
    expect(gateway.metrics.upstream.retries).toBe(3)
  })

  test("a POST is not sent again after a status", async () => {
    await begin([(await own(inTurn([503, 200]))).port], { rule: { retry } })
    expect((await ask(client, { ":method": "POST" }, "content")).status).toBe(503)
  })

  test("an attempt that takes too long is reset, and another endpoint answers", async () => {
    const resets: number[] = []
    const slow = await own((stream) => stream.on("close", () => resets.push(stream.rstCode)))
    const quick = await own(inTurn([]))
    await begin([slow.port, quick.port], { rule: { retry, backendTimeout: 100 }, settings: { balance: "round-robin" } })
    expect((await ask(client)).status).toBe(200)
    await eventually("the slow one's is reset", () => resets.length === 1)
    expect([resets, gateway.metrics.upstream.count("timeout")]).toEqual([[8], 1])
  })

  test("no connection: the other endpoint, at once", async () => {
    const gone = await own(inTurn([]))
    await gone.stop()
    await begin([gone.port, (await own(inTurn([]))).port], { settings: { balance: "round-robin" } })
    for (let i = 0; i < 4; i++) expect((await ask(client)).status).toBe(200)
    expect(gateway.metrics.upstream.count("refused")).toBeGreaterThan(0)
  })
})

describe("mirrors", () => {
  const to = (port: number, isHttp2: boolean): Mirror => ({ cluster: { id: "m", isHttp2, endpoints: [gateway.endpoints.get("127.0.0.1", port, isHttp2)], emptyStatus: 503, turn: 0 }, isDue: () => true })
  const mirrored = async (ports: readonly number[], isHttp2: boolean, mirror: () => Mirror): Promise<void> => {
    let rule: CompiledRule | undefined
    await begin(ports, { isHttp2, find: (_, given) => (rule ??= { ...given, mirrors: [mirror()] }), rule: { requestHeaders: (head) => head.set("X-Set", "1") } })
  }

  test("of requests to HTTP/2, at HTTP/1.1 and at HTTP/2: head, content and trailers", async () => {
    const heard: Heard[] = []
    const shadow = await old(heard)
    const main: Asked[] = []
    await mirrored([(await own(inTurn([], main))).port], true, () => to(shadow.port, false))
    expect((await ask(client, { ":method": "POST", ":path": "/m" }, "content")).status).toBe(200)
    await eventually("the copy is there", () => heard.length === 1 && gateway.metrics.mirrors.count("answered") === 1)
    expect([heard[0]?.head.split("\r\n")[0], heard[0]?.body, heard[0]?.field("x-set"), main[0]?.body.toString()]).toEqual(["POST /m HTTP/1.1", "content", "1", "content"])
  })

  test("of requests to HTTP/1.1, at HTTP/2: chunks become content", async () => {
    const copies: Asked[] = []
    const shadow = await own(inTurn([], copies))
    await mirrored([(await old()).port], false, () => to(shadow.port, true))
    const peer = await gateway.connect()
    peer.say("POST /m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ncont\r\n3\r\nent\r\n0\r\nX-Sum: 1\r\n\r\n")
    expect((await peer.message()).status).toBe(200)
    peer.say("GET /n HTTP/1.1\r\nHost: a\r\n\r\n")
    expect((await peer.message()).status).toBe(200)
    await eventually("the copies are there", () => copies.length === 2 && gateway.metrics.mirrors.count("answered") === 2)
    expect(copies.map(({ headers, body, trailers }) => [headers[":method"], headers[":path"], headers["x-set"], body.toString(), trailers["x-sum"]])).toEqual([["POST", "/m", "1", "content", "1"], ["GET", "/n", "1", "", undefined]])
  })

  test("one that is not answered is given up, and its place is free again", async () => {
    const shadow = await own(() => undefined)
    let rule: CompiledRule | undefined
    await begin([(await own(inTurn([]))).port], { settings: { mirrorTimeout: 100 }, find: (_, given) => (rule ??= { ...given, mirrors: [to(shadow.port, true)] }) })
    expect((await ask(client)).status).toBe(200)
    await eventually("it is given up", () => gateway.metrics.mirrors.count("timeout") === 1)
    expect([gateway.http.mirrors.inFlight, gateway.endpoints.get("127.0.0.1", shadow.port, true).inFlight]).toEqual([0, 0])
  })
})

test("CORS: what a backend says of sharing is replaced", async () => {
  const cors = compileCors({ type: "cors", origins: ["https://a.test"], methods: ["PUT"], headers: [], exposed: ["X-E"], credentials: false, maxAge: 60 })
  await begin([(await own((stream) => stream.respond({ ":status": 200, "access-control-allow-origin": "*", "x-e": "1" }, { endStream: true }))).port], { rule: { cors } })
  const { headers } = await ask(client, { origin: "https://a.test" })
  expect([headers["access-control-allow-origin"], headers["access-control-expose-headers"], headers["x-e"]]).toEqual(["https://a.test", "X-E", "1"])
})

test("a client that waits for 100 gets it from the backend, and then sends", async () => {
  await begin([(await own((stream, headers) => {
    if (headers.expect === "100-continue") stream.additionalHeaders({ ":status": 100 })
    inTurn([])(stream, headers)
  })).port])
  const peer = await gateway.connect()
  peer.say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
  expect((await peer.message()).status).toBe(100)
  peer.say("ok")
  expect((await peer.message()).status).toBe(200)
})

test("the access log names the endpoint, its octets and attempts", async () => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-http2-"))
  try {
    const log = join(folder, "access.log")
    const { port } = await own(inTurn([]))
    await begin([port], { settings: { accessLog: true }, logTo: openSync(log, "a") })
    const peer = await gateway.connect()
    peer.say("GET /p HTTP/1.1\r\nHost: a\r\n\r\n")
    await peer.message()
    await ask(client, { ":path": "/q" })
    await eventually("the log has both", () => readFileSync(log, "utf8").split("\n").length === 3)
    const lines = readFileSync(log, "utf8").trim().split("\n").map((line): unknown => JSON.parse(line))
    expect(lines).toEqual([
      expect.objectContaining({ protocol: "HTTP/1.1", path: "/p", status: 200, bytes: 2, upstream: `127.0.0.1:${port}`, attempts: 1 }),
      expect.objectContaining({ protocol: "HTTP/2", path: "/q", status: 200, bytes: 2, upstream: `127.0.0.1:${port}`, attempts: 1 }),
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
