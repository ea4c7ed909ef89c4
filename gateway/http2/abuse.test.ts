/** What a peer can do to a connection without working for it, each bounded in memory and in what it makes us do. */
import { describe, expect, test } from "vitest"
import { CANCEL, ENHANCE_YOUR_CALM } from "./error-code.ts"
import { Scene, fieldList, frame, post, request, settingsFrame, u32, type Fields } from "./fixture.ts"
import { ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE } from "./frame.ts"
import { INITIAL_WINDOW_SIZE, defaults } from "./settings.ts"

const MEGABYTE = 1_048_576
const failed = (scene: Scene): string | undefined => scene.owner.log.find((event) => event.startsWith("fail"))
const CALM = "fail ENHANCE_YOUR_CALM: "

/** Sends until the connection fails, `most` times at most; how often that was. What is answered is taken, as by a peer that reads. */
const flood = (scene: Scene, most: number, once: (turn: number) => readonly Buffer[], isTaken = true): number => {
  for (let turn = 0; turn < most; turn++) {
    scene.receive(...once(turn))
    if (scene.connection.isFailed) return turn + 1
    if (isTaken) scene.connection.takeOutput()
    scene.owner.events.length = 0
  }
  return most
}

const heapGrowth = (run: () => void): number => {
  const before = process.memoryUsage()
  run()
  const after = process.memoryUsage()
  return after.heapUsed + after.external - before.heapUsed - before.external
}

test("rapid reset: a client that opens and resets streams is stopped, however few are open at once", () => {
  const scene = Scene.greeted()
  const turns = flood(scene, 5_000, (turn) => [scene.blocks.headers(1 + 2 * turn, request(), END_STREAM), frame(RST_STREAM, 0, 1 + 2 * turn, u32(CANCEL))])
  expect(turns).toBe(defaults.resets.burst + 1)
  expect(failed(scene)).toBe(`${CALM}streams reset too often`)
  expect(scene.connection.streamCount).toBe(0)
})

test("resets at a rate that real clients have are borne without end", () => {
  const scene = Scene.greeted()
  const turns = flood(scene, 5_000, (turn) => {
    scene.now += 40
    return [scene.blocks.headers(1 + 2 * turn, request(), END_STREAM), frame(RST_STREAM, 0, 1 + 2 * turn, u32(CANCEL))]
  })
  expect([turns, scene.connection.isFailed]).toEqual([5_000, false])
})

test("resets that the client makes us send count as its own", () => {
  const scene = Scene.greeted()
  // An update of nothing is a stream error: the request has begun by then.
  const turns = flood(scene, 5_000, (turn) => [scene.blocks.headers(1 + 2 * turn, request(), END_STREAM), frame(WINDOW_UPDATE, 0, 1 + 2 * turn, u32(0))])
  expect([turns, failed(scene)]).toEqual([defaults.resets.burst + 1, `${CALM}streams that come to nothing`])
})

test("malformed requests, requests over the limits and refused ones count too", () => {
  for (const fields of [[[":method", "GET"]], request("/", ["x", "y".repeat(300)]), [[":method", "CONNECT"], [":authority", "a:1"]]] satisfies Fields[]) {
    const scene = Scene.greeted(true, { listOctets: 300 })
    expect(flood(scene, 5_000, (turn) => [scene.blocks.headers(1 + 2 * turn, fields, END_STREAM)])).toBe(defaults.resets.burst + 1)
  }
  const full = Scene.greeted(true, { concurrentStreams: 2 }).request(1, request(), END_STREAM).request(3, request(), END_STREAM)
  expect(flood(full, 5_000, (turn) => [full.blocks.headers(5 + 2 * turn, request(), END_STREAM)])).toBe(defaults.resets.burst + 1)
})

