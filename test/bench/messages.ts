/**
 * Load of WebSocket messages: 64 connections, on each a message of 64 octets as soon as the one before is back. Runs as a
 * program of its own, so that it can have a core: `messages.ts <address> <port> <host> <path> <seconds>`; prints Load.
 */
import { connect } from "node:net"
import { quantile } from "./report.ts"

const CONNECTIONS = 64
const OCTETS = 64

const [address = "", port = "", host = "", path = "", seconds = ""] = process.argv.slice(2)
const payload = Buffer.alloc(OCTETS, "m")
const mask = Buffer.from([1, 2, 3, 4])
const message = Buffer.concat([Buffer.from([0x82, 0x80 | OCTETS]), mask, payload.map((octet, index) => octet ^ (mask[index & 3] ?? 0))])
const reply = Buffer.concat([Buffer.from([0x82, OCTETS]), payload])
const handshake = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

let began = 0
const times: number[] = []

/** Resolves with a connection whose handshake is done. */
const open = () =>
  new Promise<() => Promise<void>>((resolve, reject) => {
    const socket = connect({ host: address, port: Number(port), noDelay: true }, () => socket.write(handshake))
    let head = ""
    let received: Buffer = Buffer.alloc(0)
    let sent = 0
    let onEnd: (() => void) | undefined
    const send = () => {
      sent = performance.now()
      if (sent - began < Number(seconds) * 1000) return socket.write(message)
      onEnd?.()
      return socket.end()
    }
    socket.on("error", reject)
    socket.on("close", () => (onEnd === undefined || performance.now() - began < Number(seconds) * 1000 ? reject(new Error("the tunnel ended")) : undefined))
    socket.on("data", (data: Buffer) => {
      if (onEnd === undefined) {
        head += data.toString("latin1")
        if (!head.includes("\r\n\r\n")) return
        if (!head.startsWith("HTTP/1.1 101")) return reject(new Error(head))
        resolve(() => new Promise<void>((ended) => {
          onEnd = ended
          send()
        }))
        return
      }
      received = received.length === 0 ? data : Buffer.concat([received, data])
      if (received.length < reply.length) return
      if (!received.equals(reply)) return reject(new Error(`not the message that was sent: ${received.toString("hex")}`))
      received = Buffer.alloc(0)
      times.push(performance.now() - sent)
      send()
    })
  })

const tunnels = await Promise.all(Array.from({ length: CONNECTIONS }, open))
began = performance.now()
await Promise.all(tunnels.map((run) => run()))
console.log(JSON.stringify({ requests: times.length, seconds: (performance.now() - began) / 1000, p50: quantile(times, 0.5), p99: quantile(times, 0.99) }))
