import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connectBus } from "../../bus/jetstream.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { busContract } from "./bus.contract.ts"

busContract("nats-server", {
  open: async (history = true) => {
    const binary = await findNatsServer()
    const folder = await mkdtemp(join(tmpdir(), "headgate-contract-"))
    let server = await startNatsServer({ binary, storeDir: folder })
    if (!history) await (await connectBus({ url: server.url, name: "first", history })).close()
    return {
      connect: () => connectBus({ url: server.url, name: "contract" }),
      wipe: async () => {
        server.process.kill("SIGKILL")
        await new Promise((resolve) => server.process.once("exit", resolve))
        await rm(folder, { recursive: true })
        server = await startNatsServer({ binary, storeDir: folder, port: server.port })
      },
      close: async () => {
        await server.stop()
        await rm(folder, { recursive: true, force: true })
      },
    }
  },
})