test("streams beyond those allowed are refused, and the others go on", () => {
  const scene = Scene.greeted(true, { concurrentStreams: 2 })
  for (const id of [1, 3, 5]) scene.request(id, post(["x", `${id}`]), 0)
  expect(scene.sent()).toEqual(["RST_STREAM 5 REFUSED_STREAM"])
  expect([scene.connection.streamCount, scene.owner.log.at(-1)]).toEqual([2, "refused streams"])
  // Its fields went into the table nevertheless: what names them by index is understood.
  scene.receive(frame(RST_STREAM, 0, 1, u32(CANCEL))).request(7, post(["x", "5"]), 0)
  expect(scene.owner.log.at(-1)).toMatch(/^request 7 .* x=5$/)
})

describe("CONTINUATION flood", () => {
  test("by number: a block that never ends is ended", () => {
    const scene = Scene.greeted().receive(frame(HEADERS, 0, 1, [0x82]))
    expect(flood(scene, 1_000, () => [frame(CONTINUATION, 0, 1, [0x86])])).toBe(defaults.continuations + 1)
    expect(failed(scene)).toBe(`${CALM}field block too large`)
  })

  test("of empty frames", () => {
    const scene = Scene.greeted().receive(frame(HEADERS, 0, 1, []))
    expect(flood(scene, 1_000, () => [frame(CONTINUATION, 0, 1, [])])).toBe(defaults.continuations + 1)
  })

  test("by octets: no more than a block may have is kept", () => {
    const scene = Scene.greeted().receive(frame(HEADERS, 0, 1, []))
    const turns = flood(scene, 1_000, () => {
      expect(scene.connection.heldOctets).toBeLessThanOrEqual(2 * defaults.blockOctets)
      return [frame(CONTINUATION, 0, 1, Buffer.alloc(16_384))]
    })
    expect(turns).toBe(defaults.blockOctets / 16_384 + 1)
  })
})

describe("frames that do nothing", () => {
  const noisy = defaults.noise.burst + 1

  test.each<readonly [string, (scene: Scene, turn: number) => readonly Buffer[], number, string]>([
    ["PING flood", () => [frame(PING, 0, 0, Buffer.alloc(8))], noisy, "frames that do nothing"],
    ["flood of PINGs that answer nothing", () => [frame(PING, ACK, 0, Buffer.alloc(8))], noisy, "frames that do nothing"],
    ["SETTINGS flood", () => [frame(SETTINGS, 0, 0)], noisy, "frames that do nothing"],
    ["flood of large SETTINGS", () => [settingsFrame(...Array.from({ length: 2_730 }, (): [number, number] => [4, 65_535]))], 1, "frames that do nothing"],
    ["SETTINGS that move every window", (_, turn) => [settingsFrame([INITIAL_WINDOW_SIZE, turn % 2])], Math.ceil(noisy / 2), "frames that do nothing"],
    ["acknowledgement flood", () => [frame(SETTINGS, ACK, 0)], noisy, "frames that do nothing"],
    ["PRIORITY flood", (_, turn) => [frame(PRIORITY, 0, 101 + 2 * turn, Buffer.alloc(5))], noisy, "frames that do nothing"],
    ["GOAWAY flood", () => [frame(GOAWAY, 0, 0, Buffer.alloc(8))], noisy, "frames that do nothing"],
    ["flood of unknown frames", () => [frame(200, 0, 0, Buffer.alloc(100))], noisy, "frames that do nothing"],
    ["flood of empty DATA", () => [frame(DATA, 0, 1)], noisy + 4, "frames that do nothing"],
    ["WINDOW_UPDATE flood", () => [frame(WINDOW_UPDATE, 0, 0, u32(1))], noisy, "frames that do nothing"],
    ["flood of resets of closed streams", () => [frame(RST_STREAM, 0, 1, u32(CANCEL))], noisy + 4, "frames that do nothing"],
  ])("%s", (_, once, most, reason) => {
    const scene = Scene.greeted().request(1, post(), 0)
    // Within the burst of what was left after the greeting and was earned by the request.
    const turns = flood(scene, 10_000, (turn) => once(scene, turn))
    expect(turns).toBeLessThanOrEqual(most)
    expect(turns).toBeGreaterThanOrEqual(Math.min(most, noisy / 2) - 10)
    expect(failed(scene)).toBe(CALM + reason)
  })

  test("DATA of padding alone earns nothing and is bounded", () => {
    const scene = Scene.greeted().request(1, post(), 0)
    expect(flood(scene, 10_000, () => [frame(DATA, PADDED, 1, [0])])).toBeLessThanOrEqual(noisy + 4)
  })

  test("one octet a frame is work, and bears what comes with it", () => {
    const scene = Scene.greeted().request(1, post(), 0)
    expect(flood(scene, 10_000, () => [frame(DATA, 0, 1, [1]), frame(PING, 0, 0, Buffer.alloc(8)), frame(WINDOW_UPDATE, 0, 1, u32(1))])).toBe(10_000)
  })

  test("as many updates of windows as our own content explains are borne", () => {
    const scene = Scene.greeted().request(1, request(), END_STREAM)
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
    const turns = flood(scene, 20_000, () => {
      scene.connection.sendData(stream, Buffer.alloc(100), 0, 100, false)
      return [frame(WINDOW_UPDATE, 0, 0, u32(100)), frame(WINDOW_UPDATE, 0, 1, u32(100))]
    })
    expect(turns).toBe(20_000)
  })
})

