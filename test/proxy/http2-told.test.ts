/** What is told of HTTP/2: counters, access lines of what the engine answers, spans; and which schemes a connection serves. */
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import type { Span } from "../../bus/trace/span.ts"
import { frame, post, request, u32, type Fields } from "../../gateway/http2/fixture.ts"
import { DATA, HEADERS, RST_STREAM, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { RequestTraces } from "../../gateway/telemetry/request-trace.ts"
import { Authority } from "../fixtures/authority.ts"
import { Hand } from "./hand.ts"
import { ask, session } from "./http2.ts"
import { OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Heard, type Peer } from "./scripted.ts"
import { everything, secureListener, startSecureGateway } from "./secure.ts"

let backend: Backend
let gateway: Gateway | undefined
let folder = ""
const begin = async (onPeer?: (peer: Peer) => void, options: GatewayOptions = {}): Promise<Gateway> => {
  backend = await startBackend(onPeer)
  return (gateway = await startGateway([backend.port], options))
}
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await backend.stop()
  if (folder !== "") rmSync(folder, { recursive: true, force: true })
  folder = ""
})
const logged = (): { readonly logTo: number; readonly lines: (count: number) => Promise<readonly unknown[]> } => {
  folder = mkdtempSync(join(tmpdir(), "headgate-http2-told-"))
  const file = join(folder, "access.log")
  const read = (): string[] => readFileSync(file, "utf8").split("\n").slice(0, -1)
  return {
    logTo: openSync(file, "a"),
    lines: async (count) => {
      await eventually(`${count} lines`, () => read().length >= count)
      return read().map((line): unknown => JSON.parse(line))
    },
  }
}
/** Without HELP and TYPE, by name and labels. */
const samples = (text: string): ReadonlyMap<string, number> =>
  new Map(text.split("\n").filter((line) => line.startsWith("headgate_")).map((line) => [line.slice("headgate_".length, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]))

test("connections, requests and resets of HTTP/2 are counted apart, and so is what is refused", async () => {
  const own = await begin(undefined, { settings: { streamsPerConnection: 3 } })
  const plain = await own.connect()
  plain.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
  await backend.accept()
  const hand = await Hand.greeted(own)
  hand.request(1, request()).request(3, request()).request(5, request()).request(7, request())
  expect(await hand.resetCode()).toBe("REFUSED_STREAM")
  hand.say(frame(RST_STREAM, 0, 1, u32(8)), frame(WINDOW_UPDATE, 0, 3, u32(0)))
  await eventually("both are over", () => own.http.inFlight === 2)
  const before = samples(own.metrics.text([]))
  const of = (name: string, labels = ""): number | undefined => before.get(`${name}{port="80"${labels}}`)
  expect({ open: of("http2_connections"), all: of("http2_connections_total"), every: of("http_connections_total"), requests: of("http2_requests_total") }).toEqual({ open: 1, all: 1, every: 2, requests: 3 })
  expect([of("http2_streams_reset_total", ',by="client"'), of("http2_streams_reset_total", ',by="gateway"'), of("http2_streams_refused_total"), before.get('limits_reached_total{limit="streams"}')]).toEqual([1, 1, 1, 1])
  hand.say(frame(DATA, 0, 99))
  expect(await hand.goawayCode()).toBe("PROTOCOL_ERROR")
  await hand.peer.close()
  await eventually("it is gone", () => own.http.metrics.http2.connections === 0)
  const after = samples(own.metrics.text([]))
  expect(after.get('http2_connections_failed_total{port="80",code="PROTOCOL_ERROR"}')).toBe(1)
  // What ended with its connection was reset by nobody.
  expect(after.get('http2_streams_reset_total{port="80",by="gateway"}')).toBe(1)
})

test("what the engine answers by itself is in the access log and the counters, without fields nobody has judged", async () => {
  const { logTo, lines } = logged()
  const own = await begin(undefined, { settings: { accessLog: true, headBytes: 1_024 }, logTo })
  const hand = await Hand.greeted(own)
  hand.request(1, request("/", ["x", "y".repeat(2_000)]))
  hand.request(3, [[":method", "CONNECT"], [":authority", "b.test:443"]])
  await hand.frame(HEADERS)
  expect(await lines(2)).toMatchObject([
    { status: 431, protocol: "HTTP/2", reason: "head-too-large", method: "", host: "", path: "", client: "127.0.0.1" },
    { status: 501, protocol: "HTTP/2", reason: "connect", method: "CONNECT", host: "b.test:443" },
  ])
  expect(own.http.metrics.codes()).toContainEqual(["4xx", 1])
  expect(own.metrics.limits.count("head-too-large")).toBe(1)
})

test("a sampled request of HTTP/2 is a span, and its backend gets its context", async () => {
  const heard: Heard[] = []
  const spans: Span[] = []
  const own = await begin(answering((asked) => {
    heard.push(asked)
    return OK
  }), { traces: new RequestTraces({ ratio: 0, followsParent: true }, (span) => spans.push(span)) })
  const client = await session(own.port)
  try {
    const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await Promise.all([ask(client, { traceparent: parent, tracestate: "a=1" }), ask(client)])
    expect(spans).toHaveLength(1)
    const [span] = spans
    expect(span).toMatchObject({ traceId: "0af7651916cd43dd8448eb211c80319c", parentId: "b7ad6b7169203331", state: "a=1", attributes: { "http.request.method": "GET", "http.response.status_code": 200, "url.scheme": "http" } })
    expect(heard.map((asked) => `${asked.field("traceparent")} ${asked.field("tracestate")}`).sort()).toEqual([`00-0af7651916cd43dd8448eb211c80319c-${span?.spanId}-01 a=1`, "undefined undefined"])
  } finally {
    client.destroy()
  }
})

test("https in clear is misdirected; from proxies that are trusted it is what they ended the TLS of", async () => {
  const fields: Fields = [[":method", "GET"], [":scheme", "https"], [":authority", "a"], [":path", "/"]]
  const statusOf = async (trustedHops: number): Promise<number> => {
    const own = await begin(answering(() => OK), { settings: { trustedHops } })
    const client = await session(own.port)
    const { status } = await ask(client, Object.fromEntries(fields))
    client.destroy()
    await own.stop()
    await backend.stop()
    return status
  }
  expect([await statusOf(0), await statusOf(1)]).toEqual([421, 200])
})

test("http over TLS is served, as what came over TLS", async () => {
  const authority = new Authority()
  const heard: Heard[] = []
  backend = await startBackend(answering((asked) => {
    heard.push(asked)
    return OK
  }))
  const secure = await startSecureGateway(authority, backend.port)
  try {
    secure.present("a", authority.issue(["a.test"]))
    secure.apply({ listeners: new Map([["a", secureListener("a", ["a"], { hostname: "a.test" })]]), routes: new Map([["all", everything("a")]]) })
    const client = await session(secure.port, { servername: "a.test", ca: authority.certificate, checkServerIdentity: () => undefined }, "https")
    expect((await ask(client, { ":authority": "a.test", ":scheme": "http" })).status).toBe(200)
    expect(heard[0]?.field("x-forwarded-proto")).toBe("https")
    client.destroy()
  } finally {
    await secure.stop()
    authority.end()
  }
})

test("streams that share a slow connection are not slow one by one", async () => {
  const size = 60_000
  const own = await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size)}`), { settings: { writeTimeout: 300, responseRate: 1_000 } })
  const hand = await Hand.greeted(own)
  for (let stream = 1; stream <= 9; stream += 2) hand.request(stream, post())
  // 5 × 60,000 octets of content through a window of 4,000 every 20 ms: each stream waits longer than its time, the connection never.
  const sip = setInterval(() => hand.say(frame(WINDOW_UPDATE, 0, 0, u32(4_000))), 20)
  await eventually("all has come", () => hand.frames.filter(({ type }) => type === DATA).reduce((sum, { payload }) => sum + payload.length, 0) === 5 * size, 30_000)
  clearInterval(sip)
  expect(hand.frames.some(({ type }) => type === RST_STREAM)).toBe(false)
}, 40_000)

test("a connection's window that stays shut resets the streams that wait for it, and no others", async () => {
  const own = await begin((peer) => {
    void peer.message().then(({ head }) => {
      if (head.startsWith("GET /large")) peer.say(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"x".repeat(100_000)}`)
    }, () => undefined)
  }, { settings: { writeTimeout: 200 } })
  const hand = await Hand.greeted(own)
  hand.request(1, request("/waits")).request(3, request("/large")).say(frame(WINDOW_UPDATE, 0, 3, u32(100_000)))
  await hand.frame(RST_STREAM)
  expect([hand.frames.filter(({ type }) => type === RST_STREAM).map(({ stream }) => stream), own.http.inFlight, own.metrics.limits.count("write-timeout")]).toEqual([[3], 1, 1])
})
