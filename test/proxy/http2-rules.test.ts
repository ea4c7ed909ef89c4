/** What a client of HTTP/2 may not do, and for how long; the end of connections. */
import { once } from "node:events"
import http2 from "node:http2"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterEach, describe, expect, test } from "vitest"
import { ACK, DATA, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "../../gateway/http2/frame.ts"
import { Blocks, frame, hello, post, request, settingsFrame, u32 } from "../../gateway/http2/fixture.ts"
import { INITIAL_WINDOW_SIZE } from "../../gateway/http2/settings.ts"
import { Hand } from "./hand.ts"
import { answer, ask, session } from "./http2.ts"
import { OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend | undefined
let gateway: Gateway
const clients: http2.ClientHttp2Session[] = []
const begin = async (onPeer?: (peer: Peer) => void, options: GatewayOptions = {}): Promise<void> => {
  backend = await startBackend(onPeer)
  gateway = await startGateway([backend.port], options)
}
const connect = async (options?: http2.ClientSessionOptions): Promise<http2.ClientHttp2Session> => {
  const client = await session(gateway.port, options)
  clients.push(client)
  return client
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await gateway.stop()
  await backend?.stop()
  backend = undefined
})

describe("times", () => {
  test("a preface that does not come to its end, and settings that are not acknowledged", async () => {
    await begin(undefined, { settings: { headTimeout: 150 } })
    const silent = new Hand(await gateway.connect()).say(PREFACE)
    await silent.peer.end()
    const rude = new Hand(await gateway.connect()).say(PREFACE, settingsFrame())
    expect(["SETTINGS_TIMEOUT", "NO_ERROR"]).toContain(await rude.goawayCode())
    await rude.peer.end()
  })

  test("a head in frames that do not end", async () => {
    await begin(answering(() => OK), { settings: { headTimeout: 200 } })
    const hand = await Hand.greeted(gateway)
    hand.request(1, request())
    await hand.frame(HEADERS)
    hand.say(frame(HEADERS, 0, 3, hand.blocks.block(request())))
    expect(await hand.goawayCode()).toBe("ENHANCE_YOUR_CALM")
    await hand.peer.end()
  })

  test("an idle connection is asked to go, and goes", async () => {
    await begin(answering(() => OK), { settings: { keepAliveTimeout: 150 } })
    const client = await connect()
    expect((await ask(client)).body).toBe("ok")
    await once(client, "close")
    expect(gateway.http.connections).toBe(0)
  })

  test("content that stops coming: 408, and the other streams go on", async () => {
    await begin(answering(() => OK), { settings: { requestBodyIdle: 200 } })
    const client = await connect()
    const stream = client.request({ ":method": "POST", ":path": "/" })
    const late = answer(stream)
    stream.write("part")
    expect((await late).status).toBe(408)
    expect((await ask(client)).status).toBe(200)
  })

  test("of a stream both ways the client may be quiet for as long as the backend may", async () => {
    await begin((peer) => {
      if (backend?.peers.length === 1) peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    }, { settings: { requestBodyIdle: 500 } })
    const client = await connect()
    const stream = client.request({ ":method": "POST", ":path": "/" })
    const whole = answer(stream)
    stream.write("one")
    await once(stream, "data")
    const quiet = client.request({ ":method": "POST", ":path": "/" })
    const late = answer(quiet)
    quiet.write("part")
    expect((await late).status).toBe(408)
    stream.end("two")
    const [peer] = backend?.peers ?? []
    await peer?.hear("3\r\ntwo\r\n0\r\n\r\n")
    peer?.say("4\r\nlast\r\n0\r\n\r\n")
    expect((await whole).body).toBe("firstlast")
  })

  test("a window that stays shut: the stream is reset and its backend let go, the others go on", async () => {
    await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${"x".repeat(200_000)}`), { settings: { writeTimeout: 200 } })
    const hand = new Hand(await gateway.connect()).say(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 10]), frame(SETTINGS, ACK, 0))
    hand.request(1, request())
    expect((await hand.frame(DATA)).payload.length).toBe(10)
    // One octet now and then is no progress.
    const trickle = setInterval(() => hand.say(frame(WINDOW_UPDATE, 0, 1, u32(1))), 20)
    await hand.frame(RST_STREAM)
    clearInterval(trickle)
    expect(gateway.http.inFlight).toBe(0)
    hand.say(frame(PING, 0, 0, Buffer.alloc(8)))
    await eventually("the connection lives", () => hand.frames.some(({ type, flags }) => type === PING && (flags & ACK) !== 0))
  })

  test("a client that takes nothing at all is cut", async () => {
    await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n${"x".repeat(8_000_000)}`), { settings: { writeTimeout: 300 } })
    const hand = new Hand(await gateway.connect()).say(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 0x7fff_ffff]), frame(SETTINGS, ACK, 0), frame(WINDOW_UPDATE, 0, 0, u32(0x7fff_0000)))
    hand.peer.socket.pause()
    for (let stream = 1; stream < 20; stream += 2) hand.request(stream, request())
    await eventually("it is closed", () => gateway.metrics.listener(80).connections === 0 && gateway.metrics.listener(80).accepted === 1)
    expect(gateway.http.inFlight).toBe(0)
  })

  test("a backend that does not answer: 504 on its stream", async () => {
    await begin(undefined, { settings: { responseHeadTimeout: 150 } })
    expect((await ask(await connect())).status).toBe(504)
  })
})

