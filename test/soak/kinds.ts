/**
 * Kinds of traffic. Each is a client's life: it works until it is told to stop, counts what was complete and right, and
 * what ended as its protocol has it; everything else is a failure. Streams of gRPC belong here too once backends are
 * spoken to in HTTP/2.
 */
import { Agent } from "node:http"
import http2 from "node:http2"
import { setTimeout as later } from "node:timers/promises"
import { WebSocket } from "undici"
import { ask } from "./http1.ts"
import type { Random } from "../fuzz/random.ts"
import type { Tally } from "./tally.ts"
import type { Target } from "./target.ts"

export interface Client {
  readonly target: Target
  readonly tally: Tally
  readonly isOn: () => boolean
  readonly random: Random
  /** Between two exchanges, ms. */
  readonly pace: number
}

export type Kind = (client: Client) => Promise<void>

/** After a failure: what is away would else be asked thousands of times. */
const AFTER_FAILURE_MS = 50

const again = (step: (client: Client) => Promise<void>): Kind => async (client) => {
  while (client.isOn()) {
    try {
      await step(client)
      client.tally.done++
    } catch (error) {
      client.tally.fail(error)
      await later(AFTER_FAILURE_MS)
    }
    if (client.pace > 0) await later(client.pace)
  }
}

const newConnections = again(async ({ target }) => void (await ask(target, { path: "/small" })))

const keptAlive: Kind = async (client) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  await again(async ({ target }) => void (await ask(target, { path: "/small", agent })))(client)
  agent.destroy()
}

const downloads = again(async ({ target, random }) => {
  const octets = random.below(4_000_000)
  const got = await ask(target, { path: `/download?octets=${octets}` })
  if (got.octets !== octets) throw new Error(`${got.octets} of ${octets} octets`)
})

const uploads = again(async ({ target, random }) => {
  const upload = random.below(1_000_000)
  const { text } = await ask(target, { path: "/upload", upload })
  if (text !== String(upload)) throw new Error(`${text} of ${upload} octets arrived`)
})

/** Half a second long. */
const EVENTS = 25
const EVERY_MS = 20

const eventStreams = again(async ({ target }) => {
  const { text } = await ask(target, { path: `/events?count=${EVENTS}&every=${EVERY_MS}` })
  const seen = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
  if (seen.some((id, index) => id !== index + 1) || !text.endsWith("data: last\n\n")) throw new Error(`events ${seen.join(" ")} of ${EVENTS}`)
})

const STREAMS = 4

/** GOAWAY came before it was sent, or says that it was not taken: it may be asked again (RFC 9113 §8.7). nghttp2 refuses on behalf of the peer what it still had to send. */
const isUnsent = (session: http2.ClientHttp2Session, { rstCode }: http2.ClientHttp2Stream): boolean => session.closed && rstCode === http2.constants.NGHTTP2_REFUSED_STREAM

/** Several streams of one connection. A session that was told to go away finishes what it has and gets a successor. */
const http2Streams: Kind = async (client) => {
  const { target, tally } = client
  let session: http2.ClientHttp2Session | undefined
  const sessions = new Set<http2.ClientHttp2Session>()
  const current = (): http2.ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = (session = http2.connect(`http://${target.address}:${target.port}`))
    sessions.add(opened)
    opened.on("error", (error: unknown) => tally.fail(error))
    opened.on("goaway", (code: number) => {
      if (code === http2.constants.NGHTTP2_NO_ERROR) tally.ended("GOAWAY")
      if (session === opened) session = undefined
    })
    opened.on("close", () => sessions.delete(opened))
    return opened
  }
  const step = again(async () => {
    const on = current()
    const stream = on.request({ ":path": "/small", ":authority": `${target.address}:${target.port}` })
    let status = 0
    let text = ""
    stream.setEncoding("latin1").on("response", (fields) => (status = Number(fields[":status"]))).on("data", (part: string) => (text += part))
    await new Promise<void>((resolve, reject) => stream.on("error", (error) => (isUnsent(on, stream) ? resolve() : reject(error))).on("close", resolve))
    if (isUnsent(on, stream)) return tally.ended("stream that met a GOAWAY")
    if (status !== 200 || text !== "ok") throw new Error(`${status} ${text.slice(0, 200)}, stream ended with ${stream.rstCode}`)
  })
  await Promise.all(Array.from({ length: STREAMS }, () => step(client)))
  for (const open of sessions) open.close()
}

const GOING_AWAY = 1001

/** Echoes until the other end goes away, then a new one. */
const webSockets: Kind = async (client) => {
  const { target, tally, isOn, pace, random } = client
  while (isOn()) {
    const socket = new WebSocket(`ws://${target.address}:${target.port}/chat`)
    let last = ""
    const closed = new Promise<void>((resolve) => {
      socket.addEventListener("close", ({ code, wasClean }) => {
        if (code === GOING_AWAY && wasClean) tally.ended("1001")
        else if (code !== 1000) tally.fail(`closed with ${code}`)
        resolve()
      })
    })
    const say = (): void => {
      last = String(random.below(1_000_000_000))
      socket.send(last)
    }
    socket.addEventListener("open", say)
    socket.addEventListener("message", ({ data }) => {
      if (data === last) tally.done++
      else tally.fail(`"${String(data)}" for "${last}"`)
      setTimeout(() => {
        if (socket.readyState !== WebSocket.OPEN) return
        if (isOn()) say()
        else socket.close(1000)
      }, pace)
    })
    await closed
    if (isOn()) await later(pace)
  }
}

/** With how many clients of each there are in a mix. */
export const kinds: ReadonlyMap<string, { readonly clients: number; readonly kind: Kind }> = new Map([
  ["new connections", { clients: 4, kind: newConnections }],
  ["kept-alive connections", { clients: 8, kind: keptAlive }],
  ["HTTP/2 streams", { clients: 3, kind: http2Streams }],
  ["WebSockets", { clients: 4, kind: webSockets }],
  ["event streams", { clients: 4, kind: eventStreams }],
  ["downloads", { clients: 1, kind: downloads }],
  ["uploads", { clients: 1, kind: uploads }],
])
