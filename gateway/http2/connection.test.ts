import { describe, expect, test } from "vitest"
import { CANCEL, NO_ERROR, PROTOCOL_ERROR } from "./error-code.ts"
import { Blocks, Scene, fieldList, frame, hello, post, request, settingsFrame, u32 } from "./fixture.ts"
import { ACK, CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "./frame.ts"
import { HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS } from "./settings.ts"

const text = (content: string): Buffer => Buffer.from(content, "latin1")
const zeros = (length: number): Buffer => Buffer.alloc(length)
const block = (path = "/"): Buffer => new Blocks().block(request(path))
const shown = (fields = request()): string => fields.map(([name, value]) => `${name}=${value}`).join(" ")
const last = <T>(list: readonly T[]): T | undefined => list.at(-1)

describe("a server's exchange", () => {
  test("request, response, trailers", () => {
    const scene = Scene.greeted()
    scene.request(1, post(["te", "trailers"]), 0).receive(frame(DATA, 0, 1, text("ab")), frame(DATA, PADDED, 1, Buffer.concat([text("\x03c"), zeros(3)]))).request(1, [["x-sum", "3"]], END_STREAM)
    expect(scene.owner.log).toEqual([`request 1 ${shown(post(["te", "trailers"]))}`, "data 1 abc", "trailers 1 x-sum=3"])
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "103"]]), false)
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
    expect(scene.connection.sendData(stream, text("hello"), 0, 5, false)).toBe(5)
    scene.connection.sendHeaders(stream, fieldList([["grpc-status", "0"]]), true)
    expect(scene.sent()).toEqual(["HEADERS 1 :status=103", "HEADERS 1 :status=200", "DATA 1 5", "HEADERS 1 grpc-status=0 end"])
    expect([stream.isClosed, scene.connection.streamCount]).toEqual([true, 0])
  })

  test("what is sent in a tick is one output, announced once", () => {
    let announced = 0
    const scene = Scene.greeted()
    scene.owner.onOutput = () => announced++
    scene.request(1, request(), END_STREAM).request(3, request(), END_STREAM)
    for (const stream of scene.owner.streams.values()) {
      scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
      scene.connection.sendData(stream, text("x"), 0, 1, true)
    }
    expect(announced).toBe(1)
    expect(scene.sent()).toHaveLength(4)
  })

  test("a head longer than a frame goes out with CONTINUATION", () => {
    const scene = Scene.greeted()
    scene.request(1, request(), END_STREAM)
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"], ["x-long", "\xff".repeat(40_000)]]), true)
    expect(scene.take().map(({ type, flags, payload }) => [type, flags, payload.length])).toEqual([[HEADERS, END_STREAM, 16_384], [CONTINUATION, 0, 16_384], [CONTINUATION, END_HEADERS, expect.any(Number)]])
  })

  test("a stream may be answered and given up before its content has come (§8.1)", () => {
    const scene = Scene.greeted()
    scene.request(1, post(), 0)
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "413"]]), true)
    scene.connection.reset(stream, NO_ERROR)
    scene.receive(frame(DATA, 0, 1, text("late")), frame(WINDOW_UPDATE, 0, 1, u32(5)), frame(RST_STREAM, 0, 1, u32(CANCEL)))
    expect(scene.sent()).toEqual(["HEADERS 1 :status=413 end", "RST_STREAM 1 NO_ERROR"])
    expect([scene.connection.isFailed, scene.connection.streamCount]).toEqual([false, 0])
  })

  test("CONNECT is answered 501, a head over the limits 431, and neither is anybody's request", () => {
    const scene = Scene.greeted(true, { listOctets: 300 })
    scene.request(1, [[":method", "CONNECT"], [":authority", "a:1"]], 0)
    scene.request(3, request("/", ["x", "y".repeat(300)]), END_STREAM)
    scene.request(5, request("/", ["x", "y".repeat(300)]), END_STREAM)
    expect(scene.owner.log).toEqual(["refused connect", "refused fields-too-large", "refused fields-too-large"])
    expect(scene.sent()).toEqual(["HEADERS 1 :status=501 content-length=0 end", "RST_STREAM 1 NO_ERROR", "HEADERS 3 :status=431 content-length=0 end", "HEADERS 5 :status=431 content-length=0 end"])
    expect(scene.connection.streamCount).toBe(0)
  })
})