test("answers that are not taken: a peer that sends and does not read is stopped, and little waits for it", () => {
  const scene = Scene.greeted(true, { noise: { burst: 1_000_000, perSecond: 0 } })
  const turns = flood(scene, 100_000, () => [frame(PING, 0, 0, Buffer.alloc(8))], false)
  expect([turns, failed(scene)]).toEqual([defaults.queuedControls + 1, `${CALM}answers that are not taken`])
  expect(scene.connection.pendingOctets).toBeLessThan(20_000)
})

test("resets that are not taken are bounded as other answers are", () => {
  const scene = Scene.greeted(true, { resets: { burst: 1_000_000, perSecond: 0 } })
  expect(flood(scene, 100_000, (turn) => [scene.blocks.headers(1 + 2 * turn, [[":method", "GET"]], END_STREAM)], false)).toBe(defaults.queuedControls + 1)
  expect(failed(scene)).toBe(`${CALM}answers that are not taken`)
})

test("a client that asks on and takes no answer is refused, and little waits for it", () => {
  const scene = Scene.greeted()
  scene.owner.onRequest = (stream) => scene.connection.sendHeaders(stream, fieldList([[":status", "204"], ["location", "/".repeat(1_000)]]), true)
  let isSeen = false
  const turns = flood(scene, 100_000, (turn) => {
    isSeen ||= scene.connection.isCongested
    return [scene.blocks.headers(1 + 2 * turn, request(), END_STREAM)]
  }, false)
  expect([turns < 2_000, failed(scene), isSeen]).toEqual([true, `${CALM}streams that come to nothing`, true])
  expect(scene.connection.pendingOctets).toBeLessThan(3 * defaults.outputOctets)
})

describe("field bombs", () => {
  test("references to one large entry are counted, not kept, and answered 431", () => {
    const scene = Scene.greeted()
    const entry = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4_000, 0x62)])
    scene.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([scene.blocks.block(request()), entry])))
    const growth = heapGrowth(() => {
      for (let turn = 0; turn < 100; turn++) scene.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * turn, Buffer.alloc(16_000, 0xbe)))
    })
    // 100 x 16,000 x 4,000 octets, were they kept.
    expect(growth).toBeLessThan(8 * MEGABYTE)
    expect(scene.owner.log.filter((event) => event === "refused fields-too-large")).toHaveLength(100)
  })

  test("many small fields", () => {
    const scene = Scene.greeted()
    scene.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([scene.blocks.block(request()), Buffer.alloc(15_000, 0x90)])))
    expect(scene.owner.log).toEqual(["refused fields-too-large"])
  })

  test("a table cannot be made larger than was announced", () => {
    const scene = Scene.greeted().receive(frame(HEADERS, END_HEADERS, 1, [0x3f, 0xe2, 0x1f]))
    expect(failed(scene)).toBe("fail COMPRESSION_ERROR: field block")
  })
})

