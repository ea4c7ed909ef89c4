/** What every bench of the whole needs: a Headgate with many routes and one backend, and a client that asks closely. */
import { connect } from "node:net"
import type { Socket } from "node:net"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "../system/backend.ts"
import { newWorld } from "../system/headgate.ts"
import type { World } from "../system/headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "../system/manifests.ts"

export interface Stage {
  readonly world: World
  readonly port: number
  readonly end: () => Promise<void>
}

/** `routes` HTTPRoutes, each with a hostname of its own, in `files` files. Nothing is started yet but the backend. */
export const stage = async (name: string, routes: number, files: number): Promise<Stage> => {
  const world = newWorld(name)
  const [port = 0] = await freePorts(1)
  const backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  const each = Math.ceil(routes / files)
  for (let file = 0; file < files; file++) {
    const here = Array.from({ length: Math.min(each, routes - file * each) }, (_, index) => {
      const id = file * each + index
      return route(`r${id}`, { gateway: "edge", hostnames: [`r${id}.example`], backend: "a" })
    })
    drop(world.manifests, `routes-${file}.yaml`, yaml(...here))
  }
  return {
    world,
    port,
    end: async () => {
      await world.end()
      await backend.stop()
    },
  }
}

/** One keep-alive connection on which to ask over and over: a status a call, and nothing else is looked at. */
export class Prober {
  readonly #socket: Socket
  #pending: { resolve(answer: string): void; reject(error: Error): void } | undefined
  #received = ""

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding("latin1").setNoDelay(true)
    socket.on("data", (text: string) => this.#onData(text))
    socket.on("error", (error) => this.#pending?.reject(error))
    socket.on("close", () => this.#pending?.reject(new Error("the connection was closed")))
  }

  static connect(port: number, host = "127.0.0.1"): Promise<Prober> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, host, () => resolve(new Prober(socket)))
      socket.once("error", reject)
    })
  }

  /** The whole head of the answer. Answers are told apart by content-length: what is asked here always has one. */
  ask(host: string, path = "/"): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    })
  }

  #onData(text: string) {
    this.#received += text
    const end = this.#received.indexOf("\r\n\r\n")
    if (end < 0) return
    const head = this.#received.slice(0, end)
    const whole = bodyEnd(this.#received, head, end + 4)
    if (whole < 0 || this.#received.length < whole) return
    this.#received = this.#received.slice(whole)
    const pending = this.#pending
    this.#pending = undefined
    pending?.resolve(head)
  }

  close() {
    this.#socket.destroy()
  }
}

/** Where the message ends, or -1 when that is not known yet. Bodies here are short: by length, or one chunked run. */
const bodyEnd = (received: string, head: string, start: number): number => {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (length !== null) return start + Number(length[1])
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return start
  const last = received.indexOf("0\r\n\r\n", start)
  return last < 0 ? -1 : last + 5
}

export const status = (head: string) => Number(head.slice(9, 12))

/** Asks until `wanted` holds of the head; the time in ms since `since`. One request a millisecond at most. */
export const timeUntil = async (prober: Prober, host: string, since: number, wanted: (head: string) => boolean, within = 10_000): Promise<number> => {
  for (;;) {
    const head = await prober.ask(host)
    const now = performance.now()
    if (wanted(head)) return now - since
    if (now - since > within) throw new Error(`${host} not as wanted within ${within} ms; last: ${head}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
