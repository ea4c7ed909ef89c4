/** Traffic over TLS while things change under it: certificates, slow sides, clients that leave, the end of the process. */
import { createHash } from "node:crypto"
import { once } from "node:events"
import net from "node:net"
import type { TLSSocket } from "node:tls"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"
import { digest, pattern } from "./octets.ts"
import { answering, eventually, Peer, startBackend, type Backend } from "./scripted.ts"
import { match, rule } from "../../gateway/table/fixture.ts"
import { everything, handshake, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"
import type { Settings } from "../../gateway/settings.ts"

let authority: Authority
let issued: readonly Issued[]
beforeAll(() => {
  authority = new Authority()
  issued = Array.from({ length: 8 }, (_, i) => authority.issue(["a.test"], i === 3 ? "rsa" : "ec"))
})
afterAll(() => authority.end())

let backend: Backend
let gateway: SecureGateway
const begin = async (onPeer?: (peer: Peer) => void, settings: Partial<Settings> = {}): Promise<void> => {
  backend = await startBackend(onPeer)
  gateway = await startSecureGateway(authority, backend.port, { settings })
  const [first] = issued
  if (first === undefined) throw new Error("no certificate")
  gateway.apply({
    certificates: new Map([[secretId("a"), certificateEntry("a", first, gateway.planeKey)]]),
    listeners: new Map([["l", secureListener("l", ["a"])]]),
    routes: new Map([["all", everything("l")]]),
  })
}
afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})

const connect = async (): Promise<Peer> => new Peer(await handshake(gateway.port, { servername: "a.test", ca: authority.certificate, rejectUnauthorized: true }))
const GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
const ok = answering(() => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

test("200 swaps of certificates fail no request; a handshake begun after a swap sees the new one, connections from before go on", async () => {
  await begin(ok)
  let isOver = false
  let served = 0
  const keepAlive = Array.from({ length: 4 }, async () => {
    const peer = await connect()
    while (!isOver) {
      peer.say(GET)
      expect((await peer.message()).body).toBe("ok")
      served++
    }
    return peer
  })
  const anew = Array.from({ length: 2 }, async () => {
    while (!isOver) {
      const peer = await connect()
      peer.say(GET)
      expect((await peer.message()).body).toBe("ok")
      served++
      peer.socket.destroy()
    }
  })
  for (let i = 1; i <= 200; i++) {
    const next = issued[i % issued.length]
    if (next === undefined) throw new Error("no certificate")
    gateway.present("a", next)
    const socket: TLSSocket = await handshake(gateway.port, { servername: "a.test" })
    expect(socket.getPeerCertificate().fingerprint256).toBe(next.fingerprint256)
    socket.destroy()
  }
  isOver = true
  await Promise.all(anew)
  const peers = await Promise.all(keepAlive)
  // Each of them had one connection all the time, from before the first swap.
  expect(peers.map(({ isClosed, hasEnded }) => isClosed || hasEnded)).toEqual([false, false, false, false])
  for (const peer of peers) peer.socket.destroy()
  expect(served).toBeGreaterThan(200)
  expect(gateway.metrics.text([])).not.toMatch(/code="[345]xx"} [1-9]/)
}, 60_000)

/** A response's body by Content-Length; `slowness`: ms of pause after each read. */
const download = async (path: string, slowness: number): Promise<Buffer> => {
  const socket = await handshake(gateway.port, { servername: "a.test" })
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const parts: Buffer[] = []
  let length = 0
  socket.on("error", reject)
  socket.on("data", (data: Buffer) => {
    parts.push(data)
    length += data.length
    const first = parts[0] ?? data
    const end = first.indexOf("\r\n\r\n")
    const declared = Number(/content-length: (\d+)/i.exec(first.toString("latin1"))?.[1] ?? NaN)
    if (end >= 0 && length >= end + 4 + declared) {
      socket.destroy()
      resolve(Buffer.concat(parts).subarray(end + 4))
    } else if (slowness > 0) {
      socket.pause()
      setTimeout(() => socket.resume(), slowness)
    }
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
  return promise
}

test("responses of all sizes arrive intact, to fast and to slow clients, interleaved", async () => {
  const sizes = [0, 1, 100, 16_000, 16_384, 16_385, 65_536, 70_000, 1_000_000, 3_000_000]
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
    await Promise.all(sizes.flatMap((size) => [0, 1].map(async (slowness) => {
      expect(`${size} ${digest(await download(`/${size}`, slowness))}`).toBe(`${size} ${digest(bodies.get(String(size)) ?? Buffer.alloc(0))}`)
    })))
  }
}, 60_000)

test("requests of all sizes arrive intact, several on a connection, at fast and at slow backends", async () => {
  const sizes = [1, 100, 8_192, 8_193, 16_384, 16_385, 70_000, 300_000, 1_000_000]
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
      return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    })(peer)
  })
  const wanted: string[] = []
  await Promise.all(Array.from({ length: 6 }, async (_, client) => {
    const peer = await connect()
    for (const [i, size] of sizes.entries()) {
      const path = `/${client}/${size}`
      const body = pattern(client * 100 + i, size)
      wanted.push(`${path} ${digest(body)}`)
      peer.say(`POST ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${size}\r\n\r\n`)
      peer.socket.write(body)
      expect((await peer.message()).body).toBe("ok")
    }
    peer.socket.destroy()
  }))
  expect(got.sort()).toEqual(wanted.sort())
}, 60_000)

