/** Much through tunnels: every octet in order, a side that takes nothing pauses the other, and what is kept is bounded. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { Authority } from "../fixtures/authority.ts"
import { digest, pattern } from "./octets.ts"
import { eventually, Peer, startBackend, startGateway, type Backend, type Gateway } from "./scripted.ts"
import { everything, handshake, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"
import { certificateEntry } from "../fixtures/authority.ts"

const HANDSHAKE = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
/** More than two kernels keep of one connection, many times. */
const MESSAGE = 64_000_000
const BLOCK = 250_000

let authority: Authority
beforeAll(() => void (authority = new Authority()))
afterAll(() => authority.end())

let backend: Backend
let gateway: Gateway | SecureGateway
afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})

const scenes = {
  "in clear": async (): Promise<() => Promise<Peer>> => {
    const plain = await startGateway([backend.port])
    gateway = plain
    return () => plain.connect()
  },
  "over TLS": async (): Promise<() => Promise<Peer>> => {
    const secure = await startSecureGateway(authority, backend.port)
    const issued = authority.issue(["a.test"], "ec")
    secure.apply({
      certificates: new Map([[secretId("a"), certificateEntry("a", issued, secure.planeKey)]]),
      listeners: new Map([["l", secureListener("l", ["a"])]]),
      routes: new Map([["all", everything("l")]]),
    })
    gateway = secure
    return async () => new Peer(await handshake(secure.port, { servername: "a.test" }))
  },
}

interface Pair {
  readonly client: Peer
  readonly peer: Peer
}

const open = async (connect: () => Promise<Peer>): Promise<Pair> => {
  const client = await connect()
  client.say(HANDSHAKE)
  const peer = await backend.accept()
  await peer.message()
  peer.say(SWITCH)
  await client.hear("\r\n\r\n")
  return { client, peer }
}

/** Says the block again and again as it is taken. Returns what has gone out so far. */
const feed = (from: Peer, block: Buffer, size: number): (() => number) => {
  let sent = 0
  const more = (): void => {
    if (sent >= size || !from.socket.writable) return
    sent += block.length
    from.socket.write(block, more)
  }
  more()
  return () => sent
}

/** Resolves once it has risen and then stood still for a while. */
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

const SIDES = [["client", "backend"], ["backend", "client"]] as const

describe.each(["in clear", "over TLS"] as const)("%s", (scene) => {
  test.each(SIDES)("what the %s says waits until the %s takes it, and then all of it has come, in order", async (from) => {
    backend = await startBackend()
    const { client, peer } = await open(await scenes[scene]())
    const [source, sink] = from === "client" ? [client, peer] : [peer, client]
    sink.socket.pause()
    const block = pattern(9, BLOCK)
    const sent = feed(source, block, MESSAGE)
    await stalled(sent)
    expect(sent()).toBeLessThan(MESSAGE / 2)
    // The other direction does not wait for this one.
    sink.say("meanwhile")
    expect(await source.hear("meanwhile")).toBe("meanwhile")
    let at = 0
    let isSame = true
    sink.socket.removeAllListeners("data")
    sink.socket.on("data", (data: Buffer) => {
      for (let i = 0; i < data.length && isSame; ) {
        const place = (at + i) % BLOCK
        const size = Math.min(data.length - i, BLOCK - place)
        isSame = block.compare(data, i, i + size, place, place + size) === 0
        i += size
      }
      at += data.length
    })
    sink.socket.resume()
    await eventually("all of it has come", () => at >= MESSAGE || !isSame, 20_000)
    expect([at, isSame]).toEqual([MESSAGE, true])
  }, 60_000)

  test("messages of 16 MB both ways at once, to sides that read in sips", async () => {
    backend = await startBackend()
    const { client, peer } = await open(await scenes[scene]())
    const bodies = [pattern(1, 16_000_000), pattern(2, 16_000_000)] as const
    for (const side of [client, peer]) side.socket.on("data", () => {
      side.socket.pause()
      setImmediate(() => side.socket.resume())
    })
    client.socket.write(bodies[0])
    peer.socket.write(bodies[1])
    await eventually("all has come", () => peer.heard.length >= 16_000_000 && client.heard.length >= 16_000_000, 30_000)
    expect([digest(Buffer.from(peer.heard, "latin1")), digest(Buffer.from(client.heard, "latin1"))]).toEqual([digest(bodies[0]), digest(bodies[1])])
  }, 60_000)
})

test.each(SIDES)("forty tunnels whose %s says 64 MB that the %s does not take: bounded memory", async (from) => {
  backend = await startBackend()
  const connect = await scenes["in clear"]()
  const pairs: Pair[] = []
  for (let i = 0; i < 40; i++) pairs.push(await open(connect))
  const block = Buffer.alloc(BLOCK, 120)
  const before = process.memoryUsage().rss
  const sent = pairs.map(({ client, peer }) => {
    const [source, sink] = from === "client" ? [client, peer] : [peer, client]
    sink.socket.pause()
    return feed(source, block, MESSAGE)
  })
  await stalled(() => sent.reduce((sum, one) => sum + one(), 0))
  // Both ends of forty tunnels share this process with the gateway, and still:
  expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000)
  expect(gateway.http.metrics.tunnels).toBe(40)
}, 60_000)

test.each(SIDES)("messages of 40,000 octets on many tunnels do not mix while those from the %s wait for the %s", async (from) => {
  backend = await startBackend()
  const connect = await scenes["in clear"]()
  const ends = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
    const { client, peer } = await open(connect)
    const [source, sink] = from === "client" ? [client, peer] : [peer, client]
    sink.socket.pause()
    return { source, sink, message: pattern(i + 1, 40_000), said: 0 }
  }))
  const { metrics } = gateway.http
  const read = (): number => metrics.tunnelReceived + metrics.tunnelSent
  // One by one, each read as a whole before the next is said, until no tunnel takes any more.
  let isTaken = true
  for (let round = 0; round < 400 && isTaken; round++) {
    isTaken = false
    for (const end of ends) {
      if (end.said > round) continue
      const before = read()
      end.source.socket.write(end.message)
      end.said++
      const since = performance.now()
      await eventually("it is read, or waits", () => read() >= before + end.message.length || performance.now() - since > 50)
      if (read() >= before + end.message.length) isTaken = true
      else end.said += 1_000
    }
  }
  expect(isTaken).toBe(false)
  for (const { sink } of ends) sink.socket.resume()
  for (const { sink, message, said } of ends) {
    const whole = await sink.hearOctets((said - 1_000) * message.length)
    const expected = message.toString("latin1")
    for (let at = 0; at < whole.length; at += expected.length) if (whole.slice(at, at + expected.length) !== expected) throw new Error(`message ${at / expected.length} of ${said - 1_000} is another`)
  }
}, 60_000)
