/**
 * Load of new connections: each with a full TLS handshake (no session is kept), one request, and its end. Runs as a
 * program of its own, so that it can have a core: `handshakes.ts <address> <port> <host> <path> <seconds>`; prints Load.
 */
import { createSecureContext, connect } from "node:tls"
import { quantile } from "./report.ts"
import { requestFields } from "./load.ts"

const CONCURRENT = 16

const [address = "", port = "", host = "", path = "", seconds = ""] = process.argv.slice(2)
// The one both old and new OpenSSL have: with its own list a new server would be given post-quantum keys to work on, and an old one not.
const secureContext = createSecureContext({ ecdhCurve: "X25519" })
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${Object.entries(requestFields).map(([name, value]) => `${name}: ${value}\r\n`).join("")}Connection: close\r\n\r\n`

/** Resolves with the milliseconds it took. */
const once = () =>
  new Promise<number>((resolve, reject) => {
    const started = performance.now()
    let head = ""
    const socket = connect({ host: address, port: Number(port), servername: host, secureContext, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] }, () => {
      if (socket.isSessionReused()) reject(new Error("a session was resumed"))
      socket.write(request)
    })
    socket.on("data", (data: Buffer) => {
      if (head.length < 12) head += data.toString("latin1", 0, 12)
    })
    socket.on("error", reject)
    socket.on("close", () => {
      if (head.startsWith("HTTP/1.1 200")) resolve(performance.now() - started)
      else reject(new Error(`not 200: ${JSON.stringify(head)}`))
    })
  })

const began = performance.now()
const times: number[] = []
await Promise.all(Array.from({ length: CONCURRENT }, async () => {
  while (performance.now() - began < Number(seconds) * 1000) times.push(await once())
}))
console.log(JSON.stringify({ requests: times.length, seconds: (performance.now() - began) / 1000, p50: quantile(times, 0.5), p99: quantile(times, 0.99) }))
