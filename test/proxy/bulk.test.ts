/** Large bodies: every octet in order, memory bounded, and the dangers of read buffers that are overwritten. */
import net from "node:net"
import { afterEach, expect, test, vi } from "vitest"
import { slab } from "../../gateway/slab.ts"
import { UpstreamConnection } from "../../gateway/upstream/connection.ts"
import { digest, pattern } from "./octets.ts"
import { GET, OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Peer } from "./scripted.ts"

let backend: Backend
let gateway: Gateway

const begin = async (onPeer?: (peer: Peer) => void, options?: GatewayOptions): Promise<void> => {
  backend = await startBackend(onPeer)
  gateway = await startGateway([backend.port], options)
}

afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})

/** Reads a response with Content-Length from a plain socket, pausing as told. */
const download = (port: number, path: string, slowness: number, start: Promise<void> = Promise.resolve()): Promise<{ readonly body: Buffer; readonly head: string }> => {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly body: Buffer; readonly head: string }>()
  const parts: Buffer[] = []
  let length = 0
  const socket = net.connect({ port, host: "127.0.0.1" }, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`))
  socket.on("error", reject)
  socket.pause()
  start.then(() => socket.resume(), reject)
  socket.on("data", (data) => {
    parts.push(data)
    length += data.length
    const first = parts[0] ?? data
    const end = first.indexOf("\r\n\r\n")
    const declared = Number(/content-length: (\d+)/i.exec(first.toString("latin1"))?.[1] ?? NaN)
    if (end >= 0 && length >= end + 4 + declared) {
      const all = Buffer.concat(parts)
      socket.destroy()
      resolve({ head: all.toString("latin1", 0, end), body: all.subarray(end + 4) })
      return
    }
    if (slowness > 0) {
      socket.pause()
      setTimeout(() => socket.resume(), slowness)
    }
  })
  return promise
}

/** Resolves when a count has risen and then stood still for a while. */
const stalled = async (count: () => number): Promise<void> => {
  let last = -1
  let since = 0
  await eventually("it stalls", () => {
    const now = performance.now()
    if (count() !== last) {
      last = count()
      since = now
    }
    return last > 0 && now - since > 400
  }, 20_000)
}

test("interleaved responses of all sizes arrive intact, to fast and to slow clients", async () => {
  const sizes = [0, 1, 100, 4_000, 16_000, 16_384, 16_385, 60_000, 65_536, 70_000, 200_000, 1_000_000, 3_000_000]
  const bodies = new Map(sizes.map((size, i) => [String(size), pattern(i + 1, size)]))
  await begin((peer) => {
    answering((request) => {
      const body = bodies.get(request.head.split(" ")[1]?.slice(1) ?? "") ?? Buffer.alloc(0)
      peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
      peer.socket.write(body)
      return ""
    })(peer)
  })
  for (let round = 0; round < 3; round++) {
    await Promise.all(
      sizes.flatMap((size) => [0, 1].map(async (slowness) => {
        const { body } = await download(gateway.port, `/${size}`, slowness)
        expect(`${size} ${digest(body)}`).toBe(`${size} ${digest(bodies.get(String(size)) ?? Buffer.alloc(0))}`)
      })),
    )
  }
  // Pooled connections were used again after bulk.
  expect(gateway.metrics.upstream.reused).toBeGreaterThan(20)
})

/** More than the kernel keeps for both connections, so that writes do stay unflushed. */
const BEYOND_KERNEL = 24_000_000

test("interleaved requests of all sizes arrive intact, pipelined ones too, at fast and at slow backends", async () => {
  const sizes = [1, 100, 4_000, 8_192, 8_193, 60_000, 65_536, 70_000, 300_000, 1_000_000]
  const got: string[] = []
  await begin((peer) => {
    let isSlow = false
    answering((request) => {
      isSlow = !isSlow
      if (isSlow) {
        peer.socket.pause()
        setTimeout(() => peer.socket.resume(), 5)
      }
      got.push(`${request.head.split(" ")[1]} ${digest(Buffer.from(request.body, "latin1"))}`)
      return OK
    })(peer)
  })
  const wanted: string[] = []
  await Promise.all(Array.from({ length: 12 }, async (_, client) => {
    const peer = await gateway.connect()
    for (const [i, size] of sizes.entries()) {
      const body = pattern(client * 100 + i + 1, size)
      wanted.push(`/${client}/${i} ${digest(body)}`)
      const head = `POST /${client}/${i} HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`
      wanted.push(`/${client}/${i}/after ${digest(Buffer.alloc(0))}`)
      // In pieces of any size, with a whole request and half of the next behind it. A million of one octet says no more than a few ten thousand.
      const all = Buffer.concat([Buffer.from(head), body, Buffer.from(`GET /${client}/${i}/after HTTP/1.1\r\nHo`)])
      for (let at = 0, piece = (size > 100_000 ? 200 : 1) + client * 997; at < all.length; at += piece) peer.socket.write(all.subarray(at, at + piece))
      expect((await peer.message()).status).toBe(200)
      peer.say("st: a\r\n\r\n")
      expect((await peer.message()).status).toBe(200)
    }
  }))
  expect(got.toSorted()).toEqual(wanted.toSorted())
}, 60_000)

test("a client that starts to read late gets every octet in order: the buffer waits for it (danger 2)", async () => {
  const big = pattern(7, BEYOND_KERNEL)
  let sent = 0
  await begin((peer) => {
    answering(() => {
      peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${big.length}\r\n\r\n`)
      const feed = (at: number): void => {
        sent = at
        if (at < big.length) peer.socket.write(big.subarray(at, at + 200_000), () => feed(at + 200_000))
      }
      feed(0)
      return ""
    })(peer)
  })
  const reading = download(gateway.port, "/", 0, stalled(() => sent))
  expect(digest((await reading).body)).toBe(digest(big))
})