describe("a client's exchange", () => {
  const open = (scene: Scene, fields = request(), isEnd = true) => {
    const stream = scene.connection.open(fieldList(fields), isEnd, "mine")
    if (stream === null) throw new Error("no capacity")
    return stream
  }

  test("begins with the preface and SETTINGS without push", () => {
    const scene = new Scene(false)
    const output = Buffer.from(scene.connection.takeOutput())
    expect(output.subarray(0, PREFACE.length).equals(PREFACE)).toBe(true)
    expect(output.includes(Buffer.from([0, 2, 0, 0, 0, 0]))).toBe(true)
  })

  test("interim response, response, content, trailers", () => {
    const scene = Scene.greeted(false)
    const stream = open(scene)
    expect(stream.context).toBe("mine")
    expect(scene.sent()).toEqual([`HEADERS 1 ${shown()} end`])
    scene.request(1, [[":status", "103"]], 0).request(1, [[":status", "200"]], 0).receive(frame(DATA, 0, 1, text("x"))).request(1, [["a", "b"]], END_STREAM)
    expect(scene.owner.log).toEqual(["response 1 :status=103", "response 1 :status=200", "data 1 x", "trailers 1 a=b"])
    expect(stream.isClosed).toBe(true)
  })

  test("opens no more streams than the server allows, and none after GOAWAY; what is above its last may be sent elsewhere", () => {
    const scene = Scene.greeted(false)
    scene.receive(settingsFrame([MAX_CONCURRENT_STREAMS, 2]))
    open(scene)
    open(scene)
    expect([scene.connection.capacity, scene.connection.open(fieldList(request()), true, "third")]).toEqual([0, null])
    scene.receive(frame(GOAWAY, 0, 0, Buffer.concat([u32(1), u32(NO_ERROR)]))).request(1, [[":status", "200"]], END_STREAM)
    expect(scene.owner.log).toEqual(["reset 3 REFUSED_STREAM by peer", "goaway 1 NO_ERROR", "response 1 :status=200 end"])
    expect([scene.connection.capacity, scene.connection.isFinished]).toEqual([0, true])
  })

  test.each([
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 304],
  ])("to %s with %d no content belongs, whatever Content-Length says", (method, status) => {
    const fields = (): Parameters<Scene["request"]>[1] => [[":status", String(status)], ["content-length", "5"]]
    const scene = Scene.greeted(false)
    open(scene, [[":method", method], ...request().slice(1)])
    scene.request(1, fields(), END_STREAM)
    expect(scene.owner.log).toHaveLength(1)
    open(scene, [[":method", method], ...request().slice(1)])
    scene.request(3, fields(), 0).receive(frame(DATA, END_STREAM, 3, text("hello")))
    expect(last(scene.owner.log)).toBe("reset 3 PROTOCOL_ERROR")
  })

  test.each([
    ["content before a head", () => frame(DATA, END_STREAM, 1, text("x")), "reset 1 PROTOCOL_ERROR"],
    ["a status of no number", () => new Blocks().headers(1, [[":status", "2xx"]], END_STREAM), "reset 1 PROTOCOL_ERROR"],
    ["an interim response that ends the stream", () => new Blocks().headers(1, [[":status", "100"]], END_STREAM), "reset 1 PROTOCOL_ERROR"],
    ["101", () => new Blocks().headers(1, [[":status", "101"]], 0), "reset 1 PROTOCOL_ERROR"],
    ["a promise", () => frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([u32(2), block()])), "fail PROTOCOL_ERROR: PUSH_PROMISE is not wanted"],
    ["ENABLE_PUSH", () => settingsFrame([2, 1]), "fail PROTOCOL_ERROR: SETTINGS"],
    ["a stream nobody opened", () => new Blocks().headers(3, [[":status", "200"]], END_STREAM), "fail PROTOCOL_ERROR: HEADERS on a stream nobody opened"],
    ["a head over the limits", () => new Blocks().headers(1, [[":status", "200"], ["x", "y".repeat(40)], ...Array.from({ length: 120 }, (): [string, string] => ["a", "b"])], END_STREAM), "reset 1 ENHANCE_YOUR_CALM"],
  ])("refuses %s", (_, octets, expected) => {
    const scene = Scene.greeted(false)
    open(scene)
    scene.receive(octets())
    expect(scene.owner.log).toContain(expected)
  })
})

