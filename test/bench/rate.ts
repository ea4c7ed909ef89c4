/**
 * Load of a fixed rate over 32 kept-alive connections, evenly spaced, whether or not answers come: each event loop it
 * meets wakes for one request. Runs as a program of its own, so that it can have a core:
 * `rate.ts <address> <port> <host> <path> <seconds> <requests a second>`; prints Load, times from when a request was due.
 */
import { connect, type Socket } from "node:net"
import { requestFields } from "./load.ts"
import { quantile } from "./report.ts"

const CONNECTIONS = 32
/** Timers know whole milliseconds; between two requests this sleeps for less. */
const NAP_MS = 0.1

const [address = "", port = "", host = "", path = "", seconds = "", rate = ""] = process.argv.slice(2)
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${Object.entries(requestFields).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`
const interval = 1000 / Number(rate)

/** When its request was due, by connection; those without one are in `free`. */
const due = new Map<Socket, number>()
const free: Socket[] = []
const times: number[] = []

const onAnswer = (socket: Socket, received: string) => {
  if (!received.startsWith("HTTP/1.1 200")) throw new Error(`not 200: ${JSON.stringify(received.slice(0, 200))}`)
  times.push(performance.now() - (due.get(socket) ?? Number.NaN))
  due.delete(socket)
  free.push(socket)
}

let failed = 0
let isOver = false

const open = () =>
  new Promise<void>((resolve, reject) => {
    const socket = connect({ host: address, port: Number(port), noDelay: true }, () => {
      free.push(socket)
      resolve()
    })
    socket.setEncoding("latin1")
    let received = ""
    socket.on("data", (text: string) => {
      received += text
      const end = received.indexOf("\r\n\r\n")
      if (end < 0 || received.length < end + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(received)?.[1] ?? 0)) return
      const whole = received
      received = ""
      onAnswer(socket, whole)
    })
    socket.on("error", reject)
    socket.on("close", () => {
      if (due.delete(socket)) failed++
      const at = free.indexOf(socket)
      if (at >= 0) free.splice(at, 1)
      if (!isOver) open().catch(() => failed++)
    })
  })

await Promise.all(Array.from({ length: CONNECTIONS }, open))
const nap = new Int32Array(new SharedArrayBuffer(4))
const began = performance.now()
const total = Math.round(Number(seconds) * Number(rate))
let sent = 0
await new Promise<void>((resolve) => {
  const turn = () => {
    const now = performance.now()
    // Where all are busy it is late, and its time counts from when it was due.
    while (sent < total && began + sent * interval <= now) {
      const socket = free.shift()
      if (socket === undefined) break
      due.set(socket, began + sent * interval)
      socket.write(request, "latin1")
      sent++
    }
    if (sent === total && due.size === 0) {
      isOver = true
      return resolve()
    }
    if (began + sent * interval - now > NAP_MS || sent === total) Atomics.wait(nap, 0, 0, NAP_MS)
    setImmediate(turn)
  }
  turn()
})
console.log(JSON.stringify({ requests: times.length, seconds: (performance.now() - began) / 1000, p50: quantile(times, 0.5), p99: quantile(times, 0.99), failed }))
process.exit()
