/** Against Node's own HTTP/2 (nghttp2), over a real socket, in both roles. */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import * as http2 from "node:http2"
import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { until } from "../../test/system/until.ts"
import { Connection } from "./connection.ts"
import { CANCEL } from "./error-code.ts"
import { FieldList } from "./field-list.ts"
import { Wire, fieldList, type Fields } from "./fixture.ts"
import type { MessageHead } from "./message.ts"
import type { ConnectionOwner } from "./owner.ts"
import { defaults, type ConnectionSettings } from "./settings.ts"
import type { Stream } from "./stream.ts"

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const portOf = (server: Server | http2.Http2Server): number => {
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("not listening")
  return (address satisfies AddressInfo).port
}

const digest = (...octets: readonly Buffer[]): string => {
  const hash = createHash("sha256")
  for (const piece of octets) hash.update(piece)
  return hash.digest("hex")
}

/** What a stream has to send and could not yet. */
interface Pending {
  pieces: Buffer[]
  at: number
  isEnd: boolean
  /** Sent after the content. */
  trailers: FieldList | null
  onSent: (octets: number) => void
}

const pending = (): Pending => ({ pieces: [], at: 0, isEnd: false, trailers: null, onSent: () => undefined })

class Sending implements Pick<ConnectionOwner<Exchange>, "onWritable" | "onRefused" | "onGoaway" | "onPong" | "onFail"> {
  connection: Connection<Exchange> | null = null
  readonly failures: string[] = []
  /** The most octets of content that any stream had waiting. */
  most = 0

  pump(stream: Stream<Exchange>): void {
    const waiting = stream.context?.out
    if (waiting === undefined || this.connection === null) return
    for (let piece = waiting.pieces[0]; piece !== undefined; piece = waiting.pieces[0]) {
      const isLast = waiting.pieces.length === 1 && waiting.isEnd && waiting.trailers === null
      const at = this.connection.sendData(stream, piece, waiting.at, piece.length, isLast)
      waiting.onSent(at - waiting.at)
      if (at < piece.length) {
        waiting.at = at
        return
      }
      waiting.at = 0
      waiting.pieces.shift()
    }
    if (!waiting.isEnd || stream.isLocalClosed) return
    if (waiting.trailers === null) this.connection.sendData(stream, Buffer.alloc(0), 0, 0, true)
    else this.connection.sendHeaders(stream, waiting.trailers, true)
  }

  onWritable(stream: Stream<Exchange>): void {
    this.pump(stream)
  }
  onRefused(refusal: string): void {
    this.failures.push(refusal)
  }
  onGoaway(): void {
    // The peer ends.
  }
  onPong(): void {
    this.failures.push("pong")
  }
  onFail(code: number, reason: string): void {
    this.failures.push(`${code} ${reason}`)
  }
}

interface Exchange {
  readonly out: Pending
  readonly done: (answer: Answer) => void
  readonly answer: Answer
}

interface Answer {
  status: string
  fields: Fields
  trailers: Fields
  hash: string
  octets: number
  reset: number
  interim: string[]
}

/** Answers with what it gets, octet by octet, and with its trailers as trailers. Consumes what has gone out again. */
class Echo extends Sending implements ConnectionOwner<Exchange> {
  readonly resets: number[] = []
  readonly #onOutput: () => void

  constructor(onOutput: () => void) {
    super()
    this.#onOutput = onOutput
  }

  onRequest(stream: Stream<Exchange>, fields: FieldList, head: MessageHead, isEnd: boolean): void {
    const out = pending()
    out.onSent = (octets) => this.connection?.consumed(stream, octets)
    stream.context = { out, done: () => undefined, answer: answer() }
    const back = new FieldList().add(":status", head.path === "/none" ? "204" : "200")
    for (const [name, value] of fields) if (name.startsWith("x-")) back.add(name, value)
    this.connection?.sendHeaders(stream, back, isEnd)
  }
  onResponse(): void {
    throw new Error("a server has no responses")
  }
  onData(stream: Stream<Exchange>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const out = stream.context?.out
    if (out === undefined) return
    if (end > start) out.pieces.push(Buffer.from(octets.subarray(start, end)))
    out.isEnd = isEnd
    this.most = Math.max(this.most, stream.unconsumed)
    this.pump(stream)
  }
  onTrailers(stream: Stream<Exchange>, fields: FieldList): void {
    const out = stream.context?.out
    if (out === undefined) return
    out.isEnd = true
    out.trailers = fieldList([...fields])
    this.pump(stream)
  }
  onReset(_: Stream<Exchange>, code: number): void {
    this.resets.push(code)
  }
  onOutput(): void {
    this.#onOutput()
  }
}