describe("ends the connection for", () => {
  const opened = (): Scene => Scene.greeted().request(1, post(), 0)
  const closed = (): Scene => {
    const scene = Scene.greeted().request(1, request(), END_STREAM)
    const stream = scene.owner.streams.get(1)
    if (stream !== undefined) scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), true)
    return scene
  }

  test.each([
    ["another preface", () => new Scene().receive(text("GET / HTTP/1.1\r\n\r\n")), "PROTOCOL_ERROR"],
    ["a first frame that is not SETTINGS", () => new Scene().receive(PREFACE, frame(PING, 0, 0, zeros(8))), "PROTOCOL_ERROR"],
    ["a first SETTINGS that acknowledges", () => new Scene().receive(PREFACE, frame(SETTINGS, ACK, 0)), "PROTOCOL_ERROR"],
    ["a frame longer than announced", () => Scene.greeted().receive(frame(9 + 20, 0, 0, zeros(16_385))), "FRAME_SIZE_ERROR"],
    ["DATA on stream 0", () => Scene.greeted().receive(frame(DATA, 0, 0, text("x"))), "PROTOCOL_ERROR"],
    ["HEADERS on stream 0", () => Scene.greeted().receive(frame(HEADERS, END_HEADERS, 0, block())), "PROTOCOL_ERROR"],
    ["HEADERS on an even stream", () => Scene.greeted().receive(frame(HEADERS, END_HEADERS, 2, block())), "PROTOCOL_ERROR"],
    ["PRIORITY on stream 0", () => Scene.greeted().receive(frame(PRIORITY, 0, 0, zeros(5))), "PROTOCOL_ERROR"],
    ["RST_STREAM on stream 0", () => Scene.greeted().receive(frame(RST_STREAM, 0, 0, zeros(4))), "PROTOCOL_ERROR"],
    ["SETTINGS on a stream", () => opened().receive(frame(SETTINGS, 0, 1)), "PROTOCOL_ERROR"],
    ["PING on a stream", () => opened().receive(frame(PING, 0, 1, zeros(8))), "PROTOCOL_ERROR"],
    ["GOAWAY on a stream", () => opened().receive(frame(GOAWAY, 0, 1, zeros(8))), "PROTOCOL_ERROR"],
    ["CONTINUATION of nothing", () => opened().receive(frame(CONTINUATION, END_HEADERS, 1, block())), "PROTOCOL_ERROR"],
    ["a block interrupted by another type", () => Scene.greeted().receive(frame(HEADERS, 0, 1, block()), frame(PING, 0, 0, zeros(8))), "PROTOCOL_ERROR"],
    ["a block interrupted by an unknown type", () => Scene.greeted().receive(frame(HEADERS, 0, 1, block()), frame(99, 0, 0)), "PROTOCOL_ERROR"],
    ["a block continued on another stream", () => Scene.greeted().receive(frame(HEADERS, 0, 1, block()), frame(CONTINUATION, END_HEADERS, 3)), "PROTOCOL_ERROR"],
    ["DATA on an idle stream", () => Scene.greeted().receive(frame(DATA, 0, 1, text("x"))), "PROTOCOL_ERROR"],
    ["RST_STREAM on an idle stream", () => Scene.greeted().receive(frame(RST_STREAM, 0, 1, zeros(4))), "PROTOCOL_ERROR"],
    ["WINDOW_UPDATE on an idle stream", () => Scene.greeted().receive(frame(WINDOW_UPDATE, 0, 1, u32(1))), "PROTOCOL_ERROR"],
    ["PRIORITY of an idle stream on itself", () => Scene.greeted().receive(frame(PRIORITY, 0, 1, [0, 0, 0, 1, 0])), "PROTOCOL_ERROR"],
    ["a PRIORITY of another length, of a stream both have ended", () => closed().receive(frame(PRIORITY, 0, 1, zeros(4))), "FRAME_SIZE_ERROR"],
    ["a stream below an earlier one", () => Scene.greeted().request(5, request(), END_STREAM).request(3, request(), END_STREAM), "PROTOCOL_ERROR"],
    ["HEADERS on a stream both have ended", () => closed().request(1, request(), END_STREAM), "STREAM_CLOSED"],
    ["DATA on a stream both have ended", () => closed().receive(frame(DATA, 0, 1, text("x"))), "STREAM_CLOSED"],
    ["a PING of another length", () => Scene.greeted().receive(frame(PING, 0, 0, zeros(7))), "FRAME_SIZE_ERROR"],
    ["a SETTINGS of half a pair", () => Scene.greeted().receive(frame(SETTINGS, 0, 0, zeros(5))), "FRAME_SIZE_ERROR"],
    ["an acknowledgement with content", () => Scene.greeted().receive(frame(SETTINGS, ACK, 0, zeros(6))), "FRAME_SIZE_ERROR"],
    ["a RST_STREAM of another length", () => opened().receive(frame(RST_STREAM, 0, 1, zeros(5))), "FRAME_SIZE_ERROR"],
    ["a WINDOW_UPDATE of another length", () => opened().receive(frame(WINDOW_UPDATE, 0, 1, zeros(3))), "FRAME_SIZE_ERROR"],
    ["a GOAWAY too short", () => Scene.greeted().receive(frame(GOAWAY, 0, 0, zeros(7))), "FRAME_SIZE_ERROR"],
    ["HEADERS too short for their priority", () => Scene.greeted().receive(frame(HEADERS, END_HEADERS | PRIORITIZED, 1, zeros(4))), "FRAME_SIZE_ERROR"],
    ["DATA padded beyond its length", () => opened().receive(frame(DATA, PADDED, 1, [2, 0])), "PROTOCOL_ERROR"],
    ["HEADERS padded beyond their length", () => Scene.greeted().receive(frame(HEADERS, PADDED | END_HEADERS, 1, [200, 0x82])), "PROTOCOL_ERROR"],
    ["ENABLE_PUSH that is neither 0 nor 1", () => Scene.greeted().receive(settingsFrame([2, 2])), "PROTOCOL_ERROR"],
    ["an initial window above 2^31 - 1", () => Scene.greeted().receive(settingsFrame([INITIAL_WINDOW_SIZE, 0x8000_0000])), "FLOW_CONTROL_ERROR"],
    ["a frame size below 16,384", () => Scene.greeted().receive(settingsFrame([5, 16_383])), "PROTOCOL_ERROR"],
    ["a frame size above 2^24 - 1", () => Scene.greeted().receive(settingsFrame([5, 16_777_216])), "PROTOCOL_ERROR"],
    ["a WINDOW_UPDATE of 0 for the connection", () => Scene.greeted().receive(frame(WINDOW_UPDATE, 0, 0, u32(0))), "PROTOCOL_ERROR"],
    ["a connection window above 2^31 - 1", () => Scene.greeted().receive(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff_ffff))), "FLOW_CONTROL_ERROR"],
    ["settings that make a stream's window too large", () => opened().receive(frame(WINDOW_UPDATE, 0, 1, u32(0x7fff_ffff - DEFAULT_WINDOW)), settingsFrame([INITIAL_WINDOW_SIZE, DEFAULT_WINDOW + 1])), "FLOW_CONTROL_ERROR"],
    ["a field block that is none", () => Scene.greeted().receive(frame(HEADERS, END_HEADERS, 1, [0x80])), "COMPRESSION_ERROR"],
    ["a field block that is none, on a stream nobody wants", () => opened().receive(frame(RST_STREAM, 0, 1, zeros(4)), frame(HEADERS, END_HEADERS, 1, [0x80])), "COMPRESSION_ERROR"],
  ])("%s", (_, play, code) => {
    const scene = play()
    expect(scene.owner.log.filter((event) => event.startsWith("fail"))).toEqual([expect.stringMatching(`^fail ${code}: `)])
    expect(last(scene.sent())).toMatch(new RegExp(`^GOAWAY \\d ${code}$`))
    expect([scene.connection.isFailed, scene.connection.streamCount]).toEqual([true, 0])
    // Nothing is read any more, and nothing said.
    scene.receive(frame(PING, 0, 0, zeros(8)))
    expect(scene.take()).toEqual([])
  })
})

