/** The shapes of traffic at an edge: what each proxy is told for it, how it is asked, and what the gateway may cost. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { LOAD_CORE } from "./candidates.ts"
import { atRate, handshakes, http2, load, messages, writeMix, type Load } from "./load.ts"
import { LARGE, type Grid, type Place } from "./peers.ts"

export interface Row {
  /** For `--only`. */
  readonly name: string
  readonly title: string
  readonly grid: Grid
  /** Behind the proxies: 1 KB or LARGE from nginx, echo.ts, or calls of gRPC answered by nginx. */
  readonly backend: "nginx" | "echo" | "grpc"
  readonly told: Pick<Place, "http2" | "grpc" | "largeBuffers" | "upgrades">
  readonly isSecure: boolean
  /** What the gateway may cost, in shares of `reference`. */
  readonly budget: string
  /** With which the others are compared; those it leaves out cannot do this. */
  readonly peers: readonly ("nginx" | "haproxy" | "envoy")[]
  /** Arguments of curl that ask as the load does, and octets of a right answer; absent: the load itself tells. */
  readonly asks: { readonly args: readonly string[]; readonly octets: number; readonly leaf?: string } | undefined
  /** Made once: what puts load on a proxy for so many seconds. */
  readonly load: (folder: string, grid: Grid) => (url: string, seconds: number) => Promise<Load>
  readonly remark: string
}

export const ONE: Grid = { hosts: 1, prefixes: 1 }
export const MANY: Grid = { hosts: 500, prefixes: 10 }
const BODY = 65_536
const RATE = 5000
const MESSAGE = 16

const plain = { grid: ONE, backend: "nginx", told: {}, isSecure: false, peers: ["nginx", "haproxy", "envoy"], asks: { args: [], octets: 1024 } } as const
const byWrk: Row["load"] = (folder, grid) => {
  const mix = writeMix(folder, grid)
  return (url, seconds) => load(url, mix, seconds, LOAD_CORE)
}
const byH2load: Row["load"] = () => (url, seconds) => http2(url, seconds, LOAD_CORE)

/** One message of 16 octets, not compressed. */
export const CALL = Buffer.concat([Buffer.from([0, 0, 0, 0, MESSAGE]), Buffer.alloc(MESSAGE, "m")])

export const rows: readonly Row[] = [
  { ...plain, name: "kept", title: "HTTP/1.1, kept alive, 1 KB", budget: "1.15 × nginx, aim 1.05", load: byWrk, remark: "64 connections that never wait." },
  {
    ...plain, name: "rate", title: "HTTP/1.1, 5,000 requests a second, 1 KB", budget: "1.3 × nginx, aim 1.1",
    load: () => async (url, seconds) => {
      const done = await atRate(url, seconds, LOAD_CORE, RATE)
      if (done.failed !== 0) throw new Error(`${done.failed} requests failed at ${url}`)
      return done
    },
    remark: "32 connections, requests evenly spaced: a proxy wakes for each, and nothing is shared between them.",
  },
  { ...plain, name: "tls", title: "TLS, kept alive, 1 KB", isSecure: true, budget: "1.3 × nginx, aim 1.15", load: byWrk, remark: "64 connections that never wait; TLS 1.3, ECDSA P-256." },
  {
    ...plain, name: "connections", title: "HTTP/1.1, a new connection each, 1 KB", budget: "1.8 × nginx and below Envoy, aim 1.4",
    load: (folder, grid) => {
      const mix = writeMix(folder, grid, { closes: true })
      return (url, seconds) => load(url, mix, seconds, LOAD_CORE)
    },
    remark: "64 at a time, each with `Connection: close`.",
  },
  {
    ...plain, name: "handshakes", title: "TLS, a full handshake each, 1 KB", isSecure: true, budget: "1.3 × nginx, aim 1.1",
    load: () => (url, seconds) => handshakes(url, seconds, LOAD_CORE),
    remark: "16 at a time, by a client in Node that resumes no session; X25519, ECDSA P-256.",
  },
  {
    ...plain, name: "post", title: "64 KB posted and echoed, buffers of 64 KB", backend: "echo", told: { largeBuffers: true }, budget: "1.3 × nginx, aim 1.0",
    asks: { args: ["-X", "POST", "--data-binary", "y".repeat(BODY)], octets: BODY },
    load: (folder, grid) => {
      const mix = writeMix(folder, grid, { method: "POST", octets: BODY })
      return (url, seconds) => load(url, mix, seconds, LOAD_CORE, 32)
    },
    remark: "32 connections; the backend answers when it has all.",
  },
  {
    ...plain, name: "download", title: "1 MB downloaded, buffers of 64 KB", told: { largeBuffers: true }, budget: "1.3 × nginx, aim 1.0",
    asks: { args: [], octets: LARGE, leaf: "large" },
    load: (folder, grid) => {
      const mix = writeMix(folder, grid, { leaf: "large" })
      return (url, seconds) => load(url, mix, seconds, LOAD_CORE, 16)
    },
    remark: "16 connections.",
  },
  {
    ...plain, name: "h2c", title: "HTTP/2 in clear to HTTP/1.1, 1 KB", told: { http2: true }, budget: "0.8 × nginx, aim 0.6",
    asks: { args: ["--http2-prior-knowledge"], octets: 1024 }, load: byH2load, remark: "8 connections with 16 streams each.",
  },
  {
    ...plain, name: "h2", title: "HTTP/2 over TLS to HTTP/1.1, 1 KB", told: { http2: true }, isSecure: true, budget: "1.0 × nginx, aim 0.75",
    asks: { args: ["--http2"], octets: 1024 }, load: byH2load, remark: "8 connections with 16 streams each.",
  },
  {
    ...plain, name: "grpc", title: "gRPC, unary, HTTP/2 in clear on both sides", backend: "grpc", told: { http2: true, grpc: true }, budget: "0.6 × Envoy, aim 0.4", peers: ["envoy", "haproxy"],
    asks: undefined,
    load: (folder) => {
      const body = join(folder, "call")
      writeFileSync(body, CALL)
      return (url, seconds) => http2(url, seconds, LOAD_CORE, ["content-type: application/grpc", "te: trailers"], body)
    },
    remark: "8 connections with 16 streams each; a message of 16 octets there and one back, status in the trailers.",
  },
  {
    ...plain, name: "websocket", title: "WebSocket, 64 octets there and back", backend: "echo", told: { upgrades: true }, budget: "1.25 × nginx, aim 1.1",
    asks: undefined,
    load: () => (url, seconds) => messages(url, seconds, LOAD_CORE),
    remark: "64 tunnels, on each a message as soon as the one before is back; client and backend in Node share the other core.",
  },
]