const answer = (): Answer => ({ status: "", fields: [], trailers: [], hash: "", octets: 0, reset: -1, interim: [] })

class Client extends Sending implements ConnectionOwner<Exchange> {
  readonly #hashes = new Map<number, ReturnType<typeof createHash>>()
  readonly #onOutput: () => void

  constructor(onOutput: () => void) {
    super()
    this.#onOutput = onOutput
  }

  /** One exchange; resolves when it is over. */
  send(fields: Fields, content: readonly Buffer[] = [], trailers: Fields | null = null): Promise<Answer> {
    return new Promise((done, reject) => {
      const out = pending()
      out.pieces = [...content]
      out.isEnd = true
      out.trailers = trailers === null ? null : fieldList(trailers)
      const isEmpty = content.length === 0 && trailers === null
      const stream = this.connection?.open(fieldList(fields), isEmpty, { out, done, answer: answer() }) ?? null
      if (stream === null) return reject(new Error("no capacity"))
      if (!isEmpty) this.pump(stream)
    })
  }
  onRequest(): void {
    throw new Error("a client has no requests")
  }
  onResponse(stream: Stream<Exchange>, fields: FieldList, head: MessageHead, isEnd: boolean): void {
    const { context } = stream
    if (context === null) return
    if (head.status < 200) return void context.answer.interim.push(String(head.status))
    context.answer.status = String(head.status)
    context.answer.fields = [...fields]
    if (isEnd) this.#finish(stream)
  }
  onData(stream: Stream<Exchange>, octets: Buffer, start: number, end: number, isEnd: boolean): void {
    const { context } = stream
    if (context === null) return
    const hash = this.#hashes.get(stream.id) ?? createHash("sha256")
    this.#hashes.set(stream.id, hash)
    hash.update(octets.subarray(start, end))
    context.answer.octets += end - start
    this.connection?.consumed(stream, end - start)
    if (isEnd) this.#finish(stream)
  }
  onTrailers(stream: Stream<Exchange>, fields: FieldList): void {
    if (stream.context !== null) stream.context.answer.trailers = [...fields]
    this.#finish(stream)
  }
  onReset(stream: Stream<Exchange>, code: number): void {
    if (stream.context !== null) stream.context.answer.reset = code
    this.#finish(stream)
  }
  onOutput(): void {
    this.#onOutput()
  }
  #finish(stream: Stream<Exchange>): void {
    const { context } = stream
    if (context === null) return
    context.answer.hash = this.#hashes.get(stream.id)?.digest("hex") ?? digest()
    this.#hashes.delete(stream.id)
    context.done(context.answer)
  }
}

/** Our echo and Node's client. */
const ourServer = async (settings: Partial<ConnectionSettings> = {}, theirs: http2.Settings = {}) => {
  const echoes: Echo[] = []
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    const wire = new Wire<Exchange>(socket, (onOutput) => {
      const echo = new Echo(onOutput)
      echoes.push(echo)
      return (echo.connection = new Connection<Exchange>(true, { ...defaults, ...settings }, echo))
    })
    ends.push(() => wire.socket.destroy())
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  ends.push(() => server.close())
  const session = http2.connect(`http://127.0.0.1:${portOf(server)}`, { settings: theirs })
  ends.push(() => session.destroy())
  await once(session, "remoteSettings")
  const echo = echoes[0]
  if (echo === undefined) throw new Error("not connected")
  return { session, echo }
}

const exchange = async (session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders, content: readonly Buffer[] = [], trailers: http2.OutgoingHttpHeaders | null = null) => {
  const stream = session.request(headers, { endStream: content.length === 0 && trailers === null, waitForTrailers: trailers !== null })
  if (trailers !== null) stream.on("wantTrailers", () => stream.sendTrailers(trailers))
  let fields: http2.IncomingHttpHeaders = {}
  let last: http2.IncomingHttpHeaders = {}
  stream.on("response", (given) => (fields = given)).on("trailers", (given) => (last = given))
  const pieces: Buffer[] = []
  stream.on("data", (piece: Buffer) => pieces.push(piece))
  const over = once(stream, "close")
  for (const piece of content) if (!stream.write(piece)) await once(stream, "drain")
  if (content.length > 0 || trailers !== null) stream.end()
  await over
  return { fields, trailers: last, hash: digest(...pieces), code: stream.rstCode }
}