describe("resets the stream, and goes on, for", () => {
  test.each([
    ["DATA after its end", () => [frame(DATA, END_STREAM, 1), frame(DATA, 0, 1, text("x"))], "STREAM_CLOSED"],
    ["HEADERS after its end", () => [frame(DATA, END_STREAM, 1), frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x00, 1, 97, 1, 98])], "STREAM_CLOSED"],
    ["DATA after its reset", () => [frame(RST_STREAM, 0, 1, zeros(4)), frame(DATA, 0, 1, text("x"))], "STREAM_CLOSED"],
    ["a WINDOW_UPDATE of 0", () => [frame(WINDOW_UPDATE, 0, 1, u32(0))], "PROTOCOL_ERROR"],
    ["a window above 2^31 - 1", () => [frame(WINDOW_UPDATE, 0, 1, u32(0x7fff_ffff))], "FLOW_CONTROL_ERROR"],
    ["a PRIORITY of another length", () => [frame(PRIORITY, 0, 1, zeros(4))], "FRAME_SIZE_ERROR"],
    ["a PRIORITY on itself", () => [frame(PRIORITY, 0, 1, [0, 0, 0, 1, 0])], "PROTOCOL_ERROR"],
    ["a second head", () => [frame(HEADERS, END_HEADERS, 1, [0x00, 1, 97, 1, 98])], "PROTOCOL_ERROR"],
    ["pseudo-header fields in trailers", () => [frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x82])], "PROTOCOL_ERROR"],
  ])("%s", (_, octets, code) => {
    const scene = Scene.greeted().request(1, post(), 0)
    scene.receive(...octets())
    expect(scene.sent()).toEqual([`RST_STREAM 1 ${code}`])
    expect([scene.connection.isFailed, scene.connection.streamCount]).toEqual([false, 0])
    scene.request(3, request(), END_STREAM)
    expect(last(scene.owner.log)).toBe(`request 3 ${shown()} end`)
  })

  test.each([
    ["HEADERS that depend on themselves", () => frame(HEADERS, END_HEADERS | PRIORITIZED, 1, Buffer.concat([u32(1), Buffer.from([0]), block()])), "refused self-dependency"],
    ["a malformed request", () => new Blocks().headers(1, [[":method", "GET"]], END_STREAM), "refused pseudo-missing"],
    ["a request that ends before its Content-Length", () => new Blocks().headers(1, post(["content-length", "1"]), END_STREAM), "refused content-length"],
  ])("%s, which nobody hears of as a request", (_, octets, refusal) => {
    const scene = Scene.greeted().receive(octets())
    expect(scene.sent()).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"])
    expect(scene.owner.log).toEqual([refusal])
  })

  test.each([
    ["more than Content-Length", ["abc", "def"], ["data 1 abc", "reset 1 PROTOCOL_ERROR"]],
    ["less than Content-Length", ["abc", ""], ["data 1 abc", "reset 1 PROTOCOL_ERROR"]],
  ])("%s, without an octet too many handed on", (_, pieces, events) => {
    const scene = Scene.greeted().request(1, post(["content-length", "5"]), 0)
    scene.receive(...pieces.map((piece, index) => frame(DATA, index === pieces.length - 1 ? END_STREAM : 0, 1, text(piece))))
    expect(scene.owner.log.slice(1)).toEqual(events)
    const trailers = Scene.greeted().request(1, post(["content-length", "5"]), 0).request(1, [["a", "b"]], END_STREAM)
    expect(last(trailers.owner.log)).toBe("reset 1 PROTOCOL_ERROR")
  })
})

