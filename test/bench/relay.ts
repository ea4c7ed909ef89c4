/**
 * The floor of any proxy in Node: accepts, connects, copies octets both ways, reads with `onread` into one buffer as the
 * gateway does, and knows nothing of what it carries. `relay.ts <address> <port> <backend port>`.
 */
import { connect, createServer, type Socket } from "node:net"
import { readInto } from "../../gateway/downstream/socket.ts"
import { slab } from "../../gateway/slab.ts"

const [address = "", port = "", backend = ""] = process.argv.slice(2)

const relay = (client: Socket) => {
  const upstream = connect({
    host: "127.0.0.1", port: Number(backend), noDelay: true,
    onread: {
      buffer: slab,
      callback: (length) => {
        client.write(slab.toString("latin1", 0, length), "latin1")
        return true
      },
    },
  })
  readInto(client, { readBuffer: () => slab, onRead: (_, length) => void upstream.write(slab.toString("latin1", 0, length), "latin1") })
  for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
    one.on("error", () => other.destroy())
    one.on("close", () => other.destroy())
  }
}

createServer({ noDelay: true, pauseOnConnect: true }, relay).listen(Number(port), address)
