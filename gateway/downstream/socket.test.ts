import net from "node:net"
import { once } from "node:events"
import { expect, test } from "vitest"
import { socketOptions } from "../server.ts"
import { slab } from "../slab.ts"
import { readInto } from "./socket.ts"

/** What one client says is read into `slab`; `prepare` sees the accepted socket first. */
const conversation = async (prepare: (accepted: net.Socket) => void) => {
  const heard: { text: string; isInSlab: boolean }[] = []
  const isTaken = Promise.withResolvers<net.Socket>()
  const isEnded = Promise.withResolvers<void>()
  const server = net.createServer(socketOptions, (accepted) => {
    prepare(accepted)
    readInto(accepted, {
      readBuffer: () => slab,
      onRead: (buffer, length) => {
        heard.push({ text: buffer.toString("latin1", 0, length), isInSlab: buffer === slab })
        accepted.write(`${heard.length}`)
      },
    })
    accepted.on("end", () => isEnded.resolve())
    isTaken.resolve(accepted)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  const client = net.connect(address.port, "127.0.0.1")
  client.write("one")
  await once(client, "data")
  client.write("two")
  await once(client, "data")
  const accepted = await isTaken.promise
  // Half-closed, and the other half still speaks.
  client.end()
  await isEnded.promise
  accepted.end("last")
  const [last]: unknown[] = await once(client, "data")
  const isClosed = once(server, "close")
  server.close()
  await isClosed
  return { heard, last: String(last) }
}

test("an accepted socket reads into the slab", async () => {
  const { heard, last } = await conversation(() => undefined)
  expect(heard).toEqual([{ text: "one", isInSlab: true }, { text: "two", isInSlab: true }])
  expect(last).toBe("last")
})

test("where a handle cannot be had the accepted socket serves by itself", async () => {
  const { heard, last } = await conversation((accepted) => {
    // Hidden from the first look.
    Object.defineProperty(accepted, "_handle", {
      configurable: true,
      get: () => void Reflect.deleteProperty(accepted, "_handle"),
    })
  })
  expect(heard).toEqual([{ text: "one", isInSlab: false }, { text: "two", isInSlab: false }])
  expect(last).toBe("last")
})