describe("is not disturbed by", () => {
  test.each([
    ["types and settings it does not know", () => [frame(99, 255, 77, zeros(100)), settingsFrame([0x99, 7])]],
    ["PRIORITY, also of idle streams", () => [frame(PRIORITY, 0, 1, [0, 0, 0, 3, 9]), frame(PRIORITY, 0, 99, zeros(5))]],
    ["a PRIORITY on itself of a stream that is over", () => [frame(RST_STREAM, 0, 1, zeros(4)), frame(PRIORITY, 0, 1, [0, 0, 0, 1, 0])]],
    ["the reserved bit", () => [frame(WINDOW_UPDATE, 0, 0x8000_0001, u32(0x8000_0001))]],
    ["the end of a stream twice", () => [frame(RST_STREAM, 0, 1, zeros(4)), frame(RST_STREAM, 0, 1, zeros(4)), frame(WINDOW_UPDATE, 0, 1, u32(1))]],
  ])("%s", (_, octets) => {
    const scene = Scene.greeted().request(1, post(), 0).receive(...octets())
    expect(scene.connection.isFailed).toBe(false)
    expect(scene.sent().filter((sent) => !sent.startsWith("SETTINGS ack"))).toEqual([])
  })

  test("a PING, which it gives back", () => {
    const scene = Scene.greeted().receive(frame(PING, 0, 0, text("12345678")))
    expect(scene.take()).toEqual([{ type: PING, flags: ACK, stream: 0, payload: text("12345678") }])
    scene.connection.ping()
    scene.receive(frame(PING, ACK, 0, scene.take()[0]?.payload), frame(PING, ACK, 0, zeros(8)))
    expect(scene.owner.log).toEqual(["pong"])
  })
})

