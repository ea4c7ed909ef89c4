/** Backends of HTTP/2 that leave, refuse, die or fall silent: what is sent again, and what must not be. Frame for frame. */
import { once } from "node:events"
import type http2 from "node:http2"
import { afterEach, expect, test } from "vitest"
import { CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, REFUSED_STREAM } from "../../gateway/http2/error-code.ts"
import { Blocks, frame, settingsFrame, u32 } from "../../gateway/http2/fixture.ts"
import { ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS } from "../../gateway/http2/frame.ts"
import { MAX_CONCURRENT_STREAMS } from "../../gateway/http2/settings.ts"
import { answer, ask, session } from "./http2.ts"
import { startHttp2Backend } from "./http2-backend.ts"
import { eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend
let gateway: Gateway
let client: http2.ClientHttp2Session

/** One connection of a backend, that says what the test says and hears frames. */
class Scripted {
  readonly peer: Peer
  readonly #blocks = new Blocks()

  constructor(peer: Peer) {
    this.peer = peer
  }

  static async accept(...settings: readonly (readonly [number, number])[]): Promise<Scripted> {
    const own = new Scripted(await backend.accept())
    await own.peer.hear(PREFACE.toString("latin1"))
    own.say(settingsFrame(...settings), frame(SETTINGS, ACK, 0))
    return own
  }

  say(...frames: readonly Buffer[]): void {
    this.peer.socket.write(Buffer.concat(frames))
  }

  /** The next frame of this type; its stream and payload. */
  async hear(type: number): Promise<{ readonly stream: number; readonly flags: number; readonly payload: Buffer }> {
    for (;;) {
      const head = Buffer.from(await this.peer.hearOctets(9), "latin1")
      const payload = Buffer.from(await this.peer.hearOctets(head.readUIntBE(0, 3)), "latin1")
      if (head[3] === type) return { stream: head.readUInt32BE(5), flags: head[4] ?? 0, payload }
    }
  }

  goaway(last: number, code = NO_ERROR): void {
    this.say(frame(GOAWAY, 0, 0, Buffer.concat([u32(last), u32(code)])))
  }

  reset(stream: number, code: number): void {
    this.say(frame(RST_STREAM, 0, stream, u32(code)))
  }

  answer(stream: number, body: string): void {
    this.say(this.#blocks.headers(stream, [[":status", "200"]], 0), frame(DATA, END_STREAM, stream, Buffer.from(body)))
  }

  head(stream: number): void {
    this.say(this.#blocks.headers(stream, [[":status", "200"]], END_HEADERS))
  }
}

const begin = async (options: GatewayOptions = {}): Promise<void> => {
  backend = await startBackend()
  gateway = await startGateway([backend.port], { isHttp2: true, ...options })
  client = await session(gateway.port)
}

const outcome = (name: "ok" | "refused-stream" | "closed" | "reset" | "head-timeout" | "refused") => gateway.metrics.upstream.count(name)

afterEach(async () => {
  client.destroy()
  await gateway.stop()
  await backend.stop()
})

test("REFUSED_STREAM: the request goes out again at once, a POST with its content too", async () => {
  await begin()
  const asked = ask(client, { ":method": "POST" }, "content")
  const own = await Scripted.accept()
  const { stream } = await own.hear(HEADERS)
  expect((await own.hear(DATA)).payload.toString()).toBe("content")
  own.reset(stream, REFUSED_STREAM)
  const again = await own.hear(HEADERS)
  expect(again.stream).toBe(stream + 2)
  expect((await own.hear(DATA)).payload.toString()).toBe("content")
  own.answer(again.stream, "ok")
  expect((await asked).body).toBe("ok")
  expect([outcome("refused-stream"), outcome("ok")]).toEqual([1, 1])
})

test("a backend that refuses without end is given up: 503", async () => {
  await begin()
  const asked = ask(client)
  const own = await Scripted.accept()
  for (let times = 0; times < 6; times++) own.reset((await own.hear(HEADERS)).stream, REFUSED_STREAM)
  expect((await asked).status).toBe(503)
  expect(outcome("refused-stream")).toBe(6)
})

test("GOAWAY: what it has not taken goes to another connection, what it has is answered, and then it is closed", async () => {
  await begin()
  const asked = [ask(client, { ":method": "POST" }, "one"), ask(client, { ":method": "POST" }, "two"), ask(client)]
  const own = await Scripted.accept()
  const streams = [await own.hear(HEADERS), await own.hear(HEADERS), await own.hear(HEADERS)].map(({ stream }) => stream)
  expect(streams).toEqual([1, 3, 5])
  own.goaway(1)
  const next = await Scripted.accept()
  for (let i = 0; i < 2; i++) next.answer((await next.hear(HEADERS)).stream, "next")
  own.answer(1, "first")
  expect((await Promise.all(asked)).map(({ body }) => body)).toEqual(["first", "next", "next"])
  await own.peer.end()
  const late = ask(client)
  next.answer((await next.hear(HEADERS)).stream, "later")
  expect((await late).body).toBe("later")
  expect(backend.peers.length).toBe(2)
})

test("GOAWAY with every stream taken: it takes no more, and ends when those are answered", async () => {
  await begin()
  const first = ask(client)
  const own = await Scripted.accept()
  const { stream } = await own.hear(HEADERS)
  own.goaway(0x7fff_ffff)
  own.say(frame(PING, 0, 0, Buffer.alloc(8)))
  // By its answer the GOAWAY has been read.
  await own.hear(PING)
  const second = ask(client)
  const next = await Scripted.accept()
  next.answer((await next.hear(HEADERS)).stream, "second")
  expect((await second).body).toBe("second")
  own.answer(stream, "first")
  expect((await first).body).toBe("first")
  await own.peer.end()
})

test("a connection that is lost with a POST on it: 502, never twice; a GET on one that was used before goes out again", async () => {
  await begin()
  const warm = ask(client)
  const own = await Scripted.accept()
  own.answer((await own.hear(HEADERS)).stream, "warm")
  await warm
  const post = ask(client, { ":method": "POST" }, "once")
  const get = ask(client)
  await own.hear(HEADERS)
  await own.hear(HEADERS)
  own.peer.socket.resetAndDestroy()
  const next = await Scripted.accept()
  const { payload, stream } = await next.hear(HEADERS)
  expect(payload.length).toBeGreaterThan(0)
  next.answer(stream, "again")
  expect([(await post).status, (await get).body]).toEqual([502, "again"])
  expect(backend.peers.length).toBe(2)
})

test("a request that waited for a connection which is not to be had is tried elsewhere, or answered 503; the endpoint failed once", async () => {
  await begin()
  const gone = await startBackend()
  await gone.stop()
  const dead = gateway.endpoints.get("127.0.0.1", gone.port, true)
  gateway.cluster.endpoints = [dead]
  const answers = await Promise.all([ask(client), ask(client), ask(client)])
  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
  expect([outcome("refused"), dead.health.isEjected, dead.connections]).toEqual([3, false, 0])
  gateway.cluster.endpoints = [dead, gateway.endpoints.get("127.0.0.1", backend.port, true)]
  const asked = ask(client)
  const own = await Scripted.accept()
  own.answer((await own.hear(HEADERS)).stream, "elsewhere")
  expect((await asked).body).toBe("elsewhere")
})

test("a peer that never says SETTINGS is no connection: 504 after the time to connect", async () => {
  await begin({ settings: { connectTimeout: 100 } })
  expect((await ask(client)).status).toBe(504)
  await (await backend.accept()).end()
})

test("one that has fallen silent is asked by PING, and closed when it does not answer; meanwhile others find another", async () => {
  await begin({ settings: { responseHeadTimeout: 100, connectTimeout: 100 } })
  const asked = ask(client)
  const own = await Scripted.accept()
  const { stream } = await own.hear(HEADERS)
  expect((await asked).status).toBe(504)
  const reset = await own.hear(RST_STREAM)
  expect([reset.stream, reset.payload.readUInt32BE()]).toEqual([stream, CANCEL])
  expect((await own.hear(PING)).flags).toBe(0)
  await own.peer.end()
  const later = ask(client)
  const next = await Scripted.accept()
  next.answer((await next.hear(HEADERS)).stream, "back")
  expect((await later).body).toBe("back")
})

test("one that answers the PING goes on", async () => {
  await begin({ settings: { responseHeadTimeout: 100, connectTimeout: 100 } })
  const asked = ask(client)
  const own = await Scripted.accept()
  await own.hear(HEADERS)
  expect((await asked).status).toBe(504)
  own.say(frame(PING, ACK, 0, (await own.hear(PING)).payload))
  const later = ask(client)
  own.answer((await own.hear(HEADERS)).stream, "still here")
  expect((await later).body).toBe("still here")
})

test("a reset in the middle of an answer goes on to a client of HTTP/2 with its code", async () => {
  await begin()
  const stream = client.request({ ":path": "/", ":authority": "a" })
  const closed = once(stream, "error")
  const own = await Scripted.accept()
  const { stream: id } = await own.hear(HEADERS)
  own.head(id)
  await once(stream, "response")
  own.reset(id, ENHANCE_YOUR_CALM)
  expect(String((await closed)[0])).toContain("ENHANCE_YOUR_CALM")
})

test("an answer that breaks the rules is a bad one: 502, and other streams go on", async () => {
  await begin()
  const asked = [ask(client), ask(client)]
  const own = await Scripted.accept()
  const bad = await own.hear(HEADERS)
  const good = await own.hear(HEADERS)
  own.say(new Blocks().headers(bad.stream, [[":status", "200"], ["connection", "close"]], END_STREAM))
  expect((await own.hear(RST_STREAM)).stream).toBe(bad.stream)
  own.say(frame(HEADERS, END_STREAM | END_HEADERS, good.stream, Buffer.from([0x88])))
  expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([502, 200])
})

test("a connection that breaks the rules ends, with every request on it", async () => {
  await begin()
  const asked = [ask(client, { ":method": "POST" }, "a"), ask(client, { ":method": "POST" }, "b")]
  const own = await Scripted.accept()
  await own.hear(HEADERS)
  await own.hear(HEADERS)
  own.say(frame(DATA, 0, 0, Buffer.from("x")))
  expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([502, 502])
  await own.hear(GOAWAY)
  await own.peer.end()
})

test("a new limit of streams counts from when it comes; one of none at all is no connection", async () => {
  await begin()
  const first = ask(client)
  const own = await Scripted.accept([MAX_CONCURRENT_STREAMS, 1])
  const { stream } = await own.hear(HEADERS)
  const second = ask(client)
  const next = await Scripted.accept([MAX_CONCURRENT_STREAMS, 0])
  expect((await second).status).toBe(503)
  expect(next.peer.isClosed).toBe(false)
  own.answer(stream, "first")
  expect((await first).body).toBe("first")
})

test("under load, backends that leave one after another lose nothing that may be sent again", async () => {
  backend = await startBackend()
  const made: Awaited<ReturnType<typeof startHttp2Backend>>[] = []
  const start = async (port = 0) => {
    const own = await startHttp2Backend((stream) => {
      const parts: Buffer[] = []
      stream.on("data", (part: Buffer) => parts.push(part))
      stream.on("end", () => {
        if (stream.destroyed) return
        stream.respond({ ":status": 200 })
        stream.end(Buffer.concat(parts))
      })
    }, {}, port)
    made.push(own)
    return own
  }
  let serving = await start()
  gateway = await startGateway([serving.port], { isHttp2: true })
  client = await session(gateway.port)
  try {
    const wrong: string[] = []
    let isOver = false
    let count = 0
    const load = async (): Promise<void> => {
      while (!isOver) {
        const body = `request ${count++}`
        const stream = client.request({ ":method": "POST", ":path": "/", ":authority": "a" })
        stream.end(body)
        const answered = await answer(stream)
        if (answered.body !== body) wrong.push(`${answered.status} ${answered.body}`)
      }
    }
    const loads = Array.from({ length: 50 }, load)
    for (let times = 0; times < 20; times++) {
      const from = count
      await eventually("requests go on", () => count > from + 200)
      const old = serving
      serving = await start()
      gateway.cluster.endpoints = [gateway.endpoints.get("127.0.0.1", serving.port, true)]
      // GOAWAY with the last stream it took; what came after that it does not look at.
      for (const open of old.sessions) open.close()
    }
    isOver = true
    await Promise.all(loads)
    expect(wrong).toEqual([])
    expect(count).toBeGreaterThan(4_000)
    expect(made.every((each) => each.connections() > 0)).toBe(true)
  } finally {
    for (const each of made) await each.stop()
  }
}, 30_000)
