import net from "node:net"
import { once } from "node:events"
import { expect, it } from "vitest"
import { closeEmptied } from "./close-emptied.ts"

/** How connections that wait when their server is to be closed end: the server's word, or an error. */
const closedWith = async (waiting: number, close: (server: net.Server, accepted: () => number) => void): Promise<ReadonlySet<string>> => {
  let accepted = 0
  const server = net.createServer((socket) => {
    accepted++
    socket.end("served")
  })
  await once(server.listen({ host: "127.0.0.1", port: 0, reusePort: process.platform === "linux" }), "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("no port")
  // The kernel makes these connections while this thread goes on to the close.
  const ends = Array.from({ length: waiting }, () =>
    new Promise<string>((resolve) => {
      let text = ""
      const socket = net.connect({ port: address.port, host: "127.0.0.1" })
      socket.setEncoding("latin1").on("data", (part: string) => (text += part)).on("error", ({ message }) => resolve(message.replace(/ .*/, ""))).on("close", () => resolve(text))
    }))
  close(server, () => accepted)
  return new Set(await Promise.all(ends))
}

it("a server that closes when its queue is empty serves whoever waited in it", async () => {
  expect(await closedWith(100, (server, accepted) => void closeEmptied(server, accepted))).toEqual(new Set(["served"]))
})

it("closed at once, it does not: the test above would see it", async () => {
  expect(await closedWith(100, (server) => server.close())).not.toContain("served")
})