describe("flow control", () => {
  const streaming = (scene: Scene, id = 1) => {
    scene.request(id, request(), END_STREAM)
    const stream = scene.owner.streams.get(id)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
    scene.take()
    return stream
  }

  test("content beyond a stream's window stays with the owner until the window opens", () => {
    const scene = new Scene()
    scene.receive(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 10]))
    const stream = streaming(scene)
    expect(scene.connection.sendData(stream, zeros(25), 0, 25, true)).toBe(10)
    scene.receive(frame(WINDOW_UPDATE, 0, 1, u32(5)))
    expect(last(scene.owner.log)).toBe("writable 1")
    expect(scene.connection.sendData(stream, zeros(25), 10, 25, true)).toBe(15)
    // §6.9.2: smaller by 7 than before, of which none is left: negative.
    scene.receive(settingsFrame([INITIAL_WINDOW_SIZE, 3]))
    expect(stream.sendWindow).toBe(-7)
    scene.receive(frame(WINDOW_UPDATE, 0, 1, u32(7)))
    expect([stream.sendWindow, scene.connection.sendData(stream, zeros(25), 15, 25, true)]).toEqual([0, 15])
    scene.receive(settingsFrame([INITIAL_WINDOW_SIZE, 100]))
    expect(last(scene.owner.log)).toBe("writable 1")
    expect(scene.connection.sendData(stream, zeros(25), 15, 25, true)).toBe(25)
    expect(scene.sent().filter((sent) => sent.startsWith("DATA"))).toEqual(["DATA 1 10", "DATA 1 5", "DATA 1 10 end"])
  })

  test("END_STREAM without content needs no window", () => {
    const scene = new Scene()
    scene.receive(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 0]))
    const stream = streaming(scene)
    expect(scene.connection.sendData(stream, zeros(0), 0, 0, true)).toBe(0)
    expect(scene.sent()).toEqual(["DATA 1 0 end"])
  })

  test("streams that wait for the connection's window take turns of a frame", () => {
    const scene = new Scene(true, { outputOctets: 1_000_000 })
    scene.receive(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 1_000_000]))
    const left = new Map([[1, 50_000], [3, 50_000], [5, 50_000]])
    const all = [1, 3, 5].map((id) => streaming(scene, id))
    const send = (id: number): void => {
      const stream = all.find((one) => one.id === id)
      if (stream === undefined) return
      const rest = left.get(id) ?? 0
      left.set(id, rest - scene.connection.sendData(stream, zeros(rest), 0, rest, true))
    }
    scene.owner.onWritable = (stream) => send(stream.id)
    for (const { id } of all) send(id)
    expect([...left.values()]).toEqual([0, 34_465, 50_000])
    expect([scene.connection.sendWindow, scene.connection.waitingStreams]).toEqual([0, 2])
    scene.take()
    scene.receive(frame(WINDOW_UPDATE, 0, 0, u32(40_000)))
    expect(scene.sent()).toEqual(["DATA 3 16384", "DATA 5 16384", "DATA 3 7232"])
    scene.receive(frame(WINDOW_UPDATE, 0, 0, u32(100_000)))
    expect([...left.values()]).toEqual([0, 0, 0])
    expect(scene.connection.waitingStreams).toBe(0)
  })

  test("no content is added to an output that is not taken, and it goes on when that is", () => {
    const scene = new Scene(true, { outputOctets: 20_000 })
    scene.receive(PREFACE, settingsFrame([INITIAL_WINDOW_SIZE, 1_000_000]))
    const stream = streaming(scene)
    const at = scene.connection.sendData(stream, zeros(60_000), 0, 60_000, true)
    expect(at).toBeLessThan(20_000)
    expect(scene.connection.pendingOctets).toBeLessThanOrEqual(20_000)
    scene.take()
    scene.connection.onFlushed()
    expect(last(scene.owner.log)).toBe("writable 1")
  })

  test("windows open again as content is consumed, and only then", () => {
    const scene = Scene.greeted(true, { streamWindow: 1_000, connectionWindow: 70_000 })
    scene.owner.isConsuming = false
    scene.request(1, post(), 0).receive(frame(DATA, 0, 1, zeros(900)))
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    expect([scene.sent(), stream.unconsumed]).toEqual([[], 900])
    scene.connection.consumed(stream, 499)
    expect(scene.sent()).toEqual([])
    scene.connection.consumed(stream, 1)
    expect(scene.sent()).toEqual(["WINDOW_UPDATE 1 500"])
    scene.receive(frame(DATA, 0, 1, zeros(601)))
    expect(last(scene.owner.log)).toBe("reset 1 FLOW_CONTROL_ERROR")
  })

  test("more than the connection's window ends the connection", () => {
    const scene = Scene.greeted(true, { streamWindow: 1_000_000, connectionWindow: 70_000 })
    scene.owner.isConsuming = false
    scene.request(1, post(), 0).receive(...Array.from({ length: 5 }, () => frame(DATA, 0, 1, zeros(15_000))))
    expect(last(scene.owner.log)).toBe("fail FLOW_CONTROL_ERROR: more than the connection's window")
  })

  test("padding, content of reset streams and content nobody consumes any more count as consumed", () => {
    const scene = Scene.greeted(true, { streamWindow: 100_000, connectionWindow: 100_000 })
    scene.owner.isConsuming = false
    scene.request(1, post(), 0)
    // 60 x 256 of padding
    scene.receive(...Array.from({ length: 60 }, () => frame(DATA, PADDED, 1, Buffer.concat([Buffer.from([255]), zeros(255)]))))
    // 10 x 31, of which 10 are content
    scene.receive(...Array.from({ length: 10 }, () => frame(DATA, PADDED, 1, Buffer.concat([Buffer.from([20]), zeros(30)]))))
    scene.receive(frame(DATA, 0, 1, zeros(16_000)), frame(DATA, 0, 1, zeros(16_000)))
    expect(scene.sent()).toEqual([])
    scene.receive(frame(RST_STREAM, 0, 1, u32(CANCEL)))
    scene.request(3, post(), 0).receive(frame(DATA, 0, 3, zeros(10_000)))
    const stream = scene.owner.streams.get(3)
    if (stream !== undefined) scene.connection.reset(stream, CANCEL)
    expect(scene.sent().filter((sent) => sent.startsWith("WINDOW"))).toEqual([`WINDOW_UPDATE 0 ${60 * 256 + 310 + 32_000 + 10_000}`])
    scene.receive(frame(DATA, 0, 3, zeros(16_384)), frame(DATA, 0, 3, zeros(16_384)), frame(DATA, 0, 3, zeros(16_384)), frame(DATA, PADDED, 3, Buffer.concat([Buffer.from([200]), zeros(847)])))
    expect(scene.sent()).toEqual(["WINDOW_UPDATE 0 50000"])
  })

  test("content of a stream that both have ended counts as consumed when its owner lets go of it, once", () => {
    const scene = Scene.greeted(true, { streamWindow: 100_000, connectionWindow: 100_000 })
    scene.owner.isConsuming = false
    for (const id of [1, 3]) {
      scene.request(id, post(), 0).receive(...Array.from({ length: 4 }, () => frame(DATA, 0, id, zeros(10_000))), frame(DATA, END_STREAM, id, []))
      const stream = scene.owner.streams.get(id)
      if (stream === undefined) throw new Error("no stream")
      scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), true)
      expect(stream.isClosed).toBe(true)
      scene.connection.consumed(stream, 10_000)
      scene.connection.reset(stream, NO_ERROR)
      scene.connection.reset(stream, NO_ERROR)
    }
    expect(scene.sent().filter((sent) => !sent.startsWith("HEADERS"))).toEqual(["WINDOW_UPDATE 0 50000"])
  })
})