describe("limits", () => {
  test("more streams than are allowed are refused, to be asked again", async () => {
    await begin(undefined, { settings: { streamsPerConnection: 2 } })
    const hand = await Hand.greeted(gateway)
    hand.request(1, request()).request(3, request()).request(5, request())
    expect(await hand.resetCode()).toBe("REFUSED_STREAM")
    expect(gateway.http.inFlight).toBe(2)
  })

  test("content over the limit: 413", async () => {
    await begin(answering(() => OK), { settings: { requestBodyBytes: 10 } })
    const client = await connect()
    expect((await ask(client, { ":method": "POST", "content-length": "11" }, "12345678901")).status).toBe(413)
    expect((await ask(client, { ":method": "POST" }, "12345678901")).status).toBe(413)
    expect((await ask(client, { ":method": "POST" }, "1234567890")).status).toBe(200)
  })

  test("however little may wait to be written, answers arrive", async () => {
    await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"x".repeat(100_000)}`), { settings: { writeBytes: 0 } })
    expect((await ask(await connect())).body).toHaveLength(100_000)
  })

  test("an extended CONNECT and a WebSocket's Upgrade are no requests", async () => {
    await begin()
    const hand = await Hand.greeted(gateway)
    hand.request(1, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a"], [":path", "/"]])
    hand.request(3, request("/", ["upgrade", "websocket"]))
    await eventually("both are reset", () => hand.frames.filter(({ type }) => type === RST_STREAM).length === 2)
    expect(await hand.resetCode()).toBe("PROTOCOL_ERROR")
    expect(backend?.peers.length).toBe(0)
  })

  test("connections without requests keep nothing of those they had", async () => {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    if (typeof collect !== "function") throw new Error("no gc")
    const used = (): number => {
      Reflect.apply(collect, undefined, [])
      return process.memoryUsage().heapUsed
    }
    await begin(answering(() => OK))
    const ask32 = async (): Promise<void> => {
      const { socket } = await gateway.connect()
      const blocks = new Blocks()
      socket.removeAllListeners("data").resume()
      socket.write(Buffer.concat([hello, ...Array.from({ length: 32 }, (_, i) => blocks.headers(1 + 2 * i, request(`/${i}`, ["x", String(i).padEnd(2_000, "-")]), END_STREAM))]))
      await eventually("all are answered", () => socket.bytesRead > 32 * 20 && gateway.http.inFlight === 0)
    }
    await ask32()
    const before = used()
    for (let i = 0; i < 20; i++) await ask32()
    await eventually("50 KB each at most", () => used() - before < 20 * 50_000)
  })

  test("10,000 requests that are reset at once end the connection and leave nothing", async () => {
    await begin(undefined, { settings: { drainTimeout: 200 } })
    const hand = await Hand.greeted(gateway)
    for (let stream = 1; stream < 20_000; stream += 2) hand.request(stream, request()).say(frame(RST_STREAM, 0, stream, u32(8)))
    expect(await hand.goawayCode()).toBe("ENHANCE_YOUR_CALM")
    await eventually("nothing is left", () => gateway.http.inFlight === 0 && gateway.http.connections === 0)
  })
})

test("content that came to its end after its answer leaves the connection's window as it was", async () => {
  await begin((peer) => {
    peer.hear("\r\n\r\n").then(() => peer.say(OK), () => undefined)
  })
  const hand = new Hand(await gateway.connect())
  hand.say(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 0]), frame(SETTINGS, ACK, 0))
  for (const stream of [1, 3, 5]) {
    hand.request(stream, post(), 0)
    await eventually("its answer waits for the client's window", () => hand.frames.some((sent) => sent.type === HEADERS && sent.stream === stream))
    hand.say(...Array.from({ length: 13 }, (_, part) => frame(DATA, part === 12 ? END_STREAM : 0, stream, Buffer.alloc(15_000))), frame(WINDOW_UPDATE, 0, stream, u32(2)))
    await eventually("it has been taken", () => hand.frames.some((sent) => sent.type === DATA && sent.stream === stream && (sent.flags & END_STREAM) !== 0))
  }
  // All of the window's half was used: without it later requests would stand still.
  await eventually("the window opens again", () => hand.frames.filter(({ type, stream }) => type === WINDOW_UPDATE && stream === 0).length === 2)
})

describe("the end", () => {
  test("requests under way are answered at a drain, no more are taken, and then the connection closes", async () => {
    await begin()
    const client = await connect()
    const asked = ask(client)
    const peer = await backend?.accept()
    await peer?.message()
    const goaway = once(client, "goaway")
    const drained = gateway.http.drain(5_000)
    await goaway
    peer?.say(OK)
    expect((await asked).body).toBe("ok")
    expect(await drained).toBe(0)
  })

  test("an idle connection does not hold up a drain", async () => {
    await begin()
    await connect()
    expect(await gateway.http.drain(5_000)).toBe(0)
  })

  test("what is left at the limit of a drain is cut", async () => {
    await begin()
    const asked = ask(await connect())
    await (await backend?.accept())?.message()
    expect(await gateway.http.drain(100)).toBe(1)
    await expect(asked).rejects.toThrow(/closed|CANCEL/)
    await eventually("nothing is in flight", () => gateway.http.inFlight === 0)
  })

  test("a process that leaves says GOAWAY with its next answer", async () => {
    await begin(answering(() => OK))
    const client = await connect()
    gateway.http.leave()
    const goaway = once(client, "goaway")
    expect((await ask(client)).body).toBe("ok")
    await goaway
    await once(client, "close")
  })

  test("a client that has ended its side with its window shut is not waited for: no window opens any more", async () => {
    await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n${"x".repeat(20)}`))
    const hand = new Hand(await gateway.connect()).say(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 10]), frame(SETTINGS, ACK, 0))
    hand.request(1, request())
    expect((await hand.frame(DATA)).payload.length).toBe(10)
    hand.peer.socket.end()
    await hand.peer.end()
    expect((await hand.end(1)).type).toBe(RST_STREAM)
    await eventually("nothing is left", () => gateway.http.inFlight === 0 && gateway.http.connections === 0)
  })

  test("a client that ends its side gets the answers it waits for", async () => {
    await begin()
    const hand = await Hand.greeted(gateway)
    hand.request(1, request())
    const peer = await backend?.accept()
    await peer?.message()
    hand.peer.socket.end()
    await eventually("the end is seen", () => hand.peer.socket.writableFinished)
    peer?.say(OK)
    expect((await hand.frame(DATA)).payload.toString()).toBe("ok")
    await hand.peer.end()
  })
})
