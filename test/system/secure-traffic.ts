/** Clients over TLS under load, each of which trusts one authority and nothing else; every handshake and answer counts. */
import { Agent, request } from "node:https"
import { TLSSocket, type ConnectionOptions } from "node:tls"
import { PACE } from "./traffic.ts"

export interface SecureAsk {
  readonly port: number
  readonly host: string
  /** PEM of what is trusted. */
  readonly ca: string
  /** No agent: a connection of its own. */
  readonly agent?: Agent
  readonly tls?: Pick<ConnectionOptions, "session" | "maxVersion">
  /** Tickets as they come. */
  readonly onSession?: (session: Buffer) => void
}

export interface SecureAnswer {
  readonly status: number
  readonly socket: TLSSocket
  /** Of the leaf that was presented; with a resumed session none is. */
  readonly fingerprint256: string | undefined
  readonly isResumed: boolean
}

/** Rejects where the handshake fails, what is presented is not trusted, or no complete answer comes within 10 s. */
export const askOverTls = ({ port, host, ca, agent, tls = {}, onSession }: SecureAsk): Promise<SecureAnswer> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, servername: host, ca, agent: agent ?? false, headers: { host }, timeout: 10_000, ...tls }, (response) => {
      const { socket } = response
      if (!(socket instanceof TLSSocket) || !socket.authorized) return reject(new Error("not over TLS that the client trusts"))
      const { fingerprint256 } = socket.getPeerCertificate()
      const isResumed = socket.isSessionReused()
      response.resume()
      response.on("error", reject)
      response.on("end", () => resolve({ status: response.statusCode ?? 0, socket, fingerprint256, isResumed }))
    })
    if (onSession !== undefined) asked.on("socket", (socket) => socket.on("session", onSession))
    asked.on("timeout", () => asked.destroy(new Error("no byte for 10 s")))
    asked.on("error", reject)
    asked.end()
  })

export interface SecureTraffic {
  /** Full ones, at the end of which a certificate was seen. */
  readonly handshakes: number
  readonly resumptions: number
  /** Answered with 2xx. */
  readonly requests: number
  readonly failures: readonly string[]
  /** Connections the keep-alive clients have made. */
  readonly keptConnections: number
  stop(): Promise<void>
}

export interface SecureLoad extends SecureAsk {
  /** Clients with a connection each, kept throughout. */
  readonly keptAlive: number
  /** Clients that make one connection after another, each with a full handshake: TLS 1.3 and 1.2 in turn. */
  readonly connecting: number
  /** Clients that resume the session of their last connection. */
  readonly resuming: number
  /** Asked before each handshake begins; gives who judges what it presented: a sentence where that is wrong. */
  readonly expecting: () => (fingerprint256: string | undefined) => string | undefined
}

/** All clients ask again PACE ms after they were answered. */
export const secureTraffic = ({ keptAlive, connecting, resuming, expecting, ...what }: SecureLoad): SecureTraffic => {
  const failures: string[] = []
  let [handshakes, resumptions, requests, keptConnections] = [0, 0, 0, 0]
  let isOn = true
  const once = async (ask: SecureAsk): Promise<SecureAnswer | undefined> => {
    try {
      const answer = await askOverTls(ask)
      if (answer.status >= 200 && answer.status < 300) requests++
      else failures.push(`status ${answer.status}`)
      await new Promise((resolve) => setTimeout(resolve, PACE))
      return answer
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
      // Not a loop without end where nobody listens any more.
      await new Promise((resolve) => setTimeout(resolve, 5))
      return undefined
    }
  }
  const shaken = async (ask: SecureAsk): Promise<void> => {
    const judge = expecting()
    const answer = await once(ask)
    if (answer === undefined) return
    if (answer.isResumed) resumptions++
    else {
      handshakes++
      const wrong = judge(answer.fingerprint256)
      if (wrong !== undefined) failures.push(wrong)
    }
  }
  const keptClient = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    let socket: TLSSocket | undefined
    while (isOn) {
      const answer = await once({ ...what, agent })
      if (answer !== undefined && answer.socket !== socket) keptConnections++
      socket = answer?.socket
    }
    agent.destroy()
  }
  const connectingClient = async (): Promise<void> => {
    for (let turn = 0; isOn; turn++) await shaken({ ...what, tls: { maxVersion: turn % 2 === 0 ? "TLSv1.3" : "TLSv1.2" } })
  }
  const resumingClient = async (): Promise<void> => {
    let session: Buffer | undefined
    while (isOn) await shaken({ ...what, tls: session === undefined ? {} : { session }, onSession: (fresh) => (session = fresh) })
  }
  const clients = [
    ...Array.from({ length: keptAlive }, keptClient),
    ...Array.from({ length: connecting }, connectingClient),
    ...Array.from({ length: resuming }, resumingClient),
  ]
  return {
    get handshakes() {
      return handshakes
    },
    get resumptions() {
      return resumptions
    },
    get requests() {
      return requests
    },
    get keptConnections() {
      return keptConnections
    },
    failures,
    stop: async () => {
      isOn = false
      await Promise.all(clients)
    },
  }
}