describe("the end", () => {
  test("graceful: new streams until the client has read GOAWAY, then none, then finished", () => {
    const scene = Scene.greeted().request(1, post(), 0)
    scene.connection.drain()
    const [goaway, ping] = scene.take()
    expect([goaway?.type, goaway?.payload.readUInt32BE(), ping?.type]).toEqual([GOAWAY, 0x7fff_ffff, PING])
    scene.request(3, request(), END_STREAM)
    scene.receive(frame(PING, ACK, 0, ping?.payload))
    expect(scene.sent()).toEqual(["GOAWAY 3 NO_ERROR"])
    scene.request(5, request(), END_STREAM)
    // Content of what it had sent before it read that is not its fault.
    scene.request(7, post(), 0).receive(frame(DATA, 0, 7, text("x")), frame(WINDOW_UPDATE, 0, 7, u32(1)), frame(RST_STREAM, 0, 7, u32(CANCEL)))
    expect(scene.sent()).toEqual([])
    expect(last(scene.owner.log)).toMatch(/^request 3/)
    expect(scene.connection.isFinished).toBe(false)
    for (const stream of scene.owner.streams.values()) scene.connection.reset(stream, CANCEL)
    expect([scene.connection.isFinished, scene.connection.isFailed]).toEqual([true, false])
  })

  test("of the socket ends every stream", () => {
    const scene = Scene.greeted().request(1, post(), 0).request(3, request(), END_STREAM)
    scene.connection.close()
    expect(scene.owner.log.slice(2)).toEqual(["reset 1 CANCEL", "reset 3 CANCEL"])
    expect(scene.connection.streamCount).toBe(0)
  })

  test("calls after it do nothing", () => {
    const scene = Scene.greeted().request(1, post(), 0)
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.fail(PROTOCOL_ERROR, "test")
    scene.take()
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), true)
    expect(scene.connection.sendData(stream, zeros(5), 0, 5, true)).toBe(5)
    scene.connection.reset(stream, CANCEL)
    scene.connection.consumed(stream, 5)
    scene.connection.ping()
    scene.connection.drain()
    expect(scene.take()).toEqual([])
  })
})

test("the table size the client allows is the encoder's, from the next block on", () => {
  const scene = new Scene()
  scene.receive(hello, settingsFrame([HEADER_TABLE_SIZE, 0]))
  scene.take()
  scene.request(1, request(), END_STREAM)
  const stream = scene.owner.streams.get(1)
  if (stream === undefined) throw new Error("no stream")
  scene.connection.sendHeaders(stream, fieldList([[":status", "200"], ["x", "y"]]), true)
  expect(scene.take()[0]?.payload[0]).toBe(0x20)
})

test("of sizes that follow each other in one SETTINGS frame the smallest is announced too (RFC 7541 §4.2)", () => {
  const scene = Scene.greeted()
  scene.receive(settingsFrame([HEADER_TABLE_SIZE, 0], [HEADER_TABLE_SIZE, 4_096]))
  scene.take()
  scene.request(1, request(), END_STREAM)
  const stream = scene.owner.streams.get(1)
  if (stream === undefined) throw new Error("no stream")
  scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), true)
  expect([...(scene.take()[0]?.payload ?? [])]).toEqual([0x20, 0x3f, 0xe1, 0x1f, 0x88])
})
