import { once } from "node:events"
import net from "node:net"
import { text } from "node:stream/consumers"
import { afterEach, describe, expect, it } from "vitest"
import { descriptorOf } from "./listening-socket.ts"
import { FIRST_FD } from "./message.ts"
import { Successor } from "./successor.ts"

const successors: Successor[] = []
afterEach(() => {
  for (const successor of successors.splice(0)) successor.kill()
})

const started = (program: string, sockets: ConstructorParameters<typeof Successor>[1] = []): Successor => {
  const successor = new Successor(1, sockets, ["-e", program])
  successors.push(successor)
  return successor
}

describe("a successor", () => {
  it("has the sockets: who waits at one that is closed here is served there", async () => {
    const server = net.createServer()
    await once(server.listen({ port: 0, host: "127.0.0.1" }), "listening")
    const address = server.address()
    if (address === null || typeof address === "string") throw new TypeError("no port")
    const { port } = address
    const successor = started(`
      process.on("message", (message) => {
        if (message !== "go") return
        const [{ fd, key }] = JSON.parse(process.env.HEADGATE_HANDED_OVER).sockets
        require("net").createServer((socket) => socket.end(fd + " " + key)).listen({ fd }, () => process.send("serving"))
      })
      process.send("ready")
    `, [{ key: "a|1", worker: 0, address: "127.0.0.1", port, fd: descriptorOf(server) }])
    await successor.ready()
    const answers = Array.from({ length: 10 }, () => text(net.connect(port, "127.0.0.1")))
    // net connects at the end of this tick, and the kernel makes the connection at once; nobody accepts it before the close.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    server.close()
    await successor.takesOver()
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 10 }, () => `${FIRST_FD} a|1`))
  })

  it("that ends, or cannot be loaded, is heard of with how", async () => {
    await expect(started("process.exit(3)").ready()).rejects.toThrow("it ended with 3")
    await expect(started("process.kill(process.pid, 'SIGKILL')").ready()).rejects.toThrow("it was ended by SIGKILL")
    const late = started("process.send('ready'); process.on('message', () => process.exit(4))")
    await late.ready()
    await expect(late.takesOver()).rejects.toThrow("it ended with 4")
  })

  it("that does not get ready is waited for no longer than it may take", async () => {
    await expect(started("setInterval(() => {}, 1000)").ready(20)).rejects.toThrow("it was not ready within 0.02 s")
  })
})