test("a connection goes back to its pool only when the slow client has its octets (danger 3)", async () => {
  const big = pattern(7, BEYOND_KERNEL)
  const other = pattern(8, 60_000)
  await begin((peer) => {
    answering((request) => {
      const body = request.head.startsWith("GET /big") ? big : other
      peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
      peer.socket.write(body)
      return ""
    })(peer)
  }, { settings: { endpointConnections: 1 } })
  const slow = download(gateway.port, "/big", 1)
  await eventually("it has the only connection", () => backend.peers.length === 1)
  // Others press for that connection; whoever gets it overwrites its buffer.
  let refused = 0
  let served = 0
  let isOver = false
  const press = async (): Promise<void> => {
    const client = await gateway.connect()
    while (!isOver || served === 0) {
      client.say("GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
      if ((await client.message()).status === 200) served++
      else refused++
    }
  }
  const pressing = press()
  expect(digest((await slow).body)).toBe(digest(big))
  isOver = true
  await pressing
  expect(refused).toBeGreaterThan(0)
  expect(served).toBeGreaterThan(0)
  expect(backend.peers.length).toBe(1)
})

test("pipelined answers pile up on a client that does not read, while the same connection carries on (dangers 1 to 3)", async () => {
  const bodies = Array.from({ length: 400 }, (_, i) => pattern(i + 100, i % 2 === 0 ? 50_000 : 100_000))
  let answered = 0
  await begin((peer) => {
    answering((request) => {
      const body = bodies[Number(request.head.split(" ")[1]?.slice(1))] ?? Buffer.alloc(60_000)
      answered++
      peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
      // Apart from its head, so that it is read into the connection's own buffer.
      setTimeout(() => peer.socket.write(body), 1)
      return ""
    })(peer)
  })
  const client = await gateway.connect()
  client.socket.pause()
  client.say(bodies.map((_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""))
  await stalled(() => answered)
  expect(answered).toBeLessThan(400)
  // Others use what connections there are, and would overwrite what is still to be written.
  const other = await gateway.connect()
  for (let i = 0; i < 3; i++) {
    other.say("GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
    expect((await other.message()).body.length).toBe(60_000)
  }
  client.socket.resume()
  for (const [i, body] of bodies.entries()) {
    const response = await client.message()
    expect(`${i} ${digest(Buffer.from(response.body, "latin1"))}`).toBe(`${i} ${digest(body)}`)
  }
})

test("a body whose head waited behind another request is not handed on in the slab (danger 1)", async () => {
  const written = vi.spyOn(UpstreamConnection.prototype, "writeBuffer")
  try {
    const body = pattern(7, 40_000)
    await begin()
    const client = await gateway.connect()
    // Both heads come in one read, so what the next one reads into is chosen before the second is looked at.
    client.say(`${GET}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
    const peer = await backend.accept()
    await peer.message()
    peer.say(OK)
    expect((await client.message()).body).toBe("ok")
    await peer.hear("\r\n\r\n")
    client.socket.write(body)
    expect(digest(Buffer.from(await peer.hearOctets(body.length), "latin1"))).toBe(digest(body))
    expect(written.mock.calls.length).toBeGreaterThan(0)
    expect(written.mock.calls.some(([buffer]) => buffer.buffer === slab.buffer)).toBe(false)
  } finally {
    written.mockRestore()
  }
})

test("a body that trickles does not keep a whole read buffer for each of its octets", async () => {
  const written = vi.spyOn(UpstreamConnection.prototype, "writeBuffer")
  try {
    await begin()
    const client = await gateway.connect()
    client.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    const peer = await backend.accept()
    await peer.hear("\r\n\r\n")
    for (let i = 0; i < 20; i++) {
      client.say("1;x=y\r\na\r\n")
      await peer.hear("1\r\na\r\n")
    }
    client.say("0\r\nX: y\r\n\r\n")
    await peer.hear("0\r\nX: y\r\n\r\n")
    const kept = written.mock.calls.reduce((sum, [buffer]) => sum + buffer.buffer.byteLength, 0)
    expect(kept).toBeLessThan(65_536)
  } finally {
    written.mockRestore()
  }
})

test("heads that arrive in pieces on many connections at once do not mix (danger 1)", async () => {
  await begin()
  const clients = await Promise.all(Array.from({ length: 8 }, () => gateway.connect()))
  clients.forEach((client, i) => client.say(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`))
  const peers = await Promise.all(clients.map(() => backend.accept()))
  const paths = await Promise.all(peers.map(async (peer) => (await peer.message()).head.split(" ")[1] ?? ""))
  const answers = paths.map((path) => `HTTP/1.1 200 OK\r\nX-Path: ${path}\r\nX-Pad: ${path.repeat(50)}\r\nContent-Length: 2\r\n\r\n${path}`)
  const longest = Math.max(...answers.map((answer) => answer.length))
  for (let at = 0; at < longest; at += 7) {
    peers.forEach((peer, i) => peer.say(answers[i]?.slice(at, at + 7) ?? ""))
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  for (const [i, client] of clients.entries()) {
    const response = await client.message()
    expect(response.field("x-path")).toBe(`/${i}`)
    expect(response.field("x-pad")).toBe(`/${i}`.repeat(50))
    expect(response.body).toBe(`/${i}`)
  }
})

test("an upload arrives intact at a backend that reads slowly, in length and in chunks", async () => {
  const body = pattern(9, 3_000_000)
  for (const isChunked of [false, true]) {
    await begin()
    const client = await gateway.connect()
    client.say(`POST / HTTP/1.1\r\nHost: a\r\n${isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`}\r\n\r\n`)
    if (isChunked) {
      for (let at = 0; at < body.length; at += 50_001) {
        const piece = body.subarray(at, at + 50_001)
        client.say(`${piece.length.toString(16)};x=y\r\n`)
        client.socket.write(piece)
        client.say("\r\n")
      }
      client.say("0\r\n\r\n")
    } else client.socket.write(body)
    const peer = await backend.accept()
    const timer = setInterval(() => {
      peer.socket.pause()
      setTimeout(() => peer.socket.resume(), 3)
    }, 5)
    const heard = await peer.message()
    clearInterval(timer)
    expect(digest(Buffer.from(heard.body, "latin1"))).toBe(digest(body))
    peer.say(OK)
    expect((await client.message()).status).toBe(200)
    if (!isChunked) {
      await gateway.stop()
      await backend.stop()
    }
  }
})

test("a chunked response with extensions and tiny chunks is intact for 1.1 and decoded for 1.0", async () => {
  const body = pattern(11, 300_000)
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < body.length; i++) {
    const piece = body.subarray(at, at + 1 + (i * 37) % 900)
    chunks.push(Buffer.from(`${piece.length.toString(16)}${i % 3 === 0 && i < 300 ? ";a=b" : ""}\r\n`), piece, Buffer.from("\r\n"))
    at += piece.length
  }
  const wire = Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), ...chunks, Buffer.from("0\r\n\r\n")])
  await begin((peer) => {
    answering(() => {
      peer.socket.write(wire)
      return ""
    })(peer)
  })
  for (const version of ["1.1", "1.0"]) {
    const client = await gateway.connect()
    client.say(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
    const response = await client.message()
    expect(digest(Buffer.from(response.body, "latin1"))).toBe(digest(body))
  }
})

test("twenty stalled downloads of 300 MB take bounded memory", async () => {
  const block = Buffer.alloc(262_144, 120)
  const size = 300_000_000
  let sent = 0
  await begin((peer) => {
    const feed = (left: number): void => {
      if (left <= 0 || !peer.socket.writable) return
      sent += block.length
      peer.socket.write(block, () => setImmediate(feed, left - block.length))
    }
    answering(() => {
      peer.say(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      feed(size)
      return ""
    })(peer)
  })
  const before = process.memoryUsage().rss
  const clients = await Promise.all(Array.from({ length: 20 }, () => gateway.connect()))
  for (const client of clients) {
    client.socket.pause()
    client.say(GET)
  }
  await stalled(() => sent)
  // Two ends of twenty connections share this process with the gateway, and still:
  expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000)
  expect(gateway.http.inFlight).toBe(20)
}, 30_000)