/** Node's echo and our client. */
const theirServer = async (settings: Partial<ConnectionSettings> = {}, theirs: http2.Settings = {}) => {
  const server = http2.createServer({ settings: theirs })
  server.on("stream", (stream, headers) => {
    if (headers[":path"] === "/none") return stream.respond({ ":status": 204 }, { endStream: true })
    if (headers[":path"] === "/reset") return stream.close(http2.constants.NGHTTP2_CANCEL)
    const echoed = Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-")))
    if (headers[":path"] === "/hints") stream.additionalHeaders({ ":status": 103 })
    const trailers: http2.IncomingHttpHeaders[] = []
    stream.on("trailers", (given) => trailers.push(given))
    stream.respond({ ":status": 200, ...echoed }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "1", ...trailers[0] }))
    stream.pipe(stream)
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  ends.push(() => server.close())
  const socket = connectTcp(portOf(server), "127.0.0.1")
  ends.push(() => socket.destroy())
  await once(socket, "connect")
  const holder: { client: Client | null } = { client: null }
  new Wire<Exchange>(socket, (onOutput) => {
    const client = new Client(onOutput)
    holder.client = client
    return (client.connection = new Connection<Exchange>(false, { ...defaults, ...settings }, client))
  })
  if (holder.client === null) throw new Error("not connected")
  return holder.client
}

const names = (count: number): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, `value ${i} \xe4\xff~{}`]))

describe("our server, Node's client", () => {
  test("fields, content and trailers come back as they were", async () => {
    const { session, echo } = await ourServer()
    const content = randomBytes(100_000)
    const got = await exchange(session, { ":method": "POST", ":path": "/", ...names(40) }, [content], { "x-sum": "42" })
    expect(got).toMatchObject({ fields: { ":status": 200, ...names(40) }, trailers: { "x-sum": "42" }, hash: digest(content), code: 0 })
    expect(await exchange(session, { ":path": "/none" })).toMatchObject({ fields: { ":status": 204 }, code: 0 })
    expect(echo.failures).toEqual([])
  })

  test("400 exchanges, 100 at a time, over one connection, all fields by the tables of both", async () => {
    const { session, echo } = await ourServer()
    for (let round = 0; round < 4; round++) {
      const contents = Array.from({ length: 100 }, (_, i) => Buffer.alloc(i * 97, i))
      const got = await Promise.all(contents.map((content, i) => exchange(session, { ":method": "POST", ":path": `/${i}`, "x-number": String(i), ...names(5) }, i === 0 ? [] : [content])))
      expect(got.map(({ fields, hash, code }) => [fields["x-number"], hash, code])).toEqual(contents.map((content, i) => [String(i), digest(content), 0]))
    }
    expect([echo.failures, echo.connection?.streamCount]).toEqual([[], 0])
  })

  test.each<readonly [string, Partial<ConnectionSettings>, http2.Settings]>([
    ["windows of 1,000 octets here and 1,300 there", { streamWindow: 1_000, connectionWindow: 65_535 }, { initialWindowSize: 1_300 }],
    ["our defaults and Node's", {}, {}],
    ["no dynamic table on either side", { decoderTable: 0, encoderTable: 0 }, { headerTableSize: 0 }],
  ])("6 streams of 1.5 MB at once, under %s", async (_, settings, theirs) => {
    const { session, echo } = await ourServer(settings, theirs)
    const contents = Array.from({ length: 6 }, () => Array.from({ length: 24 }, () => randomBytes(65_536)))
    const got = await Promise.all(contents.map((content) => exchange(session, { ":method": "POST", ":path": "/", ...names(10) }, content)))
    expect(got.map(({ hash, code }) => [hash, code])).toEqual(contents.map((content) => [digest(...content), 0]))
    expect(echo.failures).toEqual([])
    // What waits here is what the window let in.
    expect(echo.most).toBeLessThanOrEqual(settings.streamWindow ?? defaults.streamWindow)
  })

  test("a client that gives up is heard, and others are not disturbed", async () => {
    const { session, echo } = await ourServer()
    const stream = session.request({ ":method": "POST", ":path": "/" })
    stream.on("error", () => undefined)
    stream.write(randomBytes(1_000))
    await once(stream, "data")
    stream.destroy(new Error("gives up"))
    expect(await until("the reset", () => echo.resets.length > 0 && echo.resets)).toEqual([http2.constants.NGHTTP2_INTERNAL_ERROR])
    expect(await exchange(session, { ":path": "/none" })).toMatchObject({ fields: { ":status": 204 } })
    expect([echo.resets.length, echo.connection?.streamCount]).toEqual([1, 0])
  })

  test("a client that is asked to go finishes what it has begun", async () => {
    const { session, echo } = await ourServer()
    const stream = session.request({ ":method": "POST", ":path": "/" })
    stream.write("a")
    await once(stream, "data")
    const goaway = once(session, "goaway")
    echo.connection?.drain()
    await goaway
    stream.end()
    await once(stream, "end")
    expect([echo.connection?.isFinished, echo.resets]).toEqual([true, []])
  })

  test("Node refuses nothing of what we send when it is told to be strict about it", async () => {
    const { session, echo } = await ourServer({}, { maxHeaderListSize: 65_535 })
    const long = "\xfe".repeat(20_000)
    expect(await exchange(session, { ":path": "/", "x-long": long })).toMatchObject({ fields: { "x-long": long }, code: 0 })
    const ping = Promise.withResolvers<Buffer>()
    session.ping(Buffer.from("12345678"), (error, _, payload) => (error === null ? ping.resolve(payload) : ping.reject(error)))
    expect((await ping.promise).toString()).toBe("12345678")
    expect(echo.failures).toEqual([])
  })
})