const BEYOND_BUFFERS = 40_000_000

test("a client that takes nothing stops the backend, and gets it all once it does", async () => {
  await begin()
  const socket = await handshake(gateway.port, { servername: "a.test" })
  socket.pause()
  socket.write(GET)
  const upstream = await backend.accept()
  await upstream.message()
  const body = pattern(7, BEYOND_BUFFERS)
  upstream.say(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
  let written = 0
  const writing = (async () => {
    for (let at = 0; at < body.length; at += 100_000) {
      if (!upstream.socket.write(body.subarray(at, at + 100_000))) await once(upstream.socket, "drain")
      written = at
    }
  })()
  let last = -1
  let since = performance.now()
  await eventually("the backend stalls", () => {
    if (written !== last) {
      last = written
      since = performance.now()
    }
    return performance.now() - since > 400
  }, 20_000)
  expect(written).toBeLessThan(BEYOND_BUFFERS / 2)
  const hash = createHash("sha256")
  let received = -1
  let head = Buffer.alloc(0)
  const whole = new Promise<void>((resolve) => {
    socket.on("data", (data: Buffer) => {
      let rest = data
      if (received < 0) {
        head = Buffer.concat([head, data])
        const end = head.indexOf("\r\n\r\n")
        if (end < 0) return
        received = 0
        rest = head.subarray(end + 4)
      }
      hash.update(rest)
      received += rest.length
      if (received === body.length) resolve()
    })
  })
  socket.resume()
  await Promise.all([whole, writing])
  expect(hash.digest("hex")).toBe(digest(body))
  socket.destroy()
}, 60_000)

test("a backend that takes nothing stops the client", async () => {
  await begin()
  const socket = await handshake(gateway.port, { servername: "a.test" })
  socket.write(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${BEYOND_BUFFERS}\r\n\r\n`)
  const upstream = await backend.accept()
  await upstream.hear("\r\n\r\n")
  upstream.socket.pause()
  let written = 0
  let isStopped = false
  const part = Buffer.alloc(100_000, "x")
  const more = (): void => {
    while (written < BEYOND_BUFFERS && !isStopped) {
      written += part.length
      if (!socket.write(part)) return
    }
  }
  socket.on("drain", more)
  more()
  let last = -1
  let since = performance.now()
  await eventually("the client stalls", () => {
    if (written !== last) {
      last = written
      since = performance.now()
    }
    return performance.now() - since > 400
  }, 20_000)
  expect(written).toBeLessThan(BEYOND_BUFFERS)
  upstream.socket.resume()
  upstream.heard = ""
  await eventually("all of it has come", () => upstream.heard.length > BEYOND_BUFFERS / 2, 20_000)
  isStopped = true
  socket.destroy()
}, 60_000)

test("a client that takes nothing of its answer is cut off", async () => {
  await begin(undefined, { writeTimeout: 200 })
  const socket = await handshake(gateway.port, { servername: "a.test" })
  socket.on("error", () => {})
  socket.pause()
  socket.write(GET)
  const upstream = await backend.accept()
  await upstream.message()
  upstream.say(`HTTP/1.1 200 OK\r\nContent-Length: ${BEYOND_BUFFERS}\r\n\r\n`)
  upstream.socket.write(Buffer.alloc(BEYOND_BUFFERS))
  await eventually("it is cut off", () => gateway.http.connections === 0)
  await eventually("the backend is let go", () => upstream.isClosed)
  socket.destroy()
})

test("so is one that takes nothing of short answers, though none of them is held back", async () => {
  await begin(answering(() => `HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n${"x".repeat(16_000)}`), { writeTimeout: 200, writeBytes: 1_000_000_000 })
  const socket = await handshake(gateway.port, { servername: "a.test" })
  socket.on("error", () => {})
  socket.pause()
  for (let i = 0; i < 1500; i++) socket.write(GET)
  await eventually("it is cut off", () => gateway.http.connections === 0, 20_000)
  socket.destroy()
}, 30_000)

test("a client that leaves in the middle is noticed by the backend", async () => {
  await begin()
  const peer = await connect()
  peer.say(GET)
  const upstream = await backend.accept()
  await upstream.message()
  peer.socket.destroy()
  await eventually("the backend is told", () => upstream.isClosed || upstream.hasEnded)
  expect(gateway.metrics.listener(443).aborted).toBe(1)
})

test("an answer is complete before its connection is closed, with TLS's own end", async () => {
  await begin(answering(() => `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${"y".repeat(100_000)}`))
  backend.peers.forEach(({ socket }) => socket.end())
  const socket = await handshake(gateway.port, { servername: "a.test" })
  let heard = ""
  socket.on("data", (data: Buffer) => (heard += data.toString("latin1")))
  socket.write("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
  const upstream = await backend.accept()
  await eventually("the answer has gone", () => heard.length > 100_000)
  upstream.socket.end()
  await once(socket, "end")
  expect(heard.endsWith("y".repeat(100_000))).toBe(true)
  socket.end()
  await eventually("it is closed", () => gateway.http.connections === 0)
})

test("draining lets requests finish, ends idle connections, and takes no new ones", async () => {
  await begin()
  const [idle, busy] = [await connect(), await connect()]
  busy.say(GET)
  const upstream = await backend.accept()
  await upstream.message()
  const drained = gateway.http.drain(5_000)
  await idle.end()
  await expect(connect()).rejects.toThrow("ECONNREFUSED")
  upstream.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
  const answer = await busy.message()
  expect([answer.body, answer.field("connection")]).toEqual(["last", "close"])
  await busy.close()
  idle.socket.destroy()
  expect(await drained).toBe(0)
})

test("a handshake that has begun when draining begins is finished, and its request answered", async () => {
  await begin(ok)
  const onward = net.connect({ port: gateway.port, host: "127.0.0.1" })
  const between = net.createServer((socket) => socket.pipe(onward)).listen(0, "127.0.0.1")
  const [accepted] = [once(between, "connection"), await once(between, "listening")]
  const address = between.address()
  const connecting = handshake(address === null || typeof address === "string" ? 0 : address.port, { servername: "a.test" })
  // The gateway has answered the client's first message; the client has not heard of it yet.
  await once(onward, "readable")
  const drained = gateway.http.drain(5_000)
  const [socket]: unknown[] = await accepted
  if (!(socket instanceof net.Socket)) throw new Error("no socket")
  onward.pipe(socket)
  const peer = new Peer(await connecting)
  peer.say(GET)
  const answer = await peer.message()
  expect([answer.status, answer.field("connection")]).toEqual([200, "close"])
  await peer.close()
  expect(await drained).toBe(0)
  between.close()
})

test("the last answer of a connection reaches a client that takes it late, whole", async () => {
  const body = "0123456789abcdef".repeat(1_000_000)
  await begin()
  gateway.apply({ routes: new Map([["all", { ...everything("l"), rules: [rule([match("/")], [], { answer: { status: 200, headers: [], body } })] }]]) })
  const client = await connect()
  client.socket.pause()
  client.say(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
  await eventually("it is answered", () => gateway.metrics.listener(443).codes().some(([code, count]) => code === "2xx" && count === 1))
  const since = performance.now()
  await eventually("the connection has been looked at", () => performance.now() - since > 300)
  client.socket.resume()
  await client.end()
  expect(client.heard.length).toBeGreaterThan(body.length)
  expect(client.heard.endsWith(body)).toBe(true)
  client.socket.end()
})

const UPGRADE = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

const tunnel = async (by?: Peer): Promise<readonly [client: Peer, upstream: Peer]> => {
  const client = by ?? (await connect())
  client.say(`${UPGRADE}early`)
  const upstream = await backend.accept()
  await upstream.message()
  upstream.say(`${SWITCH}late`)
  await client.hear("\r\n\r\nlate")
  await upstream.hear("early")
  return [client, upstream]
}

test("a tunnel's directions end one by one over TLS too, and a backend's last words arrive whole and late", async () => {
  await begin(undefined, { writeTimeout: 400 })
  const transport = net.connect({ port: gateway.port, host: "127.0.0.1", allowHalfOpen: true })
  const [client, upstream] = await tunnel(new Peer(await handshake(gateway.port, { socket: transport, servername: "a.test" })))
  const body = pattern(22, 10_000_000)
  client.socket.pause()
  upstream.socket.end(body)
  await eventually("what fits is on its way", () => gateway.metrics.listener(443).tunnelSent > 100_000)
  client.say("heard after the other end")
  await upstream.hear("heard after the other end")
  const since = performance.now()
  await eventually("the connections have been looked at", () => performance.now() - since > 300)
  client.socket.resume()
  await client.end()
  expect(digest(Buffer.from(client.heard, "latin1"))).toBe(digest(body))
  // All is taken: that nothing more is written is no time-out.
  const taken = performance.now()
  await eventually("the time to take it is over", () => performance.now() - taken > 600)
  client.say("and goes on")
  await upstream.hear("and goes on")
  client.socket.end()
  await upstream.close()
  await eventually("it is over", () => gateway.http.connections === 0)
  expect(gateway.metrics.listener(443).tunnelsEnded("closed")).toBe(1)
})

test("a tunnel over TLS whose client or backend resets ends on both sides", async () => {
  await begin()
  const transport = net.connect({ port: gateway.port, host: "127.0.0.1" })
  const first = await tunnel(new Peer(await handshake(gateway.port, { socket: transport, servername: "a.test" })))
  transport.resetAndDestroy()
  await first[1].end()
  const second = await tunnel()
  second[1].socket.resetAndDestroy()
  await second[0].end()
  await eventually("both are over", () => gateway.http.connections === 0)
  const metrics = gateway.metrics.listener(443)
  expect([metrics.tunnels, metrics.tunnelsEnded("client-gone"), metrics.tunnelsEnded("backend-gone")]).toEqual([0, 1, 1])
})