describe("window stalls", () => {
  test("a peer that opens no window makes us keep nothing: its content stays with the owner, who sees it", () => {
    const scene = Scene.greeted().receive(settingsFrame([INITIAL_WINDOW_SIZE, 0]))
    const body = Buffer.alloc(MEGABYTE)
    const growth = heapGrowth(() => {
      for (let id = 1; id < 200; id += 2) {
        scene.request(id, request(), END_STREAM)
        const stream = scene.owner.streams.get(id)
        if (stream === undefined) throw new Error("no stream")
        scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
        expect(scene.connection.sendData(stream, body, 0, body.length, true)).toBe(0)
        expect(stream.isStalled).toBe(true)
      }
    })
    expect(growth).toBeLessThan(4 * MEGABYTE)
    expect(scene.connection.pendingOctets).toBeLessThan(4_096)
  })

  test("one octet of window at a time sends one octet at a time, and no faster", () => {
    const scene = Scene.greeted().receive(settingsFrame([INITIAL_WINDOW_SIZE, 0])).request(1, request(), END_STREAM)
    const stream = scene.owner.streams.get(1)
    if (stream === undefined) throw new Error("no stream")
    scene.connection.sendHeaders(stream, fieldList([[":status", "200"]]), false)
    const body = Buffer.alloc(1_000)
    let at = scene.connection.sendData(stream, body, 0, body.length, true)
    scene.owner.onWritable = () => (at = scene.connection.sendData(stream, body, at, body.length, true))
    flood(scene, 500, () => [frame(WINDOW_UPDATE, 0, 1, u32(1))])
    expect([at, scene.connection.isFailed]).toEqual([500, false])
  })

  test("a peer cannot make us take more than our windows, on any number of streams", () => {
    const scene = Scene.greeted()
    scene.owner.isConsuming = false
    let taken = 0
    scene.owner.onData = (_, __, start, end) => (taken += end - start)
    for (let id = 1; id < 2 * defaults.concurrentStreams && !scene.connection.isFailed; id += 2) {
      scene.request(id, post(), 0)
      for (let sent = 0; sent < defaults.streamWindow && !scene.connection.isFailed; sent += 16_384) scene.receive(frame(DATA, 0, id, Buffer.alloc(16_384)))
    }
    expect(taken).toBe(defaults.connectionWindow)
    expect(failed(scene)).toBe("fail FLOW_CONTROL_ERROR: more than the connection's window")
  })
})

test("a backend's interim responses without end", () => {
  const scene = Scene.greeted(false)
  scene.connection.open(fieldList(request()), true, "mine")
  expect(flood(scene, 10_000, () => [scene.blocks.headers(1, [[":status", "103"]], 0)])).toBeLessThanOrEqual(defaults.noise.burst + 1)
  expect(failed(scene)).toBe(`${CALM}frames that do nothing`)
})

test("a frame that never ends holds no more than one frame", () => {
  const scene = Scene.greeted()
  const long = frame(HEADERS, END_HEADERS, 1, Buffer.alloc(16_384))
  for (let at = 0; at < long.length - 1; at++) scene.receive(long.subarray(at, at + 1))
  expect(scene.connection.heldOctets).toBe(16_384)
  expect(scene.connection.isFailed).toBe(false)
})

test("after ENHANCE_YOUR_CALM nothing is read and nothing kept", () => {
  const scene = Scene.greeted()
  scene.connection.fail(ENHANCE_YOUR_CALM, "test")
  scene.take()
  flood(scene, 10_000, () => [frame(PING, 0, 0, Buffer.alloc(8))])
  expect([scene.connection.pendingOctets, scene.connection.heldOctets]).toEqual([0, 0])
})