describe("our client, Node's server", () => {
  const get = (path: string, ...others: Fields): Fields => [[":method", "GET"], [":scheme", "http"], [":authority", "127.0.0.1"], [":path", path], ...others]
  const post = (...others: Fields): Fields => [[":method", "POST"], [":scheme", "http"], [":authority", "127.0.0.1"], [":path", "/"], ...others]

  test("fields, interim responses, content and trailers come as they are", async () => {
    const client = await theirServer()
    const content = randomBytes(100_000)
    const got = await client.send(post(...Object.entries(names(40))), [content], [["x-sum", "42"]])
    expect(got).toMatchObject({ status: "200", hash: digest(content), octets: 100_000, reset: -1 })
    expect(Object.fromEntries(got.fields)).toMatchObject(names(40))
    expect(Object.fromEntries(got.trailers)).toEqual({ "x-end": "1", "x-sum": "42" })
    expect(await client.send(get("/none"))).toMatchObject({ status: "204", octets: 0 })
    expect(await client.send(get("/hints"))).toMatchObject({ status: "200", interim: ["103"] })
    expect(await client.send(get("/reset"))).toMatchObject({ reset: CANCEL })
    expect(client.failures).toEqual([])
  })

  test("400 exchanges, 100 at a time, over one connection", async () => {
    const client = await theirServer()
    for (let round = 0; round < 4; round++) {
      const contents = Array.from({ length: 100 }, (_, i) => Buffer.alloc(1 + i * 97, i))
      const got = await Promise.all(contents.map((content, i) => client.send(post(["x-number", String(i)], ["authorization", `b ${i}`]), [content])))
      expect(got.map(({ fields, hash }) => [Object.fromEntries(fields)["x-number"], hash])).toEqual(contents.map((content, i) => [String(i), digest(content)]))
    }
    expect([client.failures, client.connection?.streamCount]).toEqual([[], 0])
  })

  test.each<readonly [string, Partial<ConnectionSettings>, http2.Settings]>([
    ["windows of 1,000 octets here and 1,300 there", { streamWindow: 1_000, connectionWindow: 65_535 }, { initialWindowSize: 1_300 }],
    ["our defaults and Node's", {}, {}],
    ["frames of 64 KB, which we do not send", { frameOctets: 65_536 }, { maxFrameSize: 65_536 }],
  ])("6 streams of 1.5 MB at once, under %s", async (_, settings, theirs) => {
    const client = await theirServer(settings, theirs)
    const contents = Array.from({ length: 6 }, () => Array.from({ length: 24 }, () => randomBytes(65_536)))
    const got = await Promise.all(contents.map((content) => client.send(post(), content)))
    expect(got.map(({ hash, reset }) => [hash, reset])).toEqual(contents.map((content) => [digest(...content), -1]))
    expect(client.failures).toEqual([])
  })

  test("no more streams at once than the server allows", async () => {
    const client = await theirServer({}, { maxConcurrentStreams: 3 })
    await client.send(get("/none"))
    expect(client.connection?.capacity).toBe(3)
    const all = [1, 2, 3].map(() => client.send(get("/none")))
    await expect(client.send(get("/none"))).rejects.toThrow("no capacity")
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual(["204", "204", "204"])
  })
})
