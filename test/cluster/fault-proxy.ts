/** A reverse proxy before an API server that does to each request what a test says: what networks and API servers do on bad days. */
import { createServer, type IncomingMessage, request, type RequestOptions, type ServerResponse } from "node:http"
import { request as requestTls } from "node:https"
import type { Socket } from "node:net"

/** What becomes of one request. Undefined: it is passed on. */
export type Fault =
  /** Answered in place of the API server. */
  | { readonly is: "answer"; readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
  /** Passed on after so many ms. */
  | { readonly is: "late"; readonly ms: number }
  /** Never answered, and the connection stays. */
  | { readonly is: "unanswered" }
  /** After so many octets of the answer the connection is ended. */
  | { readonly is: "cut"; readonly after: number }
  /** After so many octets of the answer nothing more comes, and the connection stays. */
  | { readonly is: "silent"; readonly after: number }
  /** Each piece of the answer is what the function makes of it. */
  | { readonly is: "changed"; readonly by: (text: string) => string }

export interface ProxiedRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly isWatch: boolean
}

export interface FaultProxy {
  readonly url: string
  /** Set at any time; asked at the beginning of each request. */
  fault: (request: ProxiedRequest) => Fault | undefined
  /** Watches that are open on this collection, or on any. */
  watches(path?: string): number
  /** Requests that came, oldest first. */
  readonly requests: ProxiedRequest[]
  /** Every connection of a client is ended. */
  cut(): void
  /** Nothing more is passed on in either direction on the connections there are, and they stay. */
  freeze(): void
  stop(): Promise<void>
}

export interface FaultProxyOptions {
  /** `https://127.0.0.1:6443` */
  readonly server: string
  /** PEM. */
  readonly authority: string
  /** Where clients reach it; default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number }
}

export const startFaultProxy = async ({ server, authority, listen = { host: "127.0.0.1", port: 0 } }: FaultProxyOptions): Promise<FaultProxy> => {
  const target = new URL(server)
  const sockets = new Set<Socket>()
  const frozen = new WeakSet<Socket>()
  const open = new Map<ServerResponse, ProxiedRequest>()
  const requests: ProxiedRequest[] = []
  const proxy: FaultProxy = {
    url: "", requests,
    fault: () => undefined,
    watches: (path) => [...open.values()].filter((one) => one.isWatch && (path === undefined || one.path === path)).length,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
    freeze: () => {
      for (const socket of sockets) frozen.add(socket)
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }

  const pass = (incoming: IncomingMessage, outgoing: ServerResponse, fault: Fault | undefined): void => {
    const options: RequestOptions & { ca: string } = { host: target.hostname, port: target.port, method: incoming.method, path: incoming.url, headers: { ...incoming.headers, host: target.host }, ca: authority }
    const upstream = (target.protocol === "https:" ? requestTls : request)(options, (answer) => {
      const { socket } = incoming
      const { "content-length": length, ...headers } = answer.headers
      outgoing.writeHead(answer.statusCode ?? 502, length === undefined || fault !== undefined ? headers : answer.headers)
      outgoing.flushHeaders()
      let sent = 0
      answer.on("data", (chunk: Buffer) => {
        if (frozen.has(socket) || socket.destroyed) return
        const limit = fault?.is === "cut" || fault?.is === "silent" ? fault.after - sent : Infinity
        const piece = fault?.is === "changed" ? Buffer.from(fault.by(chunk.toString())) : chunk.subarray(0, Math.max(0, limit))
        sent += piece.length
        outgoing.write(piece, () => {
          if (fault?.is === "cut" && sent >= fault.after) socket.destroy()
        })
      })
      answer.on("end", () => {
        if (!frozen.has(socket) && fault?.is !== "silent" && !(fault?.is === "cut" && sent >= fault.after)) outgoing.end()
      })
      answer.on("error", () => socket.destroy())
    })
    upstream.on("error", () => incoming.socket.destroy())
    outgoing.on("close", () => upstream.destroy())
    incoming.pipe(upstream)
  }

  const listener = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? "/", "http://proxy")
    const asked: ProxiedRequest = { method: incoming.method ?? "GET", path: url.pathname, query: url.searchParams, isWatch: url.searchParams.get("watch") === "true" }
    requests.push(asked)
    if (frozen.has(incoming.socket)) return
    const fault = proxy.fault(asked)
    open.set(outgoing, asked)
    outgoing.on("close", () => open.delete(outgoing))
    if (fault?.is === "unanswered") return
    if (fault?.is === "answer") {
      outgoing.writeHead(fault.status, { "content-type": "application/json", ...fault.headers })
      outgoing.end(`${JSON.stringify(fault.body ?? { kind: "Status", apiVersion: "v1", status: "Failure", code: fault.status, message: `made up: ${fault.status}` })}\n`)
      return
    }
    if (fault?.is !== "late") return pass(incoming, outgoing, fault)
    const timer = setTimeout(() => pass(incoming, outgoing, undefined), fault.ms)
    outgoing.on("close", () => clearTimeout(timer))
  })
  listener.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => undefined)
  })
  await new Promise<void>((resolve) => listener.listen(listen.port, listen.host, resolve))
  const address = listener.address()
  if (address === null || typeof address === "string") throw new Error("a proxy listens on a port")
  return Object.assign(proxy, { url: `http://${listen.host}:${address.port}` })
}
