/**
 * The same octets through a whole gateway to node:http: what the backend reads is among what our readers understood, whole
 * and in that order; nothing is left in flight, and another client gets its own answers. chosen.ts says which cases.
 */
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import net from "node:net"
import { afterAll, beforeAll, expect, test } from "vitest"
import { RequestHead } from "../../gateway/http1/request.ts"
import { eventually, startGateway, type Gateway, type Peer } from "../proxy/scripted.ts"
import { arrival } from "./cases.ts"
import { chosen } from "./chosen.ts"
import { fieldBlocksOf } from "./hpack-blocks.ts"
import { conversationOf } from "./http2-conversation.ts"
import { streamOf } from "./http2-generate.ts"
import { ourHeard } from "./http2-ours.ts"
import { Random } from "./random.ts"
import { transcriptOf } from "./subject.ts"

const { seed, cases, from, isWhole, replay } = chosen(800)

/** `METHOD target content` of each request that came to its end, by its client's address. */
const heard = new Map<string, string[]>()
let backend: Server
let gateway: Gateway
let other: Peer
beforeAll(async () => {
  backend = createServer((request, response) => {
    let body = ""
    request.setEncoding("latin1").on("data", (text: string) => (body += text))
    request.on("end", () => {
      const client = String(request.headers["x-forwarded-for"])
      const line = `${request.method} ${request.url} ${body}`
      heard.set(client, [...(heard.get(client) ?? []), line])
      response.end(Buffer.from(line, "latin1"))
    })
  })
  backend.keepAliveTimeout = 120_000
  backend.listen(0, "127.0.0.1")
  await once(backend, "listening")
  const address = backend.address()
  gateway = await startGateway([address === null || typeof address === "string" ? 0 : address.port])
  other = await gateway.connect()
})
afterAll(async () => {
  await gateway.stop()
  backend.close()
  backend.closeAllConnections()
})

interface Said {
  readonly pieces: readonly Buffer[]
  /** What our readers take out of it. */
  readonly understood: readonly string[]
  /** Requests come to the backend in that order. */
  readonly isOrdered: boolean
}

const cut = (octets: Buffer, cuts: readonly number[]): readonly Buffer[] => [...cuts, octets.length].map((to, i) => octets.subarray(i === 0 ? 0 : cuts[i - 1], to))

const ofHttp1 = (index: number): Said => {
  const { given, cuts } = arrival(seed, index)
  // A response is no request, and must be refused as such.
  const understood: string[] = []
  transcriptOf({ ...given, kind: "request", methods: [] }, [], 0, (message, { head }) => {
    if (head instanceof RequestHead) understood.push(`${head.method} ${head.target} ${message.body}`)
  })
  return { pieces: cut(Buffer.from(given.text, "latin1"), cuts.length > 8 ? [] : cuts), understood, isOrdered: true }
}

const ofHttp2 = (index: number): Said => {
  const random = new Random(seed, index)
  const octets = random.pick([conversationOf, conversationOf, fieldBlocksOf, (own: Random) => streamOf(own, true)])(random)
  // What its Content-Length announced is there goes on as a whole, whether or not the stream has ended.
  const understood = [...ourHeard(octets).streams.values()].filter(({ isEnd, head, body }) => isEnd || Number(valueOf(head, "content-length")) === body.length).map(({ head, body }) => `${valueOf(head, ":method") ?? ""} ${valueOf(head, ":path") ?? ""} ${body}`)
  return { pieces: cut(octets, [random.below(octets.length)]), understood, isOrdered: false }
}

const valueOf = (head: readonly string[], name: string): string | undefined => (head.includes(name) ? head[head.indexOf(name) + 1] : undefined)

/** Says it from an address of its own, and waits until the gateway has ended the connection. */
const say = async ({ pieces }: Said, address: string): Promise<void> => {
  const socket = net.connect({ port: gateway.port, host: "127.0.0.1", localAddress: address, noDelay: true })
  socket.on("error", () => undefined).resume()
  await once(socket, "connect")
  for (const piece of pieces) {
    if (piece.length > 0) socket.write(piece)
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  socket.end()
  await eventually("the gateway ends the connection", () => socket.closed, 12_000)
}

/** Lines that are not among those understood, or not in their place. */
const strange = (lines: readonly string[], { understood, isOrdered }: Said): readonly string[] => {
  const left = [...understood]
  return lines.filter((line) => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(isOrdered ? 0 : at, isOrdered ? at + 1 : 1)
    return at < 0
  })
}

test(
  `${cases} connections (seed ${seed}) through a gateway: a backend reads nothing but what was understood, and others are not disturbed`,
  async () => {
    let understood = 0
    let arrived = 0
    for (let index = from; index < from + cases; index++) {
      const said = index % 2 === 0 ? ofHttp1(index) : ofHttp2(index)
      const address = `127.${1 + ((index >> 16) & 127)}.${(index >> 8) & 255}.${1 + (index & 127) + (index & 128 ? 100 : 0)}`
      await say(said, address).catch((error: unknown) => expect.fail(`${replay(index)}\n${said.pieces.map((piece) => piece.toString("hex")).join("|")}\n${String(error)}`))
      other.say(`GET /other-${index} HTTP/1.1\r\nHost: o\r\n\r\n`)
      expect((await other.message()).body, replay(index)).toBe(`GET /other-${index} `)
      await eventually("only the other connection is left", () => gateway.http.inFlight === 0 && gateway.http.connections === 1)
      const lines = heard.get(address) ?? []
      expect(strange(lines, said), `${replay(index)}\n${said.pieces.map((piece) => piece.toString("latin1")).join("¦")}\nunderstood: ${JSON.stringify(said.understood)}`).toEqual([])
      understood += said.understood.length
      arrived += lines.length
      heard.clear()
    }
    console.log(`${cases} connections of seed ${seed}: ${understood} requests understood, ${arrived} came to the backend, ${gateway.metrics.upstream.opened} connections to it`)
    if (isWhole) expect(arrived / understood).toBeGreaterThan(0.5)
  },
  120_000 + 50 * cases,
)
